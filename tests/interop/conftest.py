# SPDX-License-Identifier: MIT
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import WAIT_MS

PEER = Path(__file__).with_name("peer.py")
PYTHON = os.environ.get("FASTMQ_TEST_LIBZMQ_PYTHON", sys.executable)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.executable != PYTHON or importlib.util.find_spec("zmq") is not None:
        return
    for item in items:
        if Path(item.path).parent == PEER.parent:
            item.add_marker(pytest.mark.skip("pyzmq is not installed"))


def encode(x: bytes) -> Any:
    if len(x) > 64 and x == x[:1] * len(x):
        return {"size": len(x), "fill": x[0]}
    return x.hex()


def decode(x: Any) -> bytes:
    return bytes([x["fill"]]) * x["size"] if isinstance(x, dict) else bytes.fromhex(x)


class RemoteError(Exception):
    pass


class Libzmq:
    """A process with a real libzmq in it, or with another peer that speaks like peer.py."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            command or (PYTHON, str(PEER)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.buffer = b""

    def ask(self, op: str, **fields: Any) -> Any:
        self.start(op, **fields)
        return self.finish(op)

    def start(self, op: str, **fields: Any) -> None:
        """Sends the request; `finish` takes the answer, so that both sides can work meanwhile."""
        self.process.stdin.write(json.dumps({"op": op, **fields}).encode() + b"\n")

    def finish(self, what: str = "answer") -> Any:
        while b"\n" not in self.buffer:
            if not select.select([self.process.stdout], [], [], WAIT_MS / 1000 + 2)[0]:
                pytest.fail(f"no answer from the libzmq process to: {what}")
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            assert piece, f"the libzmq process died during: {what}"
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        answer = json.loads(line)
        if "error" in answer:
            raise RemoteError(f"libzmq: {what}: {answer['error']}")
        return answer["ok"]

    def socket(self, kind: str, **options: Any) -> "RemoteSocket":
        timeout = options.pop("timeout", WAIT_MS)
        coded = {n: encode(v) if isinstance(v, bytes) else v for n, v in options.items()}
        number = self.ask("socket", type=kind, options=coded, timeout=timeout)
        return RemoteSocket(self, number)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def end(self) -> None:
        if self.process.returncode is not None:
            return
        self.resume()
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class RemoteSocket:
    def __init__(self, process: Libzmq, number: int) -> None:
        self.process = process
        self.number = number

    def _ask(self, op: str, **fields: Any) -> Any:
        return self.process.ask(op, socket=self.number, **fields)

    def bind(self, address: str) -> str:
        return str(self._ask("bind", address=address))

    def connect(self, address: str) -> None:
        self._ask("connect", address=address)

    def set(self, name: str, value: int | bytes) -> None:
        self._ask("set", name=name, value=encode(value) if isinstance(value, bytes) else value)

    def send(self, *parts: bytes, flags: int = 0) -> None:
        self._ask("send", parts=[encode(p) for p in parts], flags=flags)

    def recv(self) -> list[bytes]:
        return [decode(p) for p in self._ask("recv")]

    def poll(self, timeout: int, flags: int = 1) -> int:
        return int(self._ask("poll", timeout=timeout, flags=flags))

    def start(self, op: str, **fields: Any) -> None:
        self.process.start(op, socket=self.number, **fields)

    def finish(self, what: str) -> Any:
        return self.process.finish(what)

    def close(self) -> None:
        self._ask("close")


@pytest.fixture(scope="session")
def _shared_libzmq() -> Iterator[Libzmq]:
    process = Libzmq()
    yield process
    process.end()


@pytest.fixture
def libzmq(_shared_libzmq: Libzmq, accounting: None) -> Iterator[Any]:
    """Sockets of a real libzmq: libzmq("PUSH", sndhwm=5). They are closed after the test."""
    made: list[RemoteSocket] = []

    def new(kind: str, **options: Any) -> RemoteSocket:
        made.append(_shared_libzmq.socket(kind, **options))
        return made[-1]

    yield new
    for sock in made:
        sock.close()


@pytest.fixture
def libzmq_process(accounting: None) -> Iterator[Any]:
    """Processes of their own, to be stopped and killed."""
    made: list[Libzmq] = []

    def new() -> Libzmq:
        made.append(Libzmq())
        return made[-1]

    yield new
    for process in made:
        process.end()
