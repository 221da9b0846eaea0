# SPDX-License-Identifier: MIT
"""CURVE under attack: every byte of every command wrong, replays, nonces that go back, floods."""

import pytest
import wire
from helpers import eventually, recv
from scene import MALFORMED, ROOM, matrix, push, rss
from security import needs_curve
from target import zmq

pytestmark = needs_curve

PROTOCOL = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
UNEXPECTED = 0x10000001
SEQUENCE = 0x10000002
HELLO = 0x10000013
KEYS = 0x10000003
CRYPTOGRAPHIC = 0x11000001

SECURED = matrix(("PULL", "CURVE", "tcp"), ("ROUTER", "CURVE", "ipc"), ("XPUB", "CURVE", "tcp"))
HEAD = 2
"""Flags and length of a short frame, in front of its body."""


def spoil(data, at, bit=0):
    bad = bytearray(data)
    bad[at] ^= 1 << bit
    return bytes(bad)


@pytest.mark.slow
@SECURED
def test_a_hello_with_any_bit_wrong_is_refused(scene, setting):
    place = scene(*setting)
    # Padding says nothing and is not looked at.
    padding = range(HEAD + 8, HEAD + 80)
    with place.healthy.busy():
        for at in range(HEAD, HEAD + 200):
            with place.talk().advance(1) as w:
                w.send(spoil(w.hello(), at, at % 8))
                if at in padding:
                    w.curve.welcome(w)
                    continue
                w.wait_closed()
            assert place.refused() in (CRYPTOGRAPHIC, UNEXPECTED, HELLO, SEQUENCE, KEYS), at
    place.settle()


@pytest.mark.slow
@pytest.mark.parametrize("bit", [0, 7])
def test_an_initiate_with_any_bit_wrong_is_refused(scene, bit):
    place = scene("PULL", "CURVE")
    with place.healthy.busy():
        at, size = HEAD, HEAD + 1
        while at < size:
            with place.talk().advance(2) as w:
                data = w.initiate()
                # The flags and the length, of one byte or of eight, are the frame's.
                at = max(at, len(data) - frame_body(data))
                size = len(data)
                w.send(spoil(data, at, bit))
                w.wait_closed()
            place.refused()
            at += 1
    place.settle()


def frame_body(data):
    return int.from_bytes(data[1:9], "big") if data[0] & wire.LONG else data[1]


@SECURED
def test_a_message_with_any_bit_wrong_ends_the_connection(scene, setting):
    place = scene(*setting)
    with place.healthy.busy():
        at, size = HEAD, HEAD + 1
        while at < size:
            with place.talk().enter() as w:
                data = w.message(b"unspoilt")
                size = len(data)
                w.send(spoil(data, at, at % 8))
                w.wait_closed()
            assert place.violation() in (CRYPTOGRAPHIC, UNEXPECTED, SEQUENCE, MALFORMED), at
            at += 1
    if setting[0] == "PULL":
        assert place.server.poll(50) == 0, "a spoilt message came through"
    place.settle()


def test_a_long_message_with_a_bit_wrong_ends_the_connection(scene):
    place = scene("PULL", "CURVE")
    with place.healthy.busy():
        for at in (HEAD + 16, HEAD + 31, HEAD + 32, HEAD + 33, HEAD + 400, -1):
            with place.talk().enter() as w:
                w.send(spoil(w.message(b"unspoilt" * 100), at, 3))
                w.wait_closed()
            assert place.violation() == CRYPTOGRAPHIC, at
    assert place.server.poll(50) == 0, "a spoilt message came through"
    place.settle()


def test_what_was_said_cannot_be_said_again(scene):
    """HELLO, INITIATE and MESSAGE a second time, and nonces that stand still or go back."""
    place = scene("PULL", "CURVE")
    with place.healthy.busy():
        with place.talk().advance(1) as w:
            hello = w.hello()
            w.send(hello)
            w.curve.welcome(w)
            w.send(hello)
            w.wait_closed()
        assert place.failed() == [(PROTOCOL, UNEXPECTED)]
        with place.talk().advance(1) as w:
            # Of another connection: it is answered, and what is needed to go on is not known.
            w.send(hello)
            w.read_frame()
            push(w, wire.command(b"INITIATE", bytes(400)))
            w.wait_closed()
        place.refused()
        with place.talk().advance(2) as w:
            initiate = w.initiate()
            w.send(initiate)
            w.curve.ready(w)
            w.send(initiate)
            w.wait_closed()
        assert place.violation() in (UNEXPECTED, MALFORMED)
        for counter in (0, 1, 2, 3):  # HELLO and INITIATE have used 1 and 2, the message 3
            with place.talk().enter() as w:
                w.send(w.message(b"once"))
                w.send(w.message(b"twice", counter=counter))
                w.wait_closed()
            assert place.violation() == SEQUENCE
        with place.talk().enter() as w:
            w.send(w.message(b"a leap", counter=(1 << 64) - 1))
            w.send(w.message(b"after the last", counter=0))
            w.wait_closed()
        assert place.violation() == SEQUENCE
    place.settle()


def test_a_message_of_another_connection_is_none_of_this(scene):
    place = scene("PULL", "CURVE")
    with place.healthy.busy():
        with place.talk().enter() as w, place.talk().enter() as other:
            push(w, other.message(b"heard elsewhere"))
            w.wait_closed()
            assert place.violation() == CRYPTOGRAPHIC
    place.settle()


