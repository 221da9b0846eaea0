# SPDX-License-Identifier: MIT
"""Peers that got in and then break the rules, flood, stall or never read."""

import struct
import threading
import time

import pytest
import wire
from helpers import eventually, fill, nothing_arrives, recv, recv_multipart
from scene import (
    MALFORMED,
    MB,
    ROOM,
    VIOLATION,
    WRONG_PARTS,
    address_space,
    is_idle,
    is_sanitized,
    matrix,
    push,
    reset,
    rss,
    stuff,
)
from target import zmq

TYPES = matrix(
    ("PULL", "NULL", "tcp"),
    ("ROUTER", "PLAIN", "ipc"),
    ("REP", "NULL", "ipc"),
    ("SUB", "NULL", "tcp"),
)


def enemies(place):
    """Rows of all peers but the healthy one, which came first."""
    return sorted(place.server.peers(), key=lambda p: p.since or 0)[1:]


# ---- lengths ----

LENGTHS = {
    "sign bit": b"\x02\x80" + bytes(7),
    "all bits": b"\x02" + b"\xff" * 8,
    "all bits but that": b"\x02\x7f" + b"\xff" * 7,
    "sign bit and more": b"\x03\x80" + bytes(6) + b"\x01",
    "command with the sign bit": b"\x06\x80" + bytes(7),
}


@TYPES
def test_lengths_that_cannot_be_end_the_connection(scene, setting):
    place = scene(*setting)
    with place.healthy.busy():
        for data in LENGTHS.values():
            with place.talk().enter() as w:
                w.send(data)
                w.wait_closed()
            assert place.violation() == MALFORMED
    place.settle()


@TYPES
def test_lengths_that_promise_much_cost_no_memory(scene, setting):
    place = scene(*setting)
    held = []
    with place.healthy.busy():
        before = rss()
        for claim in (1 << 20, 1 << 30, 1 << 40):
            for _ in range(5):
                w = place.talk().enter()
                w.send(b"\x02" + struct.pack(">Q", claim) + bytes(100))
                held.append(w)
        eventually(
            "all of it read",
            lambda: [p.bytes_received > 109 for p in enemies(place)] == [True] * len(held),
        )
        assert rss() - before < ROOM
        for w in held:
            w.close()
    place.settle()


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer reserves address space of its own")
def test_lengths_that_promise_much_reserve_little(scene):
    place = scene("PULL", "NULL", "tcp")
    count = 300
    with place.healthy.busy():
        before = address_space()
        held = [place.talk().enter() for _ in range(count)]
        for w in held:
            w.send(b"\x02" + struct.pack(">Q", 1 << 40) + bytes(100))
        eventually("all of it read", lambda: all(p.bytes_received > 109 for p in enemies(place)))
        assert len(enemies(place)) == count
        # Of each the 64 KiB that a frame may take at once, twice: also its chunk, and what malloc
        # asks the system for beyond what is needed.
        assert address_space() - before < count * 200_000
        for w in held:
            w.close()
    place.settle()


@pytest.mark.parametrize("version", [(3, 1), (2, 0), (1, 0)], ids=["3.1", "2.0", "1.0"])
def test_nobody_guesses_the_name_that_a_router_made_up_for_another(scene, version):
    """Whoever had it would get the replies to the other one."""
    place = scene("ROUTER", "NULL", "tcp")
    (healthy,) = place.server.peers()
    number = int.from_bytes(healthy.identity, "big")
    assert healthy.identity[0] == 0
    claimed = [((number - i) % 2**32).to_bytes(5, "big") for i in range(40)]
    held = []
    with place.healthy.busy():
        for claim in claimed:
            w = wire.connect(place.address, version)
            w.handshake("DEALER", claim)
            w.send_message(b"it is me")
            held.append(w)
        eventually("all are in", lambda: len(place.server.peers()) == 1 + len(held))
    assert not {p.identity for p in enemies(place)} & set(claimed)
    for w in held:
        assert w.silent(0.001)
        w.close()
    place.settle()


