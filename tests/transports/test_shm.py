# SPDX-License-Identifier: MIT
"""Connections within a host that go into shared memory by themselves, and those that do not."""

import array
import contextlib
import errno
import fcntl
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import wire
from helpers import (
    eventually,
    last_endpoint,
    lasting_descriptors,
    nothing_arrives,
    recv,
    recv_multipart,
    unique,
    wait_readable,
)
from target import IS_FASTMQ, submodule, zmq

monitoring = submodule("utils.monitor")

pytestmark = pytest.mark.skipif(
    not IS_FASTMQ or not sys.platform.startswith("linux"), reason="shared memory of Linux"
)

RING = 64 << 10
GROWN = 16 * RING


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTMQ_SHM", "2")


def link(sock: Any) -> str:
    peers = sock.peers()
    return peers[0].link if peers else ""


def reason(sock: Any) -> str:
    peers = sock.peers()
    return peers[0].link_reason if peers else ""


def in_memory(*socks: Any) -> None:
    eventually("shared memory", lambda: all(link(s) == "shm" for s in socks))


@pytest.fixture(params=["ipc", "tcp", "tcp6"])
def address(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    if request.param == "ipc":
        return f"ipc://{tmp_path}/{unique('shm')}"
    if request.param == "tcp6":
        try:
            with socket.socket(socket.AF_INET6) as s:
                s.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6")
        return "tcp://[::1]:*"
    return "tcp://127.0.0.1:*"


def joined(make: Any, address: str, bound: int, connected: int, **options: Any) -> tuple[Any, Any]:
    if "[" in address:
        options["ipv6"] = 1
    a, b = make(bound, **options), make(connected, **options)
    a.bind(address)
    b.connect(last_endpoint(a))
    return a, b


# ---- what goes there ----


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "[::]"])
def test_a_peer_that_is_reached_by_the_wildcard_address_is_of_this_host(make, wildcard):
    a, b = make(zmq.PAIR, ipv6="[" in wildcard), make(zmq.PAIR, ipv6="[" in wildcard)
    try:
        a.bind(f"tcp://{wildcard}:*")
    except zmq.ZMQError:
        pytest.skip("no IPv6")
    b.connect(last_endpoint(a))
    assert last_endpoint(a).startswith(f"tcp://{wildcard}:")
    in_memory(a, b)
    b.send(b"x")
    assert a.recv_multipart(copy=False)[0]["Peer-Address"] in ("127.0.0.1", "::1")


def test_a_connection_within_the_host_moves_into_memory(ctx, make, address):
    a, b = joined(make, address, zmq.PAIR, zmq.PAIR)
    in_memory(a, b)
    assert reason(a) == reason(b) == ""
    assert ctx.stats().shm_connections == 2
    assert ctx.stats().shm_bytes == 2 * (2 * RING + os.sysconf("SC_PAGESIZE"))
    for i in range(100):
        b.send(b"%d" % i)
        assert recv(a) == b"%d" % i
        a.send(b"back %d" % i)
        assert recv(b) == b"back %d" % i
    b.close()
    eventually("no peer", lambda: not a.peers())
    assert ctx.stats().shm_bytes == ctx.stats().shm_connections == 0


def test_what_was_sent_before_the_move_comes_first(make, address):
    """Messages of all sizes go out while the connection is on its way into memory."""
    pull, push = make(zmq.PULL, rcvhwm=0), make(zmq.PUSH, sndhwm=0)
    if "[" in address:
        pull.ipv6 = push.ipv6 = 1
    pull.bind(address)
    push.connect(last_endpoint(pull))
    sizes = [1, 100, 5000, 70_000, 300_000, 3]
    for i in range(60):
        push.send(bytes([i]) * sizes[i % len(sizes)])
    in_memory(push)
    for i in range(60, 120):
        push.send(bytes([i]) * sizes[i % len(sizes)])
    for i in range(120):
        assert recv(pull) == bytes([i]) * sizes[i % len(sizes)]


