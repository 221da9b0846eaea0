# SPDX-License-Identifier: MIT
"""nng through pynng: the same two patterns of a relative of ZeroMQ."""

from __future__ import annotations

import importlib.metadata
import socket
import time
from typing import Any

import _peer
import pynng
from _peer import PULL, PUSH, REP, REQ, can

__all__ = ["PULL", "PUSH", "REP", "REQ", "VERSION", "Context", "can"]

VERSION = f"pynng {importlib.metadata.version('pynng')}"
QUEUE = 1000  # messages a direction, ZeroMQ's default high-water mark
EMPTY = b"\0"  # stands for the empty message, which pynng cannot receive
GRACE_S = 0.2  # closing forgets what has not been written yet


class Socket(_peer.Socket):
    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        kinds = {REQ: pynng.Req0, REP: pynng.Rep0, PUSH: pynng.Push0, PULL: pynng.Pull0}
        queue = {"recv_buffer_size": QUEUE} if kind == PULL else {}
        if kind == PUSH:
            queue = {"send_buffer_size": QUEUE}
        # By default it drops the connection at messages above 1 MiB.
        self._socket: Any = kinds[kind](recv_max_size=0, **queue)

    def listen(self, tcp: bool) -> str:
        if not tcp:
            endpoint = f"ipc://{self.path()}"
            self._socket.listen(endpoint)
            return endpoint
        listener = self._socket.listen("tcp://127.0.0.1:0")
        port = socket.ntohs(listener.local_address.port)  # given as it lies in memory
        return f"tcp://127.0.0.1:{port}"

    def connect(self, endpoint: str) -> None:
        self._socket.dial(endpoint, block=True)

    def send(self, data: bytes) -> None:
        self._socket.send(data or EMPTY)

    def recv(self) -> bytes:
        data: bytes = self._socket.recv()
        return b"" if data == EMPTY else data

    def close(self) -> None:
        if self.kind in (REP, PUSH):
            time.sleep(GRACE_S)
        self._socket.close()
        super().close()


class Context(_peer.Context):
    kind = Socket
