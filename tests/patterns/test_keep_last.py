# SPDX-License-Identifier: MIT
"""PUB_KEEP_LAST: late subscribers are given the last message of each topic."""

import os
import random
import threading
from typing import Any

import pytest
from helpers import eventually, nothing_arrives, recv, recv_multipart
from loops import in_loops
from security import Keys, curve_client, curve_server, needs_curve
from target import fastmq_only, submodule, zmq
from wire import command, connect

pytestmark = fastmq_only("PUB_KEEP_LAST is fastmq's own")

publishers = pytest.mark.parametrize("kind", [zmq.PUB, zmq.XPUB], ids=["pub", "xpub"])


def subscriber(make: Any, *topics: bytes, **options: Any) -> Any:
    sub = make(zmq.SUB, **options)
    for topic in topics:
        sub.subscribe(topic)
    return sub


@publishers
def test_a_late_subscriber_is_given_the_last_messages_before_newer_ones(make, endpoint, kind):
    pub = make(kind, pub_keep_last=10)
    address = endpoint.bind(pub)
    for message in ([b"b", b"1"], [b"a", b"1"], [b"b", b"", b"2"], [b"c"]):
        pub.send_multipart(message)
    sub = subscriber(make, b"a", b"b")
    endpoint.connect(sub, address)
    pub.wait_for_subscribers(topic=b"b", timeout=8000)
    pub.send_multipart([b"a", b"2"])
    got = [recv_multipart(sub) for _ in range(3)]
    assert sorted(got[:2]) == [[b"a", b"1"], [b"b", b"", b"2"]] and got[2] == [b"a", b"2"]
    assert nothing_arrives(sub)
    stats = pub.stats()
    assert (stats.kept, stats.kept_bytes, stats.kept_given, stats.kept_dropped) == (3, 5, 2, 0)


def test_without_the_option_nothing_is_kept(make, endpoint):
    pub = make(zmq.PUB)
    address = endpoint.bind(pub)
    pub.send(b"early")
    sub = subscriber(make, b"")
    endpoint.connect(sub, address)
    pub.wait_for_subscribers(timeout=8000)
    pub.send(b"late")
    assert recv(sub) == b"late"
    assert pub.stats().kept == pub.stats().kept_given == 0


def test_topics_come_in_the_order_of_publication_and_each_once(make, endpoint):
    pub = make(zmq.PUB, pub_keep_last=1000)
    address = endpoint.bind(pub)
    dice = random.Random(1)
    last: dict[bytes, int] = {}
    for number in range(3000):
        topic = b"%03d" % dice.randrange(300)
        last.pop(topic, None)
        last[topic] = number
        pub.send_multipart([topic, b"%d" % number])
    sub = subscriber(make, b"")
    endpoint.connect(sub, address)
    got = [recv_multipart(sub) for _ in last]
    assert got == [[topic, b"%d" % number] for topic, number in last.items()]
    sub.subscribe(b"1")  # has it already
    sub.unsubscribe(b"1")
    assert nothing_arrives(sub)
    sub.unsubscribe(b"")
    sub.subscribe(b"00")
    assert {recv_multipart(sub)[0] for _ in range(10)} == {b"00%d" % n for n in range(10)}
    assert nothing_arrives(sub)


@pytest.mark.slow
def test_a_slow_subscriber_is_given_a_hundred_thousand_topics_and_loses_none(make, endpoint):
    count = 100_000
    pub = make(zmq.PUB, pub_keep_last=count, sndhwm=100)
    address = endpoint.bind(pub)
    for n in range(count):
        pub.send_multipart([b"%d" % n, b"old"])
    assert pub.stats().kept == count
    sub = subscriber(make, b"", rcvhwm=100)
    endpoint.connect(sub, address)
    pub.wait_for_subscribers(timeout=8000)
    for n in range(0, count, 10):
        pub.send_multipart([b"%d" % n, b"new"])
    quick = subscriber(make, b"7777")
    endpoint.connect(quick, address)
    assert {recv_multipart(quick)[0] for _ in range(11)} == {
        b"7777",
        *(b"7777%d" % n for n in range(10)),
    }
    values: dict[bytes, bytes] = {}
    new = 0
    while len(values) < count or new < count // 10:
        topic, value = recv_multipart(sub)
        assert values.get(topic) != b"new"
        values[topic] = value
        new += value == b"new"
    assert nothing_arrives(sub)
    assert all(value == (b"old" if int(topic) % 10 else b"new") for topic, value in values.items())
    assert pub.stats().queued_out == 0


