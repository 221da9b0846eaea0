# SPDX-License-Identifier: MIT
"""Over a network with faults: delay, loss, a cable that is cut, addresses that go away."""

import time

import pytest
from helpers import WAIT_MS, eventually, fill, recv, recv_multipart
from target import fastmq_only, zmq

pytestmark = pytest.mark.slow

PORT = 5555

# fastmq here, fastmq or libzmq there.
both = pytest.mark.parametrize("there", [pytest.param(None, id="fastmq"), "zmq"])


@pytest.fixture
def peer(child, network):
    """peer(code, *args): a process at the other end of the cable."""

    def new(code, *args, there=None):
        if there:
            pytest.importorskip(there)
        options = {"module": there} if there else {}
        return child(code, *args, network=network.namespace, **options)

    return new


def of(host):
    return f"tcp://{host}:{PORT}"


RECEIVER = """
pull = zmq.Context().socket(zmq.PULL)
pull.bind("tcp://*:5555")
say("bound")
for n in itertools.count():
    number, body = pull.recv_multipart()
    assert len(body) == int(number) * 37 % 5000
    if len(sys.argv) > 1:
        assert int(number) == n, (number, n)
    if int(number) % 100 == 0:
        say(int(number))
"""


def send(push, n, flags=0):
    push.send_multipart([b"%d" % n, bytes(n * 37 % 5000)], flags)


@both
def test_delay_and_loss_cost_time_and_no_message(network, peer, make, there):
    one = peer(RECEIVER, "all", there=there)
    one.says("sign of life")
    network.set(delay=0.01, loss=0.02)
    push = make(zmq.PUSH)
    push.connect(of(network.there))
    for n in range(1001):
        send(push, n)
    assert [one.says(f"message {100 * i}") for i in range(11)] == [100 * i for i in range(11)]


def test_a_link_that_comes_back_in_time_loses_nothing(network, peer, make, watch):
    """TCP repeats what was lost: without heartbeats nobody even hears of it."""
    one = peer(RECEIVER, "all")
    one.says("sign of life")
    push = make(zmq.PUSH, sndhwm=0)
    events = watch(push)
    push.connect(of(network.there))
    for n in range(1001):
        if n == 300:
            assert one.says() == 0
            network.set(cut=True)
        if n == 700:
            time.sleep(0.5)
            network.set(cut=False)
        send(push, n)
    assert [one.says(f"message {100 * i}") for i in range(1, 11)] == list(range(100, 1001, 100))
    assert events.silent(zmq.EVENT_DISCONNECTED)


REPLIER = """
rep = zmq.Context().socket(zmq.REP)
rep.bind("tcp://*:5555")
say("bound")
while True:
    rep.send(rep.recv())
"""


@both
def test_heartbeats_find_a_cut_link_and_the_connection_comes_back(
    network, peer, make, watch, there
):
    one = peer(REPLIER, there=there)
    one.says("sign of life")
    req = make(
        zmq.REQ,
        heartbeat_ivl=50,
        heartbeat_timeout=300,
        connect_timeout=200,
        reconnect_ivl=50,
        req_relaxed=1,
        req_correlate=1,
    )
    events = watch(req)
    req.connect(of(network.there))
    req.send(b"1")
    assert recv(req) == b"1"
    network.set(cut=True)
    cut = time.monotonic()
    events.wait(zmq.EVENT_DISCONNECTED)
    assert 0.2 < time.monotonic() - cut < 2
    for _ in range(3):  # attempts that nobody answers end at CONNECT_TIMEOUT
        events.wait(zmq.EVENT_CLOSED)
        events.wait(zmq.EVENT_CONNECT_RETRIED)
    network.set(cut=False)
    events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    req.send(b"2")
    assert recv(req) == b"2"


@pytest.mark.parametrize("option", ["ivl", "ttl"])
def test_a_server_lets_go_of_a_client_behind_a_cut_link(network, peer, make, watch, option):
    router = make(zmq.ROUTER)
    if option == "ivl":
        router.setsockopt(zmq.HEARTBEAT_IVL, 50)
        router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 300)
    events = watch(router)
    router.bind(of(network.here))
    one = peer(
        """
dealer = zmq.Context().socket(zmq.DEALER)
if sys.argv[2] == "ttl":
    dealer.setsockopt(zmq.HEARTBEAT_TTL, 300)
dealer.setsockopt(zmq.HEARTBEAT_IVL, 50)
dealer.setsockopt(zmq.HEARTBEAT_TIMEOUT, 300)
dealer.setsockopt(zmq.CONNECT_TIMEOUT, 200)
dealer.setsockopt(zmq.RECONNECT_IVL, 50)
dealer.setsockopt(zmq.ROUTING_ID, b"D")
dealer.connect(sys.argv[1])
while True:
    dealer.send(b"ping")
    dealer.recv()
    say("pong")
    time.sleep(0.1)
""",
        of(network.here),
        option,
    )

    def serve():
        who, _ = recv_multipart(router)
        router.send_multipart([who, b"pong"])
        one.says()

    for _ in range(4):
        serve()
    network.set(cut=True)
    events.wait(zmq.EVENT_DISCONNECTED)
    network.set(cut=False)
    events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)


