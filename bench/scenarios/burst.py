# SPDX-License-Identifier: MIT
"""A burst after quiet: from before the first send to after the last receive."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    f"{transport} 50 x 64 B after 2 ms": {
        "transport": transport,
        "size": 64,
        "burst": 50,
        "quiet": 0.002,
    }
    for transport in ("tcp", "ipc")
}
METRICS = {"p50": ("us", "lower"), "p99": ("us", "lower")}


def server(zmq: Any, task: Task) -> None:
    """Receives; the clocks of both processes are the system's one monotonic clock."""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        task.bind(pull)
        recv, clock = pull.recv, time.monotonic_ns
        ends = []
        for _ in range(task.hear()):
            for _ in range(task.burst):
                recv()
            ends.append(clock())
        task.tell(ends)


def client(zmq: Any, task: Task) -> dict[str, float]:
    bursts = max(20, int(task.seconds / (task.quiet + 0.0005)))
    warm_up = 10
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        task.connect(push)
        task.tell(bursts + warm_up)
        payload, clock, send = b"x" * task.size, time.monotonic_ns, push.send
        starts = []
        for _ in range(bursts + warm_up):
            time.sleep(task.quiet)
            starts.append(clock())
            for _ in range(task.burst):
                send(payload)
        took = [end - start for start, end in zip(starts, task.hear(), strict=True)]
        return task.percentiles(took[warm_up:])
