# SPDX-License-Identifier: MIT
"""PUSH/PULL: messages a second through one connection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmq.cli.worker import Task

SIZES = {"64 B": 64, "1 KiB": 1 << 10, "64 KiB": 1 << 16, "1 MiB": 1 << 20}

CASES: dict[str, dict[str, Any]] = {
    f"{transport} {label}": {
        "transport": transport,
        "size": size,
        "copy": True,
        "solo": transport == "inproc",
        "beside": [["engine", "pushpull", transport, str(size)]],
    }
    for transport in ("tcp", "ipc", "inproc")
    for label, size in SIZES.items()
}
CASES |= {
    f"{transport} 1 MiB copy=False": {"transport": transport, "size": 1 << 20, "copy": False}
    for transport in ("tcp", "ipc")
}
METRICS = {
    "rate": ("msg/s", "higher"),
    "cpu": ("us CPU/msg, both ends", "lower"),
}
BATCH = 100  # of the one-threaded case: well below any high-water mark


def sender(socket: Any, task: Task) -> Callable[[int], None]:
    """A function that sends n messages in a plain loop."""
    payload = b"x" * task.size
    send = socket.send

    def copying(n: int) -> None:
        for _ in range(n):
            send(payload)

    def sharing(n: int) -> None:
        for _ in range(n):
            send(payload, copy=False)

    return copying if task.copy else sharing


def receiver(socket: Any, task: Task) -> Callable[[int], None]:
    """A function that receives n messages in a plain loop."""
    recv = socket.recv

    def copying(n: int) -> None:
        for _ in range(n):
            recv()

    def sharing(n: int) -> None:
        for _ in range(n):
            recv(copy=False)

    return copying if task.copy else sharing


def run_server(
    zmq: Any,
    task: Task,
    receiver: Callable[..., Callable[[int], None]],
    prepare: Callable[[Any], None] = lambda socket: None,
) -> None:
    """The receiving role: tells how long each announced lot took, and the CPU time it cost.

    `prepare` is given the socket before it is bound.
    """
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        prepare(pull)
        task.bind(pull)
        receive = receiver(pull, task)
        while n := task.hear():
            task.tell("ready")
            receive(1)
            start, cpu = time.perf_counter(), time.process_time()
            receive(n - 1)
            task.tell([time.perf_counter() - start, time.process_time() - cpu])


def run_client(
    zmq: Any,
    task: Task,
    sender: Callable[..., Callable[[int], None]],
    prepare: Callable[[Any], None] = lambda socket: None,
) -> dict[str, float]:
    """Connects a PUSH and sends lots; `prepare` is given it before it connects."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        prepare(push)
        task.connect(push)
        return lots(task, sender(push, task))


def lots(task: Task, send: Callable[[int], None]) -> dict[str, float]:
    """The sending role: a small lot to find out the rate, then one that takes `task.seconds`."""

    def lot(n: int) -> dict[str, float]:
        task.tell(n)
        task.hear()
        cpu = time.process_time()
        send(n)
        took, cpu_receiver = task.hear()
        cpu = time.process_time() - cpu + cpu_receiver
        return {"rate": (n - 1) / took, "cpu": cpu / n * 1e6}

    small = max(40, min(20_000, (64 << 20) // task.size))
    lot(small)
    values = lot(max(small, int(lot(small)["rate"] * task.seconds)))
    task.tell(0)
    return values


def server(zmq: Any, task: Task) -> None:
    run_server(zmq, task, receiver)


def client(zmq: Any, task: Task) -> dict[str, float]:
    return run_client(zmq, task, sender)


def solo(zmq: Any, task: Task) -> dict[str, float]:
    with zmq.Context() as context:
        with context.socket(zmq.PULL) as pull, context.socket(zmq.PUSH) as push:
            pull.bind("inproc://pushpull")
            push.connect("inproc://pushpull")
            send, receive = sender(push, task), receiver(pull, task)

            def batches_for(seconds: float) -> dict[str, float]:
                start, cpu, n = time.perf_counter(), time.process_time(), 0
                while True:  # once at least: a loaded machine may be away for longer than that
                    send(BATCH)
                    receive(BATCH)
                    n += BATCH
                    if (took := time.perf_counter() - start) >= seconds:
                        break
                return {"rate": n / took, "cpu": (time.process_time() - cpu) / n * 1e6}

            batches_for(task.seconds / 5)
            return batches_for(task.seconds)