def test_a_full_subscriber_gets_the_last_message_of_each_topic_in_the_end(make, endpoint):
    pub = make(zmq.PUB, pub_keep_last=10, sndhwm=2, sndbuf=5000)
    sub = subscriber(make, b"", rcvhwm=2, rcvbuf=5000)
    endpoint.connect(sub, endpoint.bind(pub))
    pub.wait_for_subscribers(timeout=8000)
    for number in range(3000):
        pub.send_multipart([b"%d" % (number % 10), b"%d" % number, bytes(500)])
    eventually("messages were replaced", lambda: pub.stats().dropped)
    last: dict[bytes, int] = {}
    while sorted(last.values()) != list(range(2990, 3000)):
        topic, number, _ = recv_multipart(sub)
        assert int(number) > last.get(topic, -1)
        last[topic] = int(number)
    assert nothing_arrives(sub)


def test_topics_that_push_others_out_stay_in_the_order_of_publication(make, endpoint):
    pub = make(zmq.PUB, pub_keep_last=20, sndhwm=2, sndbuf=5000)
    sub = subscriber(make, b"", rcvhwm=2, rcvbuf=5000)
    endpoint.connect(sub, endpoint.bind(pub))
    pub.wait_for_subscribers(timeout=8000)
    for number in range(3000):  # each is a topic, and takes the place of an older one
        pub.send_multipart([b"%04d" % number, bytes(500)])
    got = []
    while not got or got[-1] < 2999:
        got.append(int(recv_multipart(sub)[0]))
    assert got == sorted(got) and got[-20:] == list(range(2980, 3000))
    assert len(got) < 3000, "the subscriber was never full"
    assert nothing_arrives(sub)


def test_limits_by_topics_and_by_bytes(make, endpoint):
    pub = make(zmq.PUB, pub_keep_last=3, pub_keep_last_bytes=100)
    address = endpoint.bind(pub)
    for topic in b"abcd":
        pub.send_multipart([bytes([topic]), bytes(9)])
    assert (pub.stats().kept, pub.stats().kept_bytes, pub.stats().kept_dropped) == (3, 30, 1)
    pub.send_multipart([b"e", bytes(89)])
    assert (pub.stats().kept, pub.stats().kept_bytes) == (2, 100)
    pub.send_multipart([b"e", bytes(200)])
    assert pub.stats().kept == 1
    sub = subscriber(make, b"")
    endpoint.connect(sub, address)
    assert recv_multipart(sub)[0] == b"d"
    assert nothing_arrives(sub)
    assert (pub.pub_keep_last, pub.PUB_KEEP_LAST_BYTES) == (3, 100)
    pub.pub_keep_last = 0
    assert (pub.stats().kept, pub.stats().kept_bytes) == (0, 0)


def test_the_options_are_of_publishers_alone_and_have_a_range(make):
    for option, value in ((zmq.PUB_KEEP_LAST, 1), (zmq.PUB_KEEP_LAST_BYTES, 1)):
        with pytest.raises(zmq.ZMQError, match="does not apply to SUB"):
            make(zmq.SUB).setsockopt(option, value)
        with pytest.raises(zmq.ZMQError, match="takes 0 to"):
            make(zmq.PUB).setsockopt(option, -1)
        assert make(zmq.XPUB).getsockopt(option) == 0


def test_xpub_manual_gives_what_the_program_accepts(make, endpoint):
    pub = make(zmq.XPUB, pub_keep_last=10, xpub_manual=1)
    address = endpoint.bind(pub)
    pub.send_multipart([b"a", b"1"])
    pub.send_multipart([b"A", b"2"])
    sub = subscriber(make, b"a", b"A")
    endpoint.connect(sub, address)
    assert {recv(pub), recv(pub)} == {b"\1a", b"\1A"}
    assert nothing_arrives(sub)
    pub.setsockopt(zmq.SUBSCRIBE, b"A")
    assert recv_multipart(sub) == [b"A", b"2"]
    assert nothing_arrives(sub)


def test_inverted_matching_gives_what_is_not_subscribed_to(make, endpoint):
    pub = make(zmq.PUB, pub_keep_last=10, invert_matching=1)
    address = endpoint.bind(pub)
    for topic in (b"a", b"ab", b"b"):
        pub.send(topic)
    sub = make(zmq.SUB, invert_matching=1)
    sub.subscribe(b"ab")
    endpoint.connect(sub, address)
    assert [recv(sub), recv(sub)] == [b"a", b"b"]
    assert nothing_arrives(sub)
    sub.unsubscribe(b"ab")
    assert recv(sub) == b"ab"


def test_conflate_gives_the_newest_alone(make, endpoint):
    pub = make(zmq.PUB, pub_keep_last=10, conflate=1)
    address = endpoint.bind(pub)
    for topic in (b"c", b"b", b"a"):
        pub.send(topic)
    sub = subscriber(make, b"")
    endpoint.connect(sub, address)
    assert recv(sub) == b"a"
    assert nothing_arrives(sub)


