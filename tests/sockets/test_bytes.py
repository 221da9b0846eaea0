# SPDX-License-Identifier: MIT
"""Limits in bytes: SNDHWM_BYTES and RCVHWM_BYTES for each peer, MAX_QUEUED_BYTES for a context."""

import asyncio
import contextlib
import errno
import random
import select
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers import (
    WAIT_MS,
    drain,
    eventually,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
    sockets_of,
    sync_subscriber,
    wait_writable,
)
from loops import run, turns
from security import Keys, curve_client, curve_server
from target import fastmq_only, submodule, zmq

pytestmark = fastmq_only("has no limits in bytes")

inproc = pytest.mark.parametrize("endpoint", ["inproc"], indirect=True)
streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)
everywhere = pytest.mark.parametrize("endpoint", ["tcp", "ipc", "inproc"], indirect=True)

Make = Callable[..., Any]


def takes(sock: Any, size: int, limit: int = 5000) -> int:
    """Sends messages of that size without waiting until one is refused; how many were taken."""
    for n in range(limit):
        try:
            sock.send(bytes(size), zmq.DONTWAIT)
        except zmq.Again:
            return n
    return limit


def refused(sock: Any, size: int) -> bool:
    try:
        sock.send(bytes(size), zmq.DONTWAIT)
    except zmq.Again:
        return True
    return False


def writable(sock: Any) -> bool:
    return bool(sock.poll(0, zmq.POLLOUT))


@contextlib.contextmanager
def in_thread(work: Callable[[], Any]) -> Iterator[threading.Thread]:
    """Runs it beside the block; it has to end after it, and what it raises is raised."""
    errors: list[BaseException] = []

    def body() -> None:
        try:
            work()
        except BaseException as e:
            errors.append(e)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(WAIT_MS / 1000)
        stuck = thread.is_alive()
    if errors:
        raise errors[0]
    assert not stuck, "the thread still waits"


# ---- options ----


def test_there_is_no_limit_unless_one_is_set(make: Make) -> None:
    sock = make(zmq.PUSH)
    assert (sock.sndhwm_bytes, sock.rcvhwm_bytes) == (0, 0)
    for option in (zmq.SNDHWM_BYTES, zmq.RCVHWM_BYTES):
        sock.setsockopt(option, 2**40)
        assert sock.getsockopt(option) == 2**40
        with raises_errno(errno.EINVAL):
            sock.setsockopt(option, -1)
    assert (int(zmq.SNDHWM_BYTES), int(zmq.RCVHWM_BYTES)) == (10006, 10007)


# ---- sending ----


@everywhere
@pytest.mark.parametrize("kind", ["PUSH", "DEALER", "PAIR"])
@pytest.mark.parametrize("size,limit,expected", [(1, 7, 7), (100, 1000, 10), (300, 1000, 3)])
def test_without_a_peer_exactly_so_many_bytes_are_taken(
    make: Make, endpoint: Any, kind: str, size: int, limit: int, expected: int
) -> None:
    sock = make(getattr(zmq, kind), sndhwm_bytes=limit)
    endpoint.connect(sock, endpoint.fixed())
    assert takes(sock, size) == expected
    assert sock.stats().queued_out_bytes == expected * size
    assert not writable(sock)


@everywhere
@pytest.mark.parametrize("size", [20, 200, 20_000, 200_000])
def test_the_limit_holds_to_the_byte(make: Make, endpoint: Any, size: int) -> None:
    sock = make(zmq.PUSH, sndhwm_bytes=2 * size + 50)
    endpoint.connect(sock, endpoint.fixed())
    sock.send(bytes(size))
    sock.send(bytes(size))
    assert refused(sock, 51)
    assert not refused(sock, 50)
    assert refused(sock, 1)


@everywhere
def test_all_parts_count_and_nothing_else(make: Make, endpoint: Any) -> None:
    sock = make(zmq.DEALER, sndhwm_bytes=100)
    endpoint.connect(sock, endpoint.fixed())
    for _ in range(4):
        sock.send_multipart([bytes(10), b"", bytes(15)], zmq.DONTWAIT)
    assert sock.peers()[0].queued_out_bytes == 100
    with pytest.raises(zmq.Again):
        sock.send_multipart([b"", b"x"], zmq.DONTWAIT)


@everywhere
def test_a_message_above_the_limit_goes_through_an_empty_queue(make: Make, endpoint: Any) -> None:
    sock = make(zmq.PUSH, sndhwm_bytes=10)
    endpoint.connect(sock, endpoint.fixed())
    sock.send(bytes(1000), zmq.DONTWAIT)
    assert refused(sock, 1)


