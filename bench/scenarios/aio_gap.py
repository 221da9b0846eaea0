# SPDX-License-Identifier: MIT
"""What busy sockets do to the rest of an asyncio loop: the gaps of a ticker of 1 ms beside them."""

from __future__ import annotations

import asyncio
import importlib
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

TICK_S = 0.001

SHARED = {"transport": "tcp", "size": 64, "loop": "asyncio"}
CASES: dict[str, dict[str, Any]] = {
    "1 socket, tcp 64 B": {**SHARED, "count": 1},
    "100 sockets, tcp 64 B": {**SHARED, "count": 100},
    "1 socket, tcp 64 KiB": {**SHARED, "count": 1, "size": 65536},
    "100 sockets, tcp 64 B, uvloop": {**SHARED, "count": 100, "loop": "uvloop"},
}
METRICS = {
    "longest": ("ms", "lower"),
    "p99": ("ms", "lower"),
    "rate": ("msg/s", "higher"),
}


def server(zmq: Any, task: Task) -> None:
    """Sends to each socket in turn, as fast as they take it, until there is nobody."""
    with zmq.Context() as context, ExitStack() as stack:
        control = stack.enter_context(context.socket(zmq.PULL))
        pushes = [stack.enter_context(context.socket(zmq.PUSH)) for _ in range(task.count)]
        for push in pushes:
            push.linger = 0
        task.bind(control, *pushes)
        control.recv()
        payload = b"x" * task.size
        burst = max(1, 1000 // task.count)
        while not control.poll(0):
            full = 0
            for push in pushes:
                try:
                    for _ in range(burst):
                        push.send(payload, zmq.DONTWAIT)
                except zmq.Again:
                    full += 1
            if full == task.count:
                time.sleep(TICK_S / 2)


def client(zmq: Any, task: Task) -> Any:
    """Receives from all, a task each, and counts the time from tick to tick."""

    async def main() -> dict[str, float]:
        aio = importlib.import_module(zmq.__name__ + ".asyncio")
        with aio.Context() as context, ExitStack() as stack:
            control = stack.enter_context(context.socket(zmq.PUSH))
            pulls = [stack.enter_context(context.socket(zmq.PULL)) for _ in range(task.count)]
            task.connect(control, *pulls)
            received = 0

            async def receive(recv: Any) -> None:
                nonlocal received
                while True:
                    await recv()
                    received += 1

            async def tick(seconds: float) -> list[float]:
                gaps: list[float] = []
                before = received
                clock = time.perf_counter
                last = clock()
                end = last + seconds
                # On a loaded machine the sender may be away for longer than that.
                while last < end or not gaps or received == before:
                    await asyncio.sleep(TICK_S)
                    now = clock()
                    gaps.append((now - last - TICK_S) * 1000)
                    last = now
                return sorted(gaps)

            tasks = [asyncio.ensure_future(receive(pull.recv)) for pull in pulls]
            await control.send(b"go")
            await tick(task.seconds * 0.2)
            before, start = received, time.perf_counter()
            gaps = await tick(task.seconds)
            rate = (received - before) / (time.perf_counter() - start)
            await control.send(b"stop")
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return {"longest": gaps[-1], "p99": gaps[int(len(gaps) * 0.99)], "rate": rate}

    return task.run(main())
