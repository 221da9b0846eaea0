# SPDX-License-Identifier: MIT
"""CLIENT/SERVER: the time of one round trip, and round trips a second with 100 under way.

A module without draft types (DRAFT_API is False) does it with DEALER and ROUTER.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    f"{transport} {label}": {"transport": transport, "size": size}
    for transport, label, size in (
        ("tcp", "64 B", 64),
        ("ipc", "64 B", 64),
        ("tcp", "1 KiB", 1 << 10),
    )
}
METRICS = {
    "p50": ("us", "lower"),
    "p99": ("us", "lower"),
    "rate": ("round trips/s", "higher"),
}
UNDER_WAY = 100


def has_drafts(zmq: Any) -> bool:
    return bool(getattr(zmq, "DRAFT_API", True))


def echo_frames(server: Any) -> None:
    recv, send = server.recv, server.send
    while True:
        frame = recv(copy=False)
        send(frame)
        if len(frame) == 0:
            return


def echo_parts(router: Any) -> None:
    recv, send = router.recv_multipart, router.send_multipart
    while True:
        parts = recv()
        send(parts)
        if not parts[-1]:
            return


def server(zmq: Any, task: Task) -> None:
    drafts = has_drafts(zmq)
    with zmq.Context() as context, context.socket(zmq.SERVER if drafts else zmq.ROUTER) as sock:
        task.bind(sock)
        (echo_frames if drafts else echo_parts)(sock)


def client(zmq: Any, task: Task) -> dict[str, float]:
    kind = zmq.CLIENT if has_drafts(zmq) else zmq.DEALER
    with zmq.Context() as context, context.socket(kind) as sock:
        task.connect(sock)
        payload, send, recv = b"x" * task.size, sock.send, sock.recv

        def call() -> None:
            send(payload)
            recv()

        values = task.time_calls(call)
        for _ in range(UNDER_WAY):
            send(payload)
        start, n = time.perf_counter(), 0
        while True:  # once at least
            for _ in range(UNDER_WAY):
                recv()
                send(payload)
            n += UNDER_WAY
            if (took := time.perf_counter() - start) >= task.seconds:
                break
        for _ in range(UNDER_WAY):
            recv()
        send(b"")
        recv()
        return {**values, "rate": n / took}
