# SPDX-License-Identifier: MIT
"""REQ_RESEND_IVL: a request that survives the server it was sent to."""

import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from helpers import (
    QUIET_MS,
    Endpoint,
    eventually,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
    unique,
)
from loops import SOON, in_loops, run, until
from security import Keys, curve_client, curve_server, needs_curve
from target import fastmq_only, submodule, zmq

pytestmark = fastmq_only("REQ_RESEND_IVL is fastmq's own")

streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)
NEVER = 600_000  # ms: the interval plays no part


def connected(req: Any, count: int) -> None:
    eventually(f"{count} servers are connected", lambda: req.stats().peers == count)


@pytest.fixture
def servers(make: Any, endpoint: Endpoint) -> Callable[..., tuple[Any, list[Any]]]:
    """servers(n, ivl): a REQ, and n REP that it is connected to."""

    def new(count: int, ivl: int, kind: int = zmq.REP, **options: Any) -> tuple[Any, list[Any]]:
        req = make(zmq.REQ, req_resend_ivl=ivl, **options)
        made = [make(kind) for _ in range(count)]
        for server in made:
            endpoint.connect(req, endpoint.bind(server))
        connected(req, count)
        return req, made

    return new


def who_got(servers: list[Any], what: bytes) -> Any:
    """The server that has a request; it is received there."""
    found: list[Any] = []

    def look() -> bool:
        found.extend(s for s in servers if s.poll(0))
        return bool(found)

    eventually("a server has the request", look)
    assert found[0].recv() == what
    return found[0]


def test_a_request_goes_to_another_server_when_its_own_closes(servers):
    req, both = servers(2, NEVER)
    req.send(b"q")
    first = who_got(both, b"q")
    first.close()
    (second,) = (s for s in both if s is not first)
    assert recv(second, "request, again") == b"q"
    second.send(b"a")
    assert recv(req) == b"a"
    assert req.stats().resent == 1


def test_a_request_goes_to_another_server_when_the_interval_is_over(servers):
    req, both = servers(2, 30)
    req.send_multipart([b"q", b"", b"r"])
    for server in both:  # neither answers, so each gets it
        assert recv_multipart(server, "request") == [b"q", b"", b"r"]
    both[1].send(b"a")
    assert recv(req) == b"a"
    assert req.stats().resent >= 1


def test_the_first_answer_wins_and_a_late_one_is_dropped(servers):
    req, both = servers(2, 30)
    for number in range(5):
        req.send(b"q%d" % number)
        for server in both:
            assert recv(server) == b"q%d" % number
        first, second = both if number % 2 else reversed(both)
        first.send(b"first %d" % number)
        assert recv(req) == b"first %d" % number
        before = req.stats().dropped
        second.send(b"late %d" % number)
        eventually("the late answer is counted", lambda n=before: req.stats().dropped > n)
        while second.poll(0):  # copies that were sent while the answer was on its way
            second.recv()
            second.send(b"late again")
    assert nothing_arrives(req)
    with raises_errno(zmq.EFSM):
        req.recv()


@streams
def test_a_request_is_sent_again_to_its_only_server_after_reconnection(make, endpoint):
    req, rep = make(zmq.REQ, req_resend_ivl=NEVER, reconnect_ivl=5), make(zmq.REP)
    address = endpoint.bind(rep)
    endpoint.connect(req, address)
    req.send(b"q")
    assert recv(rep) == b"q"
    rep.close()
    connected(req, 0)
    rep = make(zmq.REP)
    eventually("the address is free", lambda: not bind_fails(rep, address))
    assert recv(rep, "request, again") == b"q"
    rep.send(b"a")
    assert recv(req) == b"a"
    assert nothing_arrives(rep)
    assert req.stats().resent == 1


def bind_fails(sock: Any, address: str) -> bool:
    try:
        sock.bind(address)
    except zmq.ZMQError as e:
        assert e.errno == zmq.EADDRINUSE
        return True
    return False


