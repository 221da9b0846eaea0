# SPDX-License-Identifier: MIT
"""Peers, statistics, and waiting for subscribers."""

import asyncio
import dataclasses
import errno
import os
import resource
import signal
import socket as pysocket
import subprocess
import sys
import threading
import time

import pytest
from helpers import (
    WAIT_MS,
    bind_when_free,
    drain,
    eventually,
    fill,
    free_port,
    last_endpoint,
    raises_errno,
    recv,
    recv_multipart,
    unique,
    wait_readable,
    wait_writable,
)
from loops import SOON, in_loops, turns
from target import IS_FASTMQ, open_engine_fds, submodule, zmq

if not IS_FASTMQ:
    pytest.skip("fastmq only: peers, stats, wait_for_subscribers", allow_module_level=True)

READY = zmq.PeerState.READY
two_transports = pytest.mark.parametrize("endpoint", ["tcp", "inproc"], indirect=True)
tcp_alone = pytest.mark.parametrize("endpoint", ["tcp"], indirect=True)


def ready_peer(sock, what="a peer"):
    """The only peer, once it is ready."""
    eventually(what, lambda: [p.state for p in sock.peers()] == [READY])
    return sock.peers()[0]


def run(target, *args):
    thread = threading.Thread(target=target, args=args)
    thread.start()
    return thread


# ---- peers ----


def test_peers_tell_endpoint_address_type_and_state_on_both_sides(make, endpoint):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    address = endpoint.bind(pull)
    assert pull.peers() == []
    endpoint.connect(push, address)
    there, here = ready_peer(pull), ready_peer(push)
    assert (there.type, here.type) == (zmq.PUSH, zmq.PULL)
    assert (there.accepted, here.accepted) == (True, False)
    assert there.endpoint == here.endpoint == address
    assert there.identity == here.identity == b""
    for peer in (there, here):
        assert time.time() - 10 < peer.since <= time.time()
        assert peer.rtt is None
        assert peer.subscriptions is None
        assert peer.reconnections == 0
    if endpoint.kind == "tcp":
        assert here.address == address
        host, _, port = there.address.rpartition(":")
        assert host == "tcp://127.0.0.1" and 0 < int(port) < 65536


def test_a_peer_counts_messages_bytes_and_queues(make, endpoint):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    endpoint.connect(push, endpoint.bind(pull))
    for body in (b"a", b"bc", b""):
        push.send(body)
    push.send_multipart([b"d" * 100_000, b"e"])
    eventually("four messages there", lambda: pull.stats().messages_received == 4)
    there = pull.peers()[0]
    assert there.queued_in == 4
    assert there.messages_sent == 0
    assert recv_multipart(pull) == [b"a"]
    assert pull.peers()[0].queued_in == 3
    assert [recv_multipart(pull) for _ in range(3)][-1][1] == b"e"
    # Whoever wrote may be a moment later in saying so than the message is in arriving.
    eventually("four messages sent", lambda: push.peers()[0].messages_sent == 4)
    there, here = pull.peers()[0], push.peers()[0]
    assert (there.queued_in, there.messages_received) == (0, 4)
    assert (here.queued_out, here.messages_sent, here.messages_received) == (0, 4, 0)
    assert here.bytes_sent == there.bytes_received
    # Over inproc nothing but the bodies, elsewhere their frames, the greetings and READY too.
    assert there.bytes_received - 100_004 in (range(1) if endpoint.is_inproc else range(20, 400))


@two_transports
def test_what_waits_to_be_sent_is_queued_and_not_sent(make, endpoint):
    push = make(zmq.PUSH, sndhwm=5)
    endpoint.connect(push, endpoint.fixed())
    assert fill(push) == 5
    peer = push.peers()[0]
    assert peer.state is zmq.PeerState.CONNECTING
    assert (peer.queued_out, peer.messages_sent) == (5, 0)
    assert peer.bytes_sent == (5 if endpoint.is_inproc else 0)
    assert peer.since is None and peer.type is None and peer.address == ""
    assert push.stats().queued_out == 5


