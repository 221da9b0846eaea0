# SPDX-License-Identifier: MIT
import struct
import threading

import pytest
from helpers import (
    QUIET_MS,
    eventually,
    last_endpoint,
    nothing_arrives,
    recv,
    recv_multipart,
    unique,
)
from target import IS_FASTMQ, fastmq_only, submodule, zmq


class Running:
    """A proxy in a thread of its own, over sockets of a context of its own."""

    def __init__(self, front, back, capture=None, steerable=False):
        self.ctx = zmq.Context()
        self.socks = []
        self.front = self._bound(front)
        self.back = self.front if back is None else self._bound(back)
        self.capture = self.control = None
        self.end = []
        if capture is not None:
            self.capture = self._bound(capture, f"inproc://{unique('capture')}")
        if steerable:
            self.control = self._bound(zmq.PAIR, f"inproc://{unique('control')}")
            self.steer = self.socket(zmq.PAIR)
            self.steer.connect(last_endpoint(self.control))
        self.inner = [s for s in (self.front, self.back, self.capture, self.control) if s]
        for s in self.inner:
            s.rcvtimeo = s.sndtimeo = -1
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _bound(self, kind, address="tcp://127.0.0.1:*"):
        sock = self.socket(kind)
        sock.bind(address)
        return sock

    def socket(self, kind):
        sock = self.ctx.socket(kind)
        sock.linger = 0
        sock.sndtimeo = sock.rcvtimeo = 8000
        self.socks.append(sock)
        return sock

    def connect(self, kind, to):
        sock = self.socket(kind)
        if kind == zmq.SUB:
            sock.setsockopt(zmq.SUBSCRIBE, b"")
        sock.connect(to)
        return sock

    def _run(self):
        try:
            if self.control:
                zmq.proxy_steerable(self.front, self.back, self.capture, self.control)
                self.end.append("done")
            else:
                zmq.proxy(self.front, self.back, self.capture)
                self.end.append("done")
        except zmq.ContextTerminated:
            self.end.append("terminated")
        except zmq.ZMQError as e:
            self.end.append(e.errno)
        for s in self.inner:
            s.close()

    @staticmethod
    def inside(sock):
        """How many messages have been received on it."""
        return sock.stats().messages_received

    def stop(self):
        for s in self.socks:
            if s not in self.inner:
                s.close()
        self.ctx.term()
        self.thread.join()


@pytest.fixture
def running():
    made = []

    def new(*args, **kw):
        made.append(Running(*args, **kw))
        p = made[-1]
        p.front_at, p.back_at = last_endpoint(p.front), last_endpoint(p.back)
        return p

    yield new
    for p in made:
        p.stop()


def test_requests_go_through_and_replies_come_back(running):
    p = running(zmq.ROUTER, zmq.DEALER)
    rep = p.connect(zmq.REP, p.back_at)
    reqs = [p.connect(zmq.REQ, p.front_at) for _ in range(3)]
    for turn in range(10):
        for i, req in enumerate(reqs):
            req.send_multipart([b"%d" % i, b"", b"%d" % turn])
        for _ in reqs:
            m = recv_multipart(rep)
            rep.send_multipart([b"re", *m])
        for i, req in enumerate(reqs):
            assert recv_multipart(req) == [b"re", b"%d" % i, b"", b"%d" % turn]


def test_work_streams_through(running):
    p = running(zmq.PULL, zmq.PUSH)
    pull = p.connect(zmq.PULL, p.back_at)
    push = p.connect(zmq.PUSH, p.front_at)
    sender = threading.Thread(target=lambda: [push.send(b"%d" % i) for i in range(3000)])
    sender.start()
    assert [int(recv(pull)) for _ in range(3000)] == list(range(3000))
    sender.join()


def test_subscriptions_pass_upstream(running):
    p = running(zmq.XSUB, zmq.XPUB)
    pub = p.socket(zmq.XPUB)
    pub.connect(p.front_at)
    sub = p.socket(zmq.SUB)
    sub.setsockopt(zmq.SUBSCRIBE, b"t")
    sub.connect(p.back_at)
    assert recv(pub) == b"\x01t"
    pub.send_multipart([b"t", b"data"])
    assert recv_multipart(sub) == [b"t", b"data"]


