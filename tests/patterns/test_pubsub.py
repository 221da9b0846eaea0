# SPDX-License-Identifier: MIT
import threading

import pytest
from helpers import (
    bind_when_free,
    drain,
    eventually,
    fill,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
    sync_subscriber,
    wait_readable,
)
from target import fastmq_only, zmq

streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)
one = pytest.mark.parametrize("endpoint", ["tcp"], indirect=True)
two = pytest.mark.parametrize("endpoint", ["tcp", "inproc"], indirect=True)


@pytest.fixture
def published(make, endpoint):
    """published([b"topic"], ...): a PUB and one SUB a list, whose subscriptions have arrived."""

    def new(*topics, pub_options=None, sub_options=None):
        pub = make(zmq.PUB, **(pub_options or {}))
        address = endpoint.bind(pub)
        subs = []
        for wanted in topics:
            sub = make(zmq.SUB, **(sub_options or {}))
            for topic in wanted:
                sub.setsockopt(zmq.SUBSCRIBE, topic)
            endpoint.connect(sub, address)
            subs.append(sub)
        sync_subscriber(pub, *subs)
        return pub, *subs

    return new


def test_sub_cannot_send(make):
    sub = make(zmq.SUB)
    with raises_errno(zmq.ENOTSUP):
        sub.send(b"x")


def test_pub_cannot_recv(make):
    pub = make(zmq.PUB)
    with raises_errno(zmq.ENOTSUP):
        pub.recv()


def test_pub_without_subscribers_drops_and_never_blocks(make, endpoint):
    pub = make(zmq.PUB)
    endpoint.bind(pub)
    for _ in range(5000):
        pub.send(b"x", zmq.DONTWAIT)
    assert pub.poll(0, zmq.POLLOUT) == zmq.POLLOUT


def test_subscriber_gets_what_matches_its_prefix(published):
    pub, sub = published([b"a", b"bc"])
    for m in (b"a", b"ab", b"b", b"bc", b"bcd", b"c", b"", b"Ab"):
        pub.send(m)
    pub.send(b"a end")
    assert [recv(sub) for _ in range(5)] == [b"a", b"ab", b"bc", b"bcd", b"a end"]


def test_only_the_first_part_is_matched(published):
    pub, sub = published([b"a"])
    pub.send_multipart([b"x", b"a"])
    pub.send_multipart([b"a", b"x", b""])
    assert recv_multipart(sub) == [b"a", b"x", b""]


def test_empty_topic_matches_all(published):
    pub, sub = published([b""])
    messages = [[b""], [b"x"], [b"", b"y"], [bytes(10000)]]
    for m in messages:
        pub.send_multipart(m)
    assert [recv_multipart(sub) for _ in messages] == messages


def test_no_subscription_no_messages(published):
    pub, sub = published([])
    pub.send(b"x")
    assert nothing_arrives(sub)


def test_every_subscriber_gets_its_own_copy(published):
    pub, *subs = published(*[[b""]] * 5)
    for i in range(100):
        pub.send_multipart([b"%d" % i, bytes(i * 10)])
    for sub in subs:
        for i in range(100):
            assert recv_multipart(sub) == [b"%d" % i, bytes(i * 10)]


def test_subscribers_with_different_topics(published):
    pub, a, b, both = published([b"a"], [b"b"], [b"a", b"b"])
    for m in (b"a1", b"b1", b"a2", b"b2", b"c"):
        pub.send(m)
    assert [recv(a), recv(a)] == [b"a1", b"a2"]
    assert [recv(b), recv(b)] == [b"b1", b"b2"]
    assert [recv(both) for _ in range(4)] == [b"a1", b"b1", b"a2", b"b2"]
    for s in (a, b, both):
        assert s.poll(0) == 0


def test_overlapping_topics_give_one_copy(published):
    pub, sub = published([b"", b"a", b"ab"])
    pub.send(b"abc")
    pub.send(b"end")
    assert [recv(sub), recv(sub)] == [b"abc", b"end"]


def test_unsubscribe_counts(published):
    pub, sub = published([b"t", b"t", b"end"])
    sub.setsockopt(zmq.UNSUBSCRIBE, b"t")
    sync_subscriber(pub, sub)
    pub.send(b"t1")
    assert recv(sub) == b"t1"
    sub.setsockopt(zmq.UNSUBSCRIBE, b"t")
    sync_subscriber(pub, sub)
    pub.send(b"t2")
    pub.send(b"end")
    assert recv(sub) == b"end"


