# SPDX-License-Identifier: MIT
"""Peers that stop in the middle of traffic without their connection ending: SIGSTOP, SIGCONT."""

import itertools
import time

import pytest
import wire
from helpers import (
    QUIET_MS,
    WAIT_MS,
    eventually,
    fill,
    last_endpoint,
    recv,
    recv_multipart,
    sync_subscriber,
)
from target import fastmq_only, zmq

streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)

RECEIVER = """
pull = zmq.Context().socket(zmq.PULL)
pull.setsockopt(zmq.RCVHWM, 10)
pull.connect(sys.argv[1])
say("here")
for n in itertools.count():
    number, body = pull.recv_multipart()
    assert (int(number), len(body)) == (n, 1000), (number, n)
    if n % 100 == 0:
        say(n)
"""


@streams
def test_a_frozen_receiver_holds_the_sender_at_its_limit_and_loses_nothing(make, endpoint, child):
    push = make(zmq.PUSH, sndhwm=10)
    one = child(RECEIVER, endpoint.bind(push))
    one.says("sign of life")
    sent = 0

    def send(flags=0):
        nonlocal sent
        push.send_multipart([b"%d" % sent, bytes(1000)], flags)
        sent += 1

    for _ in range(3):
        for _ in range(200):
            send()
        one.stop()
        while True:
            try:
                send(zmq.DONTWAIT)
            except zmq.Again:
                if not push.poll(QUIET_MS, zmq.POLLOUT):
                    break
        one.go_on()
        assert push.poll(WAIT_MS, zmq.POLLOUT)
    while sent % 100 != 1:
        send()
    for n in range(0, sent, 100):  # it has checked each of them
        assert one.says(f"message {n}") == n


@streams
def test_a_frozen_sender_is_waited_for_and_goes_on_where_it_was(make, endpoint, child):
    pull = make(zmq.PULL)
    one = child(
        """
push = zmq.Context().socket(zmq.PUSH)
push.connect(sys.argv[1])
for n in itertools.count():
    push.send_multipart([b"%d" % n, bytes(n % 100_000)])
""",
        endpoint.bind(pull),
    )
    n = 0
    for _ in range(5):
        one.stop()
        while pull.poll(QUIET_MS):
            number, body = pull.recv_multipart()
            assert (int(number), len(body)) == (n, n % 100_000)
            n += 1
        one.go_on()
        for _ in range(200):
            number, body = recv_multipart(pull)
            assert (int(number), len(body)) == (n, n % 100_000)
            n += 1


@streams
def test_a_frozen_subscriber_costs_the_others_nothing(make, endpoint, child):
    pub = make(zmq.XPUB, sndhwm=50, sndbuf=65536, xpub_verbose=1)
    address = endpoint.bind(pub)
    frozen = child(
        """
sub = zmq.Context().socket(zmq.SUB)
sub.setsockopt(zmq.RCVHWM, 10)
sub.setsockopt(zmq.RCVBUF, 65536)
sub.setsockopt(zmq.SUBSCRIBE, b"n")
sub.connect(sys.argv[1])
last = -1
while True:
    number = int(sub.recv()[1:7])
    assert number > last, (number, last)
    last = number
    say(number)
""",
        address,
    )
    sub = make(zmq.SUB, rcvhwm=0)
    sub.setsockopt(zmq.SUBSCRIBE, b"n")
    endpoint.connect(sub, address)
    assert [recv(pub), recv(pub)] == [b"\x01n"] * 2
    sync_subscriber(pub, sub)
    pub.send(b"n000000")
    assert recv(sub) == b"n000000"
    assert frozen.says() == 0
    frozen.stop()
    for n in range(1, 2000):
        pub.send(b"n%06d" % n + bytes(2000))
        assert recv(sub)[:7] == b"n%06d" % n
    assert pub.stats().dropped > 0
    frozen.go_on()

    numbers = itertools.count(2000)

    def caught_up():
        number = next(numbers)
        pub.send(b"n%06d" % number)
        while not frozen.said.empty():
            if frozen.says() >= 2000:
                return True
        return False

    eventually("the frozen one is back", caught_up)


