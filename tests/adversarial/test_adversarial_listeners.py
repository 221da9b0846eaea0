# SPDX-License-Identifier: MIT
"""Hostile servers that our connecting sockets meet, beside an honest one of the same socket."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import wire
from helpers import eventually, last_endpoint, no_peer, recv, recv_multipart
from scene import MB, is_idle, push, reset, stuff
from security import Keys, curve_client, curve_server, needs_curve, plain_client
from target import zmq

HONEST = {"PULL": "PUSH", "SUB": "PUB", "DEALER": "DEALER", "ROUTER": "DEALER"}
MECHANISMS = ["NULL", "PLAIN", pytest.param("CURVE", marks=needs_curve)]
KINDS = [("PULL", "NULL"), ("SUB", "NULL"), ("DEALER", "PLAIN"), ("ROUTER", "NULL")]
every_kind = pytest.mark.parametrize("kind, mechanism", KINDS, ids=lambda x: x.lower())


class Meeting:
    """A socket that connects to an honest peer and to a listener that is the enemy."""

    def __init__(self, make: Any, handler: Any, kind: str, mechanism: str = "NULL") -> None:
        self.kind = kind
        self.mechanism = mechanism
        keys, own = Keys(), Keys()
        server: dict[str, Any] = {}
        client: dict[str, Any] = {}
        if mechanism == "PLAIN":
            handler()
            server, client = {"plain_server": 1}, plain_client()
        elif mechanism == "CURVE":
            server, client = curve_server(keys), curve_client(own, keys.public)
        self.honest = make(getattr(zmq, HONEST[kind]), **server)
        self.honest.bind("tcp://127.0.0.1:*")
        self.sock = make(getattr(zmq, kind), reconnect_ivl=5, handshake_ivl=1000, **client)
        if kind == "SUB":
            self.sock.setsockopt(zmq.SUBSCRIBE, b"")
        self.sock.connect(last_endpoint(self.honest))
        if kind == "SUB":
            self.honest.wait_for_subscribers(timeout=8000)
        self.count = 0
        self.step()
        self.enemy = wire.Listener()

    def step(self) -> None:
        self.count += 1
        token = b"honest %d" % self.count
        self.honest.send(token)
        while (got := recv_multipart(self.sock, f"{token!r}")[-1]) != token:
            assert not got.startswith(b"honest "), got

    @contextlib.contextmanager
    def met(self) -> Iterator[wire.Wire]:
        """One connection of the socket to the enemy; the honest peer goes on meanwhile."""
        if not any(p.endpoint == self.enemy.address for p in self.sock.peers()):
            self.sock.connect(self.enemy.address)
        with self.enemy.accept() as w:
            self.step()
            yield w
            self.step()

    def settle(self) -> None:
        self.enemy.sock.close()
        with contextlib.suppress(zmq.ZMQError):
            self.sock.disconnect(self.enemy.address)
        # What is not subscribed to goes when somebody looks for a message.
        eventually(
            "only the honest peer", lambda: not self.sock.poll(0) and len(self.sock.peers()) == 1
        )
        eventually("the engine's threads idle", is_idle)
        for _ in range(3):
            self.step()


@pytest.fixture
def meeting(make: Any, handler: Any) -> Iterator[Callable[..., Meeting]]:
    made: list[Meeting] = []

    def new(kind: str, mechanism: str = "NULL") -> Meeting:
        made.append(Meeting(make, handler, kind, mechanism))
        return made[-1]

    yield new
    for one in made:
        one.enemy.sock.close()


def opening(kind, mechanism):
    """What an honest server of that mechanism would say, as far as it can be said blindly."""
    ready = wire.prop(b"Socket-Type", HONEST[kind].encode())
    if mechanism == "NULL":
        return wire.greeting() + wire.command(b"READY", ready) + wire.frame(b"enemy")
    return (
        wire.greeting(mechanism=mechanism.encode(), as_server=1)
        + wire.command(b"WELCOME")
        + wire.command(b"READY", ready)
        + wire.frame(b"enemy")
    )


@pytest.mark.slow
@every_kind
def test_a_server_that_breaks_off_at_any_byte_is_tried_again(meeting, kind, mechanism):
    place = meeting(kind, mechanism)
    data = opening(kind, mechanism)
    for at in range(0, len(data), 3):
        with place.met() as w:
            push(w, data[:at])
            if at % 2:
                reset(w)
    with place.met() as w:
        w.send(data)
        while recv_multipart(place.sock)[-1] != b"enemy":
            continue
    place.settle()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_server_that_talks_nonsense_is_left(meeting, mechanism):
    place = meeting("PULL", mechanism)
    rng = random.Random(3)
    greeting = wire.greeting(mechanism=mechanism.encode(), as_server=1)
    for lead in (b"", greeting[:10], greeting[:11], greeting):
        for size in (1, 40, 64, 500, 100_000):
            with place.met() as w:
                push(w, lead + rng.randbytes(size))
                with contextlib.suppress(OSError):
                    w.sock.shutdown(1)
                w.wait_closed()
    place.settle()


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_server_that_says_nothing_is_left_after_the_interval(meeting, mechanism):
    place = meeting("PULL", mechanism)
    with place.met() as silent:
        silent.wait_closed()
    with place.met() as slow:
        slow.send(wire.greeting(mechanism=mechanism.encode())[:63])
        slow.wait_closed()
    place.settle()


ANSWERS = {
    "nothing of a command": b"",
    "unknown": b"\5FANCY",
    "error without a reason": b"\5ERROR\0",
    "error with a long one": b"\5ERROR\xff" + b"!" * 255,
    "error that lies": b"\5ERROR\x09no",
    "hello": b"\5HELLO",
    "ready that is cut": b"\5READY\x0bSocket-T",
    "ready of the wrong type": b"\5READY" + wire.prop(b"Socket-Type", b"SUB"),
    "ready of thousands": b"\5READY" + b"".join(wire.prop(b"p%d" % i, b"") for i in range(5000)),
    "a subscription": b"\x09SUBSCRIBEx",
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_odd_answers_in_the_handshake_end_it(meeting, mechanism):
    place = meeting("PULL", mechanism)
    for body in ANSWERS.values():
        with place.met() as w:
            w.send(wire.greeting(mechanism=mechanism.encode(), as_server=1))
            w.read(64)
            push(w, wire.frame(body, wire.COMMAND))
            w.wait_closed()
    place.settle()


@pytest.mark.slow
@every_kind
def test_a_server_that_closes_at_once_is_tried_at_the_pace_of_reconnect_ivl(
    meeting, kind, mechanism
):
    """It may accept and close as fast as it likes: nobody is kept busy."""
    place = meeting(kind, mechanism)
    place.sock.reconnect_ivl = 50
    place.sock.connect(place.enemy.address)
    stop = threading.Event()
    met = 0

    def slam():
        nonlocal met
        place.enemy.sock.settimeout(0.05)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError, OSError):
                place.enemy.sock.accept()[0].close()
                met += 1

    thread = threading.Thread(target=slam)
    thread.start()
    eventually("met a few times", lambda: met >= 3)
    eventually("nobody busy", lambda: is_idle(0.2, 0.1))
    place.step()
    stop.set()
    thread.join()
    assert met < 60
    place.settle()


def test_a_publisher_that_never_reads_gets_no_more_than_is_due(meeting):
    place = meeting("SUB")
    with place.met() as w:
        w.sock.setsockopt(1, 8, 4096)  # SO_RCVBUF
        w.handshake("PUB")
        # PINGs that are answered into nowhere, and messages that are not wanted.
        place.sock.setsockopt(zmq.UNSUBSCRIBE, b"")
        place.sock.setsockopt(zmq.SUBSCRIBE, b"honest")
        ping = wire.command(b"PING", b"\0\0" + b"0123456789abcdef")
        stuff(w, ping * 2000, 5_000_000)
        stats = place.sock.context.stats()
        assert stats.pool_bytes - stats.pool_spare < MB
        stuff(w, wire.frame(b"unwanted") * 2000, 5_000_000, 0.3)
        assert max(p.queued_in for p in place.sock.peers()) <= 1000
    place.settle()


def test_a_router_that_changes_its_name_each_time_leaves_nothing_behind(meeting):
    """A DEALER's queue outlives its connections: what comes under many names must not."""
    place = meeting("ROUTER")
    for i in range(8):
        with place.met() as w:
            w.handshake("DEALER", identity=b"name %d" % i)
            w.send_message(b"from %d" % i)
            assert recv_multipart(place.sock) == [b"name %d" % i, b"from %d" % i]
    place.settle()


