# SPDX-License-Identifier: MIT
"""What subscribers may make a publisher keep: MAX_SUBSCRIPTIONS, notices, floods of topics."""

import contextlib
import threading

import pytest
import wire
from helpers import Events, drain, eventually, recv
from scene import MALFORMED, SUBSCRIPTIONS, VIOLATION, rss, stuff
from target import zmq


def subscribe(topic):
    return wire.command(b"SUBSCRIBE", topic)


def cancel(topic):
    return wire.command(b"CANCEL", topic)


def old(topic, add=True):
    """As older subscribers send it."""
    return wire.frame(bytes([add]) + topic)


def subscribed(place):
    """Topics of each peer but the healthy one."""
    return [p.subscriptions for p in place.server.peers() if p.subscriptions not in (None, 1)]


# ---- many at once ----


@pytest.mark.parametrize("kind", ["PUB", "XPUB"])
def test_a_message_of_very_many_subscriptions_stops_nobody(scene, kind):
    """Each part costs the same, however many there are (tests/c/engine/test_steps.c counts it)."""
    place = scene(kind, maxmsgparts=200_000)
    parts = b"".join(wire.frame(b"\1topic %06d" % (i % 100), wire.MORE) for i in range(200_000 - 1))
    with place.healthy.busy():
        with place.talk().enter() as w:
            w.send(parts + wire.frame(b"\1the last"))
            eventually("the last of them", lambda: subscribed(place) == [101])
    place.drain()
    place.settle()


# ---- MAX_SUBSCRIPTIONS ----


@pytest.mark.parametrize("form", [subscribe, old], ids=["command", "message"])
@pytest.mark.parametrize("kind", ["PUB", "XPUB"])
def test_a_peer_that_subscribes_to_more_than_allowed_is_disconnected(scene, kind, form):
    place = scene(kind, max_subscriptions=10)
    with place.healthy.busy():
        with place.talk().enter() as w:
            # Again and again is still once, and what was cancelled does not count.
            w.send(b"".join(form(b"t%d" % (i % 10)) for i in range(100)))
            for i in range(50):
                w.send(cancel(b"t%d" % (i % 10)) + form(b"t%d" % (i % 10)))
            eventually("ten topics", lambda: subscribed(place) == [10])
            w.send(form(b"one too many") + b"".join(form(b"more %d" % i) for i in range(10_000)))
            assert place.violation() == SUBSCRIPTIONS
            assert place.events.next()[0] == zmq.EVENT_DISCONNECTED
            w.wait_closed()
    place.settle()
    assert place.server.get(zmq.SocketOption.TOPICS_COUNT) == 1


def test_subscriptions_of_many_peers_are_counted_for_each(scene):
    place = scene("PUB", max_subscriptions=3)
    peers = [place.talk().enter() for _ in range(5)]
    for w in peers:
        w.send(b"".join(subscribe(b"t%d" % i) for i in range(3)))
    eventually("three each", lambda: subscribed(place) == [3] * 5)
    peers[0].send(subscribe(b"t3"))
    peers[0].wait_closed()
    eventually("one gone", lambda: subscribed(place) == [3] * 4)
    place.server.send(b"t1!")
    for w in peers[1:]:
        assert w.read_message() == [b"t1!"]
    for w in peers:
        w.close()
    place.settle()


def test_what_the_program_is_asked_for_counts_with_manual_subscriptions(scene):
    place = scene("XPUB", max_subscriptions=2)
    place.drain()
    place.server.setsockopt(zmq.XPUB_MANUAL, 1)
    with place.talk().enter() as w:
        w.send(subscribe(b"a") + subscribe(b"b"))
        assert [recv(place.server), recv(place.server)] == [b"\1a", b"\1b"]
        assert place.events.silent(VIOLATION)
        w.send(subscribe(b"c"))
        assert place.violation() == SUBSCRIPTIONS
        w.wait_closed()
    assert sorted([recv(place.server), recv(place.server)]) == [b"\0a", b"\0b"]


def test_a_publisher_that_connects_counts_anew_in_each_connection(make):
    """The topics of a former connection are no burden of the next, which repeats what it wants."""
    with wire.Listener() as listener:
        pub = make(zmq.PUB, reconnect_ivl=10, max_subscriptions=4)
        events = Events(pub, VIOLATION)
        pub.connect(listener.address)
        for life in range(3):
            with listener.accept() as w:
                w.handshake("SUB")
                w.send(b"".join(subscribe(b"%d/%d" % (life, i)) for i in range(4)))
                w.send(subscribe(b"%d/0" % life))
                pub.wait_for_subscribers(1, b"%d/3" % life, timeout=8000)
        with listener.accept() as w:
            w.handshake("SUB")
            w.send(b"".join(subscribe(b"last %d" % i) for i in range(5)))
            assert events.next()[:2] == (VIOLATION, SUBSCRIPTIONS)
            w.wait_closed()
        events.close()


