# SPDX-License-Identifier: MIT
"""CLIENT, SERVER, SCATTER, GATHER, CHANNEL and PEER against others that have them: pyomq, and a
libzmq built with drafts where FASTMQ_DRAFT_PEER names a Python whose pyzmq has one (there is none
on a package index)."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Libzmq, decode, encode
from helpers import WAIT_MS, Endpoint, wait_readable
from target import zmq

SCRIPT = Path(__file__).with_name("draft_peer.py")
WITH_DRAFTS = os.environ.get("FASTMQ_DRAFT_PEER")
HAS_OMQ = importlib.util.find_spec("pyomq") is not None
PEERS = [
    pytest.param(
        "zmq",
        marks=pytest.mark.skipif(
            not WITH_DRAFTS,
            reason="FASTMQ_DRAFT_PEER names no Python whose libzmq was built with drafts",
        ),
    ),
    pytest.param("pyomq", marks=pytest.mark.skipif(not HAS_OMQ, reason="there is no pyomq")),
]
# type here -> type there
PAIRS = [
    ("CLIENT", "SERVER"),
    ("SERVER", "CLIENT"),
    ("SCATTER", "GATHER"),
    ("GATHER", "SCATTER"),
    ("CHANNEL", "CHANNEL"),
    ("PEER", "PEER"),
]
BOTH_WAYS = [(a, b) for a, b in PAIRS if "SCATTER" not in (a, b)]
SIZES = [0, 1, 255, 256, 8192, 8193, 64 << 10, 1 << 20]


class Other:
    """A socket of the other implementation."""

    def __init__(self, process: Libzmq, kind: str, **options: Any) -> None:
        self.process = process
        self.kind = kind
        coded = {n: encode(v) if isinstance(v, bytes) else v for n, v in options.items()}
        self.number = process.ask("socket", type=kind, options=coded, timeout=WAIT_MS)

    def ask(self, op: str, **fields: Any) -> Any:
        return self.process.ask(op, socket=self.number, type=self.kind, **fields)

    def send(self, body: bytes, peer: str = "") -> None:
        self.ask("send", body=encode(body), peer=peer)

    def recv(self) -> tuple[bytes, str]:
        body, peer = self.ask("recv")
        return decode(body), peer

    def close(self) -> None:
        if self.number:
            self.ask("close")
        self.number = 0


@pytest.fixture(params=PEERS, scope="module")
def process(request: pytest.FixtureRequest) -> Iterator[Libzmq]:
    python = WITH_DRAFTS if request.param == "zmq" else sys.executable
    made = Libzmq(str(python), str(SCRIPT), request.param)
    yield made
    made.end()


@pytest.fixture
def other(process: Libzmq, accounting: None) -> Iterator[Any]:
    made: list[Other] = []

    def new(kind: str, **options: Any) -> Other:
        made.append(Other(process, kind, **options))
        return made[-1]

    yield new
    for sock in made:
        sock.close()


endpoints = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)
sides = pytest.mark.parametrize("side", ["we-bind", "they-bind"])
pairs = pytest.mark.parametrize(("ours", "theirs"), PAIRS)


def recv_frame(sock: Any) -> Any:
    wait_readable(sock, "a message of the other implementation")
    return sock.recv(zmq.DONTWAIT, copy=False)


@pytest.fixture
def link(make: Any, other: Any, endpoint: Endpoint) -> Any:
    """link("CLIENT", "SERVER", side): joined, and the number of theirs where we need it. Of PEERs
    the one that connects speaks first; pyomq's does not know to whom."""

    def new(ours: str, theirs: str, side: str) -> tuple[Any, Any, int | None]:
        here, there = make(getattr(zmq, ours)), other(theirs)
        number = None
        if side == "we-bind":
            to_here = there.ask("connect", address=endpoint.bind(here))
            if ours == "PEER":
                if to_here is None:
                    pytest.skip("neither PEER knows the other's number")
                there.send(b"?", to_here)
                number = recv_frame(here).routing_id
        elif ours == "PEER":
            endpoint.prepare(here)
            number = here.connect_peer(there.ask("bind", address=endpoint.wildcard))
        else:
            here.connect(there.ask("bind", address=endpoint.wildcard))
        return here, there, number

    return new