@pytest.mark.parametrize("kind", ["PUB", "PUSH", "PAIR"])
def test_capture_sees_what_passes(running, kind):
    p = running(zmq.ROUTER, zmq.DEALER, getattr(zmq, kind))
    other = {"PUB": zmq.SUB, "PUSH": zmq.PULL, "PAIR": zmq.PAIR}[kind]
    ear = p.connect(other, last_endpoint(p.capture))
    rep, req = p.connect(zmq.REP, p.back_at), p.connect(zmq.REQ, p.front_at)

    def heard():
        req.send(b"q")
        assert recv(rep) == b"q"
        rep.send(b"a")
        assert recv(req) == b"a"
        return ear.poll(10)

    eventually("the capture hears", heard)
    got = []
    while ear.poll(QUIET_MS):
        got.append(recv_multipart(ear))
    assert {m[-1] for m in got} <= {b"q", b"a"}
    assert any(m[-1] == b"a" for m in got)
    assert all(len(m) == 3 for m in got)


def test_large_and_multipart_messages_pass_whole(running):
    p = running(zmq.PULL, zmq.PUSH)
    pull, push = p.connect(zmq.PULL, p.back_at), p.connect(zmq.PUSH, p.front_at)
    message = [b"", bytes(2_000_000), b"x" * 300, b""] + [b"%d" % i for i in range(100)]
    push.send_multipart(message)
    assert recv_multipart(pull) == message


def test_one_socket_may_be_both_sides(ctx):
    """A DEALER that is front and back echoes."""
    dealer = ctx.socket(zmq.DEALER)
    dealer.linger = 0
    dealer.bind("inproc://single")
    client = ctx.socket(zmq.DEALER)
    client.linger = 0
    client.connect("inproc://single")
    thread = threading.Thread(target=run_until_term, args=(dealer,))
    thread.start()
    client.send(b"echo")
    assert recv(client) == b"echo"
    client.close()
    ctx.term()
    thread.join()


def run_until_term(sock):
    with pytest.raises(zmq.ContextTerminated):
        zmq.proxy(sock, sock)
    sock.close()


def test_the_end_of_the_context_ends_the_proxy(running):
    p = running(zmq.PULL, zmq.PUSH)
    p.stop()
    assert p.end == ["terminated"]
    p.stop()


@fastmq_only("may crash")
def test_closing_a_socket_ends_the_proxy(ctx):
    front, back = ctx.socket(zmq.PULL), ctx.socket(zmq.PUSH)
    front.bind("tcp://127.0.0.1:*")
    back.bind("tcp://127.0.0.1:*")
    ends = []

    def run():
        try:
            zmq.proxy(front, back)
        except zmq.ZMQError as e:
            ends.append(e.errno)

    t = threading.Thread(target=run)
    t.start()
    t.join(0.02)
    front.close()
    t.join(8)
    assert ends == [zmq.ENOTSOCK]
    back.close()


def test_a_proxy_holds_back_what_its_sink_does_not_take(running):
    p = running(zmq.PULL, zmq.PUSH)
    push = p.socket(zmq.PUSH)
    push.setsockopt(zmq.SNDHWM, 5)
    push.setsockopt(zmq.SNDTIMEO, QUIET_MS)
    push.connect(p.front_at)
    sent = 0
    # Nobody is behind the proxy: it must stop taking at some point.
    with pytest.raises(zmq.Again):
        while sent < 20_000:
            push.send(b"%d" % sent + bytes(10_000))
            sent += 1
    pull = p.connect(zmq.PULL, p.back_at)
    assert [int(recv(pull).rstrip(b"\0")) for _ in range(sent)] == list(range(sent))


def test_terminate_ends_a_steerable_proxy(running):
    p = running(zmq.PULL, zmq.PUSH, steerable=True)
    pull, push = p.connect(zmq.PULL, p.back_at), p.connect(zmq.PUSH, p.front_at)
    push.send(b"x")
    assert recv(pull) == b"x"
    p.steer.send(b"TERMINATE")
    p.thread.join(8)
    assert p.end == ["done"]