@everywhere
def test_after_a_refusal_readiness_means_room_for_that_message(make: Make, endpoint: Any) -> None:
    sock = make(zmq.PUSH, sndhwm_bytes=100)
    endpoint.connect(sock, endpoint.fixed())
    sock.send(bytes(60))
    assert writable(sock)
    assert refused(sock, 41)
    assert not writable(sock)
    sock.send(bytes(40), zmq.DONTWAIT)


@inproc
@pytest.mark.parametrize("snd,rcv", [(300, 200), (500, 0), (0, 500)])
@pytest.mark.parametrize("bound_first", [True, False])
def test_inproc_takes_the_sum_of_both_sides(
    make: Make, endpoint: Any, snd: int, rcv: int, bound_first: bool
) -> None:
    push, pull = make(zmq.PUSH, sndhwm_bytes=snd), make(zmq.PULL, rcvhwm_bytes=rcv)
    address = endpoint.fixed()
    if bound_first:
        pull.bind(address)
    push.connect(address)
    if not bound_first:
        pull.bind(address)
    assert takes(push, 100) == 5
    assert (push.stats().queued_out_bytes, pull.stats().queued_in_bytes) == (500, 500)
    assert len(recv(pull)) == 100
    assert pull.stats().queued_in_bytes == 400
    assert takes(push, 50) == 2


@inproc
@pytest.mark.parametrize("snd,rcv", [(500, 0), (0, 500)])
@pytest.mark.parametrize("receiver_binds", [True, False])
def test_inproc_takes_limits_that_are_set_after_bind(
    make: Make, endpoint: Any, snd: int, rcv: int, receiver_binds: bool
) -> None:
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    binds, connects = (pull, push) if receiver_binds else (push, pull)
    address = endpoint.bind(binds)
    push.sndhwm_bytes, pull.rcvhwm_bytes = snd, rcv
    connects.connect(address)
    wait_writable(push)
    eventually("the limit", lambda: binds.stats().peers == 1)
    assert takes(push, 100) == 5


@inproc
@pytest.mark.parametrize("snd,rcv", [(300, 200), (500, 0), (0, 500)])
def test_inproc_takes_limits_of_a_receiver_that_waited_for_the_sender(
    make: Make, endpoint: Any, snd: int, rcv: int
) -> None:
    push, pull = make(zmq.PUSH, sndhwm_bytes=snd), make(zmq.PULL, rcvhwm_bytes=rcv)
    address = endpoint.fixed()
    pull.connect(address)
    push.bind(address)
    wait_writable(push)
    assert takes(push, 100) == 5


@inproc
def test_messages_and_bytes_limit_both(make: Make, endpoint: Any) -> None:
    push, pull = make(zmq.PUSH, sndhwm=2, sndhwm_bytes=100), make(zmq.PULL, rcvhwm=1)
    endpoint.connect(push, endpoint.bind(pull))
    assert takes(push, 10) == 3
    assert [len(m) for m in drain(pull)] == [10] * 3
    assert takes(push, 50) == 2


@inproc
def test_a_push_goes_round_a_peer_that_has_no_room_for_the_message(
    make: Make, endpoint: Any
) -> None:
    push = make(zmq.PUSH)
    address = endpoint.bind(push)
    small, large = make(zmq.PULL, rcvhwm_bytes=100), make(zmq.PULL)
    for pull in (small, large):
        endpoint.connect(pull, address)
    for _ in range(6):
        push.send(bytes(60), zmq.DONTWAIT)
    for _ in range(2):
        push.send_multipart([bytes(20), bytes(20)], zmq.DONTWAIT)
    assert sum(map(len, drain(small))) == 100
    assert push.stats().peers == 2


@inproc
def test_limits_change_for_connections_that_stand(make: Make, endpoint: Any) -> None:
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    endpoint.connect(push, endpoint.bind(pull))
    push.send(bytes(100))
    push.sndhwm_bytes = 150
    assert refused(push, 51)
    pull.rcvhwm_bytes = 50
    assert takes(push, 50) == 2
    push.sndhwm_bytes = pull.rcvhwm_bytes = 0
    assert takes(push, 1000, limit=50) == 50


@streams
def test_a_limit_set_on_a_full_queue_of_a_stream_counts_what_is_there(
    make: Make, endpoint: Any
) -> None:
    push = make(zmq.PUSH)
    endpoint.connect(push, endpoint.fixed())
    for _ in range(3):
        push.send(bytes(100))
    push.sndhwm_bytes = 350
    assert refused(push, 51)
    push.send(bytes(50), zmq.DONTWAIT)
    push.sndhwm_bytes = 351
    assert takes(push, 1) == 1


