# SPDX-License-Identifier: MIT
"""The time of one round trip of ever larger messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

SWEEP = "size"
SIZES = {
    "1 B": 1,
    "16 B": 16,
    "256 B": 256,
    "4 KiB": 4 << 10,
    "64 KiB": 64 << 10,
    "1 MiB": 1 << 20,
    "16 MiB": 16 << 20,
    "256 MiB": 256 << 20,
    "1 GiB": 1 << 30,
}
CASES: dict[str, dict[str, Any]] = {
    f"{transport} {label}": {"transport": transport, "size": size}
    for transport in ("ipc", "tcp")
    for label, size in SIZES.items()
}
METRICS = {"p50": ("us", "lower"), "p99": ("us", "lower")}


def server(zmq: Any, task: Task) -> None:
    task.sibling("reqrep").server(zmq, task)


def client(zmq: Any, task: Task) -> Any:
    return task.sibling("reqrep").client(zmq, task)
