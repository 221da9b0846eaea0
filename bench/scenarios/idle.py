# SPDX-License-Identifier: MIT
"""What connected sockets cost while nothing is sent."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    "tcp 50 pairs": {"transport": "tcp", "pairs": 50},
    "ipc 50 pairs": {"transport": "ipc", "pairs": 50},
}
METRICS = {"cpu": ("ms CPU/s, both ends", "lower")}
SETTLE_S = 0.5  # adaptive policies may still be awake right after traffic


def idle_cpu(seconds: float) -> float:
    """CPU time of the whole process while the calling thread sleeps, in ms a second."""
    time.sleep(SETTLE_S)
    start, cpu = time.perf_counter(), time.process_time()
    time.sleep(seconds)
    return (time.process_time() - cpu) / (time.perf_counter() - start) * 1000


def server(zmq: Any, task: Task) -> None:
    with zmq.Context() as context, ExitStack() as stack:
        pulls = [stack.enter_context(context.socket(zmq.PULL)) for _ in range(task.pairs)]
        task.bind(*pulls)
        for pull in pulls:
            pull.recv()
        task.tell("all are connected")
        task.tell(idle_cpu(2 * task.seconds))


def client(zmq: Any, task: Task) -> dict[str, float]:
    with zmq.Context() as context, ExitStack() as stack:
        pushes = [stack.enter_context(context.socket(zmq.PUSH)) for _ in range(task.pairs)]
        task.connect(*pushes)
        for push in pushes:
            push.send(b"x")
        task.hear()
        mine = idle_cpu(2 * task.seconds)
        return {"cpu": mine + task.hear()}
