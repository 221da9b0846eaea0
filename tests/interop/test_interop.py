# SPDX-License-Identifier: MIT
"""The engine against a real libzmq in another process."""

import pytest
from helpers import (
    Endpoint,
    eventually,
    nothing_arrives,
    recv,
    recv_multipart,
    wait_readable,
)
from target import zmq

# type here: the types over there that it may meet
LEGAL = {
    "PAIR": ["PAIR"],
    "PUB": ["SUB", "XSUB"],
    "SUB": ["PUB", "XPUB"],
    "XPUB": ["SUB", "XSUB"],
    "XSUB": ["PUB", "XPUB"],
    "REQ": ["REP", "ROUTER"],
    "REP": ["REQ", "DEALER"],
    "DEALER": ["REP", "DEALER", "ROUTER"],
    "ROUTER": ["REQ", "DEALER", "ROUTER"],
    "PUSH": ["PULL"],
    "PULL": ["PUSH"],
}
PAIRS = [(a, b) for a, others in LEGAL.items() for b in others]
SIZES = [0, 1, 254, 255, 256, 8191, 8192, 8193, 64 << 10, 1 << 20]

bodies = [bytes([n % 255 + 1]) * size for n, size in enumerate(SIZES)]
pairs = pytest.mark.parametrize("ours,theirs", PAIRS, ids=lambda x: x)
sides = pytest.mark.parametrize("side", ["we-bind", "they-bind"])
endpoints = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)


def join(side, endpoint, here, there):
    if side == "we-bind":
        there.connect(endpoint.bind(here))
    else:
        here.connect(there.bind(endpoint.wildcard))


class Link:
    """Sends whole messages each way, with the envelopes that a pair of types wants."""

    def __init__(self, ours, theirs, here, there):
        self.ours, self.theirs = ours, theirs
        self.here, self.there = here, there

    def to_there(self, message):
        parts = list(message)
        if self.ours == "ROUTER":
            parts = [b"there", *([b""] if self.theirs == "REQ" else []), *parts]
        elif self.ours == "DEALER" and self.theirs == "REP":
            parts = [b"", *parts]
        self.here.send_multipart(parts)
        got = self.there.recv()
        if self.ours == "REP" and self.theirs == "DEALER":
            assert got[0] == b""
            got = got[1:]
        if self.theirs == "ROUTER":
            assert got[0] == b"here"
            got = got[1:]
            if self.ours == "REQ":
                assert got[0] == b""
                got = got[1:]
        return got

    def to_here(self, message):
        parts = list(message)
        if self.theirs == "ROUTER":
            parts = [b"here", *([b""] if self.ours == "REQ" else []), *parts]
        elif self.theirs == "DEALER" and self.ours == "REP":
            parts = [b"", *parts]
        self.there.send(*parts)
        got = recv_multipart(self.here, "a message from libzmq")
        if self.ours == "ROUTER":
            assert got[0] == b"there"
            got = got[1:]
            if self.theirs == "REQ":
                assert got[0] == b""
                got = got[1:]
        elif self.ours == "DEALER" and self.theirs == "REP":
            assert got[0] == b""
            got = got[1:]
        return got


@pytest.fixture
def link(make, libzmq, endpoint):
    """link("DEALER", "ROUTER", side): joined, subscribed and known to each other."""

    def new(ours, theirs, side, here_options=None, there_options=None):
        mine, other = dict(here_options or {}), dict(there_options or {})
        if ours in ("REQ", "DEALER", "ROUTER"):
            mine["routing_id"] = b"here"
        if theirs in ("REQ", "DEALER", "ROUTER"):
            other["routing_id"] = b"there"
        if ours == "SUB":
            mine["subscribe"] = b""
        if theirs == "SUB":
            other["subscribe"] = b""
        here = make(getattr(zmq, ours), **mine)
        there = libzmq(theirs, **other)
        join(side, endpoint, here, there)
        if ours == "XSUB":
            here.send(b"\x01")
        if theirs == "XSUB":
            there.send(b"\x01")
        # A libzmq SUB that was bound subscribes when it is next called: poll it too.
        if ours == "XPUB":
            eventually("their subscription", lambda: there.poll(0) or here.poll(10))
            assert recv(here) == b"\x01"
        if theirs == "XPUB":
            eventually("our subscription", lambda: here.poll(0) or there.poll(10))
            assert there.recv() == [b"\x01"]
        if ours == "PUB":
            eventually("subscribed", lambda: here.send(b"?") or there.poll(5))
            here.send(b"!")
            while there.recv() != [b"!"]:
                continue
        if theirs == "PUB":
            eventually("subscribed", lambda: there.send(b"?") or here.poll(5))
            there.send(b"!")
            while recv(here) != b"!":
                continue
        if ours == "ROUTER" and theirs == "ROUTER":
            eventually(
                "routers know each other",
                lambda: here.send_multipart([b"there", b"?"]) or there.poll(5),
            )
            there.send(b"here", b"!")
            assert recv_multipart(here) == [b"there", b"!"]
            here.send_multipart([b"there", b"end"])
            while there.recv() != [b"here", b"end"]:
                continue
        return Link(ours, theirs, here, there)

    return new


