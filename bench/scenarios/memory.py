# SPDX-License-Identifier: MIT
"""What each connected peer adds to the memory of a ROUTER's process.

The peers are bare sockets that speak ZMTP 3.0 just far enough, so they are the same for every
module: each shakes hands, sends one message and gets it back, and then is idle.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {"tcp 2,000 peers": {"transport": "tcp", "peers": 2000}}
METRICS = {"resident": ("KB/peer", "lower")}

SIGNATURE_AND_VERSION = b"\xff" + b"\0" * 8 + b"\x7f" + b"\3\0"
GREETING = (SIGNATURE_AND_VERSION + b"NULL").ljust(64, b"\0")


def resident_bytes() -> int:
    """How much of the process is in memory now (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ready(socket_type: bytes) -> bytes:
    name = b"Socket-Type"
    body = b"\x05READY" + bytes([len(name)]) + name + len(socket_type).to_bytes(4, "big")
    body += socket_type
    return bytes([4, len(body)]) + body


def read_exactly(peer: socket.socket, n: int) -> bytes:
    data = b""
    while len(data) < n:
        more = peer.recv(n - len(data))
        if not more:
            raise EOFError("the other end has closed the connection")
        data += more
    return data


def bare_peer(address: str, socket_type: bytes = b"DEALER") -> socket.socket:
    """A peer that has shaken hands over TCP with the socket bound at tcp://host:port."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    peer = socket.create_connection((host, int(port)), timeout=30)
    peer.sendall(GREETING + ready(socket_type))
    read_exactly(peer, 64)
    flags, length = read_exactly(peer, 2)
    if flags != 4 or not read_exactly(peer, length).startswith(b"\x05READY"):
        raise ValueError("the other end did not answer with READY")
    return peer


def peer_after_a_round_trip(address: str) -> socket.socket:
    peer = bare_peer(address)
    peer.sendall(b"\0\x05hello")
    read_exactly(peer, 7)
    return peer


def server(zmq: Any, task: Task) -> None:
    task.allow_files(task.peers + 200)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.backlog = 1000
        task.bind(router)
        for _ in range(10):  # what the first peers need and the later ones share
            router.send_multipart(router.recv_multipart())
        before = resident_bytes()
        task.tell("go on")
        for _ in range(task.peers):
            router.send_multipart(router.recv_multipart())
        task.tell((resident_bytes() - before) / task.peers / 1000)
        task.hear()


def client(zmq: Any, task: Task) -> dict[str, float]:
    task.allow_files(task.peers + 200)
    (address,) = task.hear()
    peers = [peer_after_a_round_trip(address) for _ in range(10)]
    task.hear()
    peers += [peer_after_a_round_trip(address) for _ in range(task.peers)]
    values = {"resident": task.hear()}
    task.tell("done")
    for peer in peers:
        peer.close()
    return values
