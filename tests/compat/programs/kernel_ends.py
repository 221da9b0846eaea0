# SPDX-License-Identifier: MIT
"""A Jupyter kernel that is asked to shut down ends by itself. Arguments: the transport, and `curve`
for keys."""

import sys
import tempfile
import time
from pathlib import Path

import zmq
from jupyter_client.manager import KernelManager


def main() -> None:
    transport = sys.argv[1]
    manager = KernelManager(kernel_name="python3", transport=transport)
    if "curve" in sys.argv:
        manager.transport_encryption = "required"
    if transport == "ipc":
        manager.ip = str(Path(tempfile.mkdtemp(dir=".")) / "k")
    manager.start_kernel()
    process = manager.provisioner.process
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        told = []
        reply = client.execute_interactive(
            "import zmq; print(zmq.__name__, zmq.Context.__module__)",
            output_hook=lambda message: told.append(message["content"].get("text", "")),
            timeout=60,
        )
        assert reply["content"]["status"] == "ok", reply
        assert reply["parent_header"]["session"] == client.session.session
        client.shutdown()
        asked = time.monotonic()
        status = process.wait(timeout=20)
        print(zmq.__name__, "".join(told).strip(), status, time.monotonic() - asked < 15)
    finally:
        client.stop_channels()
        if process.poll() is None:
            process.kill()


if __name__ == "__main__":
    main()
