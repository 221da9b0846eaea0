# SPDX-License-Identifier: MIT
import pytest
from helpers import (
    QUIET_MS,
    bind_when_free,
    drain,
    eventually,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
)
from target import zmq

streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)


def test_request_and_reply(pair_of):
    rep, req = pair_of(zmq.REP, zmq.REQ)
    for i in range(50):
        req.send(b"q%d" % i)
        assert recv(rep) == b"q%d" % i
        rep.send(b"a%d" % i)
        assert recv(req) == b"a%d" % i


def test_rep_may_connect_and_req_bind(pair_of):
    req, rep = pair_of(zmq.REQ, zmq.REP)
    req.send(b"q")
    assert recv(rep) == b"q"
    rep.send(b"a")
    assert recv(req) == b"a"


def test_multipart_requests_with_empty_parts(pair_of):
    rep, req = pair_of(zmq.REP, zmq.REQ)
    for message in ([b""], [b"", b""], [b"a", b"", b"b"], [b"", b"x", b""]):
        req.send_multipart(message)
        assert recv_multipart(rep) == message
        rep.send_multipart(message[::-1])
        assert recv_multipart(req) == message[::-1]


def test_req_out_of_turn(pair_of):
    rep, req = pair_of(zmq.REP, zmq.REQ)
    with raises_errno(zmq.EFSM):
        req.recv()
    req.send(b"q")
    with raises_errno(zmq.EFSM):
        req.send(b"again")
    assert recv(rep) == b"q"
    rep.send(b"a")
    assert recv(req) == b"a"
    with raises_errno(zmq.EFSM):
        req.recv(zmq.DONTWAIT)


def test_rep_out_of_turn(pair_of):
    rep, req = pair_of(zmq.REP, zmq.REQ)
    with raises_errno(zmq.EFSM):
        rep.send(b"unasked")
    req.send(b"q")
    assert recv(rep) == b"q"
    with raises_errno(zmq.EFSM):
        rep.recv()
    rep.send(b"a")
    with raises_errno(zmq.EFSM):
        rep.send(b"twice")
    assert recv(req) == b"a"


def test_a_partly_received_request_keeps_rep_from_sending(pair_of):
    rep, req = pair_of(zmq.REP, zmq.REQ)
    req.send_multipart([b"1", b"2"])
    assert recv(rep) == b"1"
    with raises_errno(zmq.EFSM):
        rep.send(b"too early")
    assert rep.recv() == b"2"
    rep.send(b"fine")
    assert recv(req) == b"fine"


