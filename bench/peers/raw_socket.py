# SPDX-License-Identifier: MIT
"""Python's own sockets: a length before each message, a buffered reader, no other cleverness."""

from __future__ import annotations

import platform
import socket
import struct

import _peer
from _peer import PULL, PUSH, REP, REQ, can

__all__ = ["PULL", "PUSH", "REP", "REQ", "VERSION", "Context", "can"]

VERSION = f"Python {platform.python_version()}"


class Socket(_peer.Socket):
    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self._listener: socket.socket | None = None
        self._stream: socket.socket | None = None

    def listen(self, tcp: bool) -> str:
        if tcp:
            self._listener = socket.create_server(("127.0.0.1", 0))
            return f"tcp:{self._listener.getsockname()[1]}"
        self._listener = socket.socket(socket.AF_UNIX)
        path = self.path()
        self._listener.bind(path)
        self._listener.listen()
        return path

    def connect(self, endpoint: str) -> None:
        if endpoint.startswith("tcp:"):
            stream = socket.create_connection(("127.0.0.1", int(endpoint[4:])))
        else:
            stream = socket.socket(socket.AF_UNIX)
            stream.connect(endpoint)
        self._use(stream)

    def _use(self, stream: socket.socket) -> None:
        """Bind the verbs to the stream, so that nothing is looked up for each message."""
        if stream.family == socket.AF_INET:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = stream
        self._read = stream.makefile("rb", buffering=1 << 18).read

    def send(self, data: bytes) -> None:
        assert self._stream is not None
        self._stream.sendall(struct.pack("!I", len(data)) + data)

    def recv(self) -> bytes:
        if self._stream is None:
            assert self._listener is not None
            self._use(self._listener.accept()[0])
        (size,) = struct.unpack("!I", self._read(4))
        data: bytes = self._read(size)
        return data

    def close(self) -> None:
        for each in (self._stream, self._listener):
            if each is not None:
                each.close()
        super().close()


class Context(_peer.Context):
    kind = Socket
