# SPDX-License-Identifier: MIT
"""RADIO/DISH over udp: datagrams a second, sent in a plain loop and heard in one.

Nothing holds the sender up, so what is heard is less where the receiver is slower. A module without
draft types (DRAFT_API is False) publishes over tcp instead, where messages share packets.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    f"udp {label}": {"transport": "udp", "size": size, "beside": [["datagrams", str(size)]]}
    for label, size in (("64 B", 64), ("1 KiB", 1 << 10))
}
METRICS = {"heard": ("msg/s", "higher"), "sent": ("msg/s", "higher")}
GROUP = "g"
QUIET_MS = 300  # after which nothing more comes
BATCH = 100


def address(zmq: Any) -> str:
    scheme, kind = ("udp", socket.SOCK_DGRAM) if drafts(zmq) else ("tcp", socket.SOCK_STREAM)
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return f"{scheme}://127.0.0.1:{s.getsockname()[1]}"


def drafts(zmq: Any) -> bool:
    return bool(getattr(zmq, "DRAFT_API", True))


def server(zmq: Any, task: Task) -> None:
    with zmq.Context() as context, context.socket(zmq.DISH if drafts(zmq) else zmq.SUB) as dish:
        where = address(zmq)
        if drafts(zmq):
            dish.join(GROUP.encode())
        else:
            dish.setsockopt(zmq.SUBSCRIBE, b"")
        dish.bind(where)
        task.tell(where)
        recv = getattr(zmq, "recv_of_group", type(dish).recv)
        while task.hear():
            dish.setsockopt(zmq.RCVTIMEO, 20_000)
            task.tell("ready")
            recv(dish)
            dish.setsockopt(zmq.RCVTIMEO, QUIET_MS)
            n, start = 0, time.perf_counter()
            last = start
            try:
                while True:
                    for _ in range(BATCH):
                        recv(dish)
                        n += 1
                    last = time.perf_counter()
            except zmq.Again:
                pass
            task.tell((n - n % BATCH) / (last - start) if n >= BATCH else 0.0)


def client(zmq: Any, task: Task) -> dict[str, float]:
    payload = b"x" * task.size
    with zmq.Context() as context, context.socket(zmq.RADIO if drafts(zmq) else zmq.PUB) as radio:
        radio.connect(task.hear())
        time.sleep(0.2)  # where there is a connection to be made
        if hasattr(zmq, "send_to_group"):
            send_to_group = zmq.send_to_group

            def send(n: int) -> None:
                for _ in range(n):
                    send_to_group(radio, payload, GROUP)

        elif drafts(zmq):

            def send(n: int) -> None:
                send_ = radio.send
                for _ in range(n):
                    send_(payload, group=GROUP)

        else:

            def send(n: int) -> None:
                send_ = radio.send
                for _ in range(n):
                    send_(payload)

        def burst(seconds: float) -> dict[str, float]:
            task.tell(1)
            task.hear()
            n, start = 0, time.perf_counter()
            while True:  # once at least: a loaded machine may be away for longer than that
                send(BATCH)
                n += BATCH
                if (took := time.perf_counter() - start) >= seconds:
                    break
            return {"heard": task.hear(), "sent": n / took}

        burst(task.seconds / 5)
        values = burst(task.seconds)
        task.tell(0)
        return values