def test_unsubscribing_what_was_not_subscribed_changes_nothing(published):
    pub, sub = published([b"a"])
    sub.setsockopt(zmq.UNSUBSCRIBE, b"b")
    sub.setsockopt(zmq.UNSUBSCRIBE, b"")
    sync_subscriber(pub, sub)
    pub.send(b"a")
    assert recv(sub) == b"a"


def test_a_subscription_may_come_after_the_connection(published):
    pub, sub = published([])
    pub.send(b"missed")
    sub.setsockopt(zmq.SUBSCRIBE, b"")
    sync_subscriber(pub, sub)
    pub.send(b"seen")
    assert recv(sub) == b"seen"


@pytest.mark.parametrize("size", [0, 1, 245, 246, 254, 255, 256, 300, 10_000])
def test_topics_of_every_length(published, size):
    topic = b"t" * size
    pub, sub = published([topic, b"end"])
    pub.send(topic + b"!")
    pub.send(topic[:-1] + b"?") if size else None
    pub.send(b"end")
    assert recv(sub) == topic + b"!"
    assert recv(sub) == b"end"


def test_many_topics(published):
    pub, sub = published([b"%04d" % (i * 7 % 10_000) for i in range(900)])
    for i in range(10_000):
        if i % 100 < 3:
            pub.send(b"%04d." % i)
    wanted = {i * 7 % 10_000 for i in range(900)}
    expected = [i for i in range(10_000) if i % 100 < 3 and i in wanted]
    assert [int(recv(sub)[:4]) for _ in expected] == expected
    assert nothing_arrives(sub)


def test_sub_may_bind_and_pub_connect(make, endpoint):
    sub = make(zmq.SUB, subscribe=b"")
    pubs = [make(zmq.PUB) for _ in range(3)]
    address = endpoint.bind(sub)
    for pub in pubs:
        endpoint.connect(pub, address)
    for i, pub in enumerate(pubs):

        def came(pub=pub, i=i):
            pub.send(b"%d" % i)
            return sub.poll(5)

        eventually(f"a message from publisher {i}", came)
        assert recv(sub) == b"%d" % i
        drain(sub)


@fastmq_only("subscribes again only when the SUB's thread next enters the library")
@streams
def test_a_sub_that_reconnects_subscribes_without_being_called(make, endpoint):
    first, second = make(zmq.XPUB), make(zmq.XPUB)
    address = endpoint.bind(first)
    sub = make(zmq.SUB, subscribe=b"keep", reconnect_ivl=10)
    endpoint.connect(sub, address)
    assert recv(first) == b"\x01keep"
    first.unbind(address)
    second.bind(address)
    assert recv(second, "subscription of a SUB that does nothing") == b"\x01keep"


@fastmq_only("subscribes only when the SUB's thread next enters the library")
@streams
def test_a_sub_that_binds_subscribes_without_being_called(make, endpoint):
    sub, xpub = make(zmq.SUB, subscribe=b"topic"), make(zmq.XPUB)
    endpoint.connect(xpub, endpoint.bind(sub))
    assert recv(xpub, "subscription of a SUB that does nothing") == b"\x01topic"


def test_fair_queueing_of_publishers(make, endpoint):
    sub = make(zmq.SUB, subscribe=b"")
    pubs = [make(zmq.PUB) for _ in range(2)]
    for pub in pubs:
        endpoint.connect(sub, endpoint.bind(pub))
    sync_subscriber(pubs[0], sub)
    sync_subscriber(pubs[1], sub)
    drain(sub)
    for n in range(20):
        for i, pub in enumerate(pubs):
            pub.send(b"%d %d" % (i, n))
    counts = [0, 0]
    for _ in range(40):
        i, n = map(int, recv(sub).split())
        assert n == counts[i]
        counts[i] += 1


@streams
def test_subscriptions_come_back_after_a_reconnect(make, endpoint, watch):
    first = make(zmq.PUB)
    address = endpoint.bind(first)
    sub = make(zmq.SUB, subscribe=b"keep", reconnect_ivl=10)
    events = watch(sub)
    endpoint.connect(sub, address)
    sub.setsockopt(zmq.SUBSCRIBE, b"drop")
    sub.setsockopt(zmq.UNSUBSCRIBE, b"drop")
    sync_subscriber(first, sub)
    first.close()
    events.wait(zmq.EVENT_DISCONNECTED)
    second = make(zmq.XPUB)
    bind_when_free(second, address)
    # libzmq needs the subscriber to be called; see the test of a SUB that does nothing.
    eventually("subscription after the reconnect", lambda: sub.poll(0) or second.poll(10))
    assert recv(second) == b"\x01keep"
    second.send(b"drop")
    second.send(b"keep")
    assert recv(sub) == b"keep"


