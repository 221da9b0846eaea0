# SPDX-License-Identifier: MIT
"""What each of ever more connected peers adds to the memory of a ROUTER's process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

SWEEP = "peers"
CASES: dict[str, dict[str, Any]] = {
    f"tcp {peers:,} peers": {"transport": "tcp", "peers": peers}
    for peers in (100, 300, 1000, 3000, 10_000)
}
METRICS = {"resident": ("KB/peer", "lower")}


def server(zmq: Any, task: Task) -> None:
    task.sibling("memory").server(zmq, task)


def client(zmq: Any, task: Task) -> Any:
    return task.sibling("memory").client(zmq, task)
