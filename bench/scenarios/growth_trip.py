# SPDX-License-Identifier: MIT
"""A round trip while ever more idle peers hold on to the same ROUTER."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

SWEEP = "idle_peers"
CASES: dict[str, dict[str, Any]] = {
    f"tcp 64 B, {idle:,} idle peers": {"transport": "tcp", "size": 64, "idle_peers": idle}
    for idle in (1, 10, 100, 1000, 10_000)
}
METRICS = {"p50": ("us", "lower"), "p99": ("us", "lower")}


def server(zmq: Any, task: Task) -> None:
    task.allow_files(task.idle_peers + 200)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.backlog = 1000
        task.bind(router)
        recv, send = router.recv_multipart, router.send_multipart
        while True:
            message = recv()
            send(message)
            if not message[-1]:
                return


def client(zmq: Any, task: Task) -> dict[str, float]:
    """The idle peers are bare sockets, the same for every module; each has had one answer."""
    task.allow_files(task.idle_peers + 200)
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        (address,) = task.hear()
        connect = task.sibling("memory").peer_after_a_round_trip
        idle = [connect(address) for _ in range(task.idle_peers)]
        dealer.connect(address)
        payload = b"x" * task.size
        send, recv = dealer.send, dealer.recv

        def call() -> None:
            send(payload)
            recv()

        values = task.time_calls(call)
        send(b"")
        recv()
        for peer in idle:
            peer.close()
        return values
