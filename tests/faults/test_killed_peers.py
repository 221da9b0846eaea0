# SPDX-License-Identifier: MIT
"""Peers that are killed in the middle of traffic: kill -9, at any byte."""

import random
import threading
import time

import pytest
from helpers import (
    QUIET_MS,
    eventually,
    last_endpoint,
    recv,
    recv_multipart,
    sync_subscriber,
    wait_readable,
)
from process import START_MS
from target import fastmq_only, zmq

streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)

BIND = """
def bind(sock, address):
    # The address of one that was killed just now may not be free yet.
    while True:
        try:
            return sock.bind(address)
        except zmq.ZMQError as e:
            if e.errno != zmq.EADDRINUSE:
                raise
            time.sleep(0.01)
"""

SENDER = """
push = zmq.Context().socket(zmq.PUSH)
push.connect(sys.argv[1])
for n in itertools.count():
    push.send_multipart([sys.argv[2].encode(), b"%d" % n, bytes(n * 37 % 9000)])
"""


@streams
def test_what_killed_senders_leave_is_whole_and_without_gaps(make, endpoint, child):
    pull = make(zmq.PULL)
    address = endpoint.bind(pull)
    dice = random.Random(1)
    lives = {}  # of each sender: it, how many messages have come, after how many it dies
    started = 0
    after = 300
    while len(lives) < 6 or any(had < dies for _, had, dies in lives.values()):
        if len(lives) < 6 and sum(had < dies for _, had, dies in lives.values()) < 2:
            one = child(SENDER, address, started)
            lives[b"%d" % started] = [one, 0, after + dice.randrange(after)]
            started += 1
        life, number, body = recv_multipart(pull, "message of a sender")
        assert int(number) == lives[life][1]
        assert len(body) == int(number) * 37 % 9000
        lives[life][1] += 1
        if lives[life][1] == lives[life][2]:
            lives[life][0].kill()
    while pull.poll(QUIET_MS):  # what was on its way
        life, number, body = pull.recv_multipart()
        assert int(number) == lives[life][1]
        assert len(body) == int(number) * 37 % 9000
        lives[life][1] += 1


RECEIVER = (
    BIND
    + """
pull = zmq.Context().socket(zmq.PULL)
bind(pull, sys.argv[1])
while True:
    number, body = pull.recv_multipart()
    assert len(body) == int(number) * 37 % 9000
    say(int(number))
"""
)


@streams
def test_a_sender_whose_receivers_are_killed_repeats_and_mixes_nothing(make, endpoint, child):
    address = endpoint.fixed()
    push = make(zmq.PUSH, reconnect_ivl=10, sndhwm=50)
    endpoint.connect(push, address)
    stop = threading.Event()
    sent = 0

    def send():
        nonlocal sent
        while not stop.is_set():
            push.send_multipart([b"%d" % sent, bytes(sent * 37 % 9000)])
            sent += 1

    sender = threading.Thread(target=send)
    sender.start()
    try:
        last = -1
        for life in range(4):
            one = child(RECEIVER, address)
            first = one.says("first message after a restart")
            assert first > last
            last = first
            while last < first + 200:
                assert one.says("message") == last + 1
                last += 1
            if life == 3:
                break
            one.kill()
            for number in one.rest():
                assert number == last + 1
                last = number
    finally:
        stop.set()
        sender.join()
    while last < sent - 1:  # nobody is killed any more: nothing more is lost
        assert one.says("message") == last + 1
        last += 1


REPLIER = (
    BIND
    + """
rep = zmq.Context().socket(zmq.REP)
bind(rep, sys.argv[1])
while True:
    rep.send(b"re:" + rep.recv())
"""
)


@streams
def test_a_relaxed_req_gets_the_answer_to_its_last_question_whoever_dies(make, endpoint, child):
    address = endpoint.fixed()
    req = make(zmq.REQ, req_relaxed=1, req_correlate=1, reconnect_ivl=10, rcvtimeo=100)
    endpoint.connect(req, address)
    server = child(REPLIER, address)
    for n in range(400):
        if n in (50, 51, 200):
            server.kill()
            server = child(REPLIER, address)

        def answered(n=n):
            req.send(b"%d" % n)
            try:
                return req.recv()
            except zmq.Again:
                return None

        assert eventually(f"answer {n}", answered) == b"re:%d" % n


PUBLISHER = (
    BIND
    + """
pub = zmq.Context().socket(zmq.PUB)
pub.setsockopt(zmq.SNDHWM, 0)
bind(pub, sys.argv[1])
for n in itertools.count():
    for topic in (b"A", b"B", b"C"):
        pub.send_multipart([topic, b"%s:%d" % (sys.argv[2].encode(), n)])
    time.sleep(0.0005)
"""
)


@streams
def test_a_subscriber_finds_its_publisher_again_and_wants_the_same(make, endpoint, child):
    address = endpoint.fixed()
    sub = make(zmq.SUB, rcvhwm=0, reconnect_ivl=10)
    sub.setsockopt(zmq.SUBSCRIBE, b"A")
    sub.setsockopt(zmq.SUBSCRIBE, b"B")
    sub.setsockopt(zmq.UNSUBSCRIBE, b"B")
    endpoint.connect(sub, address)
    for life in range(4):
        one = child(PUBLISHER, address, life)
        due = None
        came = 0
        while came < 50:  # what is left of an earlier life comes first
            topic, text = recv_multipart(sub, f"message of life {life}")
            whose, n = map(int, text.split(b":"))
            assert topic == b"A"
            assert whose <= life
            if whose == life:
                assert due in (None, n)
                due = n + 1
                came += 1
            else:
                assert came == 0
        one.kill()


