# SPDX-License-Identifier: MIT
"""1,000 asyncio sockets: a request on each, then all replies awaited at once; replies a second."""

from __future__ import annotations

import asyncio
import importlib
import resource
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    "tcp 64 B, 1000 sockets": {"transport": "tcp", "size": 64, "count": 1000, "loop": "asyncio"},
}
METRICS = {"rate": ("replies/s", "higher")}


def server(zmq: Any, task: Task) -> None:
    """Holds the requests of a round back until all have come, so that every client waits."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.set_hwm(0)
        task.bind(router)
        while True:
            held = []
            for _ in range(task.count):
                held.append(router.recv_multipart())
                if not held[-1][1]:
                    return
            for message in held:
                router.send_multipart(message)


def client(zmq: Any, task: Task) -> Any:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

    async def main() -> dict[str, float]:
        aio = importlib.import_module(zmq.__name__ + ".asyncio")
        with aio.Context() as context:
            context.max_sockets = task.count + 10
            sockets = [context.socket(zmq.DEALER) for _ in range(task.count)]
            (address,) = task.hear()
            for socket in sockets:
                socket.connect(address)
            payload, clock = b"x" * task.size, time.perf_counter

            async def trip(socket: Any) -> None:
                await socket.send(payload)
                await socket.recv()

            async def rounds(seconds: float) -> float:
                done, start = 0, clock()
                while (took := clock() - start) < seconds:
                    await asyncio.gather(*map(trip, sockets))
                    done += task.count
                return done / took

            await rounds(task.seconds * 0.2)
            rate = await rounds(task.seconds)
            await sockets[0].send(b"")
            return {"rate": rate}

    return task.run(main())