TALKS_OUT = {"PAIR", "PUB", "XPUB", "REQ", "DEALER", "ROUTER", "PUSH"}


def exchange(it, message):
    """The message travels in every direction that the pair allows; a REQ side begins."""
    out, back = it.ours in TALKS_OUT | {"REP"}, it.theirs in TALKS_OUT | {"REP"}
    # A REQ begins, a REP answers; a ROUTER knows only who has spoken.
    here_begins = it.ours not in ("REP", "ROUTER") or it.theirs == "ROUTER"
    steps = [it.to_there] * out + [it.to_here] * back
    if out and back and not here_begins:
        steps.reverse()
    for step in steps:
        assert step(message) == message


@endpoints
@sides
@pairs
def test_every_pair_talks_both_ways(link, ours, theirs, side):
    it = link(ours, theirs, side)
    for message in ([b"one"], [b"one", b"", b"three"], [b""]):
        if message == [b""] and "X" in (ours[0], theirs[0]):
            continue
        exchange(it, message)


@endpoints
@pytest.mark.parametrize(
    "ours,theirs",
    [
        ("PAIR", "PAIR"),
        ("REQ", "REP"),
        ("REP", "REQ"),
        ("DEALER", "ROUTER"),
        ("ROUTER", "DEALER"),
        ("PUSH", "PULL"),
        ("PULL", "PUSH"),
        ("PUB", "SUB"),
        ("SUB", "PUB"),
    ],
    ids=lambda x: x,
)
def test_sizes_around_every_boundary(link, ours, theirs):
    it = link(ours, theirs, "we-bind")
    for body in bodies:
        exchange(it, [body])
        exchange(it, [b"head", body, b"tail"])


@endpoints
@pytest.mark.parametrize(
    "ours,theirs", [("DEALER", "DEALER"), ("REQ", "REP"), ("SUB", "XPUB"), ("PUB", "SUB")]
)
def test_one_to_fifty_parts(link, ours, theirs):
    it = link(ours, theirs, "they-bind")
    for n in (1, 2, 3, 10, 49, 50):
        exchange(it, [b"part %d" % i for i in range(n)])


@endpoints
@sides
def test_identities_are_told_both_ways(make, libzmq, endpoint, side):
    for size in (1, 5, 254, 255):
        identity = b"i" * size
        router, dealer = make(zmq.ROUTER), libzmq("DEALER", routing_id=identity)
        join(side, endpoint, router, dealer)
        dealer.send(b"x")
        assert recv_multipart(router) == [identity, b"x"]
        router.close()
        router, dealer = libzmq("ROUTER"), make(zmq.DEALER, routing_id=identity)
        join(side, endpoint, dealer, router)
        dealer.send(b"x")
        assert router.recv() == [identity, b"x"]


@endpoints
@sides
def test_our_subscriptions_come_and_go(make, libzmq, endpoint, side):
    sub, pub = make(zmq.SUB), libzmq("XPUB")
    sub.setsockopt(zmq.SUBSCRIBE, b"early")
    join(side, endpoint, sub, pub)
    eventually("the first subscription", lambda: sub.poll(0) or pub.poll(10))
    assert pub.recv() == [b"\x01early"]
    for topic in (b"", b"t", b"t" * 245, b"t" * 246, b"t" * 255, b"t" * 256, b"t" * 1000):
        sub.setsockopt(zmq.SUBSCRIBE, topic)
        assert pub.recv() == [b"\x01" + topic]
        pub.send(topic + b"!", b"data")
        assert recv_multipart(sub) == [topic + b"!", b"data"]
        sub.setsockopt(zmq.UNSUBSCRIBE, topic)
        assert pub.recv() == [b"\x00" + topic]