def test_the_end_of_a_frame_may_come_byte_by_byte(scene):
    """It is not moved for each of them (tests/c/engine/test_steps.c counts it)."""
    place = scene("PULL", "NULL", "tcp")
    body = bytes(range(256)) * 240
    with place.healthy.busy():
        with place.talk().enter() as w:
            data = wire.frame(body)
            w.send(data[:-2000])
            for i in range(2000, 0, -1):
                w.send(data[-i:][:1])
            eventually("all of it", lambda: enemies(place)[0].bytes_received >= len(data))
    place.settle()


@TYPES
def test_more_than_maxmsgsize_is_refused_at_its_head(scene, setting):
    place = scene(*setting, maxmsgsize=1000)
    with place.healthy.busy():
        for head in (b"\x02" + struct.pack(">Q", 1001), b"\x06" + struct.pack(">Q", 1 << 40)):
            with place.talk().enter() as w:
                w.send(wire.frame(b"m" * 1000, wire.MORE) + head)
                w.wait_closed()
            assert place.violation() == MALFORMED
    place.settle()


def test_the_long_form_of_short_lengths_is_taken_and_other_flags_are_not_minded(scene):
    place = scene("PULL")
    with place.talk().enter() as w:
        w.send(wire.frame(b"", long=True) + wire.frame(b"long form", long=True))
        assert [recv(place.server), recv(place.server)] == [b"", b"long form"]
        w.send(wire.frame(b"", wire.MORE, long=True) + wire.frame(b"x"))
        assert recv_multipart(place.server) == [b"", b"x"]
    place.settle()


@matrix(("PULL", "NULL", "tcp"), ("XPUB", "NULL", "tcp"), ("DEALER", "NULL", "ipc"))
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)], ids=["1.0", "2.0", "3.0"])
def test_older_protocols_are_cut_at_any_byte_too(scene, setting, version):
    place = scene(*setting)
    kind = {"PULL": "PUSH", "XPUB": "SUB", "DEALER": "DEALER"}[setting[0]]
    opening = {
        (1, 0): wire.frame_v1(b"id") + wire.frame_v1(b"\1a") + wire.frame_v1(b"x" * 300),
        (2, 0): wire.signature()
        + bytes([1, wire.TYPE_IDS[kind]])
        + wire.frame(b"id")
        + wire.frame(b"\1a", wire.MORE)
        + wire.frame(b"x" * 300),
        (3, 0): wire.greeting(0) + wire.ready(kind) + wire.frame(b"\1a"),
    }[version]
    with place.healthy.busy():
        for at in range(0, len(opening), 1 if len(opening) < 200 else 2):
            with wire.connect(place.address) as w:
                push(w, opening[:at])
                if at % 3 == 0:
                    reset(w)
    place.settle()


# ---- frames without number ----


def test_a_flood_of_empty_frames_is_held_back(scene):
    """Millions of messages without a byte: RCVHWM of them wait, the rest with the enemy."""
    place = scene("PULL", rcvhwm=500)
    with place.healthy.busy(), place.talk().enter() as w:
        before = rss()
        w.sock.settimeout(0.3)
        sent = stuff(w, b"\0\0" * 100_000, 8_000_000, 0.3)
        assert sent > 500_000
        assert enemies(place)[0].queued_in <= 500
        assert rss() - before < ROOM
        reset(w)
    place.settle()


def test_a_message_without_end_is_cut_at_maxmsgparts(scene):
    place = scene("PULL")
    with place.healthy.busy(), place.talk().enter() as w:
        stuff(w, b"\1\0" * 50_000, 1_000_000)
        w.wait_closed()
        assert place.violation() == MALFORMED
    place.settle()


def test_messages_of_very_many_parts_come_whole_or_not_at_all(scene):
    place = scene("PULL", rcvhwm=10)
    with place.talk().enter() as w:
        w.send(b"\1\0" * 65_534 + b"\0\0" + b"\1\1x" * 1000)
        assert len(recv_multipart(place.server)) == 65_535
        reset(w)
    assert nothing_arrives(place.server)
    place.settle()


