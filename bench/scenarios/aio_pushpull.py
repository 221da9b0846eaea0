# SPDX-License-Identifier: MIT
"""PUSH/PULL in asyncio: messages a second through loops of `await send` and `await recv`."""

from __future__ import annotations

import importlib
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    "tcp 64 B": {"transport": "tcp", "size": 64, "loop": "asyncio"},
    "ipc 64 B": {"transport": "ipc", "size": 64, "loop": "asyncio"},
    "tcp 1 KiB": {"transport": "tcp", "size": 1024, "loop": "asyncio"},
    "tcp 64 B, uvloop": {"transport": "tcp", "size": 64, "loop": "uvloop"},
}
METRICS = {"rate": ("msg/s", "higher")}


def server(zmq: Any, task: Task) -> None:
    """Counts from the first to the last message after the warm-up, and tells the rate."""

    async def main() -> None:
        aio = importlib.import_module(zmq.__name__ + ".asyncio")
        with aio.Context() as context, context.socket(zmq.PULL) as pull:
            task.bind(pull)
            recv, clock = pull.recv, time.perf_counter
            end = clock() + task.seconds * 0.2
            while clock() < end:  # the warm-up
                for _ in range(100):
                    await recv()
            count = 0
            start = clock()
            end = start + task.seconds
            while clock() < end or not count:
                for _ in range(100):
                    await recv()
                count += 100
            rate = count / (clock() - start)
            task.tell(rate)
            while await recv():
                pass

    task.run(main())


def client(zmq: Any, task: Task) -> Any:
    async def main() -> dict[str, float]:
        aio = importlib.import_module(zmq.__name__ + ".asyncio")
        with aio.Context() as context, context.socket(zmq.PUSH) as push:
            task.connect(push)
            payload, send = b"x" * task.size, push.send
            told: list[float] = []
            listener = threading.Thread(target=lambda: told.append(task.hear()), daemon=True)
            listener.start()
            while not told and listener.is_alive():  # however long the receiver takes
                for _ in range(100):
                    await send(payload)
            await send(b"")
            return {"rate": told[0]}

    return task.run(main())