def test_why_connecting_failed_is_told_until_it_succeeds(make, tmp_path):
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    where = f"ipc://{tmp_path}/late"
    push.connect(where)
    eventually("a failed attempt", lambda: push.peers()[0].connect_error == errno.ENOENT)
    pull.bind(where)
    push.send(b"x")
    assert recv(pull) == b"x"
    assert push.peers()[0].connect_error is None
    assert pull.peers()[0].connect_error is None


@pytest.mark.parametrize(
    ("address", "error"),
    [("tcp://127.0.0.1:{}", errno.ECONNREFUSED), ("tcp://nobody.invalid:1", errno.ENOENT)],
    ids=["refused", "name"],
)
def test_refused_connections_and_unknown_names_are_told(make, address, error):
    push = make(zmq.PUSH)
    push.connect(address.format(free_port()))
    eventually("a failed attempt", lambda: push.peers()[0].connect_error == error)


def test_a_router_names_its_peers_by_the_id_to_send_to(make, tcp_address):
    router, named, nameless = make(zmq.ROUTER), make(zmq.DEALER, routing_id=b"n"), make(zmq.DEALER)
    router.bind(tcp_address)
    for dealer in (named, nameless):
        dealer.connect(last_endpoint(router))
        dealer.send(b"hello")
    ids = {recv_multipart(router)[0] for _ in range(2)}
    assert b"n" in ids and len(ids) == 2
    assert {p.identity for p in router.peers()} == ids
    for peer in router.peers():
        router.send_multipart([peer.identity, b"hi"])
    assert recv(named) == recv(nameless) == b"hi"


def test_a_stream_names_its_connections_and_counts_their_bytes(make, tcp_address):
    stream = make(zmq.STREAM)
    stream.bind(tcp_address)
    port = int(last_endpoint(stream).rpartition(":")[2])
    with pysocket.create_connection(("127.0.0.1", port)) as client:
        ident, empty = recv_multipart(stream)
        assert empty == b""
        client.sendall(b"12345")
        assert recv_multipart(stream) == [ident, b"12345"]
        peer = stream.peers()[0]
        assert (peer.identity, peer.type, peer.state) == (ident, None, READY)
        assert (peer.bytes_received, peer.messages_received) == (5, 1)


def test_a_silent_connection_is_handshaking(make, tcp_address):
    pull = make(zmq.PULL)
    pull.bind(tcp_address)
    port = int(last_endpoint(pull).rpartition(":")[2])
    with pysocket.create_connection(("127.0.0.1", port)) as client:
        eventually("the connection", pull.peers)
        peer = pull.peers()[0]
        assert peer.state is zmq.PeerState.HANDSHAKING
        assert (peer.type, peer.accepted, peer.identity) == (None, True, b"")
        assert peer.address == f"tcp://127.0.0.1:{client.getsockname()[1]}"
        assert pull.stats().peers == 0
        client.recv(1)
        eventually("the greeting's bytes", lambda: pull.stats().bytes_sent >= 10)
    eventually("its end", lambda: not pull.peers())
    assert pull.stats().bytes_sent >= 10


def test_with_immediate_a_peer_shows_before_it_has_a_queue(make):
    push = make(zmq.PUSH, immediate=1)
    push.connect(f"tcp://127.0.0.1:{free_port()}")
    (peer,) = push.peers()
    assert peer.state is zmq.PeerState.CONNECTING


def test_a_peer_that_left_is_closing_until_its_messages_were_received(make, ctx, tcp_address):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind(tcp_address)
    push.connect(last_endpoint(pull))
    push.send(b"last words")
    address = ready_peer(pull).address
    wait_readable(pull, "the message")
    push.close(1000)
    eventually("the end", lambda: pull.peers()[0].state is zmq.PeerState.CLOSING)
    assert pull.peers()[0].address == address
    assert pull.stats().peers == 0
    assert recv(pull) == b"last words"
    eventually("no peer", lambda: pull.peers() == [])
    assert pull.stats().messages_received == 1


