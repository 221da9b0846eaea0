# SPDX-License-Identifier: MIT

import pytest
from helpers import (
    QUIET_MS,
    drain,
    eventually,
    lasting_descriptors,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
)
from target import fastmq_only, zmq

streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)
one = pytest.mark.parametrize("endpoint", ["tcp"], indirect=True)


def introduce(router, dealer, text=b"hello"):
    """The id by which `router` knows `dealer`."""
    dealer.send(text)
    peer, body = recv_multipart(router)
    assert body == text
    return peer


def is_unknown(router, peer):
    """Asks a ROUTER with MANDATORY."""
    try:
        router.send_multipart([peer, b"?"], zmq.DONTWAIT)
    except zmq.ZMQError as e:
        if e.errno == zmq.EHOSTUNREACH:
            router.poll(QUIET_MS)  # libzmq frees the id a little later
            return True
    return False


def test_router_answers_by_id(make, endpoint):
    router = make(zmq.ROUTER)
    address = endpoint.bind(router)
    dealers = [make(zmq.DEALER) for _ in range(4)]
    ids = []
    for d in dealers:
        endpoint.connect(d, address)
        ids.append(introduce(router, d))
    assert len(set(ids)) == 4
    for i in (2, 0, 3, 1):
        router.send_multipart([ids[i], b"for %d" % i, b"tail"])
    for i, d in enumerate(dealers):
        assert recv_multipart(d) == [b"for %d" % i, b"tail"]


def test_automatic_ids_are_a_zero_and_a_counter(make, endpoint):
    router = make(zmq.ROUTER)
    address = endpoint.bind(router)
    numbers = []
    for _ in range(3):
        d = make(zmq.DEALER)
        endpoint.connect(d, address)
        peer = introduce(router, d)
        assert len(peer) == 5 and peer[0] == 0
        numbers.append(int.from_bytes(peer[1:], "big"))
    assert [(n - numbers[0]) % 2**32 for n in numbers] == [0, 1, 2]


def test_router_to_router_by_chosen_ids(pair_of):
    a, b = pair_of(zmq.ROUTER, zmq.ROUTER, {"routing_id": b"A"}, {"routing_id": b"B"})

    def greeted():
        b.send_multipart([b"A", b"hi"])
        return a.poll(10)

    eventually("the routers know each other", greeted)
    assert recv_multipart(a) == [b"B", b"hi"]
    a.send_multipart([b"B", b"yo"])
    assert recv_multipart(b) == [b"A", b"yo"]


def test_unknown_id_is_dropped_silently(pair_of):
    router, dealer = pair_of(zmq.ROUTER, zmq.DEALER)
    router.send_multipart([b"nobody", b"x"])
    peer = introduce(router, dealer)
    router.send_multipart([b"nobody", b"x", b"y"])
    router.send_multipart([peer, b"you"])
    assert recv(dealer) == b"you"


def test_a_lone_id_is_dropped_silently(pair_of):
    router, dealer = pair_of(zmq.ROUTER, zmq.DEALER)
    peer = introduce(router, dealer)
    router.send(peer)
    router.send(b"anything")
    router.send_multipart([peer, b"real"])
    assert recv_multipart(dealer) == [b"real"]
    assert nothing_arrives(dealer)


def test_router_is_always_writable(make, endpoint):
    router = make(zmq.ROUTER)
    endpoint.bind(router)
    assert router.poll(0, zmq.POLLOUT) == zmq.POLLOUT


def test_mandatory_tells_of_unknown_ids(pair_of):
    router, dealer = pair_of(zmq.ROUTER, zmq.DEALER, {"router_mandatory": 1})
    with raises_errno(zmq.EHOSTUNREACH):
        router.send_multipart([b"nobody", b"x"])
    # The system's "No route to host" would speak of networks.
    assert zmq.strerror(zmq.EHOSTUNREACH) == "Host unreachable"
    peer = introduce(router, dealer)
    with raises_errno(zmq.EHOSTUNREACH):
        router.send(b"nobody", zmq.SNDMORE)
    router.send_multipart([peer, b"fine"])
    assert recv(dealer) == b"fine"


