# SPDX-License-Identifier: MIT
"""1,000 asyncio sockets that wait at once; messages received a second."""

from __future__ import annotations

import asyncio
import importlib
import resource
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

SHARED = {"size": 64, "count": 1000, "loop": "asyncio"}
CASES: dict[str, dict[str, Any]] = {
    "tcp 64 B, gather": {**SHARED, "transport": "tcp"},
    "tcp 64 B, gather, uvloop": {**SHARED, "transport": "tcp", "loop": "uvloop"},
    "inproc 64 B, a task each, both ends": {**SHARED, "transport": "inproc", "solo": True},
    "tcp 64 B, a task each, both ends": {**SHARED, "transport": "tcp", "solo": True},
}
METRICS = {"rate": ("msg/s", "higher")}


def allow_descriptors() -> None:
    """As many as this process may have."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def server(zmq: Any, task: Task) -> None:
    """On demand, a message to each of the sockets."""
    allow_descriptors()
    with zmq.Context() as context, ExitStack() as stack:
        context.max_sockets = task.count + 10
        control = stack.enter_context(context.socket(zmq.PULL))
        pushes = [stack.enter_context(context.socket(zmq.PUSH)) for _ in range(task.count)]
        task.bind(control, *pushes)
        payload = b"x" * task.size
        while control.recv():
            for push in pushes:
                push.send(payload)


def client(zmq: Any, task: Task) -> Any:
    """In each round all sockets wait, then asks for the messages and gathers them."""
    allow_descriptors()

    async def main() -> dict[str, float]:
        aio = importlib.import_module(zmq.__name__ + ".asyncio")
        with aio.Context() as context, ExitStack() as stack:
            context.max_sockets = task.count + 10
            control = stack.enter_context(context.socket(zmq.PUSH))
            pulls = [stack.enter_context(context.socket(zmq.PULL)) for _ in range(task.count)]
            task.connect(control, *pulls)
            clock = time.perf_counter

            async def rounds(seconds: float) -> float:
                received, start = 0, clock()
                while (took := clock() - start) < seconds or not received:
                    waiting = [pull.recv() for pull in pulls]
                    await control.send(b"go")
                    await asyncio.gather(*waiting)
                    received += task.count
                return received / took

            await rounds(task.seconds * 0.2)
            rate = await rounds(task.seconds)
            await control.send(b"")
            return {"rate": rate}

    return task.run(main())


def solo(zmq: Any, task: Task) -> Any:
    """Both ends in one loop. In each round all sockets wait before the first message is sent."""
    allow_descriptors()

    async def main() -> dict[str, float]:
        aio = importlib.import_module(zmq.__name__ + ".asyncio")
        with aio.Context() as context, ExitStack() as stack:
            context.max_sockets = 2 * task.count + 10
            pulls = [stack.enter_context(context.socket(zmq.PULL)) for _ in range(task.count)]
            pushes = [stack.enter_context(context.socket(zmq.PUSH)) for _ in range(task.count)]
            for n, (pull, push) in enumerate(zip(pulls, pushes, strict=True)):
                address = "tcp://127.0.0.1:*" if task.transport == "tcp" else f"inproc://{n}"
                pull.bind(address)
                push.connect(pull.last_endpoint.rstrip(b"\0").decode())
            payload, clock = b"x" * task.size, time.perf_counter
            rounds = received = 0

            async def receive(pull: Any) -> None:
                nonlocal received
                while await pull.recv():
                    received += 1

            tasks = [asyncio.ensure_future(receive(pull)) for pull in pulls]

            async def measure(seconds: float) -> float:
                nonlocal rounds
                before, start = received, clock()
                while (took := clock() - start) < seconds or received == before:
                    rounds += 1
                    for push in pushes:
                        await push.send(payload)
                    while received < rounds * task.count:
                        await asyncio.sleep(0)
                return (received - before) / took

            await measure(task.seconds * 0.2)
            rate = await measure(task.seconds)
            for push in pushes:
                await push.send(b"")
            await asyncio.gather(*tasks)
            return {"rate": rate}

    return task.run(main())
