# SPDX-License-Identifier: MIT
"""REQ/REP: the time of one round trip."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    f"{transport} {label}": {
        "transport": transport,
        "size": size,
        "beside": [["engine", "reqrep", transport, str(size)]],
    }
    for transport, label, size in (
        ("tcp", "64 B", 64),
        ("ipc", "64 B", 64),
        ("tcp", "1 KiB", 1 << 10),
        ("tcp", "64 KiB", 1 << 16),
    )
}
CASES["tcp 64 B"]["beside"].insert(0, ["pingpong", "64"])
CASES["ipc 64 B"]["beside"].insert(0, ["memory", "64"])
CASES["inproc 64 B, two threads"] = {"transport": "inproc", "size": 64, "solo": True}
METRICS = {"p50": ("us", "lower"), "p99": ("us", "lower")}


def echo(rep: Any) -> None:
    """Answer until an empty request says that it was the last."""
    message = b"first"
    while message:
        message = rep.recv()
        rep.send(message)


def trip(req: Any, task: Task) -> dict[str, float]:
    """Time round trips, then end the echo."""
    payload = b"x" * task.size

    def call() -> None:
        req.send(payload)
        req.recv()

    values = task.time_calls(call)
    req.send(b"")
    req.recv()
    return values


def server(zmq: Any, task: Task) -> None:
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        task.bind(rep)
        echo(rep)


def client(zmq: Any, task: Task) -> dict[str, float]:
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        task.connect(req)
        return trip(req, task)


def solo(zmq: Any, task: Task) -> dict[str, float]:
    with zmq.Context() as context:
        with context.socket(zmq.REP) as rep, context.socket(zmq.REQ) as req:
            rep.bind("inproc://reqrep")
            req.connect("inproc://reqrep")
            thread = threading.Thread(target=echo, args=(rep,))
            thread.start()
            values = trip(req, task)
            thread.join()
        return values
