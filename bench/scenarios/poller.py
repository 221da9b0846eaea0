# SPDX-License-Identifier: MIT
"""REQ/REP where both ends wait in a Poller over idle sockets and the live one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    f"tcp 64 B, {idle} idle": {"transport": "tcp", "size": 64, "idle": idle} for idle in (0, 64)
}
METRICS = {"p50": ("us", "lower"), "p99": ("us", "lower")}


def sockets_and_poller(
    zmq: Any, context: Any, stack: ExitStack, task: Task, live_type: int
) -> tuple[list[Any], Any]:
    """The live socket first, then the idle ones, all of them in the poller."""
    kinds = [live_type] + [zmq.DEALER] * task.idle
    sockets = [stack.enter_context(context.socket(kind)) for kind in kinds]
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    return sockets, poller


def server(zmq: Any, task: Task) -> None:
    with zmq.Context() as context, ExitStack() as stack:
        sockets, poller = sockets_and_poller(zmq, context, stack, task, zmq.REP)
        task.bind(*sockets)
        rep = sockets[0]
        message = b"first"
        while message:
            if rep in dict(poller.poll()):
                message = rep.recv()
                rep.send(message)


def client(zmq: Any, task: Task) -> dict[str, float]:
    with zmq.Context() as context, ExitStack() as stack:
        sockets, poller = sockets_and_poller(zmq, context, stack, task, zmq.REQ)
        task.connect(*sockets)
        req = sockets[0]
        payload = b"x" * task.size

        def call() -> None:
            req.send(payload)
            while req not in dict(poller.poll()):
                pass
            req.recv()

        values = task.time_calls(call)
        req.send(b"")
        req.recv()
        return values
