# SPDX-License-Identifier: MIT
"""Poller.poll over ever more registered sockets of which one is ready."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

SWEEP = "sockets"
CASES: dict[str, dict[str, Any]] = {
    f"inproc, {registered:,} sockets": {"sockets": registered, "solo": True}
    for registered in (1, 10, 100, 300, 1000)
}
METRICS = {"p50": ("us", "lower"), "p99": ("us", "lower")}


def solo(zmq: Any, task: Task) -> dict[str, float]:
    """Each call finds a message and does not take it: what is timed is the poll alone."""
    task.allow_files(10 * task.sockets + 200)
    with zmq.Context() as context, ExitStack() as stack:
        context.max_sockets = 2 * task.sockets + 100
        poller = zmq.Poller()
        pulls = []
        for number in range(task.sockets):
            pull = stack.enter_context(context.socket(zmq.PULL))
            pull.bind(f"inproc://poll-{number}")
            poller.register(pull, zmq.POLLIN)
            pulls.append(pull)
        push = stack.enter_context(context.socket(zmq.PUSH))
        push.connect(f"inproc://poll-{task.sockets // 2}")
        push.send(b"stays")
        ready = [(pulls[task.sockets // 2], zmq.POLLIN)]
        if poller.poll(10_000) != ready:
            raise RuntimeError("the poller does not see the one socket that is ready")
        poll = poller.poll
        return task.time_calls(poll)
