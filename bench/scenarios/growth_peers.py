# SPDX-License-Identifier: MIT
"""Messages a second into one PULL from ever more PUSH peers of another process."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

SWEEP = "peers"
CASES: dict[str, dict[str, Any]] = {
    f"tcp 64 B, {peers:,} PUSH": {"transport": "tcp", "size": 64, "peers": peers, "copy": True}
    for peers in (1, 3, 10, 30, 100, 300, 1000)
}
METRICS = {"rate": ("msg/s", "higher"), "cpu": ("us CPU/msg, both ends", "lower")}


def server(zmq: Any, task: Task) -> None:
    task.allow_files(task.peers + 200)
    plain = task.sibling("pushpull")
    plain.run_server(zmq, task, plain.receiver)


def client(zmq: Any, task: Task) -> Any:
    """A message from each peer in turn."""
    task.allow_files(8 * task.peers + 200)
    plain = task.sibling("pushpull")
    with zmq.Context() as context, ExitStack() as stack:
        context.max_sockets = 2000
        pushes = [stack.enter_context(context.socket(zmq.PUSH)) for _ in range(task.peers)]
        (address,) = task.hear()
        for push in pushes:
            push.connect(address)
        payload = b"x" * task.size
        verbs = [push.send for push in pushes]

        def send(n: int) -> None:
            for _ in range(n // len(verbs)):
                for each in verbs:
                    each(payload)
            for each in verbs[: n % len(verbs)]:
                each(payload)

        return plain.lots(task, send)