def test_a_slow_subscriber_loses_messages_and_the_publisher_goes_on(published):
    pub, slow, fast = published(
        [b""], [b""], pub_options={"sndhwm": 10, "sndbuf": 4096}, sub_options={"rcvhwm": 10}
    )
    got = 0
    total = 3000
    for i in range(total):
        pub.send(b"%06d" % i + bytes(2000))
        if fast.poll(0):
            fast.recv()
            got += 1
    numbers = [int(m[:6]) for m in drain(slow)]
    assert 0 < len(numbers) < total
    assert numbers == sorted(set(numbers))
    assert got + len(drain(fast)) <= total


@two
def test_a_publisher_drops_whole_messages_only(published):
    pub, sub = published(
        [b""], pub_options={"sndhwm": 5, "sndbuf": 4096}, sub_options={"rcvhwm": 5}
    )
    for i in range(2000):
        pub.send_multipart([b"%d" % i, bytes(500), b"%d" % i])
    got = 0
    while sub.poll(50):
        first, _, last = sub.recv_multipart()
        assert first == last
        got += 1
    assert 0 < got < 2000


def test_conflating_subscriber_gets_the_latest(make, endpoint):
    pub = make(zmq.PUB)
    sub = make(zmq.SUB, conflate=1, subscribe=b"")
    endpoint.connect(sub, endpoint.bind(pub))

    def came():
        pub.send(b"probe")
        return sub.poll(5)

    eventually("connected", came)
    for i in range(500):
        pub.send(b"%d" % i)
    while recv(sub) != b"499":
        continue
    assert nothing_arrives(sub)


def test_invert_matching(make, endpoint):
    pub = make(zmq.XPUB, invert_matching=1)
    sub = make(zmq.SUB, invert_matching=1, subscribe=b"no")
    endpoint.connect(sub, endpoint.bind(pub))
    assert recv(pub) == b"\x01no"
    for m in (b"no", b"nope", b"n", b"yes"):
        pub.send(m)
    assert [recv(sub), recv(sub)] == [b"n", b"yes"]
    assert nothing_arrives(sub)


@one
def test_topics_count_of_both_sides(make, endpoint):
    pub, sub = make(zmq.XPUB), make(zmq.SUB)
    endpoint.connect(sub, endpoint.bind(pub))
    topics_count = getattr(zmq, "TOPICS_COUNT", 116)
    assert pub.getsockopt(topics_count) == 0
    for topic in (b"a", b"b", b"b"):
        sub.setsockopt(zmq.SUBSCRIBE, topic)
    assert sub.getsockopt(topics_count) == 2
    assert [recv(pub), recv(pub)] == [b"\x01a", b"\x01b"]
    eventually("two topics", lambda: pub.getsockopt(topics_count) == 2)
    sub.setsockopt(zmq.UNSUBSCRIBE, b"a")
    assert recv(pub) == b"\x00a"
    assert pub.getsockopt(topics_count) == 1


# ---- XPUB ----


def xsub(make, endpoint, address):
    sock = make(zmq.XSUB)
    endpoint.connect(sock, address)
    return sock


def test_xpub_sees_first_subscribe_and_last_unsubscribe(make, endpoint):
    pub = make(zmq.XPUB)
    address = endpoint.bind(pub)
    a, b = (xsub(make, endpoint, address) for _ in range(2))
    a.send(b"\x01t")
    assert recv(pub) == b"\x01t"
    b.send(b"\x01t")
    b.send(b"\x01mark")
    assert recv(pub) == b"\x01mark"
    a.send(b"\x00t")
    a.send(b"\x01mark2")
    assert recv(pub) == b"\x01mark2"
    b.send(b"\x00t")
    assert recv(pub) == b"\x00t"


def test_xpub_verbose_sees_every_subscribe(make, endpoint):
    pub = make(zmq.XPUB, xpub_verbose=1)
    address = endpoint.bind(pub)
    a, b = (xsub(make, endpoint, address) for _ in range(2))
    a.send(b"\x01t")
    assert recv(pub) == b"\x01t"
    b.send(b"\x01t")
    assert recv(pub) == b"\x01t"
    a.send(b"\x00t")
    assert nothing_arrives(pub)
    b.send(b"\x00t")
    assert recv(pub) == b"\x00t"


