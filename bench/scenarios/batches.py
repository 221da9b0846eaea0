# SPDX-License-Identifier: MIT
"""PUSH/PULL in batches: send_many and recv_many where a module has them, else plain loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    f"{transport} {label}": {"transport": transport, "size": size, "batch": 1000, "copy": True}
    for transport in ("tcp", "ipc")
    for label, size in (("64 B", 64), ("1 KiB", 1024))
}
METRICS = {"rate": ("msg/s", "higher"), "cpu": ("us CPU/msg, both ends", "lower")}


def sender(push: Any, task: Task) -> Callable[[int], None]:
    if not hasattr(push, "send_many"):
        plain: Callable[[int], None] = task.sibling("pushpull").sender(push, task)
        return plain
    batch = [b"x" * task.size] * task.batch

    def send(n: int) -> None:
        for _ in range(n // task.batch):
            push.send_many(batch)
        push.send_many(batch[: n % task.batch])

    return send


def receiver(pull: Any, task: Task) -> Callable[[int], None]:
    if not hasattr(pull, "recv_many"):
        plain: Callable[[int], None] = task.sibling("pushpull").receiver(pull, task)
        return plain

    def receive(n: int) -> None:
        while n:
            n -= len(pull.recv_many(min(n, task.batch)))

    return receive


def server(zmq: Any, task: Task) -> None:
    task.sibling("pushpull").run_server(zmq, task, receiver)


def client(zmq: Any, task: Task) -> Any:
    return task.sibling("pushpull").run_client(zmq, task, sender)
