# SPDX-License-Identifier: MIT
"""CHANNEL: PAIR with messages of one part."""

import contextlib

import pytest
from helpers import drain, fill, no_peer, nothing_arrives, recv
from target import zmq

pytestmark = pytest.mark.skipif(not zmq.DRAFT_API, reason="the module has no draft types")


def test_messages_go_both_ways_in_order(pair_of):
    a, b = pair_of(zmq.CHANNEL, zmq.CHANNEL)
    for i in range(200):
        a.send(b"a%d" % i)
        b.send(b"b%d" % i)
    assert [recv(b) for _ in range(200)] == [b"a%d" % i for i in range(200)]
    assert [recv(a) for _ in range(200)] == [b"b%d" % i for i in range(200)]


def test_a_second_peer_is_refused(make, endpoint):
    a, b, c = make(zmq.CHANNEL), make(zmq.CHANNEL), make(zmq.CHANNEL, reconnect_ivl=-1)
    address = endpoint.bind(a)
    endpoint.connect(b, address)
    b.send(b"first")
    assert recv(a) == b"first"
    endpoint.connect(c, address)
    with contextlib.suppress(zmq.Again):  # refused before it could send
        c.send(b"intruder", zmq.DONTWAIT)
    assert nothing_arrives(a)
    a.send(b"answer")
    assert recv(b) == b"answer"


def test_a_new_peer_is_taken_when_the_first_has_gone(make, endpoint):
    a, b, c = (make(zmq.CHANNEL) for _ in range(3))
    address = endpoint.bind(a)
    endpoint.connect(b, address)
    b.send(b"first")
    assert recv(a) == b"first"
    b.close()
    no_peer(a)
    endpoint.connect(c, address)
    c.send(b"second")
    assert recv(a) == b"second"
    a.send(b"welcome")
    assert recv(c) == b"welcome"


def test_a_channel_without_a_peer_waits(make, endpoint):
    a = make(zmq.CHANNEL, sndtimeo=20)
    endpoint.bind(a)
    assert a.poll(0, zmq.POLLOUT) == 0
    with pytest.raises(zmq.Again):
        a.send(b"x", zmq.DONTWAIT)
    with pytest.raises(zmq.Again):
        a.send(b"x")


def test_a_full_channel_waits_and_goes_on_when_drained(pair_of):
    a, b = pair_of(zmq.CHANNEL, zmq.CHANNEL, {"hwm": 5, "rcvbuf": 4096}, {"hwm": 5, "sndbuf": 4096})
    sent = fill(b, bytes(2000), least=10)
    assert b.poll(0, zmq.POLLOUT) == 0
    assert len(drain(a, sent)) == sent
    b.send(b"end")
    assert recv(a) == b"end"