@streams
def test_conflate_knows_no_limit(make: Make, endpoint: Any) -> None:
    push = make(zmq.PUSH, conflate=1, sndhwm_bytes=10)
    endpoint.connect(push, endpoint.fixed())
    for _ in range(20):
        push.send(bytes(100), zmq.DONTWAIT)
    assert writable(push)
    assert push.stats().queued_out_bytes == 100


@inproc
def test_a_receiver_with_conflate_knows_no_limit(make: Make, endpoint: Any) -> None:
    push, pull = make(zmq.PUSH, sndhwm_bytes=10), make(zmq.PULL, conflate=1)
    endpoint.connect(push, endpoint.bind(pull))
    for size in range(1, 21):
        push.send(bytes(size), zmq.DONTWAIT)
    assert pull.stats().queued_in_bytes == 20
    assert [len(m) for m in drain(pull)] == [20]


@everywhere
def test_a_blocked_sender_goes_on_when_there_is_room(
    pair_of: Callable[..., tuple[Any, Any]], endpoint: Any
) -> None:
    pull, push = pair_of(
        zmq.PULL,
        zmq.PUSH,
        {"rcvhwm_bytes": 20_000, "rcvbuf": 4096},
        {"sndhwm_bytes": 20_000, "sndbuf": 4096},
    )
    sizes = [random.Random(n).choice([1, 500, 9000, 30_000]) for n in range(300)]

    def send() -> None:
        for size in sizes:
            push.send(bytes(size))

    with in_thread(send):
        assert [len(recv(pull)) for _ in sizes] == sizes
    eventually("empty queues", lambda: push.stats().queued_out_bytes == 0)


# ---- patterns ----


@inproc
def test_a_publisher_drops_what_exceeds_the_limit_of_a_subscriber(
    make: Make, endpoint: Any
) -> None:
    pub = make(zmq.PUB, sndhwm_bytes=100)
    address = endpoint.bind(pub)
    subs = [make(zmq.SUB, rcvhwm_bytes=n, subscribe=b"") for n in (0, 50)]
    for sub in subs:
        endpoint.connect(sub, address)
    sync_subscriber(pub, *subs)
    for n in range(10):
        pub.send(bytes([n]) * 40)
    assert [[m[0] for m in drain(sub)] for sub in subs] == [[0, 1], [0, 1, 2]]
    pub.send(b"after")
    assert [recv(sub) for sub in subs] == [b"after"] * 2


@inproc
def test_a_publisher_that_must_not_drop_is_refused(make: Make, endpoint: Any) -> None:
    pub = make(zmq.XPUB, sndhwm_bytes=100, xpub_nodrop=1)
    address = endpoint.bind(pub)
    subs = [make(zmq.SUB, rcvhwm_bytes=n, subscribe=b"") for n in (0, 50)]
    for sub in subs:
        endpoint.connect(sub, address)
    sync_subscriber(pub, *subs)
    assert takes(pub, 40) == 2
    assert not writable(pub)
    recv(subs[0])
    wait_writable(pub)
    pub.send(bytes(40), zmq.DONTWAIT)
    assert [len(drain(sub)) for sub in subs] == [2, 3]


@inproc
@pytest.mark.parametrize("mandatory", [0, 1])
def test_a_router_drops_or_is_refused(make: Make, endpoint: Any, mandatory: int) -> None:
    router = make(zmq.ROUTER, sndhwm_bytes=100, router_mandatory=mandatory)
    dealer = make(zmq.DEALER, routing_id=b"a-name-that-does-not-count")
    endpoint.connect(dealer, endpoint.bind(router))
    dealer.send(b"here")
    name, _ = recv_multipart(router)
    router.send_multipart([name, bytes(60)])
    if mandatory:
        with pytest.raises(zmq.Again):
            router.send_multipart([name, bytes(41)], zmq.DONTWAIT)
    else:
        router.send_multipart([name, bytes(41)])
        assert router.stats().dropped == 1
    router.send_multipart([name, bytes(40)], zmq.DONTWAIT)
    assert [len(m) for m in drain(dealer, 2)] == [60, 40]


@inproc
def test_a_rep_drops_the_answer_that_has_no_room(make: Make, endpoint: Any) -> None:
    rep, dealer = make(zmq.REP, sndhwm_bytes=100), make(zmq.DEALER)
    endpoint.connect(dealer, endpoint.bind(rep))
    for _ in range(3):
        dealer.send_multipart([b"", b"?"])
        assert recv(rep) == b"?"
        rep.send(bytes(60))
    assert rep.stats().dropped == 2
    assert [len(recv_multipart(dealer)[1])] == [60]
    dealer.send_multipart([b"", b"?"])
    recv(rep)
    rep.send(bytes(60))
    assert len(recv_multipart(dealer)[1]) == 60


