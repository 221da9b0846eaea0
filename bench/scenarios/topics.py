# SPDX-License-Identifier: MIT
"""A SUB with many subscriptions: messages published a second, of which half match."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    f"{transport} 64 B, 10,000 prefixes": {"transport": transport, "size": 64, "prefixes": 10_000}
    for transport in ("tcp", "ipc")
}
METRICS = {
    "rate": ("msg/s published", "higher"),
    "cpu": ("us CPU/msg published, both ends", "lower"),
}


def topic(number: int) -> bytes:
    return b"area.%d.device.%d." % (number % 97, number)


def traffic(task: Task) -> list[bytes]:
    """A message for each subscription in an order that is random and the same in every run; before
    each one of a topic that looks the same and that nobody wants. The last one matches."""
    shuffled = random.Random(5)
    wanted = [topic(n) for n in range(task.prefixes)]
    others = [topic(n) for n in range(task.prefixes, 2 * task.prefixes)]
    shuffled.shuffle(wanted)
    shuffled.shuffle(others)
    return [
        each.ljust(task.size, b"x") for pair in zip(others, wanted, strict=True) for each in pair
    ]


def server(zmq: Any, task: Task) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        (address,) = task.hear()
        sub.sndhwm = 0  # libzmq loses the subscriptions that pass a high-water mark
        for number in range(task.prefixes):
            sub.subscribe(topic(number))
        sub.connect(address)
        recv = sub.recv
        while n := task.hear():
            task.tell("ready")
            recv()
            start, cpu = time.perf_counter(), time.process_time()
            for _ in range(n // 2 - 1):
                recv()
            task.tell([time.perf_counter() - start, time.process_time() - cpu])


def client(zmq: Any, task: Task) -> dict[str, float]:
    """The publisher: drops nothing, so that every message that matches arrives."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as pub:
        pub.xpub_nodrop = 1
        pub.rcvhwm = 0
        task.bind(pub)
        for _ in range(task.prefixes):
            pub.recv()
        messages = traffic(task)

        def lot(rounds: int) -> dict[str, float]:
            n = rounds * len(messages)
            task.tell(n)
            task.hear()
            cpu = time.process_time()
            send = pub.send
            for _ in range(rounds):
                for message in messages:
                    send(message)
            took, cpu_receiver = task.hear()
            cpu = time.process_time() - cpu + cpu_receiver
            return {"rate": (n - 2) / took, "cpu": cpu / n * 1e6}

        lot(1)
        values = lot(max(1, round(lot(1)["rate"] * task.seconds / len(messages))))
        task.tell(0)
        return values