def test_what_waits_to_be_sent_survives_servers_that_do_not_take_it(make):
    """A PUSH whose server closes in the middle of the handshake, again and again."""
    with wire.Listener() as enemy:
        sock = make(zmq.PUSH, reconnect_ivl=5, sndhwm=10)
        sock.connect(enemy.address)
        for i in range(10):
            sock.send(b"%d" % i)
        for at in range(0, 64, 4):
            with enemy.accept() as w:
                w.send(wire.greeting()[:at])
        with enemy.accept() as w:
            w.handshake("PULL")
            assert [w.read_message() for _ in range(10)] == [[b"%d" % i] for i in range(10)]


def test_a_request_that_is_answered_with_nonsense_gets_its_answer_elsewhere(make):
    """A REQ of two servers, one of them hostile: it closes that one and goes on with the other."""
    rep = make(zmq.REP)
    rep.bind("tcp://127.0.0.1:*")
    with wire.Listener() as enemy:
        req = make(zmq.REQ, reconnect_ivl=5, req_relaxed=1, req_correlate=1)
        req.connect(enemy.address)
        with enemy.accept() as w:
            w.handshake("REP")
            req.send(b"question")
            w.read_message()
            w.send_message(b"nonsense")
            w.wait_closed()
        no_peer(req)
        req.connect(last_endpoint(rep))
        for i in range(10):
            req.send(b"%d" % i)
            assert recv(rep) == b"%d" % i
            rep.send(b"answer")
            assert recv(req) == b"answer"