@both
def test_a_full_queue_behind_a_cut_link_holds_the_sender_and_drains_later(
    network, peer, make, there
):
    one = peer(RECEIVER, "all", there=there)
    one.says("sign of life")
    push = make(zmq.PUSH, sndhwm=50, sndbuf=20_000)
    push.connect(of(network.there))
    send(push, 0)
    assert one.says() == 0
    network.set(cut=True)
    n = 1
    while True:
        try:
            send(push, n, zmq.DONTWAIT)
            n += 1
        except zmq.Again:
            if not push.poll(100, zmq.POLLOUT):
                break
    with pytest.raises(zmq.Again):
        push.setsockopt(zmq.SNDTIMEO, 100)
        send(push, n)
    network.set(cut=False)
    push.setsockopt(zmq.SNDTIMEO, WAIT_MS)
    while n % 100 != 1:
        send(push, n)
        n += 1
    for number in range(100, n, 100):
        assert one.says(f"message {number}") == number


@fastmq_only("no exact limit")
def test_the_limit_behind_a_cut_link_is_exact_after_the_loss_is_known(network, peer, make, watch):
    one = peer(RECEIVER)
    one.says("sign of life")
    push = make(zmq.PUSH, sndhwm=10, heartbeat_ivl=50, heartbeat_timeout=200, connect_timeout=100)
    events = watch(push)
    push.connect(of(network.there))
    events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    network.set(cut=True)
    events.wait(zmq.EVENT_DISCONNECTED)
    assert fill(push) == 10


def test_tcp_maxrt_ends_a_connection_whose_bytes_are_not_acknowledged(network, peer, make, watch):
    one = peer(RECEIVER)
    one.says("sign of life")
    push = make(zmq.PUSH, tcp_maxrt=400, reconnect_ivl=50, connect_timeout=200)
    events = watch(push)
    push.connect(of(network.there))
    send(push, 0)
    assert one.says() == 0
    network.set(cut=True)
    send(push, 1)
    cut = time.monotonic()
    events.wait(zmq.EVENT_DISCONNECTED)
    assert time.monotonic() - cut > 0.3
    network.set(cut=False)
    send(push, 100)
    assert one.says("message after it came back") == 100


def test_tcp_keepalive_finds_a_peer_that_is_gone_while_nothing_is_sent(network, peer, make, watch):
    one = peer(REPLIER)
    one.says("sign of life")
    req = make(
        zmq.REQ,
        tcp_keepalive=1,
        tcp_keepalive_idle=1,
        tcp_keepalive_intvl=1,
        tcp_keepalive_cnt=1,
    )
    events = watch(req)
    req.connect(of(network.there))
    req.send(b"all that was sent is acknowledged")
    recv(req)
    network.set(cut=True)
    events.wait(zmq.EVENT_DISCONNECTED)


def test_connect_timeout_limits_each_attempt_into_the_void(network, make, watch):
    network.set(cut=True)
    push = make(zmq.PUSH, connect_timeout=150, reconnect_ivl=10)
    events = watch(push)
    push.connect(of(network.there))
    for _ in range(3):
        events.wait(zmq.EVENT_CONNECT_DELAYED)
        began = time.monotonic()
        events.wait(zmq.EVENT_CLOSED)
        assert 0.1 < time.monotonic() - began < 1.5


def test_without_connect_timeout_an_attempt_waits_for_the_link(network, peer, make, watch):
    """SYNs are repeated after a second, by TCP and not by us."""
    one = peer(RECEIVER)
    one.says("sign of life")
    network.set(cut=True)
    push = make(zmq.PUSH, reconnect_ivl=10)
    events = watch(push)
    push.connect(of(network.there))
    send(push, 0)
    events.wait(zmq.EVENT_CONNECT_DELAYED)
    assert events.silent(zmq.EVENT_CLOSED, zmq.EVENT_CONNECT_RETRIED)
    network.set(cut=False)
    assert one.says("message") == 0