def test_the_limit_holds_over_inproc_too(make, name):
    pub, sub, good = make(zmq.PUB, max_subscriptions=2), make(zmq.SUB), make(zmq.SUB)
    address = name()
    pub.bind(address)
    good.setsockopt(zmq.SUBSCRIBE, b"t")
    good.connect(address)
    sub.connect(address)
    for i in range(3):
        sub.setsockopt(zmq.SUBSCRIBE, b"t%d" % i)
    eventually("the greedy one gone", lambda: len(pub.peers()) == 1)
    pub.send(b"t0")
    assert recv(good) == b"t0"


def test_without_a_limit_any_number_may_be_subscribed_to(scene):
    place = scene("PUB")
    assert place.server.max_subscriptions == 0
    place.server.max_subscriptions = 7
    assert place.server.get(zmq.SocketOption.MAX_SUBSCRIPTIONS) == 7
    with pytest.raises(zmq.ZMQError, match="MAX_SUBSCRIPTIONS takes 0 to"):
        place.server.max_subscriptions = -1
    place.server.max_subscriptions = 0
    with place.talk().enter() as w:
        w.send(b"".join(subscribe(b"t%d" % i) for i in range(2000)))
        eventually("all of them", lambda: subscribed(place) == [2000])
    place.settle()


def test_other_types_have_no_such_limit(make):
    with pytest.raises(zmq.ZMQError, match="MAX_SUBSCRIPTIONS does not apply to PULL"):
        make(zmq.PULL).setsockopt(zmq.SocketOption.MAX_SUBSCRIPTIONS, 1)


# ---- notices that nobody receives ----

CHURN = b"".join(subscribe(b"topic %d" % i) + cancel(b"topic %d" % i) for i in range(100))


def rounds(w, data, count, mark):
    """Sends `data` so often and waits until all of it has been taken."""
    for _ in range(count):
        w.send(data)
    w.send(wire.command(b"PING", b"\0\0" + mark))
    while w.read_command() != (b"PONG", mark):
        continue


def test_topics_that_come_and_go_unheard_of_do_not_pile_up(scene):
    """50,000 changes while the program receives nothing; then it hears of at most RCVHWM."""
    place = scene("XPUB", rcvhwm=100)
    place.drain()
    with place.healthy.busy(), place.talk().enter() as w:
        rounds(w, CHURN, 250, b"done")
        w.send(subscribe(b"stays"))
        eventually(
            "the last one", lambda: subscribed(place) == [1] or len(place.server.peers()) == 2
        )
        place.server.wait_for_subscribers(1, b"stays", timeout=8000)
        heard = drain(place.server)
        assert len(heard) <= 102, len(heard)
        # What is left out says nothing: the sum of all is what stands.
        state = {}
        for note in heard:
            state[note[1:]] = state.get(note[1:], 0) + (1 if note[0] else -1)
        assert {t: n for t, n in state.items() if n} == {b"stays": 1}
    place.settle()


def test_subscribers_that_come_and_go_unheard_of_do_not_pile_up(scene):
    place = scene("XPUB", rcvhwm=20)
    place.drain()
    with place.healthy.busy():
        for i in range(60):
            with place.talk().enter() as w:
                rounds(w, subscribe(b"t%d" % i), 1, b"x")
        eventually("all gone", lambda: len(place.server.peers()) == 1)
    heard = drain(place.server)
    assert len(heard) <= 22, len(heard)
    assert sum(1 if note[0] else -1 for note in heard) == 0
    place.settle()


def test_below_the_high_water_mark_every_change_is_heard_of(scene):
    place = scene("XPUB")
    place.drain()
    with place.talk().enter() as w:
        rounds(w, CHURN, 4, b"done")
    heard = drain(place.server)
    assert len(heard) == 800
    assert heard[:2] == [b"\1topic 0", b"\0topic 0"]