def test_xpub_verboser_sees_every_unsubscribe_too(make, endpoint):
    pub = make(zmq.XPUB, xpub_verboser=1)
    address = endpoint.bind(pub)
    a, b = (xsub(make, endpoint, address) for _ in range(2))
    for s in (a, b):
        s.send(b"\x01t")
        assert recv(pub) == b"\x01t"
    for s in (a, b):
        s.send(b"\x00t")
        assert recv(pub) == b"\x00t"


def test_verbose_can_be_turned_off_again(make, endpoint):
    pub = make(zmq.XPUB, xpub_verbose=1)
    address = endpoint.bind(pub)
    a, b = (xsub(make, endpoint, address) for _ in range(2))
    a.send(b"\x01t")
    assert recv(pub) == b"\x01t"
    pub.setsockopt(zmq.XPUB_VERBOSE, 0)
    b.send(b"\x01t")
    b.send(b"\x01mark")
    assert recv(pub) == b"\x01mark"


@streams
def test_xpub_hears_of_a_subscriber_that_left(make, endpoint):
    pub = make(zmq.XPUB)
    address = endpoint.bind(pub)
    sub = make(zmq.SUB, subscribe=b"a")
    endpoint.connect(sub, address)
    sub.setsockopt(zmq.SUBSCRIBE, b"b")
    assert {recv(pub), recv(pub)} == {b"\x01a", b"\x01b"}
    sub.close()
    assert {recv(pub), recv(pub)} == {b"\x00a", b"\x00b"}


def test_xpub_hands_over_user_messages(make, endpoint):
    pub = make(zmq.XPUB)
    sub = xsub(make, endpoint, endpoint.bind(pub))
    sub.send(b"hello publisher")
    assert recv(pub) == b"hello publisher"
    sub.send_multipart([b"two", b"parts"])
    assert recv_multipart(pub) == [b"two", b"parts"]
    sub.send(b"")
    assert recv(pub) == b""


def test_pub_ignores_user_messages(make, endpoint):
    pub = make(zmq.PUB)
    sub = xsub(make, endpoint, endpoint.bind(pub))
    sub.send(b"hello")
    sub.send(b"\x01t")

    def came():
        pub.send(b"t")
        return sub.poll(5)

    eventually("subscribed", came)


def test_xsub_takes_everything_that_comes_without_filter_of_its_own(make, endpoint):
    pub = make(zmq.XPUB)
    sub = xsub(make, endpoint, endpoint.bind(pub))
    sub.send(b"\x01a")
    assert recv(pub) == b"\x01a"
    pub.send(b"abc")
    pub.send(b"b")
    pub.send(b"a")
    assert [recv(sub), recv(sub)] == [b"abc", b"a"]


def test_xpub_manual_decides_itself(make, endpoint):
    pub = make(zmq.XPUB, xpub_manual=1)
    sub = xsub(make, endpoint, endpoint.bind(pub))
    sub.send(b"\x01A")
    assert recv(pub) == b"\x01A"
    pub.setsockopt(zmq.SUBSCRIBE, b"XA")
    pub.send(b"A")
    pub.send(b"XA")
    assert recv(sub) == b"XA"
    sub.send(b"\x00A")
    assert recv(pub) == b"\x00A"
    pub.setsockopt(zmq.UNSUBSCRIBE, b"XA")
    pub.send(b"XA")
    assert nothing_arrives(sub)


def test_xpub_manual_applies_to_the_last_asker(make, endpoint):
    pub = make(zmq.XPUB, xpub_manual=1)
    address = endpoint.bind(pub)
    a, b = (xsub(make, endpoint, address) for _ in range(2))
    a.send(b"\x01A")
    assert recv(pub) == b"\x01A"
    pub.setsockopt(zmq.SUBSCRIBE, b"XA")
    b.send(b"\x01B")
    assert recv(pub) == b"\x01B"
    pub.setsockopt(zmq.SUBSCRIBE, b"XB")
    pub.send(b"XA1")
    pub.send(b"XB1")
    assert recv(a) == b"XA1"
    assert recv(b) == b"XB1"
    assert a.poll(0) == b.poll(0) == 0


@streams
def test_xpub_manual_forgets_a_lost_subscriber(make, endpoint):
    pub = make(zmq.XPUB, xpub_manual=1)
    address = endpoint.bind(pub)
    a = xsub(make, endpoint, address)
    a.send(b"\x01A")
    assert recv(pub) == b"\x01A"
    pub.setsockopt(zmq.SUBSCRIBE, b"XA")
    a.close()
    assert recv(pub) == b"\x00A"