@fastmq_only("waits for the capture socket without an end")
@pytest.mark.parametrize("kind", ["PUSH", "DEALER", "PAIR"])
def test_terminate_ends_a_proxy_whose_capture_socket_nobody_reads(running, kind):
    p = running(zmq.PULL, zmq.PUSH, getattr(zmq, kind), steerable=True)
    pull, push = p.connect(zmq.PULL, p.back_at), p.connect(zmq.PUSH, p.front_at)
    push.send(b"x")
    eventually("the proxy has the message in hand", lambda: p.inside(p.front) == 1)
    p.steer.send(b"STATISTICS")
    recv_multipart(p.steer)
    assert nothing_arrives(pull)
    p.steer.send(b"TERMINATE")
    p.thread.join(8)
    assert p.end == ["done"]


@fastmq_only("waits for the capture socket without an end")
def test_a_late_reader_of_the_capture_socket_misses_nothing(running):
    p = running(zmq.PULL, zmq.PUSH, zmq.PUSH, steerable=True)
    pull, push = p.connect(zmq.PULL, p.back_at), p.connect(zmq.PUSH, p.front_at)
    for i in range(100):
        push.send(b"%d" % i)
    eventually("the proxy has a message in hand", lambda: p.inside(p.front) >= 1)
    ear = p.connect(zmq.PULL, last_endpoint(p.capture))
    assert [int(recv(ear)) for _ in range(100)] == list(range(100))
    assert [int(recv(pull)) for _ in range(100)] == list(range(100))
    assert nothing_arrives(ear)


@fastmq_only("may crash")
@pytest.mark.parametrize("end", ["front", "back", "capture", "context"])
def test_whatever_closes_ends_a_proxy_that_waits_for_its_capture_socket(running, end):
    p = running(zmq.PULL, zmq.PUSH, zmq.PUSH)
    push = p.connect(zmq.PUSH, p.front_at)
    push.send(b"x")
    eventually("the proxy has the message in hand", lambda: p.inside(p.front) == 1)
    if end == "context":
        p.stop()
        assert p.end == ["terminated"]
    else:
        getattr(p, end).close()
        p.thread.join(8)
        assert p.end == [zmq.ENOTSOCK]


@fastmq_only("confuses PAUSE and RESUME")
def test_pause_and_resume(running):
    p = running(zmq.PULL, zmq.PUSH, steerable=True)
    pull, push = p.connect(zmq.PULL, p.back_at), p.connect(zmq.PUSH, p.front_at)
    push.send(b"before")
    assert recv(pull) == b"before"
    p.steer.send(b"PAUSE")
    p.steer.send(b"STATISTICS")  # the answer tells that PAUSE was seen
    assert len(recv_multipart(p.steer)) == 8
    push.send(b"while paused")
    assert nothing_arrives(pull)
    p.steer.send(b"RESUME")
    assert recv(pull) == b"while paused"


def test_statistics_count_messages_and_bytes(running):
    p = running(zmq.ROUTER, zmq.DEALER, steerable=True)
    rep, req = p.connect(zmq.REP, p.back_at), p.connect(zmq.REQ, p.front_at)
    for _ in range(4):
        req.send(b"12345")
        assert recv(rep) == b"12345"
        rep.send(b"123")
        assert recv(req) == b"123"

    def counted():
        p.steer.send(b"STATISTICS")
        frames = recv_multipart(p.steer)
        assert [len(f) for f in frames] == [8] * 8
        n = [struct.unpack("=Q", f)[0] for f in frames]
        # front received, front sent, back received, back sent: messages and bytes
        return n if n[2] == n[6] >= 4 and n[2] in (4, 12) else None

    n = eventually("all counted", counted)
    # libzmq counts the parts of messages
    assert n[0] == n[2] == n[4] == n[6]
    # identity 5, delimiter 0, body
    assert n[1] == n[7] == 4 * (5 + 5)
    assert n[3] == n[5] == 4 * (5 + 3)


def test_unknown_steering_commands_do_not_stop_the_proxy(running):
    p = running(zmq.PULL, zmq.PUSH, steerable=True)
    pull, push = p.connect(zmq.PULL, p.back_at), p.connect(zmq.PUSH, p.front_at)
    if zmq.__name__ != "zmq":
        p.steer.send(b"DANCE")
    push.send(b"x")
    assert recv(pull) == b"x"


