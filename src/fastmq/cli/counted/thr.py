# SPDX-License-Identifier: MIT
"""Throughput: messages a second, PUSH to PULL."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {}
METRICS = {"rate": ("msg/s", "higher"), "bytes": ("MB/s", "higher")}
SWEEP = "size"
STEPS = 100  # of the progress


def lots(count: int) -> list[int]:
    """The count in pieces, after each of which there is time to tell the progress."""
    every = max(1, count // STEPS)
    whole, rest = divmod(count, every)
    return [every] * whole + ([rest] if rest else [])


def send(push: Any, size: int, count: int, step: Callable[[int], None] = lambda done: None) -> None:
    """Send `count` messages."""
    payload = b"x" * size
    put = push.send
    done = 0
    for lot in lots(count):
        for _ in range(lot):
            put(payload)
        done += lot
        step(done)


def receive(
    pull: Any, count: int, step: Callable[[int], None] = lambda done: None
) -> tuple[float, int]:
    """Receive `count` messages, two at least: the seconds from the first to the last, and the size
    of the last."""
    get = pull.recv
    message = get()
    start = time.perf_counter()
    done = 1
    for lot in lots(count - 1):
        for _ in range(lot):
            message = get()
        done += lot
        step(done)
    return time.perf_counter() - start, len(message)


def summary(took: float, size: int, count: int) -> dict[str, float]:
    """The metrics of `count` messages, the first of which began the time."""
    rate = (count - 1) / took
    return {"rate": rate, "bytes": rate * size / 1e6}


def server(zmq: Any, task: Task) -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        task.bind(pull)
        task.tell(receive(pull, task.count)[0])


def client(zmq: Any, task: Task) -> dict[str, float]:
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        task.connect(push)
        send(push, task.size, task.count)
        return summary(task.hear(), task.size, task.count)


def solo(zmq: Any, task: Task) -> dict[str, float]:
    with zmq.Context() as context:
        with context.socket(zmq.PULL) as pull, context.socket(zmq.PUSH) as push:
            pull.bind("inproc://thr")
            push.connect("inproc://thr")
            thread = threading.Thread(target=send, args=(push, task.size, task.count))
            thread.start()
            values = summary(receive(pull, task.count)[0], task.size, task.count)
            thread.join()
        return values
