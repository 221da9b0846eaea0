# SPDX-License-Identifier: MIT
"""SCATTER/GATHER: messages a second through one connection.

A module without draft types (DRAFT_API is False) does it with PUSH and PULL.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    f"{transport} {label}": {"transport": transport, "size": size, "copy": True}
    for transport, label, size in (
        ("tcp", "64 B", 64),
        ("ipc", "64 B", 64),
        ("tcp", "1 KiB", 1 << 10),
        ("tcp", "64 KiB", 1 << 16),
    )
}
METRICS = {"rate": ("msg/s", "higher"), "cpu": ("us CPU/msg, both ends", "lower")}


def has_drafts(zmq: Any) -> bool:
    return bool(getattr(zmq, "DRAFT_API", True))


def server(zmq: Any, task: Task) -> None:
    kind = zmq.GATHER if has_drafts(zmq) else zmq.PULL
    with zmq.Context() as context, context.socket(kind) as gather:
        task.bind(gather)
        receive = task.sibling("pushpull").receiver(gather, task)
        while n := task.hear():
            task.tell("ready")
            receive(1)
            start, cpu = time.perf_counter(), time.process_time()
            receive(n - 1)
            task.tell([time.perf_counter() - start, time.process_time() - cpu])


def client(zmq: Any, task: Task) -> Any:
    kind = zmq.SCATTER if has_drafts(zmq) else zmq.PUSH
    pushpull = task.sibling("pushpull")
    with zmq.Context() as context, context.socket(kind) as scatter:
        task.connect(scatter)
        return pushpull.lots(task, pushpull.sender(scatter, task))
