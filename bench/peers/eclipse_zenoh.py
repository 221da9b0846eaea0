# SPDX-License-Identifier: MIT
"""zenoh: publishers and subscribers of two sessions that are connected to each other alone.

"tcp" is a session over TCP without shared memory; "ipc" is one whose messages are allocated in
zenoh's shared memory and announced over TCP. A full subscriber holds the publisher up, as in
PUSH/PULL; a round trip is `express`, that is not gathered with others.

On a loaded machine zenoh drops messages in shared memory: a thread of the sender has to confirm
every 100 ms that they are still in use. The receiver then waits until its run times out.
"""

from __future__ import annotations

import importlib.metadata
import json
import socket
import time
from typing import Any

import _peer
import zenoh
from _peer import CONNECT_S, PULL, PUSH, REP, REQ, Unavailable, can

__all__ = ["PULL", "PUSH", "REP", "REQ", "VERSION", "Context", "can"]

VERSION = f"eclipse-zenoh {importlib.metadata.version('eclipse-zenoh')}"
QUEUE = 1000  # samples, ZeroMQ's default high-water mark
SHARED = 64 << 20  # bytes of shared memory, where there are four times as many
MESSAGES = 8  # that it has to hold at least
BESIDE = 2 << 20  # bytes of shared memory besides, for what zenoh notes of them
PORTS = 10  # to try, as another process may take a free one before zenoh does
LOOK_S = 0.01  # between looks whether the other end is there
GRACE_S = 0.2  # closing forgets what has not been written yet


def session(shared: bool, listen: str = "", connect: str = "") -> Any:
    config = zenoh.Config()
    for key, value in (
        ("mode", "peer"),
        ("scouting/multicast/enabled", False),
        ("scouting/gossip/enabled", False),
        ("transport/shared_memory/enabled", shared),
        # Memory of its own for messages that are not in shared memory: here all are.
        ("transport/shared_memory/transport_optimization/enabled", False),
        ("listen/endpoints", [listen] if listen else []),
        ("listen/exit_on_failure", True),
        ("connect/endpoints", [connect] if connect else []),
        ("connect/exit_on_failure", True),
        ("connect/timeout_ms", CONNECT_S * 1000),
    ):
        config.insert_json5(key, json.dumps(value))
    try:
        return zenoh.open(config)
    except zenoh.ZError as error:
        raise Unavailable(f"zenoh opens no session: {error}") from error


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def provider(size: int) -> Any:
    """Shared memory for messages of `size` bytes."""
    least = MESSAGES * size
    memory = max(least, min(SHARED, _peer.shared_memory_free() // 4))
    _peer.need_shared_memory(memory + BESIDE)
    try:
        return zenoh.shm.ShmProvider.default_backend(memory)
    except zenoh.ZError as error:
        raise Unavailable(f"zenoh gets no {memory} bytes of shared memory: {error}") from error


class Socket(_peer.Socket):
    _shared = False
    _session: Any = None
    _provider: Any = None

    def listen(self, tcp: bool) -> str:
        self._shared = not tcp
        for attempt in range(1, PORTS + 1):
            # zenoh does not tell which port it chose.
            endpoint = f"tcp/127.0.0.1:{free_port()}"
            try:
                opened = session(self._shared, listen=endpoint)
                break
            except Unavailable:
                if attempt == PORTS:
                    raise
        self._declare(opened)
        return ("tcp " if tcp else "ipc ") + endpoint

    def connect(self, endpoint: str) -> None:
        transport, _, endpoint = endpoint.partition(" ")
        self._shared = transport == "ipc"
        self._declare(session(self._shared, connect=endpoint))
        end = time.monotonic() + CONNECT_S
        while not self._publisher.matching_status:
            if time.monotonic() > end:
                raise Unavailable(f"zenoh finds no subscriber at {endpoint} in {CONNECT_S} s")
            time.sleep(LOOK_S)

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
                self._provider = provider(len(data))
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
        if self._session is not None:
            if self.kind in (REP, PUSH):
                time.sleep(GRACE_S)
            self._provider = None  # or its memory stays until another session cleans up
            self._session.close()
        super().close()


class Context(_peer.Context):
    kind = Socket