@pytest.mark.parametrize("form", [subscribe, old], ids=["command", "message"])
@pytest.mark.parametrize("mode", ["xpub_verbose", "xpub_verboser", "xpub_manual"])
def test_where_every_request_is_told_a_subscriber_is_held_up(scene, mode, form):
    """All of its requests come, in order, but no more than RCVHWM ahead of the program."""
    place = scene("XPUB", rcvhwm=50)
    place.server.setsockopt(getattr(zmq, mode.upper()), 1)
    place.drain()
    total = 30_000
    data = b"".join(form(b"%d" % (i % 5)) for i in range(100))
    with place.healthy.busy(), place.talk().enter() as w:
        w.sock.settimeout(25)
        feeder = threading.Thread(target=rounds_quietly, args=(w, data, total // 100))
        feeder.start()
        eventually("the enemy held up", lambda: held_up(place, total * len(data) // 200))
        heard = 0
        while heard < total:
            note = recv(place.server, f"request {heard}")
            assert note == b"\1%d" % (heard % 100 % 5)
            heard += 1
        feeder.join()
    place.settle()


def rounds_quietly(w, data, count):
    with contextlib.suppress(OSError):
        for _ in range(count):
            w.send(data)


def held_up(place, most):
    """The enemy's bytes have stopped coming, long before their end."""

    def received():
        return sum(p.bytes_received for p in place.server.peers() if p.subscriptions != 1)

    before = received()
    threading.Event().wait(0.1)
    return most > received() == before > 0


def test_those_who_come_back_with_requests_are_held_up_as_well(scene):
    """Whoever comes while RCVHWM notices of the gone are unheard is let in, and not read."""
    place = scene("XPUB", xpub_verboser=1, rcvhwm=30)
    place.drain()
    with place.healthy.busy():
        for i in range(3):
            with place.talk().enter() as w:
                rounds(w, b"".join(subscribe(b"%d/%d" % (i, j)) for j in range(5)), 1, b"x")
        eventually("three gone", lambda: len(place.server.peers()) == 1)
        with place.talk().enter() as w:
            w.send(subscribe(b"late"))
            with pytest.raises(zmq.Again):
                place.server.wait_for_subscribers(1, b"late", timeout=100)
            heard = [place.server.recv() for _ in range(30)]
            assert [n[:1] for n in heard] == ([b"\1"] * 5 + [b"\0"] * 5) * 3
            place.server.wait_for_subscribers(1, b"late", timeout=8000)
            assert recv(place.server) == b"\1late"
    place.settle()


# ---- floods ----


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PUB", "XPUB"])
def test_a_flood_of_topics_costs_memory_only_while_its_peer_is_there(scene, kind):
    place = scene(kind)
    total = 100_000
    with place.healthy.busy():
        before = rss()
        with place.talk().enter() as w:
            w.sock.settimeout(25)
            data = b"".join(subscribe(b"flood %06d" % i) for i in range(total))
            w.send(data)
            eventually("all of them", lambda: subscribed(place) == [total], 20)
            assert (rss() - before) / total < 1500
            place.server.send(b"flood 099999!")
            assert w.read_message() == [b"flood 099999!"]
        eventually("gone", lambda: place.server.get(zmq.SocketOption.TOPICS_COUNT) == 1, 20)
    place.settle()


def test_very_long_topics_end_with_maxmsgsize(scene):
    place = scene("XPUB", maxmsgsize=100_000)
    with place.healthy.busy(), place.talk().enter() as w:
        for i in range(20):
            w.send(subscribe(b"%d" % i + b"long" * 20_000))
        eventually("all of them", lambda: subscribed(place) == [20])
        w.send(subscribe(b"x" * 100_000))
        assert place.violation() == MALFORMED
        w.wait_closed()
    place.settle()


def test_topics_that_share_all_but_their_ends_are_told_apart(scene):
    """Long chains in the tree of topics: each a prefix of the next."""
    place = scene("PUB")
    with place.healthy.busy(), place.talk().enter() as w:
        for i in range(1500):
            w.send(subscribe(b"a" * i))
        eventually("all of them", lambda: 1500 in [p.subscriptions for p in place.server.peers()])
        place.server.send(b"a" * 2000)
        while w.read_message() != [b"a" * 2000]:
            continue
        for i in reversed(range(1500)):
            w.send(cancel(b"a" * i))
        eventually("none left", lambda: 0 in [p.subscriptions for p in place.server.peers()])
    place.settle()


def test_nonsense_in_the_place_of_subscriptions_is_passed_over(scene):
    place = scene("PUB")
    with place.healthy.busy(), place.talk().enter() as w:
        for body in (b"", b"\2x", b"\xff" * 1000, b"\0", b"\1"):
            w.send(wire.frame(body, wire.MORE) + wire.frame(body))
        w.send(cancel(b"never") + wire.command(b"JOIN", b"g") + wire.command(b"LEAVE", b"g"))
        eventually(
            "subscribed to all", lambda: [p.subscriptions for p in place.server.peers()] == [1, 1]
        )
        assert stuff(w, wire.frame(b"no subscription"), 100_000) >= 100_000
    place.settle()