def test_an_unreachable_host_is_tried_again_with_back_off(network, peer, make, watch):
    one = peer(RECEIVER)
    one.says("sign of life")
    network.set(reject=True)
    push = make(zmq.PUSH, reconnect_ivl=20, reconnect_ivl_max=100)
    events = watch(push)
    push.connect(of(network.there))
    send(push, 0)
    waits = [events.wait(zmq.EVENT_CONNECT_RETRIED)[1] for _ in range(5)]
    assert waits == [20, 40, 80, 100, 100]
    network.set(reject=False)
    assert one.says("message") == 0


def test_reconnect_stop_is_about_refusals_and_not_about_silence(network, peer, make, watch):
    """A cut link never ends the endpoint; a host where nothing listens does."""
    stop = zmq.RECONNECT_STOP_CONN_REFUSED
    push = make(zmq.PUSH, reconnect_ivl=10, connect_timeout=100, reconnect_stop=stop)
    events = watch(push)
    network.set(cut=True)
    push.connect(of(network.there))
    events.wait(zmq.EVENT_CONNECT_RETRIED)
    events.wait(zmq.EVENT_CONNECT_RETRIED)
    network.set(cut=False)  # nothing listens there
    while events.next("end of the attempts")[0] != zmq.EVENT_CLOSED:
        continue
    while events.pair.poll(200):
        events.next()
    assert events.silent(zmq.EVENT_CONNECT_DELAYED, zmq.EVENT_CONNECT_RETRIED)
    with pytest.raises(zmq.Again):  # no peer, and none to come
        push.send(b"x", zmq.DONTWAIT)


def test_a_device_that_goes_down_and_up_again(network, peer, make, watch):
    one = peer(RECEIVER)
    one.says("sign of life")
    push = make(
        zmq.PUSH, reconnect_ivl=50, heartbeat_ivl=100, heartbeat_timeout=300, connect_timeout=200
    )
    events = watch(push)
    push.connect(of(network.there))
    send(push, 0)
    assert one.says() == 0
    network.set(link=["a", False])
    events.wait(zmq.EVENT_DISCONNECTED)
    events.wait(zmq.EVENT_CONNECT_RETRIED)
    for n in range(100, 400, 100):
        send(push, n)
    network.set(link=["a", True])
    assert [one.says("message") for _ in range(3)] == [100, 200, 300]


def test_a_peer_that_takes_its_address_away_and_back(network, peer, make, watch):
    one = peer(RECEIVER)
    one.says("sign of life")
    push = make(
        zmq.PUSH, reconnect_ivl=50, heartbeat_ivl=50, heartbeat_timeout=300, connect_timeout=200
    )
    events = watch(push)
    push.connect(of(network.there))
    send(push, 0)
    assert one.says() == 0
    network.set(address=["b", "10.77.0.9"])
    events.wait(zmq.EVENT_DISCONNECTED)
    events.wait(zmq.EVENT_CONNECT_RETRIED)
    send(push, 100)
    network.set(address=["b", network.there])
    assert one.says("message") == 100


def test_subscriptions_are_made_again_over_a_new_connection(network, peer, make, watch):
    one = peer(
        """
pub = zmq.Context().socket(zmq.PUB)
pub.bind("tcp://*:5555")
say("bound")
for n in itertools.count():
    pub.send(b"A%d" % n)
    pub.send(b"B%d" % n)
    time.sleep(0.005)
""",
    )
    one.says("sign of life")
    sub = make(
        zmq.SUB, reconnect_ivl=50, heartbeat_ivl=50, heartbeat_timeout=300, connect_timeout=200
    )
    sub.setsockopt(zmq.SUBSCRIBE, b"A")
    events = watch(sub)
    sub.connect(of(network.there))
    last = int(recv(sub)[1:])
    network.set(cut=True)
    events.wait(zmq.EVENT_DISCONNECTED)
    sub.setsockopt(zmq.SUBSCRIBE, b"B")
    network.set(cut=False)
    events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    topics = set()

    def both_came():
        nonlocal last
        text = recv(sub)
        if text[:1] == b"A":
            assert int(text[1:]) > last
            last = int(text[1:])
        topics.add(text[:1])
        return topics == {b"A", b"B"}

    eventually("both topics", both_came)


def test_closing_with_a_cut_link_takes_no_longer_than_linger(network, peer, make):
    one = peer(RECEIVER)
    one.says("sign of life")
    with zmq.Context() as ctx:
        push = ctx.socket(zmq.PUSH)
        push.linger = 300
        push.sndbuf = 20_000
        push.connect(of(network.there))
        push.send_multipart([b"0", b""])
        assert one.says() == 0
        network.set(cut=True)
        for _ in range(300):
            push.send(bytes(5000))
        began = time.monotonic()
        push.close()
        ctx.term()
        assert 0.2 < time.monotonic() - began < 2
