# SPDX-License-Identifier: MIT
"""PUB to ever more SUBs of another process: what one delivery costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

SWEEP = "subscribers"
CASES: dict[str, dict[str, Any]] = {
    f"tcp 64 B, {subscribers:,} SUB": {"transport": "tcp", "size": 64, "subscribers": subscribers}
    for subscribers in (1, 4, 16, 64, 256, 1000)
}
METRICS = {
    "publisher": ("us CPU/delivery, PUB's process", "lower"),
    "rate": ("deliveries/s", "higher"),
    "cpu": ("us CPU/delivery, both ends", "lower"),
}


def server(zmq: Any, task: Task) -> None:
    task.allow_files(8 * task.subscribers + 200)
    task.sibling("fanout").server(zmq, task)


def client(zmq: Any, task: Task) -> Any:
    task.allow_files(task.subscribers + 200)
    return task.sibling("fanout").client(zmq, task)
