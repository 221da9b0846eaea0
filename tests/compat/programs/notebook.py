# SPDX-License-Identifier: MIT
"""A notebook, executed by nbclient in a kernel of ipykernel; see test_third_party.py.

Prints a line of JSON: what `zmq` is here and in the kernel, and what the cells gave.
"""

import asyncio
import json

import jupyter_client
import nbclient
import nbformat
import zmq

CELLS = [
    "import sys, zmq; print(zmq.__name__, zmq.Context.__module__)",
    "from ipykernel.kernelapp import IPKernelApp\n"
    "app = IPKernelApp.instance()\n"
    "print(type(app.shell_socket).__module__, type(app.heartbeat.socket).__module__)",
    "sum(range(1000))",
    "print('x' * 200_000)",
    "import asyncio\nawait asyncio.sleep(0.01)\n'awaited'",
    "1 / 0",
]


def run_notebook():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    client = nbclient.NotebookClient(notebook, timeout=30, kernel_name="python3", allow_errors=True)
    client.execute()
    told = []
    for cell in notebook.cells:
        out = ""
        for output in cell.outputs:
            if output.output_type == "error":
                out += output.ename
            elif output.output_type == "stream":
                out += output.text
            else:
                out += output.data["text/plain"]
        told.append(out)
    return told


def run_blocking_client():
    """The same through jupyter_client's blocking client, with an interrupt in between."""
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
    try:
        said = []
        client.execute_interactive("print('blocking')", output_hook=said.append, timeout=30)
        busy = client.execute("import time\nfor _ in range(600): time.sleep(0.1)")
        while client.get_iopub_msg(timeout=30)["content"].get("execution_state") != "busy":
            continue
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=30)
        while reply["parent_header"].get("msg_id") != busy:
            reply = client.get_shell_msg(timeout=30)
        text = "".join(m["content"].get("text", "") for m in said)
        return text + reply["content"]["ename"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


async def run_async_client():
    manager, client = await jupyter_client.manager.start_new_async_kernel(kernel_name="python3")
    try:
        reply = await client.execute("x = 1", reply=True, timeout=30)
        return reply["content"]["status"]
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


def main():
    told = {
        "here": [zmq.__name__, zmq.asyncio.Socket.__module__],
        "cells": run_notebook(),
        "blocking": run_blocking_client(),
        "async": asyncio.run(run_async_client()),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
