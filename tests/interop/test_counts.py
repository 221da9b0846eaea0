# SPDX-License-Identifier: MIT
"""What is counted of a peer that is a real libzmq."""

import pytest
from helpers import eventually, last_endpoint, recv_multipart
from target import zmq

endpoints = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)


def frame(body):
    """The length of a frame on the wire."""
    return len(body) + (2 if len(body) < 256 else 9)


@endpoints
def test_messages_and_bytes_of_a_libzmq_peer_are_those_on_the_wire(make, libzmq, endpoint):
    dealer, theirs = make(zmq.DEALER), libzmq("DEALER", routing_id=b"lib")
    theirs.connect(endpoint.bind(dealer))
    eventually("the peer", lambda: [p.state for p in dealer.peers()] == [zmq.PeerState.READY])
    (start,) = dealer.peers()
    assert (start.type, start.identity, start.accepted) == (zmq.DEALER, b"lib", True)
    assert start.messages_sent == start.messages_received == 0

    messages = [[b""], [b"a" * 255], [b"b" * 256], [b"c", b"d" * 100_000, b""]]
    size = sum(frame(part) for message in messages for part in message)
    for message in messages:
        dealer.send_multipart(message)
        assert theirs.recv() == message
    for message in messages:
        theirs.send(*message)
        assert recv_multipart(dealer) == message
    eventually("four messages sent", lambda: dealer.peers()[0].messages_sent == 4)
    (end,) = dealer.peers()
    assert (end.messages_sent, end.messages_received) == (4, 4)
    assert end.bytes_sent - start.bytes_sent == size
    assert end.bytes_received - start.bytes_received == size


@pytest.mark.parametrize("kind", ["PUB", "XPUB"])
def test_libzmq_subscribers_are_waited_for(make, libzmq, kind):
    publisher = make(getattr(zmq, kind))
    publisher.bind("tcp://127.0.0.1:*")
    for n in (1, 2):
        sub = libzmq("SUB")
        sub.set("SUBSCRIBE", b"to")
        sub.connect(last_endpoint(publisher))
        assert publisher.wait_for_subscribers(n, b"topic", timeout=8000) == n
    publisher.send(b"topic!")
    assert sub.recv() == [b"topic!"]
    assert publisher.stats().messages_received == 0
    sub.set("UNSUBSCRIBE", b"to")
    eventually("one is gone", lambda: publisher.wait_for_subscribers(0, b"topic") == 1)


def test_libzmq_answers_heartbeats_that_measure_the_round_trip(make, libzmq):
    pull, theirs = make(zmq.PULL, heartbeat_ivl=20), libzmq("PUSH")
    pull.bind("tcp://127.0.0.1:*")
    theirs.connect(last_endpoint(pull))
    eventually("a round trip", lambda: [p.rtt for p in pull.peers() if p.rtt])
    assert 0 < pull.peers()[0].rtt < 5000
