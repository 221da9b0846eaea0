# SPDX-License-Identifier: MIT
"""zenoh: publishers and subscribers of two sessions that are connected to each other alone.

"tcp" is a session over TCP without shared memory; "ipc" is one whose messages are allocated in
zenoh's shared memory and announced over TCP. A full subscriber holds the publisher up, as in
PUSH/PULL; a round trip is `express`, that is not gathered with others.
"""

from __future__ import annotations

import importlib.metadata
import json
import socket
import time
from typing import Any

import _peer
import zenoh
from _peer import PULL, PUSH, REP, REQ, can

__all__ = ["PULL", "PUSH", "REP", "REQ", "VERSION", "Context", "can"]

VERSION = f"eclipse-zenoh {importlib.metadata.version('eclipse-zenoh')}"
QUEUE = 1000  # samples, ZeroMQ's default high-water mark
SHARED = 64 << 20  # bytes of shared memory; at least eight messages
CONNECTED_S = 0.01  # between looks whether the other end is there
GRACE_S = 0.2  # closing forgets what has not been written yet


def session(shared: bool, listen: str = "", connect: str = "") -> Any:
    config = zenoh.Config()
    for key, value in (
        ("mode", "peer"),
        ("scouting/multicast/enabled", False),
        ("scouting/gossip/enabled", False),
        ("transport/shared_memory/enabled", shared),
        ("listen/endpoints", [listen] if listen else []),
        ("connect/endpoints", [connect] if connect else []),
    ):
        config.insert_json5(key, json.dumps(value))
    return zenoh.open(config)


class Socket(_peer.Socket):
    _shared = False
    _provider: Any = None

    def listen(self, tcp: bool) -> str:
        self._shared = not tcp
        with socket.socket() as free:  # zenoh does not tell which port it chose
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        endpoint = f"tcp/127.0.0.1:{port}"
        self._declare(session(self._shared, listen=endpoint))
        return ("tcp " if tcp else "ipc ") + endpoint

    def connect(self, endpoint: str) -> None:
        transport, _, endpoint = endpoint.partition(" ")
        self._shared = transport == "ipc"
        self._declare(session(self._shared, connect=endpoint))
        while not self._publisher.matching_status:
            time.sleep(CONNECTED_S)

    def _declare(self, opened: Any) -> None:
        self._session = opened
        out, into = ("there", "back") if self.kind in (REQ, PUSH) else ("back", "there")
        if self.kind != PUSH:
            channel = zenoh.handlers.FifoChannel(QUEUE)
            self._subscriber = opened.declare_subscriber(f"bench/{into}", channel)
        if self.kind != PULL:
            self._publisher = opened.declare_publisher(
                f"bench/{out}",
                congestion_control=zenoh.CongestionControl.BLOCK,
                express=self.kind != PUSH,
            )

    def send(self, data: bytes) -> None:
        if self._shared and data:
            if self._provider is None:
                memory = max(SHARED, 8 * len(data))
                self._provider = zenoh.shm.ShmProvider.default_backend(memory)
                self._wait = zenoh.shm.BlockOn(zenoh.shm.GarbageCollect())
            shared = self._provider.alloc(len(data), self._wait)
            shared[:] = data
            self._publisher.put(zenoh.ZBytes(shared))
        else:
            self._publisher.put(data)

    def recv(self) -> bytes:
        data: bytes = self._subscriber.recv().payload.to_bytes()
        return data

    def close(self) -> None:
        if self.kind in (REP, PUSH):
            time.sleep(GRACE_S)
        self._provider = None  # or its memory stays in /dev/shm until another session cleans up
        self._session.close()
        super().close()


class Context(_peer.Context):
    kind = Socket
