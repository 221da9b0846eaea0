# SPDX-License-Identifier: MIT
"""What each of ever more peers that talk adds to the memory of a ROUTER's process.

The peers are sockets of the module itself, so its links are those that it takes between two
processes of one host: pages that both share count. Each peer has sent and received 50 messages.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

SWEEP = "peers"
CASES: dict[str, dict[str, Any]] = {
    f"ipc {peers:,} peers that talk": {"transport": "ipc", "size": 256, "peers": peers}
    for peers in (10, 30, 100, 300, 600)
}
METRICS = {"resident": ("KB/peer", "lower")}
FIRST = 3  # peers that bring what the others share
TRIPS = 50


def prepared(zmq: Any, task: Task, context: Any) -> Any:
    """A context for that many peers; a link of shared memory for each, where there are any."""
    task.allow_files(10 * task.peers + 300)
    context.max_sockets = 2 * task.peers + 100
    if hasattr(zmq, "SHM_CONNECTIONS"):
        context.set(zmq.SHM_CONNECTIONS, 2 * task.peers)
    return context


def server(zmq: Any, task: Task) -> None:
    resident_bytes = task.sibling("memory").resident_bytes
    with prepared(zmq, task, zmq.Context()) as context, context.socket(zmq.ROUTER) as router:
        router.backlog = 1000
        task.bind(router)

        def echo(peers: int) -> None:
            for _ in range(peers * TRIPS):
                router.send_multipart(router.recv_multipart())

        echo(FIRST)
        before = resident_bytes()
        task.tell("go on")
        echo(task.peers)
        task.tell((resident_bytes() - before) / task.peers / 1000)
        task.hear()


def client(zmq: Any, task: Task) -> dict[str, float]:
    with prepared(zmq, task, zmq.Context()) as context, ExitStack() as stack:
        (address,) = task.hear()
        payload = b"x" * task.size

        def connect_and_talk(peers: int) -> None:
            for _ in range(peers):
                dealer = stack.enter_context(context.socket(zmq.DEALER))
                dealer.connect(address)
                for _ in range(TRIPS):
                    dealer.send(payload)
                    dealer.recv()

        connect_and_talk(FIRST)
        task.hear()
        connect_and_talk(task.peers)
        values = {"resident": task.hear()}
        task.tell("done")
        return values