def test_a_request_is_sent_again_to_its_only_server_when_the_interval_is_over(make, endpoint):
    req, router = make(zmq.REQ, req_resend_ivl=20), make(zmq.ROUTER)
    endpoint.connect(req, endpoint.bind(router))
    req.send(b"q")
    copies = [recv_multipart(router, "copy") for _ in range(4)]
    assert copies.count(copies[0]) == 4
    client, number, empty, body = copies[0]
    assert (len(number), empty, body) == (4, b"", b"q")
    router.send_multipart([client, number, b"", b"a"])
    router.send_multipart([client, number, b"", b"a once more"])
    assert recv(req) == b"a"
    while router.poll(QUIET_MS):
        assert recv_multipart(router) == copies[0]
    req.send(b"next")
    client, other, _, body = recv_multipart(router)
    assert body == b"next" and other != number
    router.send_multipart([client, number, b"", b"too late"])
    router.send_multipart([client, other, b"", b"in time"])
    assert recv(req) == b"in time"


def test_an_unanswered_request_is_sent_again_while_nobody_calls(servers):
    req, both = servers(2, 20)
    req.send(b"q")
    assert {recv(s) for s in both} == {b"q"}
    for server in both:
        server.send(b"a")
    eventually("the second answer is dropped", lambda: both[0].poll(0) or req.stats().dropped)
    assert recv(req) == b"a"


def test_timeouts_are_as_ever(make, endpoint):
    req = make(zmq.REQ, req_resend_ivl=20)
    req.sndtimeo = req.rcvtimeo = 30
    with raises_errno(zmq.EAGAIN):
        req.send(b"q")  # no peer, not even one that is to come
    rep = make(zmq.REP)
    endpoint.connect(req, endpoint.bind(rep))
    req.send(b"q")
    for _ in range(3):
        with raises_errno(zmq.EAGAIN):
            req.recv()
    with raises_errno(zmq.EFSM):
        req.send(b"another")
    assert recv(rep) == b"q"
    rep.send(b"a")
    req.rcvtimeo = 10_000
    assert req.recv() == b"a"


def test_a_request_made_before_any_server_is_there_waits(make, endpoint):
    req, rep = make(zmq.REQ, req_resend_ivl=20, reconnect_ivl=5), make(zmq.REP)
    address = endpoint.fixed()
    endpoint.connect(req, address)
    req.send(b"q")
    assert nothing_arrives(req)
    endpoint.bind(rep, address)
    assert recv(rep) == b"q"
    rep.send(b"a")
    assert recv(req) == b"a"


@streams
def test_what_closing_leaves_unsent_goes_out_within_linger(make, endpoint):
    req, pull = make(zmq.REQ, req_resend_ivl=20, reconnect_ivl=5), make(zmq.ROUTER)
    address = endpoint.fixed()
    endpoint.connect(req, address)
    req.send(b"last words")
    req.close(linger=10_000)
    endpoint.bind(pull, address)
    assert recv_multipart(pull)[-1] == b"last words"


def test_a_request_moves_on_when_the_program_disconnects_from_its_server(servers, endpoint):
    req, both = servers(2, NEVER)
    req.send(b"q")
    first = who_got(both, b"q")
    req.disconnect(first.last_endpoint.rstrip(b"\0").decode())
    (second,) = (s for s in both if s is not first)
    assert recv(second) == b"q"
    second.send(b"a")
    assert recv(req) == b"a"


@streams
def test_a_bound_req_resends_to_servers_that_connect(make, endpoint):
    req = make(zmq.REQ, req_resend_ivl=NEVER)
    address = endpoint.bind(req)
    workers = [make(zmq.REP), make(zmq.REP)]
    for worker in workers:
        endpoint.connect(worker, address)
    connected(req, 2)
    req.send(b"q")
    first = who_got(workers, b"q")
    first.close()
    (second,) = (w for w in workers if w is not first)
    assert recv(second) == b"q"
    second.close()
    connected(req, 0)
    third = make(zmq.REP)  # nobody was there, and then somebody comes
    endpoint.connect(third, address)
    assert recv(third) == b"q"
    third.send(b"a")
    assert recv(req) == b"a"


@needs_curve
def test_a_request_survives_its_server_under_curve(make):
    keys, mine = Keys(), Keys()
    req = make(zmq.REQ, req_resend_ivl=NEVER, **curve_client(mine, keys.public))
    both = [make(zmq.REP, **curve_server(keys)) for _ in range(2)]
    for server in both:
        server.bind("tcp://127.0.0.1:*")
        req.connect(server.last_endpoint.rstrip(b"\0").decode())
    connected(req, 2)
    body = os.urandom(300_000)
    req.send(body)
    first = who_got(both, body)
    first.close()
    (second,) = (s for s in both if s is not first)
    assert recv(second) == body
    second.send(b"a")
    assert recv(req) == b"a"


