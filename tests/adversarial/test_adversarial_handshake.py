# SPDX-License-Identifier: MIT
"""Hostile greetings and handshakes end their own connections; the healthy peer loses nothing."""

import errno
import random
import socket
import time

import pytest
import wire
from scene import HANDSHAKE_MS, ROWS, matrix, push, reset
from security import reply
from target import zmq

PROTOCOL = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
AUTH = zmq.EVENT_HANDSHAKE_FAILED_AUTH
NO_DETAIL = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
UNEXPECTED = 0x10000001

# One of a mechanism where the kind of socket makes no difference.
MECHANISMS = matrix(("PULL", "NULL", "tcp"), ("ROUTER", "PLAIN", "ipc"), ("DEALER", "CURVE", "tcp"))


@matrix(*ROWS, slow_from=1)
@pytest.mark.deadline(60)
def test_a_connection_cut_at_any_byte_is_told_and_forgotten(scene, setting):
    """Every byte of the handshake and of a message; by closing, by a reset, by falling silent."""
    place = scene(*setting)
    turn = len(setting[0])
    silent = []
    failing = 0
    with place.healthy.busy():
        with place.talk() as probe:
            pieces = len(probe.pieces())
        failing += 1
        for piece in range(pieces):
            at, size = 0, 1
            while at < size:
                w = place.talk().advance(piece)
                data = w.pieces()[piece]()
                size = len(data)
                w.send(data[:at])
                # The last piece is a message, which comes after the handshake.
                failing += piece < pieces - 1
                turn += 1
                if turn % 16 == 0:
                    silent.append(w)
                elif turn % 2:
                    reset(w)
                else:
                    w.close()
                at += 1
        events = place.failed(failing)
    assert {event for event, _ in events} == {NO_DETAIL}
    for w in silent:
        # Those that got in stay; the others were closed by HANDSHAKE_IVL.
        w.close()
    place.settle()


@matrix(*ROWS)
def test_garbage_at_any_stage_ends_its_connection_only(scene, setting):
    place = scene(*setting)
    rng = random.Random(f"garbage {setting}")
    with place.healthy.busy():
        for _ in range(8):
            for stage in range(4):
                with place.talk() as w:
                    w.advance(min(stage, len(w.pieces()) - 1))
                    push(w, rng.randbytes(rng.choice([1, 9, 64, 300, 5000])))
    place.settle()


@MECHANISMS
def test_a_greeting_with_any_bit_wrong_harms_nobody(scene, setting):
    place = scene(*setting)
    with place.healthy.busy():
        for at in range(64):
            for bit in (0, 3, 7):
                with place.talk() as w:
                    data = bytearray(w.greeting())
                    data[at] ^= 1 << bit
                    # The rest follows at once, as from a peer that takes no notice.
                    push(w, bytes(data) + w.ready() + w.hello())
    place.settle()


NAMES = [
    b"READY",
    b"HELLO",
    b"WELCOME",
    b"INITIATE",
    b"MESSAGE",
    b"SUBSCRIBE",
    b"CANCEL",
    b"JOIN",
    b"LEAVE",
    b"PING",
    b"PONG",
    b"",
    b"x" * 255,
]
EXPECTED = {
    ("NULL", 1): b"READY",
    ("PLAIN", 1): b"HELLO",
    ("PLAIN", 2): b"INITIATE",
    ("CURVE", 1): b"HELLO",
    ("CURVE", 2): b"INITIATE",
}


@MECHANISMS
def test_unexpected_commands_fail_the_handshake_in_every_state(scene, setting):
    place = scene(*setting)
    states = [stage for mechanism, stage in EXPECTED if mechanism == setting[1]]
    with place.healthy.busy():
        for stage in states:
            for name in NAMES:
                if name == EXPECTED[setting[1], stage]:
                    continue
                for data in (b"", b"\0" * 8, b"\xff" * 300):
                    with place.talk().advance(stage) as w:
                        push(w, wire.command(name, data))
                        w.wait_closed()
                    assert place.failed() == [(PROTOCOL, UNEXPECTED)], name
    place.settle()


@MECHANISMS
def test_commands_after_the_handshake_are_passed_over_or_end_the_connection(scene, setting):
    """In plain traffic what is unknown is for later versions; in CURVE nothing comes bare."""
    place = scene(*setting)
    with place.healthy.busy():
        for name in [*NAMES, b"ERROR"]:
            with place.talk().enter() as w:
                push(w, wire.command(name, b"\xff" * 9))
                if setting[1] == "CURVE":
                    w.wait_closed()
                else:
                    push(w, wire.command(b"PING", b"\0\0!"))
                    while w.read_command() != (b"PONG", b"!"):
                        continue
    place.settle()


REASONS = {
    "nothing": b"",
    "empty": b"\0",
    "300": b"\x03300",
    "400": b"\x03400",
    "999": b"\x03999",
    "text": b"\x05sorry",
    "longest": b"\xff" + b"!" * 255,
    "zeros": b"\x03\0\0\0",
    "too short": b"\x09ab",
    "too long": b"\x02" + bytes(60_000),
    "lying": b"\xff",
}


