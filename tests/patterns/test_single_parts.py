# SPDX-License-Identifier: MIT
"""Types whose messages have one part: what they refuse to send, and what they do with several parts
of a peer."""

import warnings

import pytest
import wire
from helpers import last_endpoint, nothing_arrives, raises_errno, recv
from target import IS_FASTMQ, fastmq_only, zmq

pytestmark = pytest.mark.skipif(not zmq.DRAFT_API, reason="the module has no draft types")

# One of each pair: how it sends to the other, and how it receives.
PAIRS = {
    "CLIENT": "SERVER",
    "SERVER": "CLIENT",
    "SCATTER": "GATHER",
    "PEER": "PEER",
    "CHANNEL": "CHANNEL",
}
RECEIVERS = ["SERVER", "CLIENT", "GATHER", "PEER", "CHANNEL"]
SENDER_TO = {"SERVER": "CLIENT", "CLIENT": "SERVER", "GATHER": "SCATTER"}
TYPES = sorted({*PAIRS, *PAIRS.values()})


def kind(name):
    return getattr(zmq, name)


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_sndmore_is_refused(make, name):
    sock = make(kind(name))
    with raises_errno(zmq.EINVAL):
        sock.send(b"x", zmq.SNDMORE)
    with raises_errno(zmq.EINVAL):
        sock.send(b"x", zmq.SNDMORE | zmq.DONTWAIT)
    with raises_errno(zmq.EINVAL):
        sock.send_multipart([b"x", b"y"])


@fastmq_only("says nothing of why")
def test_the_error_says_that_the_type_has_single_parts(make):
    with pytest.raises(zmq.ZMQError, match="SCATTER socket has one part"):
        make(zmq.SCATTER).send_multipart([b"x", b"y"])


def test_a_refused_message_leaves_nothing_behind(pair_of):
    gather, scatter = pair_of(zmq.GATHER, zmq.SCATTER)
    with raises_errno(zmq.EINVAL):
        scatter.send(b"x", zmq.SNDMORE)
    scatter.send(b"whole")
    assert recv(gather) == b"whole"
    assert nothing_arrives(gather)


@pytest.mark.parametrize("name", TYPES)
def test_thread_safe_reads_true(make, name):
    assert make(kind(name)).get(zmq.THREAD_SAFE) == 1


@fastmq_only("pyzmq raises for an option that this type has not")
def test_thread_safe_reads_false_on_the_stable_types(make):
    assert make(zmq.DEALER).get(zmq.THREAD_SAFE) == 0


@pytest.mark.parametrize("name", RECEIVERS)
def test_several_parts_of_a_peer_are_dropped_whole(make, name):
    sock = make(kind(name))
    sock.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(sock)) as peer:
        peer.handshake(SENDER_TO.get(name, name))
        for parts in ([b"1"], [b"a", b"b"], [b"2"], [b"c", b"", b"d" * 300], [b"3"]):
            peer.send_message(*parts)
        assert [recv(sock) for _ in range(3)] == [b"1", b"2", b"3"]
        assert nothing_arrives(sock)
    if IS_FASTMQ:
        assert sock.stats().dropped == 2


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_several_parts_that_come_in_pieces_are_dropped_whole(make, pieces):
    gather = make(zmq.GATHER)
    gather.bind("tcp://127.0.0.1:*")
    data = b"".join(
        wire.frame(part, flags)
        for part, flags in [
            (b"1", 0),
            (b"a", wire.MORE),
            (b"b" * 70_000, wire.MORE),
            (b"c", 0),
            (b"2", 0),
        ]
    )
    with wire.connect(last_endpoint(gather)) as peer:
        peer.handshake("SCATTER")
        for at in range(0, 20, pieces):
            peer.send(data[at : at + pieces])
        peer.send(data[at + pieces :])
        assert [recv(gather), recv(gather)] == [b"1", b"2"]


@fastmq_only("has no such event")
def test_the_monitor_says_once_a_connection_that_several_parts_came(make, watch):
    gather = make(zmq.GATHER)
    events = watch(gather)
    gather.bind("tcp://127.0.0.1:*")
    for _ in range(2):
        with wire.connect(last_endpoint(gather)) as peer:
            peer.handshake("SCATTER")
            peer.send_message(b"a", b"b")
            peer.send_message(b"a", b"b")
            _, code, _ = events.wait(zmq.EVENT_PROTOCOL_VIOLATION)
            assert code == zmq.PROTOCOL_ERROR_WRONG_PARTS
            peer.send_message(b"c")
            assert recv(gather) == b"c"
            assert events.silent(zmq.EVENT_PROTOCOL_VIOLATION)
        events.wait(zmq.EVENT_DISCONNECTED)


@fastmq_only("polls readable for what it drops")
def test_dropped_parts_do_not_stop_a_connection_at_its_mark(make):
    gather = make(zmq.GATHER, rcvhwm=2)
    gather.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(gather)) as peer:
        peer.handshake("SCATTER")
        for _ in range(100):
            peer.send_message(b"a", b"b")
        peer.send_message(b"end")
        assert recv(gather) == b"end"


@fastmq_only("polls readable for what it drops")
def test_several_parts_over_inproc_are_dropped_whole(make, name):
    gather, push = make(zmq.GATHER, rcvhwm=5), make(zmq.PUSH, sndhwm=5)
    gather.bind(at := name())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # inproc lets these types meet
        push.connect(at)
    for i in range(50):
        push.send_multipart([b"a", b"b"])
        push.send(b"%d" % i)
        push.send_multipart([b"a", b"b", b"c"])
        assert recv(gather) == b"%d" % i
    push.send_multipart([b"a", b"b"])
    assert nothing_arrives(gather)
    push.send(b"end")
    assert recv(gather) == b"end"
    if IS_FASTMQ:
        assert gather.stats().dropped == 101


@pytest.mark.parametrize("name", ["GATHER", "CHANNEL"])
def test_conflate_keeps_to_single_parts(make, name):
    sock = make(kind(name), conflate=1)
    sock.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(sock)) as peer:
        peer.handshake(SENDER_TO.get(name, name))
        peer.send_message(b"a", b"b")
        peer.send_message(b"c")
        assert recv(sock) == b"c"


@fastmq_only("makes one of a poller, and warns")
@pytest.mark.parametrize("name", TYPES)
def test_a_descriptor_is_given_without_a_warning(make, name):
    sock = make(kind(name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sock.fileno() == sock.get(zmq.FD) >= 0


def test_pollers_see_them(pair_of):
    server, client = pair_of(zmq.SERVER, zmq.CLIENT)
    poller = zmq.Poller()
    poller.register(server, zmq.POLLIN)
    assert poller.poll(0) == []
    client.send(b"x")
    assert poller.poll(8000) == [(server, zmq.POLLIN)]
    assert zmq.select([server], [], [], 8)[0] == [server]
    assert server.recv() == b"x"
