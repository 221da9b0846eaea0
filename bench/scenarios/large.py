# SPDX-License-Identifier: MIT
"""Large messages there and back: an array is sent by reference, and the peer answers with its own.

Memory of `Context.alloc` where a module has it, which fastmq hands to another process of the host
without a copy; else a bytearray. Both ends look at what came, as a Frame, at its first and its
last byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

SIZES = {"1 MiB": 1 << 20, "100 MiB": 100 << 20}
CASES: dict[str, dict[str, Any]] = {
    f"{transport} {label}": {"transport": transport, "size": size}
    for transport in ("ipc", "tcp")
    for label, size in SIZES.items()
}
METRICS = {"p50": ("us", "lower"), "p99": ("us", "lower")}


def array(context: Any, size: int) -> Any:
    """Memory to be sent, whose pages are there already."""
    alloc = getattr(context, "alloc", None)
    memory = alloc(size) if alloc else bytearray(size)
    memory[:] = bytes(size)
    return memory


def ends(frame: Any) -> tuple[int, int]:
    buffer = memoryview(frame)
    return buffer[0], buffer[-1]


def server(zmq: Any, task: Task) -> None:
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        memory = array(context, task.size)
        task.bind(rep)
        last = 0
        while not last:
            _, last = ends(rep.recv(copy=False))
            rep.send(memory, copy=False)


def client(zmq: Any, task: Task) -> dict[str, float]:
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        memory = array(context, task.size)
        task.connect(req)

        def call() -> None:
            req.send(memory, copy=False)
            ends(req.recv(copy=False))

        values = task.time_calls(call)
        memory[-1] = 1
        call()
        return values