def test_messages_larger_than_the_ring_go_through_it(make, address):
    a, b = joined(make, address, zmq.PAIR, zmq.PAIR)
    in_memory(a, b)
    body = secrets.token_bytes(5 << 20)
    sender = threading.Thread(target=lambda: (b.send(body), b.send(b"end")))
    sender.start()
    assert recv(a) == body
    assert recv(a) == b"end"
    sender.join()


def test_a_ring_that_is_full_grows_and_keeps_the_order(ctx, make, address):
    a, b = joined(make, address, zmq.PAIR, zmq.PAIR, sndhwm=0, rcvhwm=1)
    in_memory(a, b)
    small = 2 * (2 * RING + os.sysconf("SC_PAGESIZE"))
    assert ctx.stats().shm_bytes == small
    for i in range(5000):
        b.send(i.to_bytes(4, "big") * 500)
    # Full once, and no room comes: that is not worth the memory.
    assert ctx.stats().shm_bytes == small
    for i in range(5000):
        assert recv(a) == i.to_bytes(4, "big") * 500
    # The sender's count and the reader's, which has followed.
    assert ctx.stats().shm_bytes == small + 2 * (GROWN - RING)
    a.send(b"back")
    assert recv(b) == b"back"


@pytest.mark.parametrize("foreign", [False, True], ids=["alone", "beside descriptors"])
def test_a_poller_hears_of_every_message_whether_it_spins_or_sleeps(make, address, foreign):
    a, b = joined(make, address, zmq.PAIR, zmq.PAIR)
    in_memory(a, b)
    read, write = os.pipe()
    pollers = []
    for end in a, b:
        pollers.append(zmq.Poller())
        pollers[-1].register(end, zmq.POLLIN)
        if foreign:
            pollers[-1].register(read, zmq.POLLIN)

    def echo() -> None:
        while True:
            ready = pollers[0].poll(10_000)
            assert ready
            if (a, zmq.POLLIN) not in ready:
                continue  # the byte in the pipe, which the other end reads
            message = a.recv(zmq.DONTWAIT)
            a.send(message)
            if not message:
                return

    server = threading.Thread(target=echo)
    server.start()
    pauses = [0.0] * 200 + [0.0001, 0.001, 0.003, 0.03] * 5  # within and beyond the lease
    for i, pause in enumerate([*pauses, *pauses]):
        time.sleep(pause)
        b.send(b"%d" % i)
        time.sleep(pause)
        assert pollers[1].poll(10_000) == [(b, zmq.POLLIN)]
        assert b.recv(zmq.DONTWAIT) == b"%d" % i
    if foreign:
        os.write(write, b"x")
        assert pollers[1].poll(10_000) == [(read, zmq.POLLIN)]
        os.read(read, 1)
    b.send(b"")
    assert recv(b) == b""
    server.join()
    os.close(read)
    os.close(write)


def test_limits_and_pauses_hold_as_over_a_socket(make, address):
    pull, push = make(zmq.PULL, rcvhwm=10), make(zmq.PUSH, sndhwm=10)
    if "[" in address:
        pull.ipv6 = push.ipv6 = 1
    pull.bind(address)
    push.connect(last_endpoint(pull))
    in_memory(push)
    sent = 0
    while sent < 10_000 and push.poll(500, zmq.POLLOUT):
        push.send(b"x" * 2000, zmq.DONTWAIT)
        sent += 1
    # Two marks and the ring: no more may be on the way.
    assert 20 <= sent <= 20 + GROWN // 2000 + 10
    for _ in range(sent):
        assert recv(pull) == b"x" * 2000
    push.send(b"more")
    assert recv(pull) == b"more"


def test_many_peers_are_served_in_turn(make, address):
    router = make(zmq.ROUTER, **({"ipv6": 1} if "[" in address else {}))
    router.bind(address)
    dealers = [make(zmq.DEALER, routing_id=b"%d" % i) for i in range(20)]
    for d in dealers:
        if "[" in address:
            d.ipv6 = 1
        d.connect(last_endpoint(router))
    for d in dealers:
        in_memory(d)
    for turn in range(5):
        for d in dealers:
            d.send(b"%d" % turn)
        for _ in dealers:
            name, body = recv_multipart(router)
            router.send_multipart([name, b"got " + body])
        for d in dealers:
            assert recv(d) == b"got %d" % turn