def test_poll_of_req_follows_its_turn(pair_of):
    rep, req = pair_of(zmq.REP, zmq.REQ)
    assert req.poll(8000, zmq.POLLOUT) == zmq.POLLOUT
    assert req.poll(0, zmq.POLLIN) == 0
    req.send(b"q")
    assert req.poll(0, zmq.POLLOUT) == 0
    assert rep.poll(8000, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLIN
    rep.recv()
    assert rep.poll(0, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLOUT
    rep.send(b"a")
    assert req.poll(8000, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLIN


def test_req_goes_round_its_servers(make, endpoint):
    req = make(zmq.REQ)
    address = endpoint.bind(req)
    reps = [make(zmq.REP) for _ in range(3)]
    for rep in reps:
        endpoint.connect(rep, address)

    def ask():
        req.send(b"q")
        while True:
            for i, rep in enumerate(reps):
                if rep.poll(2):
                    rep.recv()
                    rep.send(b"%d" % i)
                    assert recv(req) == b"%d" % i
                    return i

    eventually("all servers take part", lambda: {ask() for _ in range(3)} == {0, 1, 2})
    turns = [ask() for _ in range(6)]
    assert turns[:3] == turns[3:]
    assert set(turns) == {0, 1, 2}


def test_rep_serves_clients_in_turn(make, endpoint):
    rep = make(zmq.REP)
    address = endpoint.bind(rep)
    reqs = [make(zmq.REQ) for _ in range(4)]
    for i, req in enumerate(reqs):
        endpoint.connect(req, address)
        req.send(b"%d" % i)
    seen = set()
    for _ in reqs:
        body = recv(rep)
        seen.add(body)
        rep.send(b"for " + body)
    assert len(seen) == 4
    for i, req in enumerate(reqs):
        assert recv(req) == b"for %d" % i


def test_req_without_server_blocks(make, endpoint):
    req = make(zmq.REQ)
    endpoint.bind(req)
    with pytest.raises(zmq.Again):
        req.send(b"q", zmq.DONTWAIT)


def test_req_listens_only_to_the_peer_it_asked(make, endpoint):
    req = make(zmq.REQ)
    address = endpoint.bind(req)
    routers = [make(zmq.ROUTER) for _ in range(2)]
    for router in routers:
        endpoint.connect(router, address)
    ids = {}

    def both_known():
        req.send(b"who")
        asked = next(r for r in routers * 2000 if r.poll(2))
        frames = recv_multipart(asked)
        asked.send_multipart([*frames[:2], b"me"])
        assert recv(req) == b"me"
        ids[asked] = frames[0]
        return len(ids) == 2

    eventually("both routers take part", both_known)
    req.send(b"q")
    asked = next(r for r in routers * 2000 if r.poll(2))
    other, other_id = next(item for item in ids.items() if item[0] is not asked)
    other.send_multipart([other_id, b"", b"not asked"])
    # poll() may see that something came; it is not for this request.
    req.poll(QUIET_MS)
    with pytest.raises(zmq.Again):
        req.recv(zmq.DONTWAIT)
    frames = recv_multipart(asked)
    asked.send_multipart([*frames[:2], b"asked"])
    assert recv(req) == b"asked"


def test_envelope_as_a_router_sees_it(pair_of):
    router, req = pair_of(zmq.ROUTER, zmq.REQ)
    req.send_multipart([b"a", b"b"])
    frames = recv_multipart(router)
    assert frames[1:] == [b"", b"a", b"b"]
    router.send_multipart([frames[0], b"", b"reply"])
    assert recv_multipart(req) == [b"reply"]


def test_rep_returns_the_whole_envelope(pair_of):
    rep, dealer = pair_of(zmq.REP, zmq.DEALER)
    dealer.send_multipart([b"hop1", b"hop2", b"", b"body", b"", b"tail"])
    assert recv_multipart(rep) == [b"body", b"", b"tail"]
    rep.send_multipart([b"answer", b"2"])
    assert recv_multipart(dealer) == [b"hop1", b"hop2", b"", b"answer", b"2"]


def test_rep_skips_requests_without_delimiter(pair_of):
    rep, dealer = pair_of(zmq.REP, zmq.DEALER)
    dealer.send(b"malformed")
    dealer.send_multipart([b"also", b"malformed"])
    dealer.send_multipart([b"", b"good"])
    assert recv_multipart(rep) == [b"good"]
    rep.send(b"answer")
    assert recv_multipart(dealer) == [b"", b"answer"]


@streams
def test_rep_drops_the_reply_to_a_client_that_left(make, endpoint, watch):
    rep = make(zmq.REP)
    address = endpoint.bind(rep)
    events = watch(rep)
    gone, stays = make(zmq.REQ), make(zmq.REQ)
    endpoint.connect(gone, address)
    gone.send(b"q")
    assert recv(rep) == b"q"
    gone.close()
    events.wait(zmq.EVENT_DISCONNECTED)
    rep.send(b"into the void")
    endpoint.connect(stays, address)
    stays.send(b"q2")
    assert recv(rep) == b"q2"
    rep.send(b"a2")
    assert recv(stays) == b"a2"


def test_correlate_puts_a_request_id_first(pair_of):
    router, req = pair_of(zmq.ROUTER, zmq.REQ, None, {"req_correlate": 1})
    ids = []
    for _ in range(3):
        req.send(b"q")
        frames = recv_multipart(router)
        assert len(frames) == 4
        assert len(frames[1]) == 4 and frames[2] == b""
        ids.append(frames[1])
        router.send_multipart(frames)
        assert recv(req) == b"q"
    assert len(set(ids)) == 3


def test_correlate_drops_replies_with_another_id(pair_of):
    router, req = pair_of(zmq.ROUTER, zmq.REQ, None, {"req_correlate": 1})
    req.send(b"q")
    peer, rid, _, _ = recv_multipart(router)
    wrong = bytes([rid[0] ^ 1]) + rid[1:]
    router.send_multipart([peer, wrong, b"", b"bad id"])
    router.send_multipart([peer, rid, b"", b"good"])
    assert recv(req) == b"good"


def test_relaxed_with_correlate_abandons_the_old_request(pair_of):
    router, req = pair_of(zmq.ROUTER, zmq.REQ, None, {"req_correlate": 1, "req_relaxed": 1})
    req.send(b"first")
    old = recv_multipart(router)
    req.send(b"second")
    new = recv_multipart(router)
    assert old[1] != new[1]
    router.send_multipart([*old[:3], b"late"])
    router.send_multipart([*new[:3], b"in time"])
    assert recv(req) == b"in time"
    with raises_errno(zmq.EFSM):
        req.recv(zmq.DONTWAIT)


def test_stale_replies_are_gone_before_the_next_request(pair_of):
    router, req = pair_of(zmq.ROUTER, zmq.REQ)
    req.send(b"q1")
    peer, *_ = recv_multipart(router)
    router.send_multipart([peer, b"", b"a1"])
    router.send_multipart([peer, b"", b"a1 again"])
    assert recv(req) == b"a1"
    # The surplus reply has arrived behind a1, or comes before a2: never taken for a2 once drained.
    assert nothing_arrives(req)
    req.send(b"q2")
    peer, *_ = recv_multipart(router)
    router.send_multipart([peer, b"", b"a2"])
    assert recv(req) == b"a2"


@streams
def test_relaxed_req_moves_on_when_its_server_dies(make, endpoint, watch):
    req = make(zmq.REQ, req_relaxed=1, req_correlate=1)
    address = endpoint.bind(req)
    events = watch(req)
    first, second = make(zmq.REP), make(zmq.REP)
    endpoint.connect(first, address)
    req.send(b"q")
    assert recv(first) == b"q"
    first.close()
    events.wait(zmq.EVENT_DISCONNECTED)
    endpoint.connect(second, address)

    def reached():
        req.send(b"q again")
        return second.poll(10)

    eventually("the request reaches the second server", reached)
    assert recv(second) == b"q again"
    second.send(b"a")
    if second.poll(QUIET_MS):  # more than one was on the way
        assert recv(second) == b"q again"
        second.send(b"a")
    assert recv(req) == b"a"


@streams
def test_a_server_that_comes_back_gets_the_next_request(make, endpoint, watch):
    req = make(zmq.REQ, reconnect_ivl=10)
    first = make(zmq.REP)
    address = endpoint.bind(first)
    events = watch(req)
    endpoint.connect(req, address)
    req.send(b"1")
    assert recv(first) == b"1"
    first.send(b"1")
    assert recv(req) == b"1"
    first.close()
    events.wait(zmq.EVENT_DISCONNECTED)
    second = make(zmq.REP)
    bind_when_free(second, address)
    req.send(b"2")
    assert recv(second) == b"2"
    second.send(b"2")
    assert recv(req) == b"2"


def test_a_chain_of_devices_keeps_the_route(make, endpoint):
    """REQ - ROUTER/DEALER - REP, moved by hand."""
    front, back = make(zmq.ROUTER), make(zmq.DEALER)
    front_address, back_address = endpoint.bind(front), endpoint.bind(back)
    reqs = [make(zmq.REQ) for _ in range(3)]
    rep = make(zmq.REP)
    endpoint.connect(rep, back_address)
    for i, req in enumerate(reqs):
        endpoint.connect(req, front_address)
        req.send_multipart([b"q%d" % i, b"x"])
    for _ in reqs:
        back.send_multipart(recv_multipart(front))
        q, x = recv_multipart(rep)
        rep.send_multipart([b"re " + q, x])
        front.send_multipart(recv_multipart(back))
    for i, req in enumerate(reqs):
        assert recv_multipart(req) == [b"re q%d" % i, b"x"]
        assert drain(req) == [] if i == 0 else True