# ---- receiving ----


@streams
@pytest.mark.parametrize("size", [100, 1000, 100_000])
def test_a_receiver_holds_the_limit_and_one_message_at_most(
    make: Make, endpoint: Any, size: int
) -> None:
    limit = 10 * size - 1
    pull = make(zmq.PULL, rcvhwm=0, rcvhwm_bytes=limit, rcvbuf=4096)
    push = make(zmq.PUSH, sndhwm=0, sndbuf=4096)
    endpoint.connect(push, endpoint.bind(pull))
    for n in range(100):
        push.send(n.to_bytes(2, "big") + bytes(size - 2))

    def held() -> int:
        return int(pull.stats().queued_in_bytes)

    eventually("reading up to the limit", lambda: held() >= limit)
    assert nothing_arrives(make(zmq.PULL))  # time to read more, wrongly
    assert held() == 10 * size
    assert pull.peers()[0].queued_in == 10
    assert [int.from_bytes(recv(pull)[:2], "big") for _ in range(100)] == list(range(100))
    assert held() == 0


@streams
def test_parts_of_a_message_are_read_beyond_the_limit(make: Make, endpoint: Any) -> None:
    pull = make(zmq.PULL, rcvhwm_bytes=100)
    push = make(zmq.PUSH)
    endpoint.connect(push, endpoint.bind(pull))
    push.send_multipart([bytes(60)] * 10)
    push.send(b"next")
    assert len(recv_multipart(pull)) == 10
    assert recv(pull) == b"next"


@streams
def test_raising_the_limit_lets_a_stopped_receiver_read(make: Make, endpoint: Any) -> None:
    pull = make(zmq.PULL, rcvhwm_bytes=100)
    push = make(zmq.PUSH)
    endpoint.connect(push, endpoint.bind(pull))
    for _ in range(20):
        push.send(bytes(50))
    eventually("two messages", lambda: pull.stats().queued_in == 2)
    pull.rcvhwm_bytes = 500
    eventually("ten messages", lambda: pull.stats().queued_in == 10)
    pull.rcvhwm_bytes = 0
    eventually("all messages", lambda: pull.stats().queued_in == 20)
    assert pull.stats().queued_in_bytes == 1000


@streams
def test_what_an_xpub_has_read_ahead_counts(make: Make, endpoint: Any) -> None:
    pub = make(zmq.XPUB, rcvhwm_bytes=100)
    sub = make(zmq.XSUB)
    endpoint.connect(sub, endpoint.bind(pub))
    for n in range(50):
        eventually("a way", lambda n=n: sub.poll(0, zmq.POLLOUT) and not sub.send(b"m%048d" % n))
    eventually("two messages read ahead", lambda: pub.stats().queued_in_bytes >= 98)
    assert pub.stats().queued_in_bytes < 400
    got = [recv(pub) for _ in range(pub.stats().queued_in)]
    assert got == sorted(got)


def test_what_curve_seals_counts_as_it_was_sent(make: Make, tcp_address: str) -> None:
    pytest.importorskip("nacl")
    server, client = Keys(), Keys()
    pull = make(zmq.PULL, rcvhwm_bytes=1000, **curve_server(server))
    pull.bind(tcp_address)
    push = make(zmq.PUSH, sndhwm_bytes=5000, **curve_client(client, server.public))
    push.connect(pull.last_endpoint.decode())
    for _ in range(20):
        push.send(bytes(100))
    eventually("reading up to the limit", lambda: pull.stats().queued_in_bytes >= 1000)
    assert pull.stats().queued_in_bytes == 1000
    assert len(drain(pull, 20)) == 20


# ---- asyncio ----


@pytest.mark.parametrize("kind", ["inproc", "tcp"])
def test_an_awaited_send_waits_for_room_without_turns_of_the_loop(
    accounting: None, kind: str, name: Callable[[], str]
) -> None:
    async def body() -> None:
        context = submodule("asyncio").Context()
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        push.linger = 0
        push.sndhwm_bytes = 100
        if kind == "tcp":
            push.connect("tcp://127.0.0.1:1")
        else:
            pull.bind(name())
            push.connect(pull.last_endpoint.decode())
        try:
            await push.send(bytes(60))
            big = push.send(bytes(41))
            await turns(5)
            assert not big.done()
            loop = asyncio.get_running_loop()
            count = 0
            handle = loop._run_once  # type: ignore[attr-defined]

            def counted() -> None:
                nonlocal count
                count += 1
                handle()

            loop._run_once = counted  # type: ignore[attr-defined]
            await asyncio.sleep(0.05)
            assert count < 10
            if kind == "inproc":
                assert len(await pull.recv()) == 60
                await asyncio.wait_for(big, WAIT_MS / 1000)
            else:
                push.sndhwm_bytes = 101
                await asyncio.wait_for(big, WAIT_MS / 1000)
        finally:
            context.destroy(linger=0)

    run(body())