@endpoints
@sides
def test_their_subscriptions_come_and_go(make, libzmq, endpoint, side):
    pub, sub = make(zmq.XPUB), libzmq("SUB", subscribe=b"early")
    join(side, endpoint, pub, sub)
    # A libzmq SUB that binds subscribes when it is next called.
    eventually("the first subscription", lambda: sub.poll(0) or pub.poll(10))
    assert recv(pub) == b"\x01early"
    for topic in (b"", b"t", b"t" * 245, b"t" * 246, b"t" * 255, b"t" * 256, b"t" * 1000):
        sub.set("SUBSCRIBE", topic)
        assert recv(pub) == b"\x01" + topic
        pub.send_multipart([topic + b"!", b"data"])
        assert sub.recv() == [topic + b"!", b"data"]
        sub.set("UNSUBSCRIBE", topic)
        assert recv(pub) == b"\x00" + topic
    pub.send(b"early bird")
    assert sub.recv() == [b"early bird"]


@endpoints
@pytest.mark.parametrize("ours,theirs", [("PUSH", "PULL"), ("DEALER", "DEALER"), ("PAIR", "PAIR")])
def test_streams_of_messages_to_libzmq(make, libzmq, endpoint, ours, theirs):
    here, there = make(getattr(zmq, ours)), libzmq(theirs)
    there.connect(endpoint.bind(here))
    there.start("recv_numbers", count=5000)
    for i in range(5000):
        here.send(b"%d" % i + bytes(i % 100))
    assert there.finish("5000 messages") == list(range(5000))


@endpoints
@pytest.mark.parametrize("ours,theirs", [("PULL", "PUSH"), ("DEALER", "DEALER"), ("PAIR", "PAIR")])
def test_streams_of_messages_from_libzmq(make, libzmq, endpoint, ours, theirs):
    here, there = make(getattr(zmq, ours)), libzmq(theirs)
    here.connect(there.bind(endpoint.wildcard))
    there.start("send_numbers", count=5000, pad=50)
    assert [int(recv(here, f"message {i}").rstrip(b"\0")) for i in range(5000)] == list(range(5000))
    there.finish("5000 messages sent")


@endpoints
@pytest.mark.parametrize("ours,theirs", [("REQ", "REP"), ("DEALER", "DEALER")])
def test_round_trips_through_libzmq(make, libzmq, endpoint, ours, theirs):
    here, there = make(getattr(zmq, ours)), libzmq(theirs)
    here.connect(there.bind(endpoint.wildcard))
    there.start("echo", count=500)
    for i in range(500):
        here.send(b"%d" % i)
        assert recv(here) == b"%d" % i
    there.finish("500 echoes")


@pytest.mark.parametrize("endpoint", ["tcp6", "ipc-abstract"], indirect=True)
def test_other_addresses(make, libzmq, endpoint):
    options = {"ipv6": 1} if endpoint.kind == "tcp6" else {}
    pull, push = make(zmq.PULL), libzmq("PUSH", **options)
    push.connect(endpoint.bind(pull))
    push.send(b"x")
    assert recv(pull) == b"x"
    push, pull = make(zmq.PUSH, **options), libzmq("PULL", **options)
    push.connect(pull.bind(endpoint.wildcard))
    push.send(b"y")
    assert pull.recv() == [b"y"]


@pytest.mark.parametrize("ours,theirs", [("PUSH", "PUB"), ("REQ", "PULL"), ("PAIR", "DEALER")])
def test_illegal_pairs_do_not_talk(make, libzmq, tcp_address, ours, theirs):
    here, there = make(getattr(zmq, ours)), libzmq(theirs)
    here.bind(tcp_address)
    there.connect(here.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode())
    assert here.poll(100, zmq.POLLOUT) == 0