@pytest.mark.parametrize("kind", ["GATHER", "SERVER"])
def test_parts_for_a_type_of_single_parts_are_dropped_and_held_by_nobody(scene, kind):
    """Whole ones, cut ones, long ones, and a message without end."""
    place = scene(kind, rcvhwm=10)
    before = rss()
    several = wire.frame(b"", wire.MORE) + wire.frame(b"x" * 300)
    long = wire.frame(b"y" * 200_000, wire.MORE) + wire.frame(b"")
    with place.healthy.busy():
        with place.talk().enter() as w:
            w.send(several * 20_000 + long * 5 + b"\1\0" * 60_000)
            assert place.violation() == WRONG_PARTS
            eventually("all dropped", lambda: place.server.stats().dropped == 20_006)
            w.send(b"\1\0" * 6000)  # more parts than any message may have
            w.wait_closed()
            assert place.violation() == MALFORMED
        with place.talk().enter() as w:  # the beginning of one, and what follows it elsewhere
            w.send(b"\1\5begin")
            assert place.violation() == WRONG_PARTS
            reset(w)
        with place.talk().enter() as w:
            w.send(b"\0\4mine")
            eventually("its message", lambda: place.healthy.strangers > 0)
            reset(w)
        assert rss() - before < ROOM
    place.settle()


# ---- PING ----


@TYPES
def test_pings_of_a_peer_that_never_reads_are_answered_within_bounds(scene, setting):
    """A PONG for each would pile up here."""
    place = scene(*setting)
    with place.healthy.busy(), place.talk().enter() as w:
        w.sock.setsockopt(1, 8, 4096)  # SO_RCVBUF
        ping = wire.command(b"PING", b"\0\0" + b"0123456789abcdef")
        assert stuff(w, ping * 4000, 200_000 * len(ping)) >= 200_000 * len(ping)
        assert place.memory() < MB
        reset(w)
    place.settle()


def test_quick_pings_of_a_peer_at_the_high_water_mark_cost_no_processor_time(scene):
    """It gets signs of life at the pace of its PINGs, but no faster than makes sense."""
    place = scene("PULL", rcvhwm=10)
    with place.talk().enter() as w:
        for _ in range(200):  # the pace is what lies between two reads of the engine
            w.send(wire.command(b"PING", b"\0\0"))
        w.send(wire.frame(b"fills the queue") * 100)
        eventually("at its mark", lambda: enemies(place)[0].queued_in == 10)
        assert is_idle(0.4, 0.03), "busy with a peer that is not read"
        # It still hears of us.
        time.sleep(0.05)
        assert w.sock.recv(1 << 20)
        assert w.sock.recv(1 << 20)
        reset(w)
    place.settle()


def test_the_ttl_of_a_ping_is_the_peers_own_affair(scene):
    place = scene("PULL")
    with place.healthy.busy():
        for ttl in (0, 1, 2, 0xFFFF):
            with place.talk().enter() as w:
                for _ in range(200):
                    push(w, wire.command(b"PING", struct.pack(">H", ttl)))
                    push(w, wire.command(b"PING", b"\0") + wire.command(b"PONG", b"x" * 200))
    place.settle()


# ---- peers that are slow, or never read ----


@matrix(("PUB", "NULL", "tcp"), ("XPUB", "NULL", "ipc"), ("PUB", "CURVE", "tcp"))
def test_a_publisher_drops_for_those_who_do_not_read(scene, setting):
    """One never reads, one takes a byte now and then: they miss messages, the healthy one none."""
    place = scene(*setting, sndhwm=50)
    stop = threading.Event()
    body = b"everything" + bytes(20_000)

    def sip(w):
        while not stop.wait(0.02) and w.sock.recv(1):
            continue

    with place.healthy.busy():
        never, slow = place.talk().enter(), place.talk().enter()
        for w in (never, slow):
            w.send(w.message(b"everything"))
        place.server.wait_for_subscribers(2, b"everything", timeout=8000)
        sipping = threading.Thread(target=sip, args=(slow,))
        sipping.start()
        for _ in range(1000):
            place.server.send(body)
        dropped = [p.dropped for p in enemies(place)]
        assert all(n > 100 for n in dropped), dropped
        assert all(p.queued_out <= 50 for p in enemies(place))
        stop.set()
        sipping.join()
        never.close()
        slow.close()
    place.settle()