def test_mandatory_tells_of_a_full_peer(pair_of):
    router, dealer = pair_of(
        zmq.ROUTER,
        zmq.DEALER,
        {"router_mandatory": 1, "sndhwm": 4, "sndbuf": 4096},
        {"rcvhwm": 4, "rcvbuf": 4096},
    )
    peer = introduce(router, dealer)
    sent = 0
    with pytest.raises(zmq.Again):
        while sent < 100_000:
            router.send_multipart([peer, bytes(2000)], zmq.DONTWAIT)
            sent += 1
    assert sent >= 4
    assert len(drain(dealer)) == sent

    def again():
        try:
            router.send_multipart([peer, b"again"], zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    eventually("room for the peer again", again)
    assert recv(dealer) == b"again"


def test_without_mandatory_a_full_peer_loses_messages(pair_of):
    router, dealer = pair_of(
        zmq.ROUTER, zmq.DEALER, {"sndhwm": 3, "sndbuf": 4096}, {"rcvhwm": 3, "rcvbuf": 4096}
    )
    peer = introduce(router, dealer)
    for i in range(5000):
        router.send_multipart([peer, b"%05d" % i + bytes(2000)], zmq.DONTWAIT)
    got = drain(dealer)
    assert 3 <= len(got) < 5000
    numbers = [int(m[:5]) for m in got]
    assert numbers == sorted(numbers)


@streams
def test_what_waits_for_a_lost_peer_is_destroyed(make, endpoint):
    router = make(zmq.ROUTER, router_mandatory=1)
    address = endpoint.bind(router)
    first = make(zmq.DEALER, routing_id=b"same")
    endpoint.connect(first, address)
    introduce(router, first)
    for _ in range(50):
        router.send_multipart([b"same", b"for the first"])
    first.close()
    eventually("the id is unknown again", lambda: is_unknown(router, b"same"))
    second = make(zmq.DEALER, routing_id=b"same")
    endpoint.connect(second, address)
    introduce(router, second)
    router.send_multipart([b"same", b"for the second"])
    assert recv(second) == b"for the second"


def test_router_queues_fairly(make, endpoint):
    router = make(zmq.ROUTER)
    address = endpoint.bind(router)
    dealers = [make(zmq.DEALER, routing_id=b"%d" % i) for i in range(3)]
    for d in dealers:
        endpoint.connect(d, address)
        for n in range(20):
            d.send(b"%d" % n)
    counts = {b"0": 0, b"1": 0, b"2": 0}
    for _ in range(60):
        peer, n = recv_multipart(router)
        assert int(n) == counts[peer]
        counts[peer] += 1
    assert set(counts.values()) == {20}


@streams
def test_a_duplicate_id_is_not_served(make, endpoint, watch):
    router = make(zmq.ROUTER)
    address = endpoint.bind(router)
    first, second = make(zmq.DEALER, routing_id=b"X"), make(zmq.DEALER, routing_id=b"X")
    endpoint.connect(first, address)
    introduce(router, first)
    events = watch(router)
    endpoint.connect(second, address)
    second.send(b"me too")
    events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    assert nothing_arrives(router)
    router.send_multipart([b"X", b"to the first"])
    assert recv(first) == b"to the first"
    assert nothing_arrives(second)


def test_handover_gives_the_id_to_the_newcomer(make, endpoint):
    router = make(zmq.ROUTER, router_handover=1)
    address = endpoint.bind(router)
    first, second = (
        make(zmq.DEALER, routing_id=b"X", reconnect_ivl=-1),
        make(zmq.DEALER, routing_id=b"X"),
    )
    endpoint.connect(first, address)
    introduce(router, first, b"first")
    endpoint.connect(second, address)
    introduce(router, second, b"second")
    router.send_multipart([b"X", b"for the second"])
    assert recv(second) == b"for the second"
    assert nothing_arrives(first)


@streams
def test_an_id_is_free_again_after_its_peer_left(make, endpoint):
    router = make(zmq.ROUTER, router_mandatory=1)
    address = endpoint.bind(router)
    for _ in range(3):
        d = make(zmq.DEALER, routing_id=b"X")
        endpoint.connect(d, address)
        introduce(router, d)
        router.send_multipart([b"X", b"hi"])
        assert recv(d) == b"hi"
        d.close()
        eventually("the id is unknown again", lambda: is_unknown(router, b"X"))


def test_connect_routing_id_names_the_next_connection(make, endpoint):
    router, a, b = make(zmq.ROUTER), make(zmq.DEALER), make(zmq.DEALER)
    a_address, b_address = endpoint.bind(a), endpoint.bind(b)
    router.setsockopt(zmq.CONNECT_ROUTING_ID, b"to a")
    endpoint.connect(router, a_address)
    endpoint.connect(router, b_address)
    router.send_multipart([b"to a", b"hello a"])
    assert recv(a) == b"hello a"
    a.send(b"from a")
    assert recv_multipart(router) == [b"to a", b"from a"]
    b.send(b"from b")
    peer, body = recv_multipart(router)
    assert peer != b"to a" and body == b"from b"


@fastmq_only("aborts the process")
@one
def test_a_duplicate_connect_routing_id_is_an_error(make, endpoint):
    router, a, b = make(zmq.ROUTER), make(zmq.DEALER), make(zmq.DEALER)
    a_address, b_address = endpoint.bind(a), endpoint.bind(b)
    router.setsockopt(zmq.CONNECT_ROUTING_ID, b"same")
    endpoint.connect(router, a_address)
    with pytest.raises(zmq.ZMQError):
        router.setsockopt(zmq.CONNECT_ROUTING_ID, b"same")
        endpoint.connect(router, b_address)
    router.send_multipart([b"same", b"x"])
    assert recv(a) == b"x"


def test_probe_router_introduces_routers(pair_of):
    a, b = pair_of(
        zmq.ROUTER, zmq.ROUTER, {"routing_id": b"A"}, {"routing_id": b"B", "probe_router": 1}
    )
    assert recv_multipart(a) == [b"B", b""]
    a.send_multipart([b"B", b"welcome"])
    assert recv_multipart(b) == [b"A", b"welcome"]


@fastmq_only("a draft option")
@pytest.mark.parametrize("endpoint", ["tcp", "ipc", "inproc"], indirect=True)
def test_notify_tells_of_peers_that_come_and_go(make, endpoint):
    router = make(zmq.ROUTER)
    router.setsockopt(zmq.ROUTER_NOTIFY, 3)
    address = endpoint.bind(router)
    dealer = make(zmq.DEALER, routing_id=b"D")
    endpoint.connect(dealer, address)
    assert recv_multipart(router) == [b"D", b""]
    dealer.send(b"x")
    assert recv_multipart(router) == [b"D", b"x"]
    dealer.close()
    assert recv_multipart(router) == [b"D", b""]


@fastmq_only("a draft option")
@pytest.mark.parametrize("flag,connect,disconnect", [(1, 1, 0), (2, 0, 1)])
@one
def test_notify_flags_choose_what_is_told(make, endpoint, watch, flag, connect, disconnect):
    router = make(zmq.ROUTER)
    router.setsockopt(zmq.ROUTER_NOTIFY, flag)
    address = endpoint.bind(router)
    events = watch(router)
    dealer = make(zmq.DEALER, routing_id=b"D")
    endpoint.connect(dealer, address)
    events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    dealer.close()
    events.wait(zmq.EVENT_DISCONNECTED)
    assert drain(router) == [b"D", b""] * (connect + disconnect)


@fastmq_only("a draft option")
@one
def test_hello_msg_greets_every_peer(make, endpoint):
    router = make(zmq.ROUTER)
    router.setsockopt(zmq.HELLO_MSG, b"welcome")
    address = endpoint.bind(router)
    for _ in range(2):
        dealer = make(zmq.DEALER)
        endpoint.connect(dealer, address)
        assert recv(dealer) == b"welcome"


@fastmq_only("a draft option")
@one
def test_disconnect_msg_tells_which_peer_left(make, endpoint):
    router = make(zmq.ROUTER)
    router.setsockopt(zmq.DISCONNECT_MSG, b"gone")
    address = endpoint.bind(router)
    dealer = make(zmq.DEALER, routing_id=b"D")
    endpoint.connect(dealer, address)
    introduce(router, dealer)
    dealer.close()
    assert recv_multipart(router) == [b"D", b"gone"]


@fastmq_only("a draft option")
@one
def test_hiccup_msg_tells_a_dealer_that_it_lost_its_peer(make, endpoint):
    router = make(zmq.ROUTER)
    address = endpoint.bind(router)
    dealer = make(zmq.DEALER, reconnect_ivl=20)
    dealer.setsockopt(zmq.HICCUP_MSG, b"hiccup")
    endpoint.connect(dealer, address)
    introduce(router, dealer)
    router.close()
    assert recv(dealer) == b"hiccup"


@one
def test_raw_router_speaks_to_a_plain_socket(make, endpoint):
    import socket

    router = make(zmq.ROUTER, router_raw=1)
    host, port = endpoint.bind(router).removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), 8) as s:
        s.sendall(b"GET /")
        frames = recv_multipart(router)
        while frames[1:] == [b""]:
            frames = recv_multipart(router)
        assert frames[1] == b"GET /"
        router.send_multipart([frames[0], b"200"])
        assert s.recv(3) == b"200"