def test_a_publisher_that_connects_gives_again_after_reconnection(make):
    pub = make(zmq.PUB, pub_keep_last=10, reconnect_ivl=5)
    pub.send_multipart([b"a", b"1"])
    sub = subscriber(make, b"a")
    sub.bind("tcp://127.0.0.1:*")
    address = sub.last_endpoint.rstrip(b"\0").decode()
    pub.connect(address)
    assert recv_multipart(sub) == [b"a", b"1"]
    sub.close()
    other = subscriber(make, b"a")
    eventually("the address is free", lambda: bound(other, address))
    assert recv_multipart(other) == [b"a", b"1"]


def bound(sock: Any, address: str) -> bool:
    try:
        sock.bind(address)
    except zmq.ZMQError as e:
        assert e.errno == zmq.EADDRINUSE
        return False
    return True


@publishers
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0), (3, 1)], ids=str)
def test_peers_of_every_version_are_given_them(make, kind, version):
    pub = make(kind, pub_keep_last=10)
    pub.bind("tcp://127.0.0.1:*")
    pub.send_multipart([b"ab", b"1"])
    pub.send_multipart([b"ac", b"", bytes(300)])
    with connect(pub.last_endpoint.rstrip(b"\0").decode(), version) as peer:
        peer.handshake("SUB")
        if version == (3, 1):
            peer.send(command(b"SUBSCRIBE", b"a"))
        else:
            peer.send_message(b"\1a")
        assert peer.read_message() == [b"ab", b"1"]
        assert peer.read_message() == [b"ac", b"", bytes(300)]
        pub.send(b"a")
        assert peer.read_message() == [b"a"]


@needs_curve
def test_kept_messages_are_given_under_curve(make):
    keys, mine = Keys(), Keys()
    pub = make(zmq.PUB, pub_keep_last=10, **curve_server(keys))
    pub.bind("tcp://127.0.0.1:*")
    body = os.urandom(100_000)
    pub.send_multipart([b"a", body])
    sub = subscriber(make, b"a", **curve_client(mine, keys.public))
    sub.connect(pub.last_endpoint.rstrip(b"\0").decode())
    assert recv_multipart(sub) == [b"a", body]


@pytest.mark.parametrize("copy", [True, False])
def test_a_tracked_message_is_done_although_it_is_kept(make, copy):
    pub = make(zmq.PUB, pub_keep_last=10)
    pub.bind("tcp://127.0.0.1:*")
    body = bytearray(b"x" * 200_000)
    tracker = pub.send_multipart([b"a", body], copy=copy, track=not copy)
    if not copy:
        tracker.wait(8)
        body[:] = bytes(len(body))
    sub = subscriber(make, b"a")
    sub.connect(pub.last_endpoint.rstrip(b"\0").decode())
    assert recv_multipart(sub) == [b"a", b"x" * 200_000]


def test_many_subscribers_at_once_get_all_in_the_end(make, endpoint):
    pub = make(zmq.PUB, pub_keep_last=50, sndhwm=3)
    address = endpoint.bind(pub)
    stop = threading.Event()
    numbers: dict[int, int] = {}

    def publish() -> None:
        for number in range(100_000):
            if stop.is_set():
                return
            numbers[number % 50] = number
            pub.send_multipart([b"%d" % (number % 50), b"%d" % number])

    source = threading.Thread(target=publish)
    source.start()
    subs = []
    for _ in range(8):
        subs.append(subscriber(make, b"", rcvhwm=3))
        endpoint.connect(subs[-1], address)
    seen: list[dict[int, int]] = [{} for _ in subs]
    for _ in range(20):
        for sub, has in zip(subs, seen, strict=True):
            topic, number = map(int, recv_multipart(sub))
            assert number > has.get(topic, -1)
            has[topic] = number
    stop.set()
    source.join()
    for sub, has in zip(subs, seen, strict=True):
        while has != numbers:
            topic, number = map(int, recv_multipart(sub))
            assert number > has.get(topic, -1)
            has[topic] = number


@in_loops
async def test_kept_messages_are_given_in_a_loop() -> None:
    za = submodule("asyncio")
    ctx = za.Context()
    pub, sub = ctx.socket(zmq.PUB), ctx.socket(zmq.SUB)
    try:
        pub.pub_keep_last, pub.sndhwm, sub.rcvhwm = 1000, 10, 10
        pub.bind("tcp://127.0.0.1:*")
        for n in range(500):
            await pub.send_multipart([b"%d" % n, b"x"])
        sub.subscribe(b"")
        sub.connect(pub.last_endpoint.decode().rstrip("\0"))
        for n in range(500):
            assert await sub.recv_multipart() == [b"%d" % n, b"x"]
    finally:
        pub.close(linger=0)
        sub.close(linger=0)
        ctx.term()
