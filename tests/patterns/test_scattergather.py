# SPDX-License-Identifier: MIT
"""SCATTER and GATHER: PUSH and PULL with messages of one part."""

import pytest
from helpers import drain, eventually, fill, nothing_arrives, raises_errno, recv
from target import fastmq_only, zmq

pytestmark = pytest.mark.skipif(not zmq.DRAFT_API, reason="the module has no draft types")


def test_scatter_cannot_recv(make):
    with raises_errno(zmq.ENOTSUP):
        make(zmq.SCATTER).recv(zmq.DONTWAIT)


def test_gather_cannot_send(make):
    with raises_errno(zmq.ENOTSUP):
        make(zmq.GATHER).send(b"x", zmq.DONTWAIT)


@pytest.mark.parametrize("bound", ["SCATTER", "GATHER"])
def test_messages_arrive_in_order(pair_of, bound):
    other = {"SCATTER": "GATHER", "GATHER": "SCATTER"}[bound]
    a, b = pair_of(getattr(zmq, bound), getattr(zmq, other))
    scatter, gather = (a, b) if bound == "SCATTER" else (b, a)
    for i in range(500):
        scatter.send(b"%d" % i)
    assert [recv(gather) for _ in range(500)] == [b"%d" % i for i in range(500)]


def test_scatter_deals_to_its_peers_in_turn(make, endpoint):
    scatter = make(zmq.SCATTER)
    gathers = [make(zmq.GATHER) for _ in range(3)]
    for gather in gathers:
        endpoint.connect(scatter, endpoint.bind(gather))
    reached = set()

    def all_of_them():
        scatter.send(b"?")
        reached.update(i for i, gather in enumerate(gathers) if gather.poll(5))
        return len(reached) == 3

    eventually("all peers", all_of_them)
    for gather in gathers:
        drain(gather)
    for i in range(9):
        scatter.send(b"%d" % i)
    got = sorted(sorted(recv(gather) for _ in range(3)) for gather in gathers)
    assert got == [[b"%d" % (k + 3 * i) for i in range(3)] for k in range(3)]


def test_gather_takes_from_its_peers_in_turn(make, endpoint):
    gather = make(zmq.GATHER)
    address = endpoint.bind(gather)
    scatters = [make(zmq.SCATTER) for _ in range(2)]
    for i, scatter in enumerate(scatters):
        endpoint.connect(scatter, address)
        scatter.send(b"%d" % i)
        assert recv(gather) == b"%d" % i
    for i, scatter in enumerate(scatters):
        for _ in range(5):
            scatter.send(b"%d" % i)
    got = [recv(gather) for _ in range(10)]
    assert sorted(got) == [b"0"] * 5 + [b"1"] * 5


def test_scatter_without_peers_waits(make):
    scatter = make(zmq.SCATTER, sndtimeo=20)
    assert scatter.poll(0, zmq.POLLOUT) == 0
    with pytest.raises(zmq.Again):
        scatter.send(b"x")
    with pytest.raises(zmq.Again):
        scatter.send(b"x", zmq.DONTWAIT)


def test_scatter_waits_when_its_peers_are_full(pair_of):
    gather, scatter = pair_of(
        zmq.GATHER, zmq.SCATTER, {"rcvhwm": 3, "rcvbuf": 4096}, {"sndhwm": 3, "sndbuf": 4096}
    )
    sent = fill(scatter, bytes(5000), least=6)
    assert scatter.poll(0, zmq.POLLOUT) == 0
    assert len(drain(gather, sent)) == sent
    scatter.send(b"end")
    assert recv(gather) == b"end"


def test_messages_wait_for_a_peer_that_is_yet_to_bind(make, endpoint):
    scatter, gather = make(zmq.SCATTER, reconnect_ivl=20), make(zmq.GATHER)
    address = endpoint.fixed()
    endpoint.connect(scatter, address)
    scatter.send(b"early")
    endpoint.bind(gather, address)
    assert recv(gather) == b"early"


@fastmq_only("has no such verbs")
def test_batches_and_iteration_have_single_parts(pair_of):
    gather, scatter = pair_of(zmq.GATHER, zmq.SCATTER)
    assert scatter.send_many([b"%d" % i for i in range(100)]) == 100
    got = []
    while len(got) < 50:
        got += gather.recv_many(50 - len(got))
    got += [next(gather)[0] for _ in range(50)]
    assert got == [b"%d" % i for i in range(100)]
    with pytest.raises(zmq.BatchError) as info:
        scatter.send_many([b"1", [b"a", b"b"], b"2"])
    assert info.value.sent == 1
    assert info.value.errno == zmq.EINVAL
    assert recv(gather) == b"1"
    assert nothing_arrives(gather)
