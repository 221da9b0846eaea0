# SPDX-License-Identifier: MIT
"""Connecting many DEALERs to a ROUTER of another process, until each has its first answer."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    f"{transport} 200 DEALER": {"transport": transport, "clients": 200}
    for transport in ("tcp", "ipc")
}
CASES["tcp 200 DEALER"]["beside"] = [["many", "connect", "200"]]
METRICS = {"rate": ("clients/s", "higher"), "cpu": ("us CPU/client, both ends", "lower")}


def server(zmq: Any, task: Task) -> None:
    """Echoes; the answer to the last client of each wave says what the wave cost here."""
    task.allow_files(3 * task.clients + 200)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.backlog = 2 * task.clients
        task.bind(router)
        while task.hear():
            cpu = time.process_time()
            for _ in range(task.clients):
                router.send_multipart(router.recv_multipart())
            task.tell(time.process_time() - cpu)


def client(zmq: Any, task: Task) -> dict[str, float]:
    task.allow_files(6 * task.clients + 200)
    (address,) = task.hear()

    def wave() -> tuple[float, float]:
        """New sockets and all that they need to hear from the ROUTER: seconds, CPU seconds."""
        with zmq.Context() as context:
            task.tell(True)
            start, cpu = time.perf_counter(), time.process_time()
            dealers = []
            for _ in range(task.clients):
                dealer = context.socket(zmq.DEALER)
                dealer.connect(address)
                dealer.send(b"first")
                dealers.append(dealer)
            for dealer in dealers:
                dealer.recv()
            took, cpu = time.perf_counter() - start, time.process_time() - cpu
            cpu += task.hear()
            for dealer in dealers:
                dealer.close(linger=0)
        time.sleep(0.05)  # the other end sees its peers go, outside of what is measured
        return took, cpu

    wave()
    waves: list[tuple[float, float]] = []
    end = time.perf_counter() + task.seconds
    while len(waves) < 3 or time.perf_counter() < end:
        waves.append(wave())
    task.tell(False)
    return {
        "rate": task.clients / statistics.median(took for took, _ in waves),
        "cpu": statistics.median(cpu for _, cpu in waves) / task.clients * 1e6,
    }