def test_a_connecting_peer_keeps_its_counters_over_reconnections(make, watch):
    address = f"tcp://127.0.0.1:{free_port()}"
    push, first = make(zmq.PUSH, reconnect_ivl=10), make(zmq.PULL)
    push.connect(address)
    first.bind(address)
    push.send(b"1")
    assert recv(first) == b"1"
    eventually("it is sent", lambda: push.peers()[0].messages_sent == 1)
    since = push.peers()[0].since
    bytes_before = push.peers()[0].bytes_sent
    events = watch(push)
    first.close()
    events.wait(zmq.EVENT_DISCONNECTED)
    eventually("the loss", lambda: push.peers()[0].state is not READY)
    assert push.peers()[0].since is None or push.peers()[0].state is not zmq.PeerState.CONNECTING
    second = make(zmq.PULL)
    bind_when_free(second, address)
    push.send(b"2")
    assert recv(second) == b"2"
    eventually("it is sent", lambda: push.peers()[0].messages_sent == 2)
    peer = push.peers()[0]
    assert peer.reconnections == 1
    assert peer.bytes_sent > bytes_before
    assert peer.since > since
    assert push.stats().reconnections == 1


def test_heartbeats_measure_the_round_trip(make, tcp_address):
    pull, push = make(zmq.PULL), make(zmq.PUSH, heartbeat_ivl=20)
    pull.bind(tcp_address)
    push.connect(last_endpoint(pull))
    eventually("a round trip", lambda: push.peers()[0].rtt is not None)
    assert 0 < push.peers()[0].rtt < 5000
    assert pull.peers()[0].rtt is None


def test_many_peers_are_all_told(make, name):
    pull, address = make(zmq.PULL), name()
    pull.bind(address)
    for _ in range(40):
        make(zmq.PUSH).connect(address)
    assert len(pull.peers()) == 40
    assert pull.stats().peers == 40