def test_a_subscriber_gets_what_it_asked_for(make, address):
    pub, sub = joined(make, address, zmq.XPUB, zmq.SUB)
    in_memory(sub)
    sub.subscribe(b"a")
    assert recv(pub) == b"\1a"
    pub.send(b"b no")
    pub.send(b"a yes")
    assert recv(sub) == b"a yes"
    assert nothing_arrives(sub)


def test_heartbeats_go_there_too(make, address):
    a, b = joined(make, address, zmq.PAIR, zmq.PAIR, heartbeat_ivl=50, heartbeat_timeout=2000)
    in_memory(a, b)
    eventually("a round trip", lambda: a.peers()[0].rtt is not None)
    assert link(a) == "shm"


def test_what_waits_in_the_ring_outlives_its_sender(make, address):
    pull, push = joined(make, address, zmq.PULL, zmq.PUSH)
    in_memory(push)
    push.setsockopt(zmq.LINGER, -1)
    for i in range(50):
        push.send(b"%d" % i)
    push.close()
    assert [recv(pull) for _ in range(50)] == [b"%d" % i for i in range(50)]


def test_after_a_loss_the_next_connection_moves_again(make, tmp_path):
    address = f"ipc://{tmp_path}/again"
    dealer = make(zmq.DEALER, reconnect_ivl=10)
    first = make(zmq.ROUTER)
    first.bind(address)
    dealer.connect(address)
    in_memory(dealer)
    first.close()
    second = make(zmq.ROUTER)
    eventually("the path", lambda: _binds(second, address))
    eventually("the peer", second.peers)
    in_memory(dealer, second)
    dealer.send(b"hello")
    assert recv_multipart(second)[1] == b"hello"


def test_a_message_for_a_peer_that_has_closed_waits_for_the_next(make, tmp_path):
    address = f"ipc://{tmp_path}/closed"
    dealer = make(zmq.DEALER, reconnect_ivl=10)
    first, second = make(zmq.ROUTER), make(zmq.ROUTER)
    first.bind(address)
    dealer.connect(address)
    in_memory(dealer, first)
    first.close()
    dealer.send(b"for the next")
    eventually("the path", lambda: _binds(second, address))
    assert recv_multipart(second)[1] == b"for the next"


def test_a_thread_that_sleeps_in_a_send_hears_what_comes(make, address):
    a, b = joined(make, address, zmq.DEALER, zmq.DEALER, hwm=1)
    in_memory(a, b)
    a.sndtimeo = 20_000

    def fill() -> None:
        with contextlib.suppress(zmq.ZMQError):
            while True:
                a.send(b"x" * 50_000)

    thread = threading.Thread(target=fill)
    thread.start()
    eventually("a full socket", lambda: not a.poll(0, zmq.POLLOUT))
    for n in range(50):
        b.send(b"%d" % n)
        assert recv(a) == b"%d" % n
    a.close()
    thread.join(10)
    assert not thread.is_alive()


def _binds(sock: Any, address: str) -> bool:
    try:
        sock.bind(address)
    except zmq.ZMQError:
        return False
    return True


def test_fd_and_events_show_what_comes_through_memory(make, address):
    import select

    a, b = joined(make, address, zmq.PAIR, zmq.PAIR)
    in_memory(a, b)
    fd = a.get(zmq.FD)
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    for i in range(50):
        while a.get(zmq.EVENTS) & zmq.POLLIN:
            a.recv()
        b.send(b"%d" % i)
        while not a.get(zmq.EVENTS) & zmq.POLLIN:
            assert poller.poll(8000), "FD stays silent"
        assert a.recv() == b"%d" % i


def test_a_poll_set_and_a_proxy_see_it(make, address):
    front, client = joined(make, address, zmq.ROUTER, zmq.REQ)
    back = make(zmq.DEALER)
    back.bind("tcp://127.0.0.1:*")
    worker = make(zmq.REP)
    worker.connect(last_endpoint(back))
    in_memory(client, worker)
    control = make(zmq.PAIR)
    control.bind("inproc://" + unique("control"))
    steering = make(zmq.PAIR)
    steering.connect(last_endpoint(control))
    thread = threading.Thread(target=zmq.proxy_steerable, args=(front, back, None, control))
    thread.start()
    try:
        for i in range(30):
            client.send(b"%d" % i)
            wait_readable(worker, "a request")
            worker.send(worker.recv())
            assert recv(client) == b"%d" % i
    finally:
        steering.send(b"TERMINATE")
        thread.join(10)