# ---- all sockets of a context ----

CAP = 1000


@pytest.fixture
def capped(accounting: None) -> Iterator[Any]:
    context = zmq.Context()
    context.max_queued_bytes = CAP
    yield context
    context.destroy(linger=0)


@pytest.fixture
def cmake(capped: Any) -> Iterator[Make]:
    """Sockets of the capped context, closed at the end."""
    with sockets_of(capped) as new:
        yield new


def used(context: Any) -> int:
    return int(context.stats().queued_bytes)


def test_the_cap_is_first_set_before_there_are_sockets(accounting: None) -> None:
    assert int(zmq.MAX_QUEUED_BYTES) == 10008
    context = zmq.Context()
    assert context.max_queued_bytes == 0
    assert context.stats().queued_bytes is None
    with context.socket(zmq.PUSH):
        with pytest.raises(zmq.ZMQError, match="before the context has sockets"):
            context.set(zmq.MAX_QUEUED_BYTES, 1)
    context.set(zmq.MAX_QUEUED_BYTES, 2**40)
    assert context.get(zmq.MAX_QUEUED_BYTES) == 2**40
    with pytest.raises(zmq.ZMQError, match="no limit"):
        context.set(zmq.MAX_QUEUED_BYTES, -1)
    with context.socket(zmq.PUSH):
        context.max_queued_bytes = 5
        context.max_queued_bytes = 0
        assert context.max_queued_bytes == 0
    with raises_errno(errno.EINVAL):
        context.set(zmq.IO_THREADS, 2**40)
    context.term()


def test_the_cap_holds_to_the_byte_over_all_sockets(
    capped: Any, cmake: Make, name: Callable[[], str]
) -> None:
    lonely = cmake(zmq.PUSH)
    lonely.connect("tcp://127.0.0.1:1")
    push, pull = cmake(zmq.PUSH), cmake(zmq.PULL)
    pull.bind(name())
    push.connect(pull.last_endpoint.decode())
    lonely.send_multipart([bytes(300), bytes(99)])
    push.send(bytes(301))
    assert used(capped) == 700
    assert refused(push, 301)
    assert refused(lonely, 301)
    push.send(bytes(300), zmq.DONTWAIT)
    assert used(capped) == CAP
    assert not writable(push)
    assert not writable(lonely)
    assert len(recv(pull)) == 301
    assert used(capped) == 699
    assert writable(push)
    assert writable(lonely)
    lonely.send(bytes(301), zmq.DONTWAIT)
    assert used(capped) == CAP
    lonely.close()
    assert len(recv(pull)) == 300
    eventually("nothing counted", lambda: used(capped) == 0)


def test_a_message_above_the_cap_goes_when_nothing_else_is_queued(
    capped: Any, cmake: Make, name: Callable[[], str]
) -> None:
    push, pull = cmake(zmq.PUSH), cmake(zmq.PULL)
    pull.bind(name())
    push.connect(pull.last_endpoint.decode())
    push.send(b"x")
    assert refused(push, CAP + 1)
    assert not writable(push)
    recv(pull)
    assert writable(push)
    push.send(bytes(CAP + 1), zmq.DONTWAIT)
    assert refused(push, 1)


def test_an_empty_queue_takes_one_message_whatever_the_others_hold(
    capped: Any, cmake: Make, name: Callable[[], str]
) -> None:
    lonely = cmake(zmq.PUSH)
    lonely.connect("tcp://127.0.0.1:1")
    lonely.send(bytes(CAP))
    pushes = [cmake(kind) for kind in (zmq.PUSH, zmq.DEALER, zmq.PAIR)]
    for n, push in enumerate(pushes):
        push.connect(name() if n else "tcp://127.0.0.1:1")
        assert writable(push)
        assert takes(push, 200) == 1
        assert not writable(push)
    assert used(capped) == CAP + 600