@one
def test_xpub_manual_last_value_sends_to_the_asker_only(make, endpoint):
    option = getattr(zmq, "XPUB_MANUAL_LAST_VALUE", 98)
    pub = make(zmq.XPUB)
    pub.setsockopt(option, 1)
    address = endpoint.bind(pub)
    a, b = (make(zmq.SUB) for _ in range(2))
    for s in (a, b):
        endpoint.connect(s, address)
    a.setsockopt(zmq.SUBSCRIBE, b"t")
    assert recv(pub) == b"\x01t"
    pub.setsockopt(zmq.SUBSCRIBE, b"t")
    pub.send(b"t first")
    assert recv(a) == b"t first"
    b.setsockopt(zmq.SUBSCRIBE, b"t")
    assert recv(pub) == b"\x01t"
    pub.setsockopt(zmq.SUBSCRIBE, b"t")
    pub.send(b"t last value")
    assert recv(b) == b"t last value"
    assert nothing_arrives(a)
    pub.send(b"t for all")
    assert recv(a) == b"t for all"
    assert recv(b) == b"t for all"


def test_xpub_nodrop_says_again_instead_of_dropping(make, endpoint):
    pub = make(zmq.XPUB, xpub_nodrop=1, sndhwm=10, sndbuf=4096)
    sub = make(zmq.SUB, subscribe=b"", rcvhwm=10, rcvbuf=4096)
    endpoint.connect(sub, endpoint.bind(pub))
    assert recv(pub) == b"\x01"
    total = 20_000
    sent = 0
    while sent < total:
        try:
            pub.send(b"%06d" % sent + bytes(1000), zmq.DONTWAIT)
        except zmq.Again:
            break
        sent += 1
    assert 10 <= sent < total
    assert [int(recv(sub)[:6]) for _ in range(sent)] == list(range(sent))

    def again():
        try:
            pub.send(b"again", zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    eventually("room again", again)
    assert recv(sub) == b"again"


@fastmq_only("says POLLOUT even when a send would block")
@pytest.mark.parametrize("endpoint", ["inproc"], indirect=True)
def test_xpub_nodrop_tells_through_poll_that_it_is_full(make, endpoint):
    pub = make(zmq.XPUB, xpub_nodrop=1, sndhwm=2)
    sub = make(zmq.SUB, subscribe=b"", rcvhwm=2)
    endpoint.connect(sub, endpoint.bind(pub))
    assert recv(pub) == b"\x01"
    fill(pub)
    assert pub.poll(0, zmq.POLLOUT) == 0


def test_xpub_nodrop_blocking_send_waits_for_room(make, endpoint):
    pub = make(zmq.XPUB, xpub_nodrop=1, sndhwm=3, sndbuf=4096)
    sub = make(zmq.SUB, subscribe=b"", rcvhwm=3, rcvbuf=4096)
    endpoint.connect(sub, endpoint.bind(pub))
    assert recv(pub) == b"\x01"
    sender = threading.Thread(
        target=lambda: [pub.send(b"%04d" % i + bytes(1000)) for i in range(1000)]
    )
    sender.start()
    assert [int(recv(sub)[:4]) for _ in range(1000)] == list(range(1000))
    sender.join()


def test_welcome_message_comes_first(make, endpoint):
    pub = make(zmq.XPUB, xpub_welcome_msg=b"Welcome")
    sub = make(zmq.SUB, subscribe=b"W")
    endpoint.connect(sub, endpoint.bind(pub))
    assert recv(pub) == b"\x01W"
    assert recv(sub) == b"Welcome"
    pub.send(b"W1")
    assert recv(sub) == b"W1"


def test_welcome_message_is_filtered_by_sub(make, endpoint):
    pub = make(zmq.XPUB, xpub_welcome_msg=b"Welcome")
    sub = make(zmq.SUB, subscribe=b"other")
    endpoint.connect(sub, endpoint.bind(pub))
    assert recv(pub) == b"\x01other"
    pub.send(b"other")
    assert recv(sub) == b"other"


@one
def test_only_first_subscribe_leaves_later_parts_alone(make, endpoint):
    option = getattr(zmq, "ONLY_FIRST_SUBSCRIBE", 108)
    pub = make(zmq.XPUB)
    pub.setsockopt(option, 1)
    sub = make(zmq.XSUB)
    sub.setsockopt(option, 1)
    endpoint.connect(sub, endpoint.bind(pub))
    sub.send_multipart([b"user", b"\x01not a subscription"])
    assert recv_multipart(pub) == [b"user", b"\x01not a subscription"]
    sub.send(b"\x01t")
    assert recv(pub) == b"\x01t"


# ---- XSUB ----


def test_xsub_resends_its_subscriptions_to_a_new_publisher(make, endpoint):
    sub = make(zmq.XSUB)
    sub.send(b"\x01a")
    sub.send(b"\x01b")
    sub.send(b"\x00b")
    pub = make(zmq.XPUB)
    endpoint.connect(sub, endpoint.bind(pub))
    assert recv(pub) == b"\x01a"
    assert nothing_arrives(pub)


def test_subscriptions_come_before_what_xsub_sent_before_the_publisher_was_there(make, endpoint):
    sub, pub = make(zmq.XSUB), make(zmq.XPUB)
    address = endpoint.fixed()
    endpoint.connect(sub, address)
    sub.send(b"\x01topic")
    sub.send(b"user 1")
    sub.send(b"user 2")
    endpoint.bind(pub, address)
    assert [recv(pub) for _ in range(3)] == [b"\x01topic", b"user 1", b"user 2"]
    sub.send(b"\x00topic")
    assert recv(pub) == b"\x00topic"


@fastmq_only("a draft option")
@one
def test_xsub_verbose_unsubscribe_sends_every_one(make, endpoint):
    pub = make(zmq.XPUB, xpub_verboser=1)
    sub = make(zmq.XSUB)
    sub.setsockopt(zmq.XSUB_VERBOSE_UNSUBSCRIBE, 1)
    endpoint.connect(sub, endpoint.bind(pub))
    for m in (b"\x01t", b"\x01t", b"\x00t", b"\x00t"):
        sub.send(m)
        assert recv(pub) == m


def test_forwarder_passes_subscriptions_upstream(make, endpoint):
    """PUB - XSUB/XPUB - SUB, moved by hand."""
    pub = make(zmq.XPUB)
    inner = make(zmq.XSUB)
    outer = make(zmq.XPUB)
    sub = make(zmq.SUB)
    endpoint.connect(inner, endpoint.bind(pub))
    endpoint.connect(sub, endpoint.bind(outer))
    sub.setsockopt(zmq.SUBSCRIBE, b"t")
    subscription = recv(outer)
    inner.send(subscription)
    assert recv(pub) == b"\x01t"
    pub.send_multipart([b"t1", b"data"])
    outer.send_multipart(recv_multipart(inner))
    assert recv_multipart(sub) == [b"t1", b"data"]


@fastmq_only("a subscription obeys SNDHWM and may be dropped")
@streams
def test_no_subscription_is_lost_on_the_way(make, endpoint):
    sub = make(zmq.SUB, sndhwm=5)
    pub = make(zmq.XPUB, rcvhwm=5)
    endpoint.connect(sub, endpoint.bind(pub))
    for i in range(3000):
        sub.setsockopt(zmq.SUBSCRIBE, b"%d" % i)
    assert {recv(pub, f"subscription {n}") for n in range(3000)} == {
        b"\x01%d" % i for i in range(3000)
    }


def test_subscribing_while_messages_flow(published):
    pub, sub = published([b"a"])
    for i in range(300):
        sub.setsockopt(zmq.SUBSCRIBE, b"x%d" % i)
        pub.send(b"a%d" % i)
        assert recv(sub) == b"a%d" % i
    sync_subscriber(pub, sub)
    pub.send(b"x299")
    assert recv(sub) == b"x299"


def test_xsub_can_send_without_peer(make):
    sub = make(zmq.XSUB)
    sub.send(b"\x01t", zmq.DONTWAIT)
    sub.send(b"dropped", zmq.DONTWAIT)
    assert sub.poll(0, zmq.POLLOUT) == zmq.POLLOUT


@one
def test_one_sub_of_many_publishers(make, endpoint):
    sub = make(zmq.SUB, subscribe=b"")
    pubs = [make(zmq.XPUB) for _ in range(10)]
    for pub in pubs:
        endpoint.connect(sub, endpoint.bind(pub))
    for i, pub in enumerate(pubs):
        wait_readable(pub, "subscription")
        pub.recv()
        pub.send(b"%d" % i)
    assert {recv(sub) for _ in pubs} == {b"%d" % i for i in range(10)}
