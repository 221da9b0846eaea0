# SPDX-License-Identifier: MIT
import pytest
from helpers import bind_when_free, drain, fill, nothing_arrives, recv, recv_multipart
from target import fastmq_only, zmq

streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)


def test_dealers_talk_freely(pair_of):
    a, b = pair_of(zmq.DEALER, zmq.DEALER)
    b.send(b"1")
    b.send(b"2")
    assert recv(a) == b"1"
    a.send_multipart([b"x", b"y"])
    assert recv(a) == b"2"
    assert recv_multipart(b) == [b"x", b"y"]


def test_dealer_adds_nothing(pair_of):
    router, dealer = pair_of(zmq.ROUTER, zmq.DEALER)
    dealer.send_multipart([b"", b"body"])
    assert recv_multipart(router)[1:] == [b"", b"body"]


def test_dealer_goes_round_its_peers(make, endpoint):
    dealer = make(zmq.DEALER)
    peers = [make(zmq.DEALER) for _ in range(4)]
    for peer in peers:
        endpoint.connect(dealer, endpoint.bind(peer))
    for i in range(12):
        dealer.send_multipart([b"%d" % i, b"."])
    for n, peer in enumerate(peers):
        got = [recv_multipart(peer) for _ in range(3)]
        assert [int(m[0]) % 4 for m in got] == [int(got[0][0])] * 3, f"peer {n}"


def test_dealer_queues_fairly(make, endpoint):
    dealer = make(zmq.DEALER)
    address = endpoint.bind(dealer)
    peers = [make(zmq.DEALER) for _ in range(3)]
    for i, peer in enumerate(peers):
        endpoint.connect(peer, address)
        for n in range(20):
            peer.send(b"%d %d" % (i, n))
    counts = [0, 0, 0]
    for _ in range(60):
        i, n = map(int, recv(dealer).split())
        assert n == counts[i]
        counts[i] += 1
    assert counts == [20, 20, 20]


def test_dealer_without_peer_blocks(make, endpoint):
    dealer = make(zmq.DEALER)
    endpoint.bind(dealer)
    with pytest.raises(zmq.Again):
        dealer.send(b"x", zmq.DONTWAIT)
    assert dealer.poll(0, zmq.POLLOUT) == 0


def test_dealer_speaks_to_rep_with_an_envelope(pair_of):
    rep, dealer = pair_of(zmq.REP, zmq.DEALER)
    for i in range(5):
        dealer.send_multipart([b"", b"%d" % i])
    for i in range(5):
        assert recv(rep) == b"%d" % i
        rep.send(b"re %d" % i)
    assert [recv_multipart(dealer) for _ in range(5)] == [[b"", b"re %d" % i] for i in range(5)]


@streams
def test_connecting_twice_to_one_endpoint_makes_one_connection(make, endpoint):
    router, dealer = make(zmq.ROUTER), make(zmq.DEALER)
    address = endpoint.bind(router)
    endpoint.connect(dealer, address)
    endpoint.connect(dealer, address)
    ids = set()
    for _ in range(6):
        dealer.send(b"x")
        ids.add(recv_multipart(router)[0])
    assert len(ids) == 1


@streams
def test_dealer_finds_a_router_that_was_restarted(make, endpoint, watch):
    first = make(zmq.ROUTER)
    address = endpoint.bind(first)
    dealer = make(zmq.DEALER, routing_id=b"D", reconnect_ivl=10)
    events = watch(dealer)
    endpoint.connect(dealer, address)
    dealer.send(b"1")
    assert recv_multipart(first) == [b"D", b"1"]
    first.unbind(address)
    first.close()
    events.wait(zmq.EVENT_DISCONNECTED)
    second = make(zmq.ROUTER)
    bind_when_free(second, address)
    dealer.send(b"2")
    assert recv_multipart(second) == [b"D", b"2"]
    second.send_multipart([b"D", b"hello"])
    assert recv(dealer) == b"hello"


def test_full_dealer_says_again_and_recovers(pair_of):
    a, b = pair_of(zmq.DEALER, zmq.DEALER, {"hwm": 3, "rcvbuf": 4096}, {"hwm": 3, "sndbuf": 4096})
    sent = fill(b, bytes(1500))
    assert len(drain(a, sent)) == sent
    b.send(b"more")
    assert recv(a) == b"more"


def test_conflating_dealer_receives_the_latest(make, endpoint):
    a, b = make(zmq.DEALER, conflate=1), make(zmq.DEALER)
    endpoint.connect(b, endpoint.bind(a))
    for i in range(300):
        b.send(b"%d" % i)
    last = b""
    while last != b"299":
        last = recv(a)
    assert nothing_arrives(a)


def test_the_identity_of_a_dealer_is_what_its_router_sees(pair_of):
    router, dealer = pair_of(zmq.ROUTER, zmq.DEALER, None, {"routing_id": b"i" * 255})
    dealer.send(b"x")
    assert recv_multipart(router) == [b"i" * 255, b"x"]


def test_probe_router_announces_the_dealer(pair_of):
    router, dealer = pair_of(zmq.ROUTER, zmq.DEALER, None, {"routing_id": b"D", "probe_router": 1})
    assert recv_multipart(router) == [b"D", b""]
    router.send_multipart([b"D", b"hello"])
    assert recv(dealer) == b"hello"


def test_a_probe_comes_before_what_was_sent_before_the_router_was_there(make, endpoint):
    router, dealer = make(zmq.ROUTER), make(zmq.DEALER, routing_id=b"D", probe_router=1)
    address = endpoint.fixed()
    endpoint.connect(dealer, address)
    dealer.send(b"one")
    dealer.send_multipart([b"two", b""])
    endpoint.bind(router, address)
    assert [recv_multipart(router) for _ in range(3)] == [
        [b"D", b""],
        [b"D", b"one"],
        [b"D", b"two", b""],
    ]


@fastmq_only("a draft option")
def test_a_hello_comes_before_what_was_sent_before_the_peer_was_there(make, endpoint):
    b, a = make(zmq.DEALER), make(zmq.DEALER)
    a.setsockopt(zmq.HELLO_MSG, b"hello")
    address = endpoint.fixed()
    endpoint.connect(a, address)
    a.send(b"one")
    a.send(bytes(100_000))
    endpoint.bind(b, address)
    assert [recv(b) for _ in range(3)] == [b"hello", b"one", bytes(100_000)]