@pytest.mark.parametrize("reason", REASONS)
def test_an_error_command_ends_the_handshake_whatever_its_reason(scene, reason):
    place = scene("PULL")
    with place.healthy.busy():
        with place.talk().advance(1) as w:
            push(w, wire.command(b"ERROR", REASONS[reason]))
            w.wait_closed()
        event, value = place.failed()[0]
        expected = (AUTH, int(reason)) if reason in ("300", "400") else (PROTOCOL, value)
        assert (event, value) == expected
    place.settle()


BAD = 0x10000018


def many(count, value=b""):
    return b"".join(wire.prop(b"p%d" % i, value) for i in range(count))


# What comes beside a right Socket-Type, and whether it is let in.
PROPERTIES = {
    "as many as are taken": (many(500), True),
    "thousands": (many(5000), False),
    "the same a thousand times": (wire.prop(b"x", b"") * 1000, False),
    "the same with ever longer values": (
        b"".join(wire.prop(b"x", b"v" * i) for i in range(300)),
        True,
    ),
    "one of 60000 bytes": (wire.prop(b"big", b"v" * 60_000), True),
    "two socket types": (wire.prop(b"Socket-Type", b"XYZ"), False),
    "a name without letters": (b"\0" + b"\0\0\0\1v", True),
    "a value longer than the command": (b"\1x" + b"\x7f\xff\xff\xff", False),
    "a name longer than the command": (b"\xffx", False),
    "an identity of 256 bytes": (wire.prop(b"Identity", b"i" * 256), False),
    "half a length": (b"\1x\0\0", False),
}


@MECHANISMS
def test_odd_properties_cost_at_most_their_connection(scene, setting):
    place = scene(*setting)
    with place.healthy.busy():
        for what, (content, accepted) in PROPERTIES.items():
            with place.talk() as w:
                last = len(w.pieces()) - 2
                w.advance(last)
                properties = w.properties + content
                if setting[1] == "NULL":
                    push(w, wire.command(b"READY", properties))
                else:
                    push(w, w.initiate(properties))
                if accepted:
                    w.reply(last)
                    push(w, w.message())
                else:
                    w.wait_closed()
                    assert place.failed()[0][0] == PROTOCOL, what
    place.settle()


def test_a_denied_address_stays_out_however_its_connection_ends(scene, handler):
    """All at one go, and a reset behind it: the question may come when the connection is gone."""
    enemy = b"127.0.0.2"
    asked = handler(lambda r: reply(r, b"400" if r[3] == enemy else b"200"))
    place = scene("ROUTER", "NULL", "tcp", zap_domain=b"somewhere")
    host, port = place.address.removeprefix("tcp://").split(":")
    with place.healthy.busy():
        for i in range(100):
            s = socket.create_connection((host, int(port)), source_address=(enemy.decode(), 0))
            with wire.Wire(s) as w:
                w.send(wire.greeting() + wire.ready("DEALER", b"enemy") + wire.frame(b"let me in"))
                if i % 2:
                    reset(w)
                else:
                    w.wait_closed()
    place.settle()
    assert {r[3] for r in asked.requests} == {enemy, b"127.0.0.1"}
    assert place.healthy.strangers == 0


@MECHANISMS
def test_a_handshake_command_has_an_end(scene, setting):
    """64 KiB of a command, and no more on the word of a length."""
    place = scene(*setting)
    with place.healthy.busy():
        for size in (65_537, 1 << 20, 1 << 31, 1 << 62, (1 << 64) - 1):
            with place.talk().advance(1) as w:
                push(w, b"\x06" + size.to_bytes(8, "big") + b"\5READY")
                w.wait_closed()
            assert place.failed()[0][0] == PROTOCOL
        held = []
        for _ in range(50):
            w = place.talk().advance(1)
            push(w, b"\x06" + (65_000).to_bytes(8, "big") + b"\5READY")
            held.append(w)
        for w in held:
            w.close()
    place.settle()


@pytest.mark.slow
@MECHANISMS
def test_a_handshake_that_drips_ends_with_its_interval(scene, setting):
    """A byte now and then does not keep it alive."""
    place = scene(*setting)
    with place.healthy.busy(), place.talk() as w:
        data = iter(
            w.greeting() + b"\x06" + (60_000).to_bytes(8, "big") + b"\5READY" + bytes(60_000)
        )
        end = time.monotonic() + 10 * HANDSHAKE_MS / 1000
        while push(w, bytes([next(data)])):
            assert time.monotonic() < end, "a dripping handshake was kept"
            time.sleep(0.01)
        assert place.failed() == [(NO_DETAIL, errno.ETIMEDOUT)]
    place.settle()


def test_a_second_peer_of_a_pair_is_sent_away(scene):
    place = scene("PAIR", "PLAIN")
    with place.healthy.busy():
        for stage in (0, 1, 2, 2, 2):
            with place.talk().advance(stage) as w:
                w.send(w.pieces()[stage]())
                if stage == 2:
                    w.wait_closed()
    place.settle()