def test_who_passes_on_what_it_receives_goes_on_at_the_cap(
    capped: Any, cmake: Make, make: Make
) -> None:
    """The room that it makes by receiving is filled again by reading, before it sends."""
    sink, source = make(zmq.PULL), make(zmq.PUSH)
    sink.bind("tcp://127.0.0.1:*")
    inward, onward = cmake(zmq.PULL), cmake(zmq.PUSH, sndtimeo=WAIT_MS)
    inward.bind("tcp://127.0.0.1:*")
    source.connect(inward.last_endpoint.decode())
    onward.connect(sink.last_endpoint.decode())
    messages = 500
    for n in range(messages):
        source.send(b"%0100d" % n)
    eventually("reading up to the cap", lambda: used(capped) >= CAP)

    def forward() -> None:
        for _ in range(messages):
            onward.send(recv(inward))

    with in_thread(forward):
        assert [int(recv(sink)) for _ in range(messages)] == list(range(messages))
    eventually("nothing counted", lambda: used(capped) == 0)


def test_an_answer_is_not_dropped_at_the_cap(capped: Any, cmake: Make, make: Make) -> None:
    lonely = cmake(zmq.PUSH)
    lonely.connect("tcp://127.0.0.1:1")
    lonely.send(bytes(CAP))
    rep, req = cmake(zmq.REP), make(zmq.REQ)
    rep.bind("tcp://127.0.0.1:*")
    req.connect(rep.last_endpoint.decode())
    req.send(b"?")
    assert recv(rep) == b"?"
    rep.send(b"!")
    assert recv(req) == b"!"
    assert rep.stats().dropped == 0


def test_raising_the_cap_wakes_who_waits(capped: Any, cmake: Make, name: Callable[[], str]) -> None:
    push = cmake(zmq.PUSH)
    push.connect(name())
    push.send(bytes(CAP))
    with in_thread(lambda: push.send(b"more")) as thread:
        thread.join(0.05)
        assert thread.is_alive()
        capped.max_queued_bytes = CAP + 4
    assert used(capped) == CAP + 4


@pytest.mark.parametrize("other", ["tcp", "inproc"])
def test_room_that_one_socket_makes_wakes_a_sender_on_another(
    capped: Any, cmake: Make, name: Callable[[], str], other: str
) -> None:
    full, pull = cmake(zmq.PUSH), cmake(zmq.PULL)
    pull.bind(name())
    full.connect(pull.last_endpoint.decode())
    waits = cmake(zmq.DEALER)
    waits.connect("tcp://127.0.0.1:1" if other == "tcp" else name())
    waits.send(b"")  # its queue is not empty, where one message would go all the same
    for size in (100, 600, 300):
        full.send(bytes(size))
    done = threading.Event()

    def send() -> None:
        waits.send(bytes(700))
        done.set()

    with in_thread(send):
        assert not done.wait(0.05)
        recv(pull)
        assert not done.wait(0.05)
        recv(pull)
        assert done.wait(WAIT_MS / 1000)


def test_room_that_one_socket_makes_is_seen_by_pollers_and_descriptors(
    capped: Any, cmake: Make, name: Callable[[], str]
) -> None:
    full, pull = cmake(zmq.PUSH), cmake(zmq.PULL)
    pull.bind(name())
    full.connect(pull.last_endpoint.decode())
    waits = cmake(zmq.PUSH)
    waits.connect(name())
    waits.send(b"")
    poller = zmq.Poller()
    poller.register(waits, zmq.POLLOUT)
    for wait in (
        lambda: poller.poll(WAIT_MS),
        lambda: waits.poll(WAIT_MS, zmq.POLLOUT),
        lambda: select.select([waits.fd], [], [], WAIT_MS / 1000)[0],
    ):
        full.send(bytes(CAP - used(capped)))
        assert not waits.events & zmq.POLLOUT
        threading.Timer(0.05, pull.recv).start()
        assert wait()
        eventually("room", lambda: waits.events & zmq.POLLOUT)


def test_room_that_one_socket_makes_wakes_an_awaited_send(
    accounting: None, name: Callable[[], str]
) -> None:
    async def body() -> None:
        context = submodule("asyncio").Context()
        context.max_queued_bytes = CAP
        try:
            full, pull, waits = (context.socket(k) for k in (zmq.PUSH, zmq.PULL, zmq.PUSH))
            pull.bind(name())
            full.connect(pull.last_endpoint.decode())
            waits.connect(name())
            await waits.send(b"")
            await full.send(bytes(600))
            await full.send(bytes(400))
            sends = [waits.send(bytes(n)) for n in (500, 300)]
            await turns(5)
            assert not any(send.done() for send in sends)
            await pull.recv()
            await asyncio.wait_for(sends[0], WAIT_MS / 1000)
            assert not sends[1].done()
            await pull.recv()
            await asyncio.wait_for(sends[1], WAIT_MS / 1000)
            assert used(context) == 800
        finally:
            context.destroy(linger=0)

    run(body())