# ---- what stays on its socket ----


@pytest.mark.parametrize("side", ["bound", "connected"])
def test_one_side_alone_keeps_it_on_the_socket(make, address, side):
    a, b = make(zmq.PAIR), make(zmq.PAIR)
    if "[" in address:
        a.ipv6 = b.ipv6 = 1
    (a if side == "bound" else b).shm = 0
    a.bind(address)
    b.connect(last_endpoint(a))
    b.send(b"x")
    assert recv(a) == b"x"
    a.send(b"y")
    assert recv(b) == b"y"
    off, on = (a, b) if side == "bound" else (b, a)
    assert (link(off), reason(off)) == ("socket", "SHM is 0 here")
    assert (link(on), reason(on)) == ("socket", "the peer does not offer it")


def test_the_option_and_the_environment_say_what_is_wanted(ctx, make, monkeypatch):
    monkeypatch.delenv("FASTMQ_SHM")
    assert make(zmq.PAIR).shm == 1
    monkeypatch.setenv("FASTMQ_SHM", "0")
    sock = make(zmq.PAIR)
    assert sock.shm == 0
    sock.shm = 1
    assert sock.getsockopt(zmq.SHM) == 1
    assert ctx.get(zmq.SHM_CONNECTIONS) == 256


@pytest.mark.parametrize("sender", ["bound", "connecting"])
def test_a_connection_moves_when_it_is_in_use(make, address, sender):
    a, b = (make(zmq.PAIR, shm=1, ipv6=1) for _ in "ab")
    a.bind(address)
    b.connect(last_endpoint(a))
    source, sink = (a, b) if sender == "bound" else (b, a)
    source.send(b"a few bytes")
    recv(sink)
    assert (link(a), reason(a)) == (link(b), reason(b)) == ("socket", "not yet")
    before = a.context.stats().shm_bytes
    for _ in range(9):
        source.send(bytes(1024))
        recv(sink)
    in_memory(a, b)
    assert a.context.stats().shm_bytes > before
    sink.send(b"back")
    assert recv(source) == b"back"


def test_idle_connections_take_none_of_the_places(make):
    context = zmq.Context()
    context.set(zmq.SHM_CONNECTIONS, 1)
    with context, context.socket(zmq.PULL) as pull:
        pull.linger, pull.shm = 0, 1
        pull.bind("tcp://127.0.0.1:*")
        idle = [make(zmq.PUSH, shm=1) for _ in range(3)]
        for push in idle:
            push.connect(pull.last_endpoint)
            push.send(b"x")
            recv(pull)
        busy = make(zmq.PUSH, shm=1)
        busy.connect(pull.last_endpoint)
        for _ in range(20):
            busy.send(bytes(1024))
            recv(pull)
        in_memory(busy)
        assert context.stats().shm_connections == 1


def test_a_peer_that_knows_nothing_of_it_notices_nothing(make):
    """What libzmq sees: one property more, and nothing after that."""
    pull = make(zmq.PULL)
    pull.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(pull)) as peer:
        peer.handshake("PUSH")
        offer = peer.peer_props["X-Fastmq-Shm"].split()
        assert len(offer) == 6
        assert int(offer[5]) == peer.sock.getsockname()[1]
        peer.send_message(b"hello")
        assert recv(pull) == b"hello"
        assert (link(pull), reason(pull)) == ("socket", "the peer does not offer it")
        assert peer.silent()


