# SPDX-License-Identifier: MIT
"""A ROUTER that echoes, and many DEALERs of another process with one request under way each."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    f"{transport} 64 B, 200 DEALER": {"transport": transport, "size": 64, "clients": 200}
    for transport in ("tcp", "ipc")
}
CASES["tcp 64 B, 200 DEALER"]["beside"] = [["many", "echo", "200"]]
METRICS = {
    "rate": ("round trips/s", "higher"),
    "cpu": ("us CPU/round trip, both ends", "lower"),
}


def server(zmq: Any, task: Task) -> None:
    """Echoes what comes, until the message is empty; tells the CPU time since the last lot."""
    task.allow_files(task.clients + 200)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        task.bind(router)
        recv, send = router.recv_multipart, router.send_multipart
        cpu = time.process_time()
        while True:
            message = recv()
            send(message)
            if not message[-1]:
                now = time.process_time()
                task.tell(now - cpu)
                cpu = now
                if not task.hear():
                    return


def client(zmq: Any, task: Task) -> dict[str, float]:
    task.allow_files(task.clients * 6 + 200)
    with zmq.Context() as context, ExitStack() as stack:
        if task.clients > 500:
            context.max_sockets = task.clients + 100
        dealers = [stack.enter_context(context.socket(zmq.DEALER)) for _ in range(task.clients)]
        (address,) = task.hear()
        payload = b"x" * task.size
        for dealer in dealers:
            dealer.connect(address)
        verbs = [(dealer.send, dealer.recv) for dealer in dealers]

        def rounds_for(seconds: float, last: bool = False) -> dict[str, float]:
            """Each client in turn takes its answer and asks again."""
            for send, _ in verbs:
                send(payload)
            start, cpu = time.perf_counter(), time.process_time()
            rounds = 0
            while True:
                for send, recv in verbs:
                    recv()
                    send(payload)
                rounds += 1
                if (took := time.perf_counter() - start) >= seconds:
                    break
            cpu = time.process_time() - cpu
            for _, recv in verbs:
                recv()
            send, recv = verbs[0]
            send(b"")
            recv()
            cpu += task.hear()
            task.tell(not last)
            done = rounds * len(verbs)
            return {"rate": done / took, "cpu": cpu / done * 1e6}

        rounds_for(task.seconds / 5)
        return rounds_for(task.seconds, last=True)