@pytest.mark.parametrize("transport", ["tcp", "inproc"])
def test_more_than_the_cap_passes_between_two_sockets_of_the_context(
    capped: Any, cmake: Make, name: Callable[[], str], transport: str
) -> None:
    pull, push = cmake(zmq.PULL, rcvbuf=4096), cmake(zmq.PUSH, sndbuf=4096)
    pull.bind("tcp://127.0.0.1:*" if transport == "tcp" else name())
    push.connect(pull.last_endpoint.decode())
    sizes = [random.Random(n).choice([0, 1, 90, 400, 3000]) for n in range(1000)]

    def send() -> None:
        for size in sizes:
            push.send(bytes(size))

    with in_thread(send):
        for size in sizes:
            assert len(recv(pull)) == size
    eventually("nothing counted", lambda: used(capped) == 0)


def test_at_the_cap_connections_are_read_only_when_the_program_has_nothing_of_them(
    capped: Any, cmake: Make, make: Make
) -> None:
    lonely = cmake(zmq.PUSH)
    lonely.connect("tcp://127.0.0.1:1")
    lonely.send(bytes(CAP))
    pull = cmake(zmq.PULL)
    pull.bind("tcp://127.0.0.1:*")
    peers = [make(zmq.PUSH) for _ in range(2)]
    for peer in peers:
        peer.connect(pull.last_endpoint.decode())
        for _ in range(10):
            peer.send(bytes(50))
    eventually("one message of each", lambda: pull.stats().queued_in == 2)
    assert nothing_arrives(cmake(zmq.PULL))
    assert pull.stats().queued_in == 2
    assert used(capped) == CAP + 100
    for _ in range(5):
        recv(pull)
    lonely.close()
    eventually("the rest", lambda: pull.stats().queued_in == 15)
    assert used(capped) == 750
    assert len(drain(pull, 15)) == 15


def test_a_publisher_that_must_not_drop_sends_to_all_within_the_cap_or_to_nobody(
    capped: Any, cmake: Make, name: Callable[[], str]
) -> None:
    pub = cmake(zmq.XPUB, xpub_nodrop=1)
    pub.bind(name())
    subs = [cmake(zmq.SUB, subscribe=b"") for _ in range(3)]
    for sub in subs:
        sub.connect(pub.last_endpoint.decode())
    sync_subscriber(pub, *subs)
    drain(pub)
    assert used(capped) == 0
    assert takes(pub, 200) == 1
    assert used(capped) == 600
    assert not writable(pub)
    pub.send(bytes(133), zmq.DONTWAIT)
    assert used(capped) == 999
    assert [len(drain(sub)) for sub in subs] == [2, 2, 2]
    assert writable(pub)


@pytest.mark.parametrize("blocking", [False, True])
def test_a_publisher_that_must_not_drop_needs_room_only_where_something_is_queued(
    capped: Any, cmake: Make, name: Callable[[], str], blocking: bool
) -> None:
    lonely = cmake(zmq.PUSH)
    lonely.connect("tcp://127.0.0.1:1")
    pub = cmake(zmq.XPUB, xpub_nodrop=1)
    pub.bind(name())
    subs = [cmake(zmq.SUB, subscribe=b"") for _ in range(3)]
    for sub in subs:
        sub.connect(pub.last_endpoint.decode())
    sync_subscriber(pub, *subs)
    drain(pub)
    lonely.send(bytes(CAP - 100))
    assert takes(pub, 101) == 1
    assert used(capped) == CAP - 100 + 3 * 101
    for sub in subs[:2]:
        recv(sub)
        assert refused(pub, 101)
        assert not writable(pub)
    if blocking:
        with in_thread(lambda: pub.send(bytes(101))) as thread:
            thread.join(0.05)
            assert thread.is_alive()
            recv(subs[2])
    else:
        recv(subs[2])
        assert writable(pub)
        assert takes(pub, 101) == 1
    assert used(capped) == CAP - 100 + 3 * 101
    recv(subs[0])
    recv(subs[1])
    assert used(capped) == CAP - 100 + 101
    lonely.close()
    eventually("room", lambda: used(capped) == 101)
    assert not refused(pub, CAP - 101)  # one of three needs room
    assert used(capped) == 101 + 3 * (CAP - 101)
    assert [len(drain(sub)) for sub in subs] == [1, 1, 2]
    assert pub.stats().dropped == 0


def test_a_publisher_that_may_drop_exceeds_the_cap_by_one_message_a_subscriber(
    capped: Any, cmake: Make, name: Callable[[], str]
) -> None:
    pub = cmake(zmq.PUB)
    pub.bind(name())
    subs = [cmake(zmq.SUB, subscribe=b"") for _ in range(3)]
    for sub in subs:
        sub.connect(pub.last_endpoint.decode())
    sync_subscriber(pub, *subs)
    before = pub.stats().dropped
    pub.send(bytes(400))
    assert used(capped) == 1200
    assert pub.stats().dropped == before
    recv(subs[0])
    pub.send(bytes(300))
    assert used(capped) == 1100
    assert pub.stats().dropped == before + 2
    assert [len(drain(sub)) for sub in subs] == [1, 1, 1]


