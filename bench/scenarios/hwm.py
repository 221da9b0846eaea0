# SPDX-License-Identifier: MIT
"""A sender at SNDHWM that must not block: time and the sender's processor time a message.

The kernel's buffers hold less than one message, so each is written in several pieces, between which
the sender waits: in an event loop, or in a Poller with DONTWAIT.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

MIB = 1 << 20
TCP = {"transport": "tcp", "size": MIB, "sndbuf": 65536}
IPC = {"transport": "ipc", "size": MIB, "sndbuf": 0}

CASES: dict[str, dict[str, Any]] = {
    f"{way}, {link['transport']} 1 MiB": {"way": way, **link}
    for way in ("asyncio", "uvloop", "Poller", "ZMQStream", "green")
    for link in (TCP, IPC)
}
METRICS = {"time": ("us", "lower"), "cpu": ("us", "lower")}

SNDHWM = 2
WARM_UP = 0.2  # of the time


def server(zmq: Any, task: Task) -> None:
    """Receives all there is; an empty message ends it."""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvhwm = 2
        task.bind(pull)
        while pull.recv():
            pass


class Meter:
    """Counts messages between the warm-up and the end; `tick` is called for each."""

    def __init__(self, seconds: float) -> None:
        self.begin = time.perf_counter() + seconds * WARM_UP
        self.end = self.begin + seconds
        self.count = -1
        self.values: dict[str, float] = {}

    def tick(self) -> bool:
        """True while there is more to be sent."""
        now = time.perf_counter()
        if self.count < 0:
            if now >= self.begin:
                self.start, self.cpu, self.count = now, time.process_time(), 0
            return True
        self.count += 1
        if now < self.end:
            return True
        cpu = time.process_time() - self.cpu
        self.values = {
            "time": (now - self.start) * 1e6 / self.count,
            "cpu": cpu * 1e6 / self.count,
        }
        return False


def opened(zmq: Any, context: Any, task: Task) -> Any:
    push = context.socket(zmq.PUSH)
    push.sndhwm = SNDHWM
    if task.sndbuf:
        push.sndbuf = task.sndbuf
    task.connect(push)
    return push


def in_asyncio(zmq: Any, task: Task, meter: Meter) -> None:
    aio = importlib.import_module(zmq.__name__ + ".asyncio")

    async def main() -> None:
        with aio.Context() as context, opened(zmq, context, task) as push:
            payload = bytes(task.size)
            while meter.tick():
                await push.send(payload, copy=False)
            await push.send(b"")

    runner = importlib.import_module("uvloop" if task.way == "uvloop" else "asyncio")
    runner.run(main())


def with_poller(zmq: Any, task: Task, meter: Meter) -> None:
    with zmq.Context() as context, opened(zmq, context, task) as push:
        poller = zmq.Poller()
        poller.register(push, zmq.POLLOUT)
        payload = bytes(task.size)
        while meter.tick():
            while True:
                try:
                    push.send(payload, zmq.DONTWAIT, copy=False)
                    break
                except zmq.Again:
                    poller.poll()
        push.send(b"")


def with_stream(zmq: Any, task: Task, meter: Meter) -> None:
    loops = importlib.import_module("tornado.ioloop")
    streams = importlib.import_module(zmq.__name__ + ".eventloop.zmqstream")
    with zmq.Context() as context, opened(zmq, context, task) as push:
        payload = bytes(task.size)
        loop = loops.IOLoop()
        stream = streams.ZMQStream(push, loop)

        def sent(*_: object) -> None:
            if meter.tick():
                stream.send(payload, copy=False)
            else:
                stream.stop_on_send()
                loop.stop()

        stream.on_send(sent)
        stream.send(payload, copy=False)
        loop.start()
        push.send(b"")
        stream.close()
        loop.close()


def with_green(zmq: Any, task: Task, meter: Meter) -> None:
    green = importlib.import_module(zmq.__name__ + ".green")
    with green.Context() as context, opened(zmq, context, task) as push:
        payload = bytes(task.size)
        while meter.tick():
            push.send(payload, copy=False)
        push.send(b"")


WAYS: dict[str, Callable[[Any, Task, Meter], None]] = {
    "asyncio": in_asyncio,
    "uvloop": in_asyncio,
    "Poller": with_poller,
    "ZMQStream": with_stream,
    "green": with_green,
}


def client(zmq: Any, task: Task) -> dict[str, float]:
    meter = Meter(task.seconds)
    WAYS[task.way](zmq, task, meter)
    return meter.values