def test_heartbeats_of_both_sides_keep_the_connection(make, libzmq, watch, tmp_path):
    here = make(zmq.DEALER, heartbeat_ivl=20, heartbeat_timeout=2000, heartbeat_ttl=2000)
    there = libzmq("DEALER", heartbeat_ivl=20, heartbeat_timeout=2000, heartbeat_ttl=2000)
    there.connect(Endpoint("tcp", tmp_path).bind(here))
    events = watch(here)
    here.poll(300, zmq.POLLIN)
    here.send(b"x")
    assert there.recv() == [b"x"]
    there.send(b"y")
    assert recv(here) == b"y"
    assert events.silent(zmq.EVENT_DISCONNECTED)


@sides
def test_a_stopped_peer_is_noticed_and_found_again(make, libzmq_process, watch, tmp_path, side):
    process = libzmq_process()
    here = make(zmq.DEALER, heartbeat_ivl=30, heartbeat_timeout=150, reconnect_ivl=20)
    there = process.socket("DEALER", reconnect_ivl=20)
    events = watch(here)
    join(side, Endpoint("tcp", tmp_path), here, there)
    here.send(b"before")
    assert there.recv() == [b"before"]
    process.stop()
    events.wait(zmq.EVENT_DISCONNECTED)
    process.resume()
    eventually("both talk again", lambda: talk(here, there))


def talk(here, there):
    there.send(b"after", flags=0)
    if not here.poll(200):
        return False
    return here.recv() == b"after"


def test_their_ttl_cuts_us_off_when_we_would_be_silent(make, libzmq_process, watch, tmp_path):
    """A stopped libzmq that announced a TTL: our side closes when the TTL is over."""
    process = libzmq_process()
    here = make(zmq.DEALER)
    there = process.socket("DEALER", heartbeat_ivl=50, heartbeat_ttl=300, heartbeat_timeout=5000)
    events = watch(here)
    there.connect(Endpoint("tcp", tmp_path).bind(here))
    there.send(b"x")
    assert recv(here) == b"x"
    events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    here.poll(100)
    process.stop()
    events.wait(zmq.EVENT_DISCONNECTED)


@endpoints
def test_a_killed_server_that_comes_back_is_used_again(make, libzmq_process, watch, endpoint):
    address = endpoint.fixed()
    here = make(zmq.DEALER, reconnect_ivl=20, routing_id=b"here")
    events = watch(here)
    first = libzmq_process()
    server = first.socket("ROUTER")
    server.bind(address)
    here.connect(address)
    here.send(b"1")
    assert server.recv() == [b"here", b"1"]
    first.kill()
    events.wait(zmq.EVENT_DISCONNECTED)
    here.send(b"while away")
    second = libzmq_process()
    server = second.socket("ROUTER")
    server.bind(address)
    assert server.recv() == [b"here", b"while away"]
    server.send(b"here", b"welcome back")
    assert recv(here) == b"welcome back"


@endpoints
def test_a_killed_client_leaves_the_server_well(make, libzmq_process, watch, endpoint):
    here = make(zmq.ROUTER)
    address = endpoint.bind(here)
    events = watch(here)
    for turn in range(2):
        process = libzmq_process()
        client = process.socket("DEALER", routing_id=b"C%d" % turn)
        client.connect(address)
        client.send(b"hello")
        assert recv_multipart(here) == [b"C%d" % turn, b"hello"]
        process.kill()
        events.wait(zmq.EVENT_DISCONNECTED)
    assert nothing_arrives(here)


@endpoints
def test_a_killed_subscriber_is_unsubscribed(make, libzmq_process, endpoint):
    pub = make(zmq.XPUB)
    process = libzmq_process()
    sub = process.socket("SUB", subscribe=b"t")
    sub.connect(endpoint.bind(pub))
    assert recv(pub) == b"\x01t"
    process.kill()
    assert recv(pub) == b"\x00t"


def send_numbers(push):
    """Sends until there is no room for a while; how many messages went in."""
    sent = 0
    while sent < 20_000:
        try:
            push.send(b"%d" % sent + bytes(5000), zmq.DONTWAIT)
            sent += 1
        except zmq.Again:
            if sent and not push.poll(100, zmq.POLLOUT):
                break
    return sent