@endpoints
@sides
@pairs
def test_messages_of_every_size_arrive(link: Any, side: str, ours: str, theirs: str) -> None:
    here, there, number = link(ours, theirs, side)
    back = ""
    for i, size in enumerate(SIZES):
        body = bytes([i + 1]) * size
        if ours != "GATHER":
            if ours == "SERVER":  # whose client has to speak first
                there.send(b"?")
                number = recv_frame(here).routing_id
            if number is None:
                here.send(body)
            else:
                here.send(body, routing_id=number)
            got, back = there.recv()
            assert got == body
        if ours != "SCATTER":
            there.send(body, back)
            frame = recv_frame(here)
            assert frame.bytes == body
            if ours in ("SERVER", "PEER"):
                assert frame.routing_id == number


@endpoints
@sides
@pytest.mark.parametrize(("ours", "theirs"), BOTH_WAYS)
def test_what_they_echo_comes_back_in_order(link: Any, side: str, ours: str, theirs: str) -> None:
    here, there, number = link(ours, theirs, side)
    if ours == "SERVER":
        there.send(b"?")
        number = recv_frame(here).routing_id
    there.process.start("echo", socket=there.number, count=300)
    for i in range(300):
        if number is None:
            here.send(b"%d" % i)
        else:
            here.send(b"%d" % i, routing_id=number)
    assert [int(recv_frame(here).bytes) for _ in range(300)] == list(range(300))
    assert there.process.finish("echo") == 300


@sides
@pytest.mark.parametrize("endpoint", ["tcp"], indirect=True)
def test_thousands_are_scattered_and_gathered(link: Any, side: str) -> None:
    gather, scatter, _ = link("GATHER", "SCATTER", side)
    scatter.process.start("send_numbers", socket=scatter.number, count=5000, peer="")
    assert [int(recv_frame(gather).bytes) for _ in range(5000)] == list(range(5000))
    assert scatter.process.finish("send_numbers") == 5000
    scatter, gather, _ = link("SCATTER", "GATHER", side)
    gather.process.start("recv_numbers", socket=gather.number, count=5000)
    for i in range(5000):
        scatter.send(b"%d" % i)
    assert gather.process.finish("recv_numbers") == list(range(5000))


@pytest.mark.parametrize("endpoint", ["tcp"], indirect=True)
def test_a_server_tells_their_clients_apart(make: Any, other: Any, endpoint: Endpoint) -> None:
    server = make(zmq.SERVER)
    address = endpoint.bind(server)
    clients = [other("CLIENT") for _ in range(3)]
    for i, client in enumerate(clients):
        client.ask("connect", address=address)
        client.send(b"%d" % i)
    frames = [recv_frame(server) for _ in clients]
    assert len({frame.routing_id for frame in frames}) == 3
    for frame in reversed(frames):
        server.send(b"to " + frame.bytes, routing_id=frame.routing_id)
    assert [client.recv()[0] for client in clients] == [b"to 0", b"to 1", b"to 2"]


@pytest.mark.parametrize("endpoint", ["tcp"], indirect=True)
def test_their_server_tells_our_clients_apart(make: Any, other: Any, endpoint: Endpoint) -> None:
    server = other("SERVER")
    address = server.ask("bind", address=endpoint.wildcard)
    clients = [make(zmq.CLIENT) for _ in range(3)]
    for i, client in enumerate(clients):
        client.connect(address)
        client.send(b"%d" % i)
    heard = [server.recv() for _ in clients]
    for body, number in reversed(heard):
        server.send(b"to " + body, number)
    assert [recv_frame(client).bytes for client in clients] == [b"to 0", b"to 1", b"to 2"]


@pytest.mark.parametrize("endpoint", ["tcp"], indirect=True)
def test_the_messages_of_a_connection_s_ends_are_understood(
    make: Any, other: Any, endpoint: Endpoint
) -> None:
    server = make(zmq.SERVER)
    server.setsockopt(zmq.HELLO_MSG, b"welcome")
    server.setsockopt(zmq.DISCONNECT_MSG, b"gone")
    client = other("CLIENT")
    client.ask("connect", address=endpoint.bind(server))
    assert client.recv() == (b"welcome", "")
    client.send(b"hi")
    number = recv_frame(server).routing_id
    client.close()
    frame = recv_frame(server)
    assert (frame.bytes, frame.routing_id) == (b"gone", number)


@pytest.mark.parametrize("endpoint", ["tcp"], indirect=True)
def test_types_that_do_not_fit_never_talk(
    make: Any, other: Any, endpoint: Endpoint, watch: Any
) -> None:
    gather, client = make(zmq.GATHER), other("CLIENT")
    events = watch(gather)
    client.ask("connect", address=endpoint.bind(gather))
    events.wait(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_DISCONNECTED)
    assert "HANDSHAKE_SUCCEEDED" not in events.seen