@pytest.mark.parametrize("transport", ["tcp", "inproc"])
def test_what_is_thrown_away_counts_no_more(
    capped: Any, cmake: Make, name: Callable[[], str], transport: str
) -> None:
    newest = cmake(zmq.PUSH, conflate=1)
    if transport == "tcp":
        newest.connect("tcp://127.0.0.1:1")
    else:
        pull = cmake(zmq.PULL, conflate=1)
        pull.bind(name())
        newest.connect(pull.last_endpoint.decode())
    for size in (500, 2000, 100):
        newest.send(bytes(size))
    assert used(capped) == 100
    if transport == "tcp":
        newest.disconnect("tcp://127.0.0.1:1")
    else:
        pull.close()
    eventually("nothing counted", lambda: used(capped) == 0)


def test_what_waits_for_who_will_bind_counts_until_it_is_received(
    capped: Any, cmake: Make, name: Callable[[], str]
) -> None:
    where = name()
    with cmake(zmq.PUSH) as push:
        push.connect(where)
        push.send(bytes(200))
    assert used(capped) == 200
    pull = cmake(zmq.PULL)
    pull.bind(where)
    assert len(recv(pull)) == 200
    assert used(capped) == 0


def test_a_receiver_that_closes_gives_its_room_back(
    capped: Any, cmake: Make, name: Callable[[], str]
) -> None:
    pushes = []
    pull = cmake(zmq.PULL)
    pull.bind(name())
    pull.bind("tcp://127.0.0.1:*")
    addresses = [pull.last_endpoint.decode()]
    for address in addresses:
        push = cmake(zmq.PUSH)
        push.connect(address)
        pushes.append(push)
        for _ in range(3):
            push.send(bytes(100))
    eventually("three messages", lambda: pull.stats().queued_in == 3)
    recv(pull)
    assert used(capped) == 200
    pull.close()
    eventually("nothing counted", lambda: used(capped) == 0)


def test_an_authenticator_is_asked_although_the_cap_is_reached(capped: Any, cmake: Make) -> None:
    auth = submodule("auth.thread").ThreadAuthenticator(capped)
    auth.start()
    try:
        auth.configure_plain(domain="*", passwords={"admin": "secret"})
        pull = cmake(zmq.PULL, plain_server=1)
        pull.bind("tcp://127.0.0.1:*")
        push = cmake(zmq.PUSH, plain_username=b"admin", plain_password=b"secret")
        lonely = cmake(zmq.PUSH)
        lonely.connect("tcp://127.0.0.1:1")
        eventually("the authenticator at rest", lambda: used(capped) == 0)
        lonely.send(bytes(CAP))
        push.connect(pull.last_endpoint.decode())
        eventually("an admitted peer", lambda: pull.stats().peers == 1)
        lonely.close()
    finally:
        auth.stop()


@pytest.mark.slow
def test_many_threads_below_one_cap_lose_nothing_and_exceed_it_by_a_message_each_at_most(
    capped: Any, cmake: Make, name: Callable[[], str]
) -> None:
    workers, each, largest = 6, 400, 300
    over: list[int] = []
    finished = threading.Event()

    def send(push: Any, seed: int) -> None:
        sizes = random.Random(seed)
        for n in range(each):
            push.send(n.to_bytes(4, "big") + bytes(sizes.randrange(largest - 3)))

    def receive(pull: Any) -> None:
        for n in range(each):
            assert recv(pull)[:4] == n.to_bytes(4, "big")

    def watch() -> None:
        while not finished.is_set():
            if (n := used(capped)) > CAP + workers * largest:
                over.append(n)

    with contextlib.ExitStack() as stack:
        stack.callback(finished.set)
        jobs: list[Callable[[], None]] = []
        for worker in range(workers):
            push, pull = cmake(zmq.PUSH), cmake(zmq.PULL)
            pull.bind(name())
            push.connect(pull.last_endpoint.decode())
            jobs.append(lambda push=push, worker=worker: send(push, worker))
            jobs.append(lambda pull=pull: receive(pull))
        watcher = threading.Thread(target=watch)
        watcher.start()
        stack.callback(watcher.join)
        stack.callback(finished.set)
        for job in jobs:
            stack.enter_context(in_thread(job))
    assert not over
    assert used(capped) == 0
