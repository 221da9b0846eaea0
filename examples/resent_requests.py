#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A client that gets its answers although services lose requests and die, by one option.

    python examples/resent_requests.py

With REQ_RESEND_IVL the socket itself sends a request that has no answer again: to the next service
when the one that has it is lost, and whenever so many milliseconds are over. An answer that comes
too late is not taken for the answer to the next question. lazy_pirate.py does the same by hand. A
request may be done twice: what the service does must bear that.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import threading

import fastmq as zmq


def serve(address: str) -> None:
    """An unreliable service: it loses every fifth request and dies at the twelfth."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.bind(address)
        for count in itertools.count(1):
            *envelope, question = router.recv_multipart()
            if count == 12:
                sys.exit("the service dies")
            if count % 5:
                router.send_multipart([*envelope, question.upper()])


def keep_alive(address: str, stop: threading.Event, starts: list[str]) -> None:
    """Runs the service and starts it again when it dies, as an init system would."""
    while not stop.is_set():
        starts.append(address)
        service = subprocess.Popen([sys.executable, __file__, address], stderr=subprocess.DEVNULL)
        while service.poll() is None and not stop.wait(0.01):
            pass
        service.kill()
        service.wait()


def main() -> None:
    questions = 60
    stop, starts = threading.Event(), list[str]()
    with (
        tempfile.TemporaryDirectory() as folder,
        zmq.Context() as context,
        context.socket(zmq.REQ) as req,
    ):
        req.req_resend_ivl = 250  # ms
        req.reconnect_ivl = 20  # ms
        keepers = []
        for n in range(2):
            address = f"ipc://{folder}/service{n}"
            req.connect(address)
            keepers.append(threading.Thread(target=keep_alive, args=(address, stop, starts)))
            keepers[-1].start()
        try:
            for n in range(questions):
                req.send(b"question %d" % n)
                assert req.recv(timeout=30_000) == b"QUESTION %d" % n
        finally:
            stop.set()
            for keeper in keepers:
                keeper.join()
        print(f"{questions} answers from {len(starts)} lives of two services,", end=" ")
        print(f"{req.stats().resent} requests sent again")


if __name__ == "__main__":
    serve(sys.argv[1]) if len(sys.argv) > 1 else main()
