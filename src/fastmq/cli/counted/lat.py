# SPDX-License-Identifier: MIT
"""Latency: the time of a round trip, REQ to REP and back."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {}
METRICS = {"p50": ("us", "lower"), "p99": ("us", "lower"), "mean": ("us", "lower")}
SWEEP = "size"
STEPS = 100  # of the progress


def answer(rep: Any, count: int, step: Callable[[int], None] = lambda done: None) -> None:
    """Send back `count` messages."""
    every = max(1, count // STEPS)
    for n in range(count):
        rep.send(rep.recv())
        if n % every == 0:
            step(n)


def ask(
    req: Any, size: int, count: int, step: Callable[[int], None] = lambda done: None
) -> list[int]:
    """The times of `count` round trips in ns. The first of several, which waits for the connection,
    is left out. RuntimeError: an answer of another size."""
    payload = b"x" * size
    every = max(1, count // STEPS)
    clock = time.perf_counter_ns
    times = []
    for n in range(count):
        if n % every == 0:
            step(n)
        start = clock()
        req.send(payload)
        answered = req.recv()
        times.append(clock() - start)
        if len(answered) != size:
            raise RuntimeError(f"{len(answered)} B came back, {size} B were sent")
    return times[1:] or times


def summary(
    times: list[int], percentiles: Callable[[list[int]], dict[str, float]]
) -> dict[str, float]:
    """The metrics of round trips in ns. percentiles: as Task.percentiles, which gives most."""
    return {**percentiles(times), "mean": sum(times) / len(times) / 1000}


def server(zmq: Any, task: Task) -> None:
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        task.bind(rep)
        answer(rep, task.count)


def client(zmq: Any, task: Task) -> dict[str, float]:
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        task.connect(req)
        return summary(ask(req, task.size, task.count), task.percentiles)


def solo(zmq: Any, task: Task) -> dict[str, float]:
    with zmq.Context() as context:
        with context.socket(zmq.REP) as rep, context.socket(zmq.REQ) as req:
            rep.bind("inproc://lat")
            req.connect("inproc://lat")
            thread = threading.Thread(target=answer, args=(rep, task.count))
            thread.start()
            values = summary(ask(req, task.size, task.count), task.percentiles)
            thread.join()
        return values