@fastmq_only("libzmq takes it")
@pytest.mark.parametrize("version", [(3, 1), (2, 0), (1, 0)], ids=str)
@one
def test_an_identity_that_starts_with_zero_counts_as_none(make, endpoint, version):
    import wire

    router = make(zmq.ROUTER)
    with wire.connect(endpoint.bind(router), version).handshake("DEALER", b"\0own") as w:
        w.send_message(b"x")
        frame, _ = router.recv_multipart(copy=False)
        assert frame.bytes != b"\0own"
        assert len(frame.bytes) == 5
        with raises_errno(zmq.EINVAL):
            frame.get("Identity")
        (peer,) = router.peers()
        assert peer.identity == frame.bytes


@fastmq_only("libzmq gives it to the newcomer")
@pytest.mark.parametrize("endpoint", ["tcp", "inproc"], indirect=True)
def test_nobody_can_claim_the_automatic_id_of_a_peer_that_left(make, endpoint, watch):
    """Who guesses it would get the replies to the one who left."""
    router = make(zmq.ROUTER)
    router.router_mandatory = 1
    address = endpoint.bind(router)
    client = make(zmq.DEALER)
    endpoint.connect(client, address)
    old = introduce(router, client)
    client.close()
    eventually("the peer to be gone", lambda: is_unknown(router, old))
    thief = make(zmq.DEALER)
    thief.setsockopt(zmq.ROUTING_ID, old)
    endpoint.connect(thief, address)
    assert introduce(router, thief) != old
    with raises_errno(zmq.EHOSTUNREACH):
        router.send_multipart([old, b"a secret"])
    assert nothing_arrives(thief)


@one
def test_a_name_that_connect_gives_may_begin_with_zero(make, endpoint):
    """The program's own names cannot be claimed by a peer, so any will do."""
    dealer, router = make(zmq.DEALER), make(zmq.ROUTER)
    address = endpoint.bind(dealer)
    router.setsockopt(zmq.CONNECT_ROUTING_ID, b"\0own")
    endpoint.connect(router, address)
    router.send_multipart([b"\0own", b"x"])
    assert recv_multipart(dealer) == [b"x"]


@one
def test_many_peers_leave_nothing_behind(make, endpoint, watch):
    router = make(zmq.ROUTER)
    address = endpoint.bind(router)

    def come_and_go():
        d = make(zmq.DEALER)
        endpoint.connect(d, address)
        peer = introduce(router, d)
        router.send_multipart([peer, b"ok"])
        assert recv(d) == b"ok"
        d.close()

    come_and_go()  # the context keeps what it makes for the first: where memory is handed over
    eventually("the first's end", lambda: not router.peers())
    before = lasting_descriptors()
    for _ in range(30):
        come_and_go()
    eventually("descriptors back", lambda: lasting_descriptors() <= before)