@pytest.mark.parametrize("mechanism", ["NULL", "CURVE"])
def test_a_push_goes_elsewhere_when_a_peer_does_not_read(scene, mechanism):
    place = scene("PUSH", mechanism, sndhwm=5)
    with place.talk().enter() as w:
        got = 0
        for i in range(300):
            place.server.send(b"%d" % i + bytes(200_000))
            # The healthy one takes what it is given at once.
            while place.peer.poll(0):
                place.peer.recv()
                got += 1
        while place.peer.poll(200):
            place.peer.recv()
            got += 1
        kept = enemies(place)[0].queued_out
        assert kept <= 5
        assert got >= 200, f"{got} of 300 messages reached the one who reads"
        reset(w)
    eventually("the enemy gone", lambda: len(place.server.peers()) == 1)
    sent = [b"%d" % i for i in range(50)]
    for body in sent:
        place.server.send(body)
    assert [recv(place.peer) for _ in sent] == sent


@pytest.mark.parametrize("mandatory", [0, 1])
def test_a_router_is_not_held_up_by_a_peer_that_does_not_read(scene, mandatory):
    place = scene("ROUTER", sndhwm=5, router_mandatory=mandatory)
    with place.healthy.busy(), place.talk().enter() as w:
        w.send_message(b"who am I")
        enemy = b""
        while not enemy:
            eventually("the enemy's id", lambda: len(enemies(place)) == 1)
            enemy = enemies(place)[0].identity
        refused = 0
        for _ in range(300):
            try:
                place.server.send_multipart([enemy, bytes(100_000)], zmq.DONTWAIT)
            except zmq.Again:
                refused += 1
        assert enemies(place)[0].queued_out <= 5
        assert (refused > 0) == bool(mandatory)
        assert (enemies(place)[0].dropped > 0) != bool(mandatory)
        reset(w)
    place.settle()


def test_a_rep_is_not_held_up_by_one_who_asks_and_does_not_listen(scene):
    place = scene("REP", sndhwm=5)
    with place.healthy.busy(), place.talk().enter() as w:
        stuff(w, place_question(w) * 500, 2_000_000, 0.3)
        assert enemies(place)[0].queued_out <= 5
        reset(w)
    place.settle()


def place_question(w):
    return w.message(b"?" * 100)


# ---- STREAM ----


def test_a_stream_keeps_its_peers_apart_whatever_they_send(scene):
    place = scene("STREAM")
    with place.healthy.busy():
        for data in (b"", b"\0", wire.greeting(), b"\xff" * 100_000):
            with wire.connect(place.address) as w:
                push(w, data)
            with wire.connect(place.address) as w:
                push(w, data)
                reset(w)
    place.settle()


def test_a_stream_that_floods_is_held_at_its_high_water_mark(scene):
    place = scene("STREAM", rcvhwm=20)
    with wire.connect(place.address) as w:
        before = rss()
        stuff(w, bytes(MB), 3 * ROOM, 0.3)
        eventually("at its mark", lambda: enemies(place)[0].queued_in >= 20)
        assert rss() - before < ROOM
        reset(w)
    place.settle()


def test_what_broke_the_rules_is_told_once_and_only_of_those_who_were_in(scene):
    place = scene("PULL", maxmsgsize=100)
    with place.talk().enter() as w:
        w.send(wire.frame(bytes(101)))
        w.wait_closed()
    assert place.events.next()[:2] == (VIOLATION, MALFORMED)
    assert place.events.next()[0] == zmq.EVENT_DISCONNECTED
    with place.talk().enter():
        pass
    assert place.events.next()[0] == zmq.EVENT_DISCONNECTED
    assert place.events.silent(VIOLATION)


def test_a_reply_against_the_rules_is_told(make, watch):
    with wire.Listener() as listener:
        req = make(zmq.REQ)
        events = watch(req)
        req.connect(listener.address)
        req.send(b"q")
        with listener.accept() as w:
            w.handshake("REP")
            w.send_message(b"no delimiter")
            w.wait_closed()
        assert events.wait(VIOLATION)[1] == MALFORMED
        events.wait(zmq.EVENT_DISCONNECTED)


def test_fill_stops_where_the_enemy_stops_reading(scene):
    """What waits for a peer that never reads is what SNDHWM says, and what the kernel took."""
    place = scene("PUSH", sndhwm=3, sndbuf=4096)
    place.peer.close()
    eventually("the healthy one gone", lambda: not place.server.peers())
    with place.talk().enter() as w:
        count = fill(place.server, bytes(100_000), 1000)
        assert place.server.peers()[0].queued_out == 3
        assert count < 300
        reset(w)
