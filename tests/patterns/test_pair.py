# SPDX-License-Identifier: MIT
import contextlib

import pytest
from helpers import (
    drain,
    eventually,
    fill,
    lasting_descriptors,
    no_peer,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
    wait_writable,
)
from target import fastmq_only, zmq


def test_pair_carries_messages_both_ways(pair_of):
    a, b = pair_of(zmq.PAIR, zmq.PAIR)
    for i in range(20):
        b.send(b"up %d" % i)
        assert recv(a) == b"up %d" % i
        a.send(b"down %d" % i)
        assert recv(b) == b"down %d" % i


def test_pair_keeps_order_and_parts(pair_of):
    a, b = pair_of(zmq.PAIR, zmq.PAIR)
    messages = [[b"%d" % i] * (i % 5 + 1) for i in range(200)]
    for m in messages:
        b.send_multipart(m)
    assert [recv_multipart(a) for _ in messages] == messages


@pytest.mark.parametrize("size", [0, 1, 29, 30, 33, 34, 255, 256, 8192, 65535, 65536, 1 << 20])
def test_pair_carries_every_size(pair_of, size):
    a, b = pair_of(zmq.PAIR, zmq.PAIR)
    body = bytes(i * 7 % 256 for i in range(min(size, 4096))) * (size // 4096 or 1)
    body = body[:size]
    b.send(body)
    b.send_multipart([body, b"", body])
    assert recv(a) == body
    assert recv_multipart(a) == [body, b"", body]


def test_pair_serves_one_peer_only(make, endpoint):
    a, b, c = make(zmq.PAIR), make(zmq.PAIR), make(zmq.PAIR, reconnect_ivl=20)
    address = endpoint.bind(a)
    endpoint.connect(b, address)
    b.send(b"first")
    assert recv(a) == b"first"
    endpoint.connect(c, address)
    with contextlib.suppress(zmq.Again):  # refused before it could send
        c.send(b"intruder", zmq.DONTWAIT)
    assert nothing_arrives(a)
    a.send(b"for the first")
    assert recv(b) == b"for the first"
    assert nothing_arrives(c)


@pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)
def test_pair_takes_a_new_peer_when_the_first_has_gone(make, endpoint, watch):
    a, b = make(zmq.PAIR), make(zmq.PAIR)
    address = endpoint.bind(a)
    events = watch(a)
    endpoint.connect(b, address)
    b.send(b"first")
    assert recv(a) == b"first"
    b.close()
    events.wait(zmq.EVENT_DISCONNECTED)
    no_peer(a)
    c = make(zmq.PAIR)
    endpoint.connect(c, address)
    c.send(b"second")
    assert recv(a) == b"second"
    a.send(b"welcome")
    assert recv(c) == b"welcome"


@fastmq_only("keeps the descriptor of the refused connection")
@pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)
def test_a_refused_second_peer_leaves_no_descriptor(make, endpoint):

    a, b = make(zmq.PAIR), make(zmq.PAIR)
    address = endpoint.bind(a)
    endpoint.connect(b, address)
    b.send(b"x")
    recv(a)
    before = lasting_descriptors()
    for _ in range(5):
        c = make(zmq.PAIR, reconnect_ivl=-1)
        endpoint.connect(c, address)
        c.close()
    eventually("all descriptors gone", lambda: lasting_descriptors() <= before)


def test_pair_without_peer_cannot_send(make, endpoint):
    a = make(zmq.PAIR)
    endpoint.bind(a)
    with pytest.raises(zmq.Again):
        a.send(b"x", zmq.DONTWAIT)
    assert a.poll(0, zmq.POLLOUT) == 0


def test_connecting_pair_queues_until_the_other_binds(make, endpoint):
    a, b = make(zmq.PAIR), make(zmq.PAIR, reconnect_ivl=20)
    address = endpoint.fixed()
    endpoint.connect(b, address)
    b.send(b"early")
    b.send_multipart([b"early", b"too"])
    endpoint.bind(a, address)
    assert recv(a) == b"early"
    assert recv_multipart(a) == [b"early", b"too"]


def test_pair_blocks_when_full_and_goes_on_when_drained(pair_of):
    a, b = pair_of(zmq.PAIR, zmq.PAIR, {"hwm": 5, "rcvbuf": 4096}, {"hwm": 5, "sndbuf": 4096})
    sent = fill(b, bytes(2000), least=10)
    assert sent >= 10
    assert b.poll(0, zmq.POLLOUT) == 0
    assert len(drain(a, sent)) == sent
    wait_writable(b)
    b.send(b"again")
    assert recv(a) == b"again"


def test_pair_reports_the_end_of_the_other_side(pair_of):
    a, b = pair_of(zmq.PAIR, zmq.PAIR)
    b.send(b"bye")
    assert recv(a) == b"bye"
    b.setsockopt(zmq.LINGER, 1000)
    b.send(b"last")
    b.close()
    assert recv(a) == b"last"
    no_peer(a)
    with raises_errno(zmq.EAGAIN):
        a.send(b"x", zmq.DONTWAIT)
