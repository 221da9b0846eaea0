# SPDX-License-Identifier: MIT
"""The connections of Python's multiprocessing: send_bytes and recv_bytes."""

from __future__ import annotations

import platform
from multiprocessing.connection import Client, Connection, Listener

import _peer
from _peer import PULL, PUSH, REP, REQ, can

__all__ = ["PULL", "PUSH", "REP", "REQ", "VERSION", "Context", "can"]

VERSION = f"Python {platform.python_version()}"


class Socket(_peer.Socket):
    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self._listener: Listener | None = None
        self._connection: Connection | None = None

    def listen(self, tcp: bool) -> str:
        if tcp:
            self._listener = Listener(("127.0.0.1", 0))
            return f"tcp:{self._listener.address[1]}"
        path = self.path()
        self._listener = Listener(path, "AF_UNIX")
        return path

    def connect(self, endpoint: str) -> None:
        if endpoint.startswith("tcp:"):
            self._connection = Client(("127.0.0.1", int(endpoint[4:])))
        else:
            self._connection = Client(endpoint, "AF_UNIX")

    def send(self, data: bytes) -> None:
        assert self._connection is not None
        self._connection.send_bytes(data)

    def recv(self) -> bytes:
        if self._connection is None:
            assert self._listener is not None
            self._connection = self._listener.accept()
        return self._connection.recv_bytes()

    def close(self) -> None:
        for each in (self._connection, self._listener):
            if each is not None:
                each.close()
        super().close()


class Context(_peer.Context):
    kind = Socket