def test_connections_above_the_limit_stay_on_their_sockets(ctx, make):
    ctx.set(zmq.SHM_CONNECTIONS, 2)
    a, b = make(zmq.PAIR), make(zmq.PAIR)
    a.bind("tcp://127.0.0.1:*")
    b.connect(last_endpoint(a))
    in_memory(a, b)
    c, d = make(zmq.PAIR), make(zmq.PAIR)
    c.bind("tcp://127.0.0.1:*")
    d.connect(last_endpoint(c))
    d.send(b"x")
    assert recv(c) == b"x"
    limited = ("socket", "SHM_CONNECTIONS are in use")
    eventually("the limit is met", lambda: limited in {(link(c), reason(c)), (link(d), reason(d))})
    assert link(c) == link(d) == "socket"
    b.close()
    eventually("room", lambda: ctx.stats().shm_connections == 0)
    d.close()
    eventually("no peer", lambda: not c.peers())
    e = make(zmq.PAIR)
    e.connect(last_endpoint(c))
    in_memory(e, c)


class Between:
    """Another program between the two ends: passes on what comes, both ways."""

    def __init__(self, port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, args=(port,), daemon=True)
        self.thread.start()

    def run(self, port: int) -> None:
        with contextlib.suppress(OSError):
            here, _ = self.listener.accept()
            there = socket.create_connection(("127.0.0.1", port))
            back = threading.Thread(target=self.pass_on, args=(there, here), daemon=True)
            back.start()
            self.pass_on(here, there)
            back.join()
            here.close()
            there.close()

    @staticmethod
    def pass_on(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.listener.close()
        self.thread.join(10)


def test_who_stands_in_between_stays_there(make):
    a, b = make(zmq.PAIR), make(zmq.PAIR)
    a.bind("tcp://127.0.0.1:*")
    between = Between(int(last_endpoint(a).rpartition(":")[2]))
    b.connect(f"tcp://127.0.0.1:{between.port}")
    b.send(b"x")
    assert recv(a) == b"x"
    a.send(b"y")
    assert recv(b) == b"y"
    assert (link(b), reason(b)) == ("socket", "another program stands between the two")
    assert link(a) == "socket"
    b.close()
    a.close()
    between.close()


def test_what_is_encrypted_stays_on_its_socket(make):
    pytest.importorskip("nacl")
    public, secret = zmq.curve_keypair()
    a = make(zmq.PAIR, curve_server=1, curve_secretkey=secret)
    mine, own = zmq.curve_keypair()
    b = make(zmq.PAIR, curve_serverkey=public, curve_publickey=mine, curve_secretkey=own)
    a.bind("tcp://127.0.0.1:*")
    b.connect(last_endpoint(a))
    b.send(b"x")
    assert recv(a) == b"x"
    assert (link(a), reason(a)) == ("socket", "what is encrypted stays on its socket")
    assert "X-Fastmq-Shm" not in str(a.peers())


# ---- monitors ----


class Links:
    """The events of a socket's monitor that say what carries its connections."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.pair = sock.get_monitor_socket(zmq.EVENT_LINK | zmq.EVENT_HANDSHAKE_SUCCEEDED)

    def next(self) -> tuple[str, str]:
        ready = self.told()
        assert ready["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
        told = self.told()
        assert told["event"] == zmq.EVENT_LINK
        assert (told["local"], told["remote"]) == (ready["local"], ready["remote"])
        return told["link"], told["link_reason"]

    def told(self) -> dict[str, Any]:
        return monitoring.parse_monitor_message(recv_multipart(self.pair))

    def silent(self) -> bool:
        return nothing_arrives(self.pair)

    def close(self) -> None:
        self.sock.disable_monitor()
        self.pair.close()


@pytest.fixture
def links(make: Any) -> Iterator[Any]:
    made: list[Links] = []
    yield lambda sock: made.append(Links(sock)) or made[-1]
    for of in made:
        of.close()


def test_monitors_say_that_a_connection_is_in_memory(make, links, address):
    options = {"ipv6": 1} if "[" in address else {}
    a, b = make(zmq.PAIR, **options), make(zmq.PAIR, **options)
    told = [links(a), links(b)]
    a.bind(address)
    b.connect(last_endpoint(a))
    assert [of.next() for of in told] == [("shm", "")] * 2
    assert all(of.silent() for of in told)


@pytest.mark.parametrize("side", ["bound", "connected"])
def test_monitors_say_why_a_connection_is_not(make, links, address, side):
    options = {"ipv6": 1} if "[" in address else {}
    a, b = make(zmq.PAIR, **options), make(zmq.PAIR, **options)
    (a if side == "bound" else b).shm = 0
    off, on = (a, b) if side == "bound" else (b, a)
    told = [links(off), links(on)]
    a.bind(address)
    b.connect(last_endpoint(a))
    assert [of.next() for of in told] == [
        ("socket", "SHM is 0 here"),
        ("socket", "the peer does not offer it"),
    ]
    assert all(of.silent() for of in told)


def test_monitors_say_that_memory_was_refused_and_with_which_error(pull, hostile, links):
    monitor = links(pull)
    hand_over(hostile.name, hostile.message(), fd := os.eventfd(0))
    os.close(fd)
    while (told := monitor.told())["event"] != zmq.EVENT_LINK:
        continue  # the peer may have become ready just now
    assert told["link"] == "socket"
    assert told["link_reason"] == f"it failed: {os.strerror(errno.EPROTO)}"
    assert reason(pull) != told["link_reason"]  # of the healthy one, which is in memory
    monitor.close()


def test_a_monitor_of_version_1_has_no_such_event(make):
    sock = make(zmq.PAIR)
    with pytest.raises(zmq.ZMQError, match="version=2") as raised:
        sock.monitor("inproc://" + unique("links"), zmq.EVENT_LINK)
    assert raised.value.errno == errno.EINVAL
    assert monitoring.link_reason(0xFFFF) == "reason 65535"


# ---- two processes ----

ECHO = """
import sys
import fastmq as zmq
with zmq.Context() as ctx, ctx.socket(zmq.REP) as rep:
    rep.linger = 0
    rep.ipv6 = 1
    rep.connect(sys.argv[1])
    while True:
        rep.send_multipart(rep.recv_multipart())
"""


@contextlib.contextmanager
def other_process(code: str, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", code, *args]) as process:
        try:
            yield process
        finally:
            process.kill()


def test_another_process_is_reached_through_memory_and_its_death_is_noticed(ctx, make, address):
    dealer = make(zmq.DEALER, **({"ipv6": 1} if "[" in address else {}))
    dealer.bind(address)
    with other_process(ECHO, last_endpoint(dealer)) as process:
        eventually("the other", lambda: link(dealer) == "shm", 20)
        for i in range(200):
            body = b"%d" % i * (1 + i % 7 * 3000)
            dealer.send_multipart([b"", body])
            assert recv_multipart(dealer) == [b"", body]
        process.send_signal(signal.SIGKILL)
        process.wait()
        eventually("its end", lambda: not dealer.peers())
    assert ctx.stats().shm_bytes == 0


STREAM = """
import sys
import fastmq as zmq
ctx = zmq.Context()
push = ctx.socket(zmq.PUSH)
push.connect(sys.argv[1])
i = 0
while True:
    push.send(b"%d:" % i + bytes([i % 251]) * (i * 37 % 5000))
    i += 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_a_peer_that_is_killed_at_any_moment_costs_its_connection_alone(
    ctx, make, tmp_path, transport
):
    """What arrives of each is whole and in order from the first on; nothing is left behind."""
    rounds = int(os.environ.get("FASTMQ_TEST_KILLS", "25"))
    pull = make(zmq.PULL)
    pull.bind(f"ipc://{tmp_path}/kill" if transport == "ipc" else "tcp://127.0.0.1:*")
    before = None
    for turn in range(rounds):
        with other_process(STREAM, last_endpoint(pull)) as process:
            got = 0
            most = 1 + secrets.randbelow(3000)
            while got < most:
                check(recv(pull), got)
                got += 1
            process.send_signal(signal.SIGKILL)
            process.wait()
        while pull.poll(0) or pull.peers():  # what it wrote before
            if pull.poll(10):
                check(pull.recv(), got)
                got += 1
        if turn == 0:
            before = lasting_descriptors()
    eventually("no descriptor left", lambda: lasting_descriptors() <= before)
    assert ctx.stats().shm_bytes == 0


def check(message: bytes, i: int) -> None:
    assert message == b"%d:" % i + bytes([i % 251]) * (i * 37 % 5000)


# ---- a hostile process of the same user ----


def memory(size: int, seals: int | None = None) -> int:
    fd = os.memfd_create("hostile", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    if seals is None:
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


WHOLE = 2 * RING + 2 * GROWN + os.sysconf("SC_PAGESIZE")


def hand_over(name: bytes, message: bytes, *descriptors: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(b"\0" + name)
        rights = array.array("i", descriptors).tobytes()
        more = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        s.sendmsg([message], more)


class Hostile:
    """Speaks the protocol by hand: a peer that connects and says it is on this host."""

    def __init__(self, sock: Any, kind: str = "PUSH") -> None:
        self.wire = wire.connect(last_endpoint(sock))
        self.view: memoryview | None = None
        # What we say of ourselves has to fit; the other side's own words tell what that is.
        with wire.connect(last_endpoint(sock)) as first:
            first.handshake(kind)
            words = first.peer_props["X-Fastmq-Shm"].split()
        self.wire.handshake(kind, X_Fastmq_Shm=b" ".join(words[:3]))
        offer = self.wire.peer_props["X-Fastmq-Shm"].split()
        self.name, self.token = offer[3], bytes.fromhex(offer[4].decode())

    def close(self) -> None:
        self.wire.close()
        if self.view is not None:
            self.view.release()
            self.map.close()

    def message(self, size: int = RING, version: int = 1) -> bytes:
        return bytes([version]) + self.token + struct.pack(">Q", size)

    def move(self) -> memoryview:
        import mmap

        fd = memory(WHOLE)
        hand_over(self.name, self.message(), fd)
        assert self.wire.read_command() == (b"SWITCH", b"\0")
        self.wire.send(wire.command(b"SWITCH", b"\0"))
        self.map = mmap.mmap(fd, WHOLE)
        os.close(fd)
        self.view = memoryview(self.map)
        return self.view


@pytest.fixture
def pull(make: Any) -> Iterator[Any]:
    """A socket under attack, and after that a healthy peer that must have noticed nothing."""
    sock = make(zmq.PULL)
    sock.bind("tcp://127.0.0.1:*")
    healthy = make(zmq.PUSH)
    healthy.connect(last_endpoint(sock))
    in_memory(healthy)
    before = lasting_descriptors()
    yield sock
    for i in range(10):
        healthy.send(b"healthy %d" % i)
        assert recv(sock) == b"healthy %d" % i
    assert link(healthy) == "shm"
    eventually("the others' ends", lambda: len(sock.peers()) == 1)
    eventually("no descriptor left", lambda: lasting_descriptors() <= before)


@pytest.fixture
def hostile(pull: Any) -> Iterator[Hostile]:
    attacker = Hostile(pull)
    yield attacker
    attacker.close()


def ring(view: memoryview, *frames: bytes) -> None:
    data = b"".join(frames)
    page = os.sysconf("SC_PAGESIZE")
    view[page : page + len(data)] = data
    struct.pack_into("Q", view, 0, len(data))


def test_what_a_peer_of_our_kind_writes_into_the_ring_is_read(pull, hostile):
    view = hostile.move()
    ring(view, wire.frame(b"through the ring"))
    hostile.wire.send(b"\0")
    assert recv(pull) == b"through the ring"


@pytest.mark.parametrize("place", [RING + 1, 1 << 63, (1 << 64) - 1])
def test_an_impossible_place_ends_the_connection(pull, hostile, place):
    view = hostile.move()
    struct.pack_into("Q", view, 0, place)
    hostile.wire.send(b"\0")
    hostile.wire.wait_closed()


@pytest.mark.parametrize("seed", range(4))
def test_noise_in_the_memory_costs_the_connection_alone(pull, hostile, seed):
    view = hostile.move()
    view[: len(view)] = secrets.token_bytes(len(view))
    with contextlib.suppress(OSError):
        hostile.wire.send(b"\0" * 100)
    hostile.wire.wait_closed()


def test_bytes_that_are_no_frames_end_the_connection(pull, hostile):
    ring(hostile.move(), b"\xff" * 100)
    hostile.wire.send(b"\0")
    hostile.wire.wait_closed()


@pytest.mark.parametrize("what", ["small", "unsealed", "readonly", "event", "file", "none", "two"])
def test_what_is_no_memory_of_ours_is_refused(pull, hostile, what):
    given = {
        "small": lambda: [memory(4096)],
        "unsealed": lambda: [memory(WHOLE, 0)],
        "readonly": lambda: [
            memory(WHOLE, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
        ],
        "event": lambda: [os.eventfd(0)],
        "file": lambda: [os.open(__file__, os.O_RDONLY)],
        "none": list,
        "two": lambda: [memory(WHOLE), memory(WHOLE)],
    }[what]()
    hand_over(hostile.name, hostile.message(), *given)
    for fd in given:
        os.close(fd)
    if what in ("none", "two"):  # the token stands still: nobody was seated
        fd = memory(WHOLE)
        hand_over(hostile.name, hostile.message(), fd)
        os.close(fd)
        assert hostile.wire.read_command() == (b"SWITCH", b"\0")
    else:
        assert hostile.wire.read_command() == (b"SWITCH", b"\1")
        hostile.wire.send_message(b"still on the socket")
        assert recv(pull) == b"still on the socket"


@pytest.mark.parametrize("size", [0, 1, 4097, 65535, 1 << 40, (1 << 64) - 1, RING // 2])
def test_a_size_that_does_not_fit_is_refused(pull, hostile, size):
    fd = memory(WHOLE)
    hand_over(hostile.name, hostile.message(size), fd)
    os.close(fd)
    hostile.wire.send_message(b"on the socket")
    assert recv(pull) == b"on the socket"


def test_a_token_is_good_once(pull, hostile):
    fd = memory(WHOLE)
    for _ in range(5):
        hand_over(hostile.name, hostile.message(), fd)
    hand_over(hostile.name, bytes([1]) + secrets.token_bytes(16) + struct.pack(">Q", RING), fd)
    os.close(fd)
    assert hostile.wire.read_command() == (b"SWITCH", b"\0")
    assert hostile.wire.silent()


@pytest.mark.parametrize("argument", [b"", b"\0", b"\1", b"\0\0\0"])
def test_switch_without_memory_is_a_violation(pull, hostile, argument):
    hostile.wire.send(wire.command(b"SWITCH", argument))
    hostile.wire.wait_closed()


def test_a_flood_at_the_meeting_point_keeps_nobody_out(ctx, make, pull, hostile):
    crowd = []
    for _ in range(300):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            s.connect(b"\0" + hostile.name)
        crowd.append(s)
    other = make(zmq.PUSH)

    def through() -> bool:
        if not other.peers():
            other.connect(last_endpoint(pull))
            other.send(b"x")
            assert recv(pull) == b"x"
        if link(other) == "shm":
            return True
        if reason(other) != "not yet":  # it was crowded: the next one is lucky
            other.disconnect(last_endpoint(pull))
        return False

    eventually("a place", through, 20)
    for s in crowd:
        s.close()
    other.close()


def test_the_meeting_point_is_gone_with_its_context():
    context = zmq.Context()
    a, b = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    a.bind("tcp://127.0.0.1:*")
    b.connect(last_endpoint(a))
    in_memory(a, b)
    with wire.connect(last_endpoint(a)) as peer:
        with contextlib.suppress(EOFError, AssertionError, OSError):
            peer.handshake("PAIR")
        offer = peer.peer_props.get("X-Fastmq-Shm", b"").split()
    context.destroy(linger=0)
    assert len(offer) == 6
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s, pytest.raises(OSError):
        s.connect(b"\0" + offer[3])


def test_a_forked_child_touches_nothing_of_it(make):
    a, b = make(zmq.PAIR), make(zmq.PAIR)
    a.bind("tcp://127.0.0.1:*")
    b.connect(last_endpoint(a))
    in_memory(a, b)
    b.send(b"before")
    child = os.fork()
    if child == 0:
        try:
            b.send(b"from the child")
        except zmq.ZMQError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    b.send(b"after")
    assert [recv(a), recv(a)] == [b"before", b"after"]
