#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A client that gets its answer although the service loses requests and dies: the lazy pirate.

    python examples/lazy_pirate.py

The client waits for a time, asks again, and gives up after some attempts. With REQ_RELAXED a REQ
socket may send again without having received, and with REQ_CORRELATE an answer that comes too late
is not taken for the answer to the next question. (Older programs close the socket and open a new
one for each attempt.) A request may be done twice: what the service does must bear that. The option
REQ_RESEND_IVL does all of this in the socket, and with several services: resent_requests.py.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import threading
from typing import Any

import fastmq as zmq


class ServiceLost(Exception):
    """No answer after all attempts."""


class Client:
    """Asks up to `attempts` times, and waits `timeout_ms` each time."""

    def __init__(
        self, context: zmq.Context[Any], address: str, timeout_ms: int = 500, attempts: int = 5
    ) -> None:
        self.timeout_ms = timeout_ms
        self.attempts = attempts
        self.repeated = 0
        self.req = context.socket(zmq.REQ)
        self.req.req_relaxed = self.req.req_correlate = True
        self.req.linger = 0
        self.req.reconnect_ivl = 20  # ms
        self.req.connect(address)

    def ask(self, question: bytes) -> bytes:
        for attempt in range(self.attempts):
            self.repeated += attempt > 0
            try:
                self.req.send(question, timeout=self.timeout_ms)
                return self.req.recv(timeout=self.timeout_ms)
            except zmq.Again:
                continue
        raise ServiceLost(f"no answer to {question!r} after {self.attempts} attempts")


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


class Supervisor(threading.Thread):
    """Runs the service and starts it again when it dies, as an init system would."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.command = [sys.executable, __file__, address]
        self.service: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.ends = threading.Event()

    def run(self) -> None:
        while not self.ends.is_set():
            self.starts += 1
            self.service = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
            while self.service.poll() is None and not self.ends.wait(0.01):
                pass
            self.service.kill()
            self.service.wait()


def main() -> None:
    questions = 40
    with tempfile.TemporaryDirectory() as folder, zmq.Context() as context:
        address = f"ipc://{folder}/service"
        supervisor = Supervisor(address)
        supervisor.start()
        client = Client(context, address, timeout_ms=250, attempts=40)
        try:
            for n in range(questions):
                assert client.ask(b"question %d" % n) == b"QUESTION %d" % n
        finally:
            supervisor.ends.set()
            supervisor.join()
        print(f"{questions} answers from {supervisor.starts} lives of the service,", end=" ")
        print(f"asked again {client.repeated} times")
        client.attempts = 2
        try:
            client.ask(b"anybody there?")
        except ServiceLost as error:
            print(error)
        client.req.close()


if __name__ == "__main__":
    serve(sys.argv[1]) if len(sys.argv) > 1 else main()