SUBSCRIBER = """
sub = zmq.Context().socket(zmq.SUB)
sub.setsockopt(zmq.SUBSCRIBE, b"dead")
sub.connect(sys.argv[1])
while True:
    sub.recv()
    say("message")
"""


@streams
def test_a_killed_subscriber_is_forgotten_and_the_others_miss_nothing(make, endpoint, child):
    pub = make(zmq.XPUB, sndhwm=0)
    address = endpoint.bind(pub)
    sub = make(zmq.SUB, rcvhwm=0)
    sub.setsockopt(zmq.SUBSCRIBE, b"n")
    endpoint.connect(sub, address)
    assert recv(pub) == b"\x01n"
    sync_subscriber(pub, sub)
    n = 0
    for _ in range(2):
        doomed = child(SUBSCRIBER, address)
        while recv(pub, "subscription") != b"\x01dead":
            continue
        for turn in range(300):
            pub.send(b"n%d" % n)
            pub.send(b"dead" + bytes(2000))
            n += 1
            if turn == 150:
                doomed.says()
                doomed.kill()
        wait_readable(pub, "end of the subscription")
        assert pub.recv() == b"\x00dead"
    assert [recv(sub) for _ in range(n)] == [b"n%d" % i for i in range(n)]


CLIENT = """
dealer = zmq.Context().socket(zmq.DEALER)
dealer.setsockopt(zmq.ROUTING_ID, sys.argv[2].encode())
dealer.connect(sys.argv[1])
sent = 0
for n in itertools.count():
    while sent < n + 20:
        dealer.send(b"%d" % sent)
        sent += 1
    assert dealer.recv() == b"%d" % n
    if n % 100 == 99:
        say(n)
"""


@streams
def test_a_router_serves_on_while_its_clients_die_and_come_back(make, endpoint, child):
    router = make(zmq.ROUTER, router_mandatory=1)
    address = endpoint.bind(router)
    stop = threading.Event()
    errors = []

    def serve():
        while not stop.is_set():
            try:
                if router.poll(20):
                    router.send_multipart(router.recv_multipart())
            except zmq.ZMQError as e:
                if e.errno != zmq.EHOSTUNREACH:
                    errors.append(e)

    server = threading.Thread(target=serve)
    server.start()
    try:
        steady = child(CLIENT, address, "steady")
        steady.says("hundred answers")
        for _ in range(3):
            doomed = child(CLIENT, address, "doomed")
            doomed.says("hundred answers to one whose name was another's")
            doomed.kill()
        for _ in range(3):
            steady.says("hundred answers")
    finally:
        stop.set()
        server.join()
    assert not errors

    def unreachable():
        try:
            router.send_multipart([b"doomed", b"?"], zmq.DONTWAIT)
        except zmq.ZMQError as e:
            return e.errno == zmq.EHOSTUNREACH
        return False

    eventually("the dead client cannot be sent to", unreachable)


def test_a_name_is_free_again_when_its_owner_was_killed(make, child):
    """ROUTER refuses a second client of the same name only while the first one lives."""
    router = make(zmq.ROUTER)
    router.bind("tcp://127.0.0.1:*")
    code = """
dealer = zmq.Context().socket(zmq.DEALER)
dealer.setsockopt(zmq.ROUTING_ID, b"name")
dealer.connect(sys.argv[1])
dealer.send(b"%d" % os.getpid())
say(dealer.recv().decode())
hear()
"""
    for _ in range(3):
        one = child(code, last_endpoint(router))
        who, text = recv_multipart(router)
        assert (who, text) == (b"name", b"%d" % one.pid)
        router.send_multipart([who, b"hello"])
        assert one.says() == "hello"
        one.kill()
        eventually("its connection is gone", lambda: not router.peers())


SERVER = (
    BIND
    + """
rep = zmq.Context().socket(zmq.REP)
bind(rep, sys.argv[1])
say("ready")
for n in itertools.count(1):
    request = rep.recv_multipart()
    if n == int(sys.argv[2]):
        say("asked")
        time.sleep(3600)
    rep.send_multipart(request)
"""
)


@pytest.mark.slow
@streams
@pytest.mark.parametrize("count", [1, 3])
@fastmq_only("REQ_RESEND_IVL is fastmq's own")
def test_no_request_is_lost_when_servers_are_killed_in_the_middle_of_it(
    make, endpoint, child, count
):
    req = make(zmq.REQ, req_resend_ivl=600_000, reconnect_ivl=5)
    dice = random.Random(count)
    addresses = [endpoint.fixed() for _ in range(count)]
    stop = threading.Event()

    def keep_alive(address, seed):
        moods = random.Random(seed)
        while not stop.is_set():
            server = child(SERVER, address, moods.randrange(1, 40))
            assert server.says() == "ready"
            while not stop.is_set() and server.said.empty():
                time.sleep(0.002)
            server.kill()

    keepers = [
        threading.Thread(target=keep_alive, args=(address, number))
        for number, address in enumerate(addresses)
    ]
    for keeper in keepers:
        keeper.start()
    try:
        for address in addresses:
            req.connect(address)
        for number in range(150):
            request = [b"%d" % number, bytes(dice.choice([0, 300, 100_000]))]
            req.send_multipart(request)
            wait_readable_long(req, number)
            assert req.recv_multipart() == request
        assert req.stats().resent > 0
    finally:
        stop.set()
        for keeper in keepers:
            keeper.join()


def wait_readable_long(sock, number):
    """A server takes its time to start."""
    if not sock.poll(START_MS, zmq.POLLIN):
        pytest.fail(f"no answer to request {number}")