def test_what_is_told_is_a_frozen_snapshot(make, name):
    pair = make(zmq.PAIR)
    pair.connect(name())
    for told in (pair.peers()[0], pair.stats(), pair.context.stats()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            told.bytes_sent = 1
        assert told == dataclasses.replace(told)


# ---- drops ----


@two_transports
def test_a_publisher_counts_what_a_full_peer_misses(make, endpoint):
    pub, sub = make(zmq.PUB, sndhwm=3), make(zmq.SUB, rcvhwm=3)
    endpoint.connect(sub, endpoint.bind(pub))
    sub.subscribe(b"")
    pub.wait_for_subscribers(timeout=WAIT_MS)
    big = b"x" * 100_000
    for _ in range(200):
        pub.send(big)
    dropped = pub.peers()[0].dropped
    got = len(drain(sub, 200 - dropped))
    assert 0 < got < 200
    assert dropped == pub.stats().dropped == pub.context.stats().dropped
    assert got + dropped == 200
    assert sub.stats().dropped == 0


def test_what_a_filter_holds_back_is_not_dropped(make, name):
    pub, sub = make(zmq.XPUB), make(zmq.SUB)
    address = name()
    pub.bind(address)
    sub.connect(address)
    sub.subscribe(b"a")
    pub.wait_for_subscribers(timeout=WAIT_MS)
    pub.send(b"b")
    sub.unsubscribe(b"a")
    pub.send(b"a")  # may still go out, and is then filtered
    assert drain(sub) == []
    assert pub.stats().dropped == sub.stats().dropped == 0


def test_a_router_counts_what_it_cannot_route(make, name):
    router, dealer = make(zmq.ROUTER, sndhwm=1), make(zmq.DEALER, routing_id=b"d", rcvhwm=1)
    address = name()
    router.bind(address)
    dealer.connect(address)
    router.send_multipart([b"nobody", b"x"])
    assert router.stats().dropped == 1
    for _ in range(5):
        router.send_multipart([b"d", b"x"])
    assert router.stats().dropped == 4
    assert router.peers()[0].dropped == 3
    assert router.stats().queued_out == 2


def test_a_reply_to_a_peer_that_is_gone_is_a_drop(make, tcp_address):
    rep, req = make(zmq.REP), make(zmq.REQ)
    rep.bind(tcp_address)
    req.connect(last_endpoint(rep))
    req.send(b"?")
    assert recv(rep) == b"?"
    req.close()
    eventually("its end", lambda: not any(p.state is READY for p in rep.peers()))
    rep.send(b"!")
    assert rep.stats().dropped == 1


def test_messages_queued_for_a_peer_that_is_lost_for_good_are_drops(make, tcp_address):
    push = make(zmq.PUSH, sndhwm=1000)
    push.bind(tcp_address)
    port = int(last_endpoint(push).rpartition(":")[2])
    with pysocket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 1 + 31))
        client.sendall(b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PULL")
        wait_writable(push, "the peer")
        sent = fill(push, b"x" * 100_000)
        queued = push.peers()[0].queued_out
        assert 0 < queued <= sent
        assert push.peers()[0].messages_sent == sent - queued
    eventually("its end", lambda: push.peers() == [])
    stats = push.stats()
    assert (stats.dropped, stats.messages_sent, stats.queued_out) == (queued, sent - queued, 0)


@two_transports
def test_what_conflate_replaces_is_a_drop(make, endpoint):
    push, pull = make(zmq.PUSH, conflate=1), make(zmq.PULL, conflate=1)
    endpoint.connect(push, endpoint.bind(pull))
    ready_peer(push)
    ready_peer(pull)
    for n in range(100):
        push.send(b"%d" % n)
    got = [recv(pull)]
    while got[-1] != b"99":
        got.append(recv(pull))
    assert len(got) + push.stats().dropped + pull.stats().dropped == 100
    received = pull.stats().messages_received
    eventually("what was received counts as sent", lambda: push.stats().messages_sent == received)


def test_a_stale_reply_is_a_drop(make, name):
    rep, req = make(zmq.ROUTER), make(zmq.REQ, req_relaxed=1, req_correlate=1)
    address = name()
    rep.bind(address)
    req.connect(address)
    req.send(b"1")
    first = recv_multipart(rep)
    req.send(b"2")
    second = recv_multipart(rep)
    rep.send_multipart(first)
    rep.send_multipart(second)
    assert recv(req) == b"2"
    assert req.stats().dropped == 1
    assert req.stats().messages_received == 2


# ---- sums ----


@two_transports
def test_sums_stay_when_peers_and_sockets_go(ctx, make, endpoint):
    before = ctx.stats()
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    endpoint.connect(push, endpoint.bind(pull))
    push.send(b"abc")
    assert recv(pull) == b"abc"
    during = pull.stats()
    push.close()
    eventually("no peer", lambda: pull.peers() == [])
    after = pull.stats()
    assert after.messages_received == during.messages_received == 1
    assert after.bytes_received == during.bytes_received > 0
    pull.close()
    eventually("the sockets' ends", lambda: ctx.stats().sockets == before.sockets)
    stats = ctx.stats()
    assert (stats.messages_sent, stats.messages_received) == (1, 1)
    assert stats.bytes_sent == after.bytes_received + after.bytes_sent
    # The last command of a connection on its way into shared memory may find nobody to read it.
    assert 0 <= stats.bytes_sent - stats.bytes_received <= 10
    assert (stats.peers, stats.queued_in, stats.queued_out) == (0, 0, 0)


def test_a_send_that_waits_is_counted(make, name):
    push, pull, address = make(zmq.PUSH, sndhwm=1), make(zmq.PULL, rcvhwm=1), name()
    pull.bind(address)
    push.connect(address)
    push.send(b"1")
    push.send(b"2")
    assert push.stats().send_waits == 0
    with pytest.raises(zmq.Again):
        push.send(b"3", zmq.DONTWAIT)
    assert push.stats().send_waits == 0
    with pytest.raises(zmq.Again):
        push.send(b"3", timeout=1)
    assert push.stats().send_waits == push.context.stats().send_waits == 1


def test_a_send_that_signals_interrupt_is_counted_once(make, name):
    push, pull, address = make(zmq.PUSH, sndhwm=1, spin_us=0), make(zmq.PULL, rcvhwm=1), name()
    pull.bind(address)
    push.connect(address)
    push.send(b"1")
    push.send(b"2")
    handled = []
    over = threading.Event()

    def handler(*_):
        handled.append(1)
        if push.stats().send_waits or len(handled) == 50:
            over.set()
            pull.recv()  # makes room: the next try succeeds

    def interrupt():
        while not over.wait(0.01):
            os.kill(os.getpid(), signal.SIGUSR1)

    old = signal.signal(signal.SIGUSR1, handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        push.send(b"3")
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, old)
    assert push.stats().send_waits == 1


def test_descriptors_are_those_that_the_engine_has(ctx, make, endpoint):
    before = open_engine_fds()
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    endpoint.connect(push, endpoint.bind(pull))
    push.send(b"x")
    assert recv(pull) == b"x"
    pull.get(zmq.FD)
    assert ctx.stats().descriptors == open_engine_fds() - before
    sockets = push.stats().descriptors + pull.stats().descriptors
    assert 0 < sockets < ctx.stats().descriptors
    assert ctx.stats().sockets == 2


def test_a_socket_has_the_descriptors_that_it_needs(ctx, make, endpoint):
    """None over inproc, one a connection, a wake-up once a thread has slept in it, and a poller for
    those who watch it."""
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    assert pull.stats().descriptors == push.stats().descriptors == 0
    endpoint.connect(push, endpoint.bind(pull))
    push.send(b"x")
    assert pull.recv() == b"x"
    connection = 0 if endpoint.is_inproc else 1
    assert push.stats().descriptors == connection
    pull.rcvtimeo = 1
    with pytest.raises(zmq.Again):
        pull.recv()
    listener = connection
    assert pull.stats().descriptors == connection + listener + (1 if endpoint.is_inproc else 2)
    push.get(zmq.FD)
    assert push.stats().descriptors == connection + 5  # wake-up, poller, and three to be watched


def test_a_flood_of_connections_takes_a_descriptor_each(ctx, make, endpoint):
    router = make(zmq.ROUTER, backlog=400)
    address = endpoint.bind(router)
    dealers = [make(zmq.DEALER, linger=0) for _ in range(200)]
    for dealer in dealers:
        endpoint.connect(dealer, address)
        dealer.send(b"x")
    for _ in dealers:
        router.send_multipart(recv_multipart(router))
    connection = 0 if endpoint.is_inproc else 1
    assert sum(dealer.stats().descriptors for dealer in dealers) == connection * len(dealers)
    # The ROUTER was waited on, and the I/O thread has its own two.
    assert ctx.stats().descriptors <= 2 * connection * len(dealers) + 8


FLOOD = """
import sys
import fastmq as zmq
with zmq.Context() as ctx:
    dealers = [ctx.socket(zmq.DEALER) for _ in range(1000)]
    for dealer in dealers:
        dealer.linger = 0
        dealer.connect(sys.argv[1])
        dealer.send(b"x")
    for dealer in dealers:
        dealer.recv()
    for dealer in dealers:
        dealer.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_while_1000_others_connect_no_peer_waits_for_a_second(make, tmp_path, transport):
    router, talker = make(zmq.ROUTER, backlog=2000), make(zmq.DEALER, rcvtimeo=1000)
    router.bind("tcp://127.0.0.1:*" if transport == "tcp" else f"ipc://{tmp_path}/r")
    talker.connect(last_endpoint(router))

    def echo() -> None:
        while (parts := router.recv_multipart())[1] != b"end":
            router.send_multipart(parts)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    echoing = threading.Thread(target=echo, daemon=True)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        echoing.start()
        with subprocess.Popen([sys.executable, "-c", FLOOD, last_endpoint(router)]) as flood:
            trips = 0
            while flood.poll() is None:
                talker.send(b"talk")
                assert talker.recv() == b"talk"
                trips += 1
        assert flood.returncode == 0
        assert trips > 10
    finally:
        talker.send(b"end")
        echoing.join()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@in_loops
async def test_waiting_in_an_event_loop_costs_a_socket_two_descriptors() -> None:
    before = open_engine_fds()
    async with submodule("asyncio").Context() as context:
        pulls = [context.socket(zmq.PULL) for _ in range(3)]
        for pull in pulls:
            pull.bind("inproc://" + unique("watched"))
        assert [pull.stats().descriptors for pull in pulls] == [0, 0, 0]
        assert context.stats().descriptors == open_engine_fds() - before
        waiting = [pull.recv() for pull in pulls]
        if zmq.poller_name() == "poll":  # a loop watches each by itself, and that counts
            assert context.stats().descriptors == open_engine_fds() - before
        else:
            assert [pull.stats().descriptors for pull in pulls] == [2, 2, 2]
            rest = open_engine_fds() - before - context.stats().descriptors
            assert rest <= 2  # the loop's, for all its sockets
        for future, pull in zip(waiting, pulls, strict=True):
            future.cancel()
            pull.close()


def test_what_asks_the_authenticator_is_no_socket_of_the_program(ctx, make):
    before = open_engine_fds()
    handler = make(zmq.REP)
    handler.bind("inproc://zeromq.zap.01")
    server = make(zmq.PULL, plain_server=1)
    client = make(zmq.PUSH, plain_username=b"n", plain_password=b"p")
    server.bind("tcp://127.0.0.1:*")
    client.connect(last_endpoint(server))
    request = recv_multipart(handler)
    stats = ctx.stats()
    assert stats.sockets == 3
    assert stats.peers == 1  # of the handler; the others are not through yet
    handler.send_multipart([b"1.0", request[1], b"200", b"", b"", b""])
    client.send(b"in")
    assert recv(server) == b"in"
    # The question and the answer are counted where the program sees them, not at the other end.
    eventually("all counted", lambda: ctx.stats().messages_sent == 2)
    assert ctx.stats().messages_received == 2
    eventually("descriptors", lambda: ctx.stats().descriptors == open_engine_fds() - before)


def test_pool_memory_is_told_and_spare_memory_is_part_of_it(ctx, make, tcp_address):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind(tcp_address)
    push.connect(last_endpoint(pull))
    assert ctx.stats().pool_spare <= ctx.stats().pool_bytes
    for _ in range(3):
        push.send(b"x" * 1_000_000)
        recv(pull)
    stats = ctx.stats()
    assert 1_000_000 <= stats.pool_spare <= stats.pool_bytes < 100_000_000


def test_subscriptions_are_counted_by_their_types(make, name):
    xpub, address = make(zmq.XPUB), name()
    xpub.bind(address)
    for topics in ((b"a", b"b"), (b"b",)):
        sub = make(zmq.SUB)
        sub.connect(address)
        for topic in topics:
            sub.subscribe(topic)
        assert sub.stats().subscriptions == len(topics)
    xpub.wait_for_subscribers(2, b"b", timeout=WAIT_MS)
    assert xpub.stats().subscriptions == 2
    assert sorted(p.subscriptions for p in xpub.peers()) == [1, 2]
    assert make(zmq.PAIR).stats().subscriptions is None


def test_a_closed_socket_and_an_ended_context_refuse():
    ctx = zmq.Context()
    sock = ctx.socket(zmq.XPUB)
    sock.close()
    for call in (sock.peers, sock.stats, sock.wait_for_subscribers):
        with raises_errno(errno.ENOTSOCK):
            call()
    ctx.term()
    with pytest.raises(RuntimeError):
        ctx.stats()


def test_looking_inside_from_other_threads_while_messages_flow(make, ctx, tcp_address):
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    pull.bind(tcp_address)
    push.connect(last_endpoint(pull))
    stop = threading.Event()
    seen = []

    def look():
        while not stop.is_set():
            seen.append((pull.stats().messages_received, ctx.stats().messages_received))
            assert len(push.peers()) == 1

    thread = run(look)
    for _ in range(20):
        push.send_many([b"x"] * 500)
        got = 0
        while got < 500:
            got += len(pull.recv_many(500))
    stop.set()
    thread.join()
    assert seen == sorted(seen)
    assert pull.stats().messages_received == push.stats().messages_sent == 10_000


# ---- subscribers ----


@pytest.fixture(params=["PUB", "XPUB"])
def publisher(request, make):
    return make(getattr(zmq, request.param))


def subscriber(make, publisher, *topics):
    sub = make(zmq.SUB)
    sub.connect(last_endpoint(publisher))
    for topic in topics:
        sub.subscribe(topic)
    return sub


def test_after_waiting_for_subscribers_no_message_is_missed(make, endpoint):
    pub, sub = make(zmq.PUB), make(zmq.SUB)
    sub.subscribe(b"topic")
    endpoint.connect(sub, endpoint.bind(pub))
    assert pub.wait_for_subscribers(timeout=WAIT_MS) == 1
    pub.send(b"topic: first")
    assert recv(sub) == b"topic: first"


@two_transports
def test_a_peer_counts_when_the_topic_begins_with_what_it_subscribed_to(publisher, make, endpoint):
    endpoint.bind(publisher)
    subscriber(make, publisher, b"a", b"ab")
    subscriber(make, publisher, b"abc")
    subscriber(make, publisher)
    assert publisher.wait_for_subscribers(2, timeout=WAIT_MS) == 2
    counts = {t: publisher.wait_for_subscribers(0, t) for t in (b"", b"a", b"ab", b"abcd", b"b")}
    assert counts == {b"": 2, b"a": 1, b"ab": 1, b"abcd": 2, b"b": 0}
    assert publisher.wait_for_subscribers(2, "abc") == 2
    with pytest.raises(zmq.Again):
        publisher.wait_for_subscribers(2, b"ab", timeout=20)
    with pytest.raises(zmq.Again):
        publisher.wait_for_subscribers(3, timeout=0)


@two_transports
def test_a_waiter_sleeps_until_the_last_subscriber_has_come(publisher, make, endpoint):
    endpoint.bind(publisher)
    subs = [subscriber(make, publisher) for _ in range(3)]
    counts = []
    thread = run(
        lambda: counts.append(publisher.wait_for_subscribers(3, b"xy", timeout=WAIT_MS)),
    )
    for n, sub in enumerate(subs):
        assert not counts
        sub.subscribe(b"x")
        if n < 2:
            publisher.wait_for_subscribers(n + 1, b"xy", timeout=WAIT_MS)
    thread.join()
    assert counts == [3]


@two_transports
def test_subscribers_that_leave_do_not_count(publisher, make, endpoint):
    endpoint.bind(publisher)
    stays = subscriber(make, publisher, b"a", b"")
    leaves = subscriber(make, publisher, b"a")
    publisher.wait_for_subscribers(2, b"a", timeout=WAIT_MS)
    leaves.close()
    eventually("one left", lambda: publisher.wait_for_subscribers(0, b"a") == 1)
    stays.unsubscribe(b"")
    eventually("an end of it", lambda: publisher.wait_for_subscribers(0, b"b") == 0)
    assert publisher.wait_for_subscribers(0, b"a") == 1
    stays.unsubscribe(b"a")
    eventually("none left", lambda: publisher.wait_for_subscribers(0) == 0)


def test_a_publisher_that_connects_counts_only_while_it_is_connected(make):
    address = f"tcp://127.0.0.1:{free_port()}"
    pub = make(zmq.PUB, reconnect_ivl=10)
    pub.connect(address)
    for _ in range(2):
        sub = make(zmq.SUB)
        sub.subscribe(b"a")
        bind_when_free(sub, address)
        assert pub.wait_for_subscribers(timeout=WAIT_MS) == 1
        sub.close()
        eventually("the loss", lambda: pub.wait_for_subscribers(0) == 0)


def test_with_invert_matching_those_count_whose_subscriptions_do_not_match(make, name):
    pub, address = make(zmq.PUB, invert_matching=1), name()
    pub.bind(address)
    subscriber(make, pub, b"a")
    assert pub.wait_for_subscribers(1, timeout=WAIT_MS) == 1
    assert pub.wait_for_subscribers(0, b"a") == 0
    assert pub.wait_for_subscribers(0, b"b") == 1


def test_with_manual_subscriptions_what_the_program_accepts_counts(make, name):
    xpub, address = make(zmq.XPUB, xpub_manual=1), name()
    xpub.bind(address)
    subscriber(make, xpub, b"a")
    assert recv(xpub) == b"\1a"
    assert xpub.wait_for_subscribers(0) == 0
    xpub.set(zmq.SUBSCRIBE, b"b")
    assert xpub.wait_for_subscribers(1, b"b", timeout=0) == 1
    assert xpub.wait_for_subscribers(0, b"a") == 0


@pytest.mark.parametrize("kind", ["SUB", "XSUB", "PUSH", "ROUTER", "PAIR"])
def test_other_types_have_no_subscribers(make, kind):
    with raises_errno(errno.ENOTSUP):
        make(getattr(zmq, kind)).wait_for_subscribers(timeout=0)


def test_arguments_of_the_wait_are_checked(make):
    pub = make(zmq.PUB)
    for bad in (-1, 2**31):
        with pytest.raises(ValueError, match=f"n must be between 0 and .*, not {bad}"):
            pub.wait_for_subscribers(bad)
    with pytest.raises(TypeError, match="n must be int, not str"):
        pub.wait_for_subscribers("1")
    with pytest.raises(TypeError, match="topic must be bytes or str, not int"):
        pub.wait_for_subscribers(1, 5)
    with pytest.raises(TypeError, match="timeout must be"):
        pub.wait_for_subscribers(1, timeout="soon")


def test_closing_the_publisher_ends_the_wait(make):
    pub = make(zmq.PUB)
    failures = []
    started = threading.Event()

    def wait():
        started.set()
        try:
            pub.wait_for_subscribers(timeout=WAIT_MS)
        except zmq.ZMQError as e:
            failures.append(e.errno)

    thread = run(wait)
    started.wait()
    pub.close()
    thread.join()
    assert failures == [errno.ENOTSOCK]


def test_signal_handlers_run_during_the_wait(make):
    class Handled(Exception):
        pass

    def handler(signum, frame):
        raise Handled

    pub = make(zmq.PUB)
    old = signal.signal(signal.SIGUSR1, handler)
    try:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        with pytest.raises(Handled):
            pub.wait_for_subscribers(timeout=WAIT_MS)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, old)


# ---- subscribers, awaited ----


@pytest.fixture
def apub(ctx, make):
    """A publisher of the asyncio kind over a socket of `make`, which closes it."""
    pub = make(zmq.XPUB)
    pub.bind("tcp://127.0.0.1:*")
    asynchronous = submodule("asyncio").Socket.from_socket(pub)
    yield asynchronous
    asynchronous.close()


@in_loops
async def test_tasks_await_different_subscribers(apub, make):
    tasks = [
        asyncio.ensure_future(apub.wait_for_subscribers(n, topic, timeout=SOON * 1000))
        for n, topic in ((1, b"aa"), (1, b"b"), (2, b""))
    ]
    await turns()
    assert not any(task.done() for task in tasks)
    sub = subscriber(make, apub, b"a")
    assert await tasks[0] == 1
    assert not tasks[1].done() and not tasks[2].done()
    subscriber(make, apub, b"")
    assert await tasks[1] == 1
    assert await tasks[2] == 2
    sub.close()


@in_loops
async def test_an_awaited_wait_ends_in_time_and_when_cancelled(apub):
    with pytest.raises(zmq.Again):
        await apub.wait_for_subscribers(timeout=20)
    with pytest.raises(zmq.Again):
        await apub.wait_for_subscribers(timeout=0)
    assert await apub.wait_for_subscribers(0) == 0
    task = asyncio.ensure_future(apub.wait_for_subscribers())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ValueError, match="n must be"):
        await apub.wait_for_subscribers(-1)


@in_loops
async def test_an_awaited_wait_costs_no_processor_time(apub, make):
    """Neither while nothing happens nor while a writable publisher sends."""
    subscriber(make, apub, b"a")
    await apub.wait_for_subscribers(timeout=SOON * 1000)
    task = asyncio.ensure_future(apub.wait_for_subscribers(2))
    await turns()
    before = time.process_time()
    for _ in range(5):
        await apub.send(b"message")
        await asyncio.sleep(0.04)
    assert time.process_time() - before < 0.1, "busy while it waits"
    assert not task.done()
    task.cancel()


@in_loops
async def test_the_end_of_the_socket_ends_an_awaited_wait(apub):
    task = asyncio.ensure_future(apub.wait_for_subscribers())
    await turns()
    apub.close()
    with pytest.raises((asyncio.CancelledError, zmq.ZMQError)):
        await task
