# SPDX-License-Identifier: MIT
"""PUSH/PULL of multipart messages with send_multipart and recv_multipart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    f"{transport} 5 x 64 B": {"transport": transport, "size": 64, "parts": 5}
    for transport in ("tcp", "ipc")
}
METRICS = {"rate": ("msg/s", "higher"), "cpu": ("us CPU/msg, both ends", "lower")}


def sender(push: Any, task: Task) -> Callable[[int], None]:
    message = [b"x" * task.size] * task.parts
    send_multipart = push.send_multipart

    def send(n: int) -> None:
        for _ in range(n):
            send_multipart(message)

    return send


def receiver(pull: Any, task: Task) -> Callable[[int], None]:
    recv_multipart = pull.recv_multipart

    def receive(n: int) -> None:
        for _ in range(n):
            recv_multipart()

    return receive


def server(zmq: Any, task: Task) -> None:
    task.sibling("pushpull").run_server(zmq, task, receiver)


def client(zmq: Any, task: Task) -> Any:
    return task.sibling("pushpull").run_client(zmq, task, sender)