def test_cookies_of_other_connections_are_refused(scene):
    place = scene("PULL", "CURVE")
    with place.healthy.busy():
        with place.talk().advance(2) as first, place.talk().advance(2) as second:
            second.curve.cookie, first.curve.cookie = first.curve.cookie, second.curve.cookie
            for w in (first, second):
                w.send(w.initiate())
                w.wait_closed()
                place.refused()
        with place.talk().advance(2) as old:
            cookie, short = old.curve.cookie, old.curve.short
        with place.talk().advance(1) as w:
            # The same short-term key and the cookie that the server once gave for it.
            w.curve.short = short
            w.send(w.hello())
            w.curve.welcome(w)
            w.curve.cookie = cookie
            w.send(w.initiate())
            w.wait_closed()
        place.refused()
    place.settle()


WEAK = {
    "zero": bytes(32),
    "one": b"\1" + bytes(31),
    "order eight": bytes.fromhex(
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"
    ),
    "all ones": b"\xff" * 32,
}


@pytest.mark.parametrize("point", WEAK)
def test_keys_that_agree_on_nothing_are_refused(scene, point):
    """With a point of small order everybody would know the shared key."""
    place = scene("PULL", "CURVE")
    with place.healthy.busy():
        with place.talk().advance(1) as w:
            hello = w.hello()
            push(w, hello[: HEAD + 80] + WEAK[point] + hello[HEAD + 112 :])
            w.wait_closed()
        event, value = place.failed()[0]
        assert (event, value in (KEYS, CRYPTOGRAPHIC)) == (PROTOCOL, True)
    place.settle()


@pytest.mark.slow
def test_hellos_without_end_cost_a_few_kilobytes_each(scene):
    """300 clients that got their WELCOME and say no more; then they are gone."""
    place = scene("PULL", "CURVE")
    with place.healthy.busy():
        before = rss()
        held = [place.talk().advance(2) for _ in range(300)]
        grown = rss() - before
        assert grown / len(held) < 16 << 10, f"{grown} bytes for {len(held)} clients"
        for w in held:
            w.close()
    place.settle()


@pytest.mark.parametrize("mechanism", ["NULL", "PLAIN", "CURVE"])
def test_the_largest_message_is_counted_without_its_wrapping(scene, mechanism):
    """MAXMSGSIZE is about messages: no handshake fails for it, and no box counts."""
    place = scene("PULL", mechanism, maxmsgsize=20)
    with place.healthy.busy(), place.talk().enter() as w:
        w.send(w.message(b"m" * 20))
        w.send(w.message(b"m" * 21))
        w.wait_closed()
        assert place.violation() == MALFORMED
    place.settle()


def test_lengths_that_lie_around_a_box(scene):
    place = scene("PULL", "CURVE")
    with place.healthy.busy():
        for size in (0, 1, 8, 15, 16, 31, 32):
            with place.talk().enter() as w:
                push(w, wire.frame(b"\7MESSAGE".ljust(32, b"\0")[:size]))
                w.wait_closed()
            assert place.violation() in (MALFORMED, UNEXPECTED, CRYPTOGRAPHIC, SEQUENCE), size
        before = rss()
        held = []
        for claim in (1 << 20, 1 << 30, 1 << 40):
            w = place.talk().enter()
            push(w, b"\x02" + claim.to_bytes(8, "big") + b"\7MESSAGE" + bytes(1000))
            held.append(w)
        eventually(
            "all of it read",
            lambda: sum(p.bytes_received > 1000 for p in place.server.peers()[1:]) == 3,
        )
        assert len(place.server.peers()) == 4
        assert rss() - before < ROOM
        for w in held:
            w.close()
    place.settle()


def test_a_client_is_told_nothing_it_could_use_by_a_server_that_is_none(make, watch):
    """Every bit of WELCOME, READY and a MESSAGE of the server, as a client takes them."""
    import wire_curve
    from security import Keys, curve_client

    server_keys, client_keys = wire_curve.keypair(), Keys()
    pull = make(zmq.PULL, reconnect_ivl=1, **curve_client(client_keys, server_keys[0]))
    events = watch(pull)
    with wire.Listener() as listener:

        def meet(upto, spoilt):
            """A connection of the client, good up to a command; that one is spoilt there."""
            pull.connect(listener.address)
            with listener.accept() as w:
                w.sock.setsockopt(6, 1, 1)  # TCP_NODELAY
                server = wire_curve.Server(server_keys)
                w.send(wire.greeting(mechanism=b"CURVE", as_server=1))
                w.read(64)
                server.hello(w)
                steps = [
                    server.welcome,
                    lambda: server.ready(wire.prop(b"Socket-Type", b"PUSH")),
                    lambda: server.message(b"unspoilt"),
                ]
                for i, step in enumerate(steps[: upto + 1]):
                    if i == 1:
                        server.initiate(w)
                    data = step()
                    w.send(data if i < upto else spoilt(data))
                if upto == len(steps):
                    assert recv(pull) == b"unspoilt"
                    pull.disconnect(listener.address)
                w.wait_closed()
                return len(data)

        for command in range(3):
            at, size = HEAD, HEAD + 1
            while at < size:
                size = meet(command, lambda data, at=at: spoil(data, at, at % 8))
                if command < 2:
                    events.wait(PROTOCOL)
                else:
                    events.wait(zmq.EVENT_PROTOCOL_VIOLATION)
                at += 3
        assert pull.poll(50) == 0
        meet(3, None)