def test_proxies_want_sockets():
    with pytest.raises(TypeError):
        zmq.proxy(1, 2)


# ---- types whose messages have one part ----

drafts = pytest.mark.skipif(not zmq.DRAFT_API, reason="the module has no draft types")


@drafts
def test_scattered_messages_pass_and_are_captured(running):
    p = running(zmq.GATHER, zmq.SCATTER, zmq.PUSH)
    seen = p.connect(zmq.PULL, last_endpoint(p.capture))
    gather = p.connect(zmq.GATHER, p.back_at)
    scatter = p.connect(zmq.SCATTER, p.front_at)
    for i in range(20):
        scatter.send(b"%d" % i)
    assert [recv(gather) for _ in range(20)] == [b"%d" % i for i in range(20)]
    assert [recv(seen) for _ in range(20)] == [b"%d" % i for i in range(20)]


@drafts
def test_channels_are_joined_both_ways(running):
    p = running(zmq.CHANNEL, zmq.CHANNEL)
    a = p.connect(zmq.CHANNEL, p.front_at)
    b = p.connect(zmq.CHANNEL, p.back_at)
    a.send(b"there")
    assert recv(b) == b"there"
    b.send(b"back")
    assert recv(a) == b"back"


@drafts
def test_a_server_that_is_both_ends_answers_its_clients(running):
    p = running(zmq.SERVER, None)
    clients = [p.connect(zmq.CLIENT, p.front_at) for _ in range(3)]
    for i, client in enumerate(clients):
        client.send(b"%d" % i)
    assert [recv(client) for client in clients] == [b"0", b"1", b"2"]


@drafts
def test_requests_pass_from_a_server_to_a_client(running):
    p = running(zmq.SERVER, zmq.CLIENT, zmq.PUSH)
    seen = p.connect(zmq.PULL, last_endpoint(p.capture))
    server = p.connect(zmq.SERVER, p.back_at)
    client = p.connect(zmq.CLIENT, p.front_at)
    client.send(b"1")
    frame = server.recv(copy=False)
    assert frame.bytes == b"1"
    copied = seen.recv(copy=False)
    assert copied.bytes == b"1"
    if IS_FASTMQ:
        assert copied.routing_id == 0
        # Whom an answer is for nobody knows: it is dropped, and the proxy goes on.
        server.send(frame)
        eventually("the drop", lambda: p.front.stats().dropped == 1)
        client.send(b"2")
        assert recv(server) == b"2"


@fastmq_only("ends the proxy")
def test_parts_for_a_type_of_single_parts_do_not_end_a_proxy(running):
    p = running(zmq.PULL, zmq.SCATTER)
    push = p.connect(zmq.PUSH, p.front_at)
    gather = p.connect(zmq.GATHER, p.back_at)
    push.send(b"1")
    push.send_multipart([b"a", b"b"])
    push.send(b"2")
    assert [recv(gather), recv(gather)] == [b"1", b"2"]
    assert p.back.stats().dropped == 1


@fastmq_only("ends the proxy")
def test_parts_for_a_capture_socket_of_single_parts_pass_uncaptured(running):
    p = running(zmq.PULL, zmq.PUSH, zmq.SCATTER)
    seen = p.connect(zmq.GATHER, last_endpoint(p.capture))
    push = p.connect(zmq.PUSH, p.front_at)
    pull = p.connect(zmq.PULL, p.back_at)
    push.send_multipart([b"a", b"b"])
    push.send(b"1")
    assert recv_multipart(pull) == [b"a", b"b"]
    assert recv(pull) == recv(seen) == b"1"


@fastmq_only("drops all that it would see")
def test_a_monitor_of_single_parts_has_no_room_for_a_prefix(make, name):
    ends = [make(kind) for kind in (zmq.PULL, zmq.PUSH, zmq.SCATTER)]
    for end in ends:
        end.bind(name())
    with pytest.raises(zmq.ZMQError, match="a SCATTER socket has messages of one part") as info:
        submodule("devices").monitored_queue(*ends)
    assert info.value.errno == zmq.EINVAL