def test_a_tracked_request_is_done_before_its_answer_is_there(make):
    req, rep = make(zmq.REQ, req_resend_ivl=NEVER), make(zmq.REP)
    rep.bind("tcp://127.0.0.1:*")
    req.connect(rep.last_endpoint.rstrip(b"\0").decode())
    body = bytearray(b"x" * 200_000)
    req.send(body, copy=False, track=True).wait(SOON)
    body[:] = bytes(len(body))
    assert recv(rep) == b"x" * 200_000
    rep.close()
    connected(req, 0)
    again = make(zmq.REP)
    again.bind("tcp://127.0.0.1:*")
    req.connect(again.last_endpoint.rstrip(b"\0").decode())
    assert recv(again) == b"x" * 200_000
    again.send(b"a")
    assert recv(req) == b"a"


def test_poll_shows_the_answer_and_nothing_else(servers):
    req, both = servers(2, 20)
    poller = zmq.Poller()
    poller.register(req, zmq.POLLIN)
    req.send(b"q")
    answers = threading.Thread(target=lambda: [(s.recv(), s.send(b"a")) for s in both[1:]])
    answers.start()
    assert dict(poller.poll(SOON * 1000)) == {req: zmq.POLLIN}
    answers.join()
    assert req.recv(zmq.DONTWAIT) == b"a"
    assert req.poll(QUIET_MS, zmq.POLLIN) == 0
    assert req.getsockopt(zmq.EVENTS) == zmq.POLLOUT


def test_several_threads_may_wait_for_the_answer(servers):
    req, both = servers(2, 20)
    req.send(b"q")
    ready: list[int] = []
    waiters = [threading.Thread(target=lambda: ready.append(req.poll(SOON * 1000))) for _ in "123"]
    for waiter in waiters:
        waiter.start()
    for server in both:
        assert recv(server) == b"q"
    both[0].send(b"a")
    for waiter in waiters:
        waiter.join()
    assert ready == [zmq.POLLIN] * 3
    assert req.recv() == b"a"


def test_a_thread_that_sleeps_in_poll_runs_the_interval_of_a_request_sent_meanwhile(servers):
    req, both = servers(2, 40)
    req.send(b"0")  # the I/O thread knows of this one's time
    who_got(both, b"0").send(b"a")
    assert recv(req) == b"a"
    asleep = threading.Thread(target=lambda: req.poll(SOON * 1000, zmq.POLLIN))
    asleep.start()
    time.sleep(0.1)
    req.send(b"1")
    for server in both:
        eventually("the request", lambda s=server: s.poll(0) and s.recv() == b"1")
    both[0].send(b"a")
    asleep.join()
    assert req.recv() == b"a"


def test_the_option_is_of_req_alone_and_has_a_range(make):
    req = make(zmq.REQ)
    assert req.req_resend_ivl == req.get(zmq.REQ_RESEND_IVL) == 0
    req.req_resend_ivl = 250
    assert req.REQ_RESEND_IVL == 250
    with pytest.raises(zmq.ZMQError, match="REQ_RESEND_IVL takes 0 to"):
        req.setsockopt(zmq.REQ_RESEND_IVL, -1)
    for kind in (zmq.REP, zmq.DEALER, zmq.PUB):
        with pytest.raises(zmq.ZMQError, match="REQ_RESEND_IVL does not apply to"):
            make(kind).setsockopt(zmq.REQ_RESEND_IVL, 1)
    assert make(zmq.REP).stats().resent == 0


def test_relaxed_gives_up_a_request_that_is_sent_again(servers):
    req, (rep,) = servers(1, NEVER, req_relaxed=1)
    req.send(b"1")
    assert recv(rep) == b"1"
    req.send(b"2")
    rep.send(b"one")
    assert recv(rep) == b"2"
    rep.send(b"two")
    assert recv(req) == b"two"
    assert req.stats().dropped == 1


# ---- loops ----


