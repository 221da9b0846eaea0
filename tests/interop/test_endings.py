# SPDX-License-Identifier: MIT
"""What we end of a connection with libzmq, from both sides."""

import pytest
from helpers import eventually, nothing_arrives, recv, recv_multipart
from target import zmq

streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)


def unread(sock, n):
    eventually("all of them", lambda: sock.stats().queued_in == n)


@streams
@pytest.mark.parametrize("ours,theirs", [("PULL", "PUSH"), ("DEALER", "DEALER"), ("PAIR", "PAIR")])
@pytest.mark.parametrize("act", ["disconnect", "unbind"])
def test_what_libzmq_sent_goes_with_disconnect_and_stays_with_unbind(
    make, libzmq, endpoint, watch, ours, theirs, act
):
    here, there = make(getattr(zmq, ours)), libzmq(theirs)
    events = watch(here)
    if act == "unbind":
        address = endpoint.bind(here)
        there.connect(address)
    else:
        address = there.bind(endpoint.wildcard)
        endpoint.connect(here, address)
    for i in range(5):
        there.send(b"%d" % i)
    unread(here, 5)
    getattr(here, act)(address)
    if act == "unbind":
        assert [recv(here) for _ in range(5)] == [b"%d" % i for i in range(5)]
    assert nothing_arrives(here)
    assert events.silent(zmq.EVENT_DISCONNECTED)


@streams
def test_a_libzmq_that_leaves_is_a_disconnection(make, libzmq_process, endpoint, watch):
    process = libzmq_process()
    pull, push = make(zmq.PULL), process.socket("PUSH")
    events = watch(pull)
    push.connect(endpoint.bind(pull))
    push.send(b"x")
    assert recv(pull) == b"x"
    process.end()
    events.wait(zmq.EVENT_DISCONNECTED)


def test_a_stream_of_libzmq_sees_that_we_closed_it_and_we_do_not(make, libzmq, tcp_address):
    ours, theirs = make(zmq.STREAM), libzmq("STREAM", reconnect_ivl=10_000)
    ours.bind(tcp_address)
    theirs.connect(ours.last_endpoint.decode())
    peer, empty = recv_multipart(ours)
    assert empty == b"" and ours.routing_id == peer
    assert theirs.recv()[1] == b""
    ours.send_multipart([peer, b""])
    assert theirs.recv()[1] == b""
    assert nothing_arrives(ours)


@streams
def test_a_router_of_libzmq_is_reached_by_a_name_with_a_zero_in_front(make, libzmq, endpoint):
    ours, theirs = make(zmq.ROUTER), libzmq("DEALER")
    address = theirs.bind(endpoint.wildcard)
    ours.setsockopt(zmq.CONNECT_ROUTING_ID, b"\0name")
    endpoint.connect(ours, address)
    ours.send_multipart([b"\0name", b"x"])
    assert theirs.recv() == [b"x"]
    theirs.send(b"y")
    assert recv_multipart(ours) == [b"\0name", b"y"]
