# SPDX-License-Identifier: MIT
"""REQ/REP in asyncio: the time of one round trip, awaited at both ends."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    "tcp 64 B": {"transport": "tcp", "size": 64, "loop": "asyncio"},
    "ipc 64 B": {"transport": "ipc", "size": 64, "loop": "asyncio"},
    "tcp 64 B, uvloop": {"transport": "tcp", "size": 64, "loop": "uvloop"},
}
METRICS = {"p50": ("us", "lower"), "p99": ("us", "lower")}


def server(zmq: Any, task: Task) -> None:
    async def main() -> None:
        aio = importlib.import_module(zmq.__name__ + ".asyncio")
        with aio.Context() as context, context.socket(zmq.REP) as rep:
            task.bind(rep)
            message = b"first"
            while message:
                message = await rep.recv()
                await rep.send(message)

    task.run(main())


def client(zmq: Any, task: Task) -> Any:
    async def main() -> dict[str, float]:
        aio = importlib.import_module(zmq.__name__ + ".asyncio")
        with aio.Context() as context, context.socket(zmq.REQ) as req:
            task.connect(req)
            payload, clock = b"x" * task.size, time.perf_counter_ns
            for part in (0.2, 1.0):  # the first is the warm-up
                samples: list[int] = []
                now = clock()
                end = now + int(task.seconds * part * 1e9)
                while now < end or not samples:
                    await req.send(payload)
                    await req.recv()
                    after = clock()
                    samples.append(after - now)
                    now = after
            await req.send(b"")
            await req.recv()
            return task.percentiles(samples)

    return task.run(main())