@streams
def test_a_question_to_a_frozen_server_times_out_and_is_answered_later(make, endpoint, child):
    req = make(zmq.REQ, rcvtimeo=100)
    server = child(
        """
rep = zmq.Context().socket(zmq.REP)
rep.connect(sys.argv[1])
while True:
    rep.send(rep.recv())
""",
        endpoint.bind(req),
    )
    req.send(b"first")
    req.rcvtimeo = WAIT_MS
    assert req.recv() == b"first"
    server.stop()
    req.rcvtimeo = 100
    req.send(b"second")
    with pytest.raises(zmq.Again):
        req.recv()
    server.go_on()
    assert recv(req) == b"second"


BOUND_RECEIVER = """
pull = zmq.Context().socket(zmq.PULL)
pull.bind(sys.argv[1])
say(last_endpoint(pull))
while True:
    say(pull.recv()[:8].decode())
"""


@streams
@pytest.mark.parametrize("load", ["idle", "full"])
def test_heartbeats_leave_a_frozen_peer_and_come_back_to_it(make, watch, endpoint, child, load):
    one = child(BOUND_RECEIVER, endpoint.wildcard)
    address = one.says("address")
    push = make(zmq.PUSH, heartbeat_ivl=30, heartbeat_timeout=300, reconnect_ivl=20, sndhwm=20)
    events = watch(push)
    endpoint.connect(push, address)
    push.send(b"before")
    assert one.says() == "before"
    one.stop()
    if load == "full":  # no PING gets through any more: it is told by its silence all the same
        fill(push, bytes(200_000))
    frozen = time.monotonic()
    events.wait(zmq.EVENT_DISCONNECTED)
    assert time.monotonic() - frozen < 3
    one.go_on()
    events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    push.send(b"after")
    while one.says("message after the freeze") != "after":
        continue


@pytest.mark.slow
@fastmq_only("closes the connection when it wakes up itself")
def test_who_was_frozen_itself_does_not_blame_its_peer(child):
    """The answer to its PING came in time: it only has to be read."""
    with wire.Listener() as server:
        one = child(
            """
ctx = zmq.Context()
push = ctx.socket(zmq.PUSH)
push.setsockopt(zmq.HEARTBEAT_IVL, 50)
push.setsockopt(zmq.HEARTBEAT_TIMEOUT, 1000)
push.monitor("inproc://events", zmq.EVENT_DISCONNECTED)
events = ctx.socket(zmq.PAIR)
events.connect("inproc://events")
push.connect(sys.argv[1])
while True:
    hear()
    say(events.poll(200))
""",
            server.address,
        )
        with server.accept() as w:
            w.handshake("PULL")
            name = b""
            while name != b"PING":
                name, body = w.read_command()
            one.stop()
            w.send(wire.command(b"PONG", body[2:]))
            time.sleep(1.2)
            one.go_on()
            one.hears("is it there?")
            assert one.says() == 0, "it closed the connection"


@pytest.mark.parametrize("side", ["ivl", "ttl"])
def test_a_server_lets_a_frozen_client_go_and_takes_it_back(make, watch, child, side):
    """By heartbeats of its own, or because the client's PINGs said how long it may be silent."""
    router = make(zmq.ROUTER)
    if side == "ivl":
        router.setsockopt(zmq.HEARTBEAT_IVL, 30)
        router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 200)
    events = watch(router)
    router.bind("tcp://127.0.0.1:*")
    one = child(
        """
dealer = zmq.Context().socket(zmq.DEALER)
if sys.argv[2] == "ttl":
    dealer.setsockopt(zmq.HEARTBEAT_IVL, 30)
    dealer.setsockopt(zmq.HEARTBEAT_TTL, 200)
dealer.setsockopt(zmq.RECONNECT_IVL, 20)
dealer.setsockopt(zmq.ROUTING_ID, b"D")
dealer.setsockopt(zmq.RCVTIMEO, 100)
dealer.connect(sys.argv[1])
for n in itertools.count():
    dealer.send(b"%d" % n)
    time.sleep(0.001)
    try:
        say(dealer.recv().decode())
    except zmq.Again:
        pass
""",
        last_endpoint(router),
        side,
    )

    def served(word):
        answers = 0
        while answers < 150:  # in that time PINGs go, too; what comes last is no PING
            who, _ = recv_multipart(router)
            router.send_multipart([who, word])
            while not one.said.empty():
                answers += one.says() == word.decode()

    served(b"first")
    one.stop()
    events.wait(zmq.EVENT_DISCONNECTED)
    one.go_on()
    events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    served(b"second")