@endpoints
def test_a_libzmq_receiver_that_does_not_read_holds_us_back(make, libzmq, endpoint):
    push = make(zmq.PUSH, sndhwm=10, sndbuf=8192)
    pull = libzmq("PULL", rcvhwm=10, rcvbuf=8192)
    pull.connect(endpoint.bind(push))
    sent = send_numbers(push)
    assert 20 <= sent < 20_000
    pull.start("recv_numbers", count=sent)
    assert pull.finish(f"{sent} messages") == list(range(sent))


@endpoints
def test_a_libzmq_receiver_that_does_not_read_leaves_us_with_so_many_bytes(make, libzmq, endpoint):
    push = make(zmq.PUSH, sndhwm=0, sndhwm_bytes=50_000, sndbuf=8192)
    pull = libzmq("PULL", rcvhwm=10, rcvbuf=8192)
    pull.connect(endpoint.bind(push))
    sent = send_numbers(push)
    assert 10 <= sent < 20_000
    held = push.stats()
    assert 50_000 - 5005 < held.queued_out_bytes <= 50_000
    assert held.queued_out == 9
    pull.start("recv_numbers", count=sent)
    assert pull.finish(f"{sent} messages") == list(range(sent))
    eventually("an empty queue", lambda: push.stats().queued_out_bytes == 0)


@endpoints
def test_we_hold_a_libzmq_sender_back_by_bytes(make, libzmq, endpoint):
    pull = make(zmq.PULL, rcvhwm=0, rcvhwm_bytes=50_000, rcvbuf=8192)
    push = libzmq("PUSH", sndhwm=10, sndbuf=8192)
    push.connect(endpoint.bind(pull))
    push.start("send_numbers", count=1000, pad=5000)
    eventually("a full receiver", lambda: pull.stats().queued_in_bytes >= 50_000)
    assert pull.stats().queued_in_bytes < 60_000
    assert [int(recv(pull).rstrip(b"\0")) for _ in range(1000)] == list(range(1000))
    assert push.finish("1000 messages sent") == 1000


@endpoints
def test_we_hold_a_libzmq_sender_back(make, libzmq, endpoint):
    pull = make(zmq.PULL, rcvhwm=10, rcvbuf=8192)
    push = libzmq("PUSH", sndhwm=10, sndbuf=8192)
    push.connect(endpoint.bind(pull))
    push.start("send_numbers", count=3000, pad=5000)
    wait_readable(pull, "the first message")
    assert [int(recv(pull).rstrip(b"\0")) for _ in range(3000)] == list(range(3000))
    assert push.finish("3000 messages sent") == 3000


def test_stream_meets_a_libzmq_stream(make, libzmq, tmp_path):
    here, there = make(zmq.STREAM), libzmq("STREAM")
    there.connect(Endpoint("tcp", tmp_path).bind(here))
    peer, _ = recv_multipart(here)
    mine, _ = there.recv()
    there.send(mine, b"to here")
    assert recv_multipart(here) == [peer, b"to here"]
    here.send_multipart([peer, b"to there"])
    assert there.recv() == [mine, b"to there"]


def test_req_correlate_and_relaxed_against_a_libzmq_router(make, libzmq, tmp_path):
    req = make(zmq.REQ, req_correlate=1, req_relaxed=1)
    router = libzmq("ROUTER")
    router.connect(Endpoint("tcp", tmp_path).bind(req))
    req.send(b"first")
    old = router.recv()
    req.send(b"second")
    new = router.recv()
    router.send(*old[:3], b"late")
    router.send(*new[:3], b"good")
    assert recv(req) == b"good"


def test_probe_router_works_with_libzmq(make, libzmq, tmp_path):
    ours, theirs = make(zmq.ROUTER), libzmq("DEALER", routing_id=b"T", probe_router=1)
    theirs.connect(Endpoint("tcp", tmp_path).bind(ours))
    assert recv_multipart(ours) == [b"T", b""]
    ours, theirs = make(zmq.DEALER, routing_id=b"O", probe_router=1), libzmq("ROUTER")
    theirs.connect(Endpoint("tcp", tmp_path).bind(ours))
    eventually("the probe", lambda: ours.poll(0) or theirs.poll(10))
    assert theirs.recv() == [b"O", b""]
