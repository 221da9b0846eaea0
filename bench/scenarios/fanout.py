# SPDX-License-Identifier: MIT
"""PUB to many SUBs of another process: deliveries a second."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    f"tcp 64 B, {subscribers} SUB": {"transport": "tcp", "size": 64, "subscribers": subscribers}
    for subscribers in (1, 16)
}
METRICS = {
    "rate": ("deliveries/s", "higher"),
    "cpu": ("us CPU/delivery, both ends", "lower"),
    "publisher": ("us CPU/delivery, PUB's process", "lower"),
}


def server(zmq: Any, task: Task) -> None:
    """The subscribers, read in turn: each message comes once to each."""
    with zmq.Context() as context, ExitStack() as stack:
        subs = [stack.enter_context(context.socket(zmq.SUB)) for _ in range(task.subscribers)]
        (address,) = task.hear()
        for sub in subs:
            sub.subscribe(b"")
            sub.connect(address)
        receivers = [sub.recv for sub in subs]
        while n := task.hear():
            task.tell("ready")
            for recv in receivers:
                recv()
            start, cpu = time.perf_counter(), time.process_time()
            for _ in range(n - 1):
                for recv in receivers:
                    recv()
            task.tell([time.perf_counter() - start, time.process_time() - cpu])


def client(zmq: Any, task: Task) -> dict[str, float]:
    """The publisher: drops nothing, so that what is counted is what was delivered."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as pub:
        pub.xpub_nodrop = 1
        pub.xpub_verbose = 1  # a message a subscriber, though all subscribe to the same
        task.bind(pub)
        for _ in range(task.subscribers):
            pub.recv()
        payload = b"x" * task.size

        def lot(n: int) -> dict[str, float]:
            task.tell(n)
            task.hear()
            cpu = time.process_time()
            send = pub.send
            for _ in range(n):
                send(payload)
            took, cpu_receiver = task.hear()
            cpu = time.process_time() - cpu
            deliveries = n * task.subscribers
            return {
                "rate": (n - 1) * task.subscribers / took,
                "cpu": (cpu + cpu_receiver) / deliveries * 1e6,
                "publisher": cpu / deliveries * 1e6,
            }

        small = max(20, 40_000 // task.subscribers)
        lot(small)
        values = lot(max(small, int(lot(small)["rate"] * task.seconds / task.subscribers)))
        task.tell(0)
        return values
