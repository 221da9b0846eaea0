# SPDX-License-Identifier: MIT
"""ws against a libzmq that has it: one that FASTMQ_DRAFT_PEER names, since those of package indices
have none."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import PEER, Libzmq, RemoteError
from helpers import (
    HANDSHAKE_FAILURES,
    QUIET_MS,
    eventually,
    last_endpoint,
    nothing_arrives,
    recv_multipart,
)
from security import Keys, curve_client, curve_server, needs_curve, plain_client
from target import zmq

PYTHON = os.environ.get("FASTMQ_DRAFT_PEER")

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="FASTMQ_DRAFT_PEER names no Python whose libzmq has ws"
)
binders = pytest.mark.parametrize("binder", ["we-bind", "they-bind"])
# libzmq takes no wildcard port before a path of several steps, nor an address of digits before one.
THEIRS = "ws://lo:*/zws"
MESSAGES = [[b"hello"], [b""], [b"a", b"", b"c" * 300], [b"l" * 70_000, b"m"], [b"h" * 2_000_000]]
TYPES = [
    ("PAIR", "PAIR"),
    ("PUSH", "PULL"),
    ("PULL", "PUSH"),
    ("DEALER", "ROUTER"),
    ("ROUTER", "DEALER"),
    ("REQ", "REP"),
    ("REP", "REQ"),
    ("XPUB", "SUB"),
    ("SUB", "XPUB"),
]


@pytest.fixture(scope="module")
def process() -> Iterator[Libzmq]:
    made = Libzmq(str(PYTHON), str(PEER))
    made.ask("authenticate", passwords={"admin": "secret"}, keys=[])
    yield made
    made.end()


@pytest.fixture
def theirs(process: Libzmq, accounting: None) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def new(kind: str, **options: Any) -> Any:
        made.append(process.socket(kind, **options))
        return made[-1]

    yield new
    for sock in made:
        sock.close()


def join(binder: str, here: Any, there: Any) -> None:
    if binder == "we-bind":
        here.bind("ws://127.0.0.1:*/a/b")
        there.connect(last_endpoint(here))
    else:
        here.connect(there.bind(THEIRS))


@binders
@pytest.mark.parametrize("ours, other", TYPES, ids=lambda x: x.lower())
def test_messages_pass(make, theirs, ours, other, binder):
    options = {"routing_id": b"them"} if ours == "ROUTER" else {}
    ours_options = {"routing_id": b"us"} if other == "ROUTER" else {}
    here, there = make(getattr(zmq, ours), **ours_options), theirs(other, **options)
    if other == "SUB" and binder == "they-bind":
        pytest.skip("a bound SUB of libzmq sends no subscriptions over ws, to its own kind neither")
    if ours == "SUB":
        here.setsockopt(zmq.SUBSCRIBE, b"")
    join(binder, here, there)
    if other == "SUB":
        there.set("subscribe", b"")
        assert recv_multipart(here, "a subscription") == [b"\1"]
    if ours == "SUB":
        assert there.recv() == [b"\1"]
    to_us = [b"us"] if other == "ROUTER" else []  # what stands before a message
    to_them = [b"them"] if ours == "ROUTER" else []

    def from_us(message: list[bytes]) -> None:
        here.send_multipart([*to_them, *message])
        assert there.recv() == [*to_us, *message]

    def from_them(message: list[bytes]) -> None:
        there.send(*to_us, *message)
        assert recv_multipart(here) == [*to_them, *message]

    asked_by_them = ours in ("PULL", "REP", "SUB", "ROUTER")
    steps = [from_them, from_us] if asked_by_them else [from_us, from_them]
    for message in MESSAGES:
        for step in steps[:1] if {ours, other} & {"PUSH", "SUB"} else steps:
            step(message)


def test_subscriptions_are_taken_back(make, theirs):
    here, there = make(zmq.XPUB), theirs("SUB")
    join("we-bind", here, there)
    there.set("subscribe", b"a")
    assert recv_multipart(here) == [b"\1a"]
    there.set("unsubscribe", b"a")
    assert recv_multipart(here) == [b"\0a"]


@binders
def test_heartbeats_keep_a_quiet_connection(make, theirs, watch, binder):
    here, there = make(zmq.PAIR, heartbeat_ivl=20), theirs("PAIR", heartbeat_ivl=20)
    events = watch(here, zmq.EVENT_DISCONNECTED)
    join(binder, here, there)
    there.send(b"x")
    assert recv_multipart(here) == [b"x"]
    end = time.monotonic() + 0.3  # many heartbeats, and many times their limit
    while time.monotonic() < end:
        assert events.silent(zmq.EVENT_DISCONNECTED), QUIET_MS
    here.send(b"y")
    assert there.recv() == [b"y"]


@binders
@pytest.mark.parametrize("server", ["we-serve", "they-serve"])
def test_plain_secures_it(make, theirs, handler, server, binder):
    asking = plain_client()
    serving = {"plain_server": 1, "zap_domain": b"interop"}
    ours, others = (serving, asking) if server == "we-serve" else (asking, serving)
    seen = handler()
    here, there = make(zmq.PAIR, **ours), theirs("PAIR", **others)
    join(binder, here, there)
    for message in MESSAGES:
        here.send_multipart(message)
        assert there.recv() == message
        there.send(*message)
        assert recv_multipart(here) == message
    asked = [request[5:] for request in seen.requests]
    assert asked == ([[b"PLAIN", b"admin", b"secret"]] if server == "we-serve" else [])


@needs_curve
@binders
@pytest.mark.parametrize("server", ["we-serve", "they-serve"])
def test_curve_secures_it(make, process, theirs, server, binder):
    if not process.ask("has", name="curve"):
        pytest.skip("this libzmq has no CURVE")
    keys, own = Keys(), Keys()
    serving, asking = curve_server(keys), curve_client(own, keys.public)
    ours, others = (serving, asking) if server == "we-serve" else (asking, serving)
    here, there = make(zmq.PAIR, heartbeat_ivl=20, **ours), theirs("PAIR", **others)
    join(binder, here, there)
    for message in MESSAGES:
        here.send_multipart(message)
        assert there.recv() == message
        there.send(*message)
        assert recv_multipart(here) == message


def test_another_type_is_refused(make, theirs, watch):
    here, there = make(zmq.PULL), theirs("SUB")
    events = watch(here)
    join("we-bind", here, there)
    assert events.wait(*HANDSHAKE_FAILURES)
    assert nothing_arrives(here)


def test_a_lost_server_of_theirs_is_found_again(make, process, theirs):
    here, there = make(zmq.PUSH, reconnect_ivl=10), process.socket("PULL")
    end = there.bind(THEIRS)
    here.connect(end)
    here.send(b"1")
    assert there.recv() == [b"1"]
    there.close()
    eventually("it is lost", lambda: here.peers()[0].state.value == "connecting")
    here.send(b"2")
    again = theirs("PULL")

    def bound() -> bool:
        try:
            again.bind(end.replace("127.0.0.1", "lo"))
        except RemoteError:
            return False
        return True

    eventually("the port is free", bound)
    assert again.recv() == [b"2"]