@in_loops
async def test_a_request_survives_its_servers_in_a_loop() -> None:
    za = submodule("asyncio")
    ctx = za.Context()
    sockets = [ctx.socket(zmq.REQ), *(ctx.socket(zmq.REP) for _ in range(2))]
    req, *servers = sockets
    try:
        req.req_resend_ivl = 50
        for server in servers:
            server.bind("tcp://127.0.0.1:*")
            req.connect(server.last_endpoint.decode().rstrip("\0"))
        await req.send(b"q")
        for server in servers:  # neither answers in time
            assert await server.recv() == b"q"
        await servers[0].send(b"a")
        assert await req.recv() == b"a"
        servers[0].close(linger=0)
        await req.send(b"r")
        await servers[1].send(b"late")
        while await servers[1].recv() != b"r":
            await servers[1].send(b"late")
        await servers[1].send(b"b")
        assert await req.recv() == b"b"
    finally:
        for sock in sockets:
            sock.close(linger=0)
        ctx.term()


def test_a_request_survives_its_server_under_tornado(make: Any) -> None:
    pytest.importorskip("tornado.ioloop")
    zmqstream = submodule("eventloop.zmqstream")

    async def main() -> None:
        req, both = make(zmq.REQ, req_resend_ivl=50), [make(zmq.REP), make(zmq.REP)]
        for server in both:
            server.bind("tcp://127.0.0.1:*")
            req.connect(server.last_endpoint.rstrip(b"\0").decode())
        got: list[Any] = []
        asked: list[Any] = []
        streams = [zmqstream.ZMQStream(sock) for sock in (req, *both)]
        for number, stream in enumerate(streams[1:]):
            stream.on_recv(lambda parts, n=number: asked.append((n, parts)))
        streams[0].on_recv(got.append)
        streams[0].send(b"q")
        await until("both are asked", lambda: {n for n, _ in asked} == {0, 1})
        streams[2].send(b"a")
        await until("the answer", lambda: got == [[b"a"]])
        for stream in streams:
            stream.close()

    run(main())


# ---- whatever servers do ----

ILLS = ("answers", "is silent", "is late", "answers twice", "dies")


def moody_server(ctx: Any, address: str, dice: random.Random, stop: threading.Event) -> None:
    """Serves until told to stop, badly. An answer repeats its request."""

    def fresh() -> Any:
        sock = ctx.socket(zmq.ROUTER)
        sock.linger = 0
        while bind_fails(sock, address):
            time.sleep(0.001)
        return sock

    sock, late = fresh(), []
    while not stop.is_set():
        if not sock.poll(2):
            for message in late:
                sock.send_multipart(message)
            late = []
            continue
        message = sock.recv_multipart()
        ill = dice.choices(ILLS, (6, 1, 2, 2, 1))[0]
        if ill == "is late":
            late.append(message)
        elif ill == "dies":
            sock.close()
            sock, late = fresh(), []
        elif ill != "is silent":
            for _ in range(1 + (ill == "answers twice")):
                sock.send_multipart(message)
    sock.close()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)
def test_each_request_gets_its_own_answer_whatever_the_servers_do(ctx, make, endpoint, seed):
    dice = random.Random(seed)
    req = make(zmq.REQ, req_resend_ivl=dice.choice([5, 20, 50]), reconnect_ivl=1)
    stop = threading.Event()
    addresses = [endpoint.fixed() for _ in range(dice.choice([1, 2, 3]))]
    servers = [
        threading.Thread(target=moody_server, args=(ctx, address, random.Random(seed + i), stop))
        for i, address in enumerate(addresses)
    ]
    for server in servers:
        server.start()
    try:
        for address in addresses:
            req.connect(address)
        for number in range(100):
            request = [b"%d" % number, bytes(dice.choice([0, 10, 70_000]))]
            req.send_multipart(request)
            assert recv_multipart(req, f"answer to {number}") == request
        assert req.stats().resent > 0
        assert nothing_arrives(req)
    finally:
        stop.set()
        for server in servers:
            server.join()


def test_inproc_servers_may_come_and_go(make):
    req = make(zmq.REQ, req_resend_ivl=NEVER)
    for number in range(5):
        rep = make(zmq.REP)
        address = "inproc://" + unique("moody")
        rep.bind(address)
        req.connect(address)
        if number == 0:
            req.send(b"q")
        assert recv(rep) == b"q"
        if number < 4:
            rep.close()
    rep.send(b"a")
    assert recv(req) == b"a"
    assert req.stats().resent == 4
