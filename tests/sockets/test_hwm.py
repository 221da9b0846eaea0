# SPDX-License-Identifier: MIT
import pytest
from helpers import drain, eventually, fill, nothing_arrives, recv, recv_multipart, wait_writable
from target import fastmq_only, zmq

inproc = pytest.mark.parametrize("endpoint", ["inproc"], indirect=True)
streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)


def count(sock, message=b"x", limit=20_000):
    """Sends without waiting until refused."""
    for n in range(limit):
        try:
            sock.send(message, zmq.DONTWAIT)
        except zmq.Again:
            return n
    return limit


@pytest.mark.parametrize("hwm", [1, 2, 5, 100])
@pytest.mark.parametrize("kind", ["PUSH", "DEALER", "PAIR"])
def test_without_a_peer_exactly_sndhwm_messages_are_taken(make, endpoint, kind, hwm):
    sock = make(getattr(zmq, kind), sndhwm=hwm)
    endpoint.connect(sock, endpoint.fixed())
    assert count(sock) == hwm
    assert sock.poll(0, zmq.POLLOUT) == 0


@pytest.mark.parametrize("sndhwm,rcvhwm", [(1, 1), (2, 3), (5, 5), (10, 1), (1, 10)])
@inproc
def test_inproc_takes_the_sum_of_both_sides(make, endpoint, sndhwm, rcvhwm):
    push, pull = make(zmq.PUSH, sndhwm=sndhwm), make(zmq.PULL, rcvhwm=rcvhwm)
    endpoint.connect(push, endpoint.bind(pull))
    assert count(push) == sndhwm + rcvhwm


@pytest.mark.parametrize("sndhwm,rcvhwm", [(2, 3), (7, 1)])
@inproc
def test_inproc_connected_before_bound_takes_the_sum_too(make, endpoint, sndhwm, rcvhwm):
    push, pull = make(zmq.PUSH, sndhwm=sndhwm), make(zmq.PULL, rcvhwm=rcvhwm)
    address = endpoint.fixed()
    endpoint.connect(push, address)
    pull.bind(address)
    assert count(push) == sndhwm + rcvhwm


@inproc
def test_inproc_where_the_sender_is_bound(make, endpoint):
    push, pull = make(zmq.PUSH, sndhwm=4), make(zmq.PULL, rcvhwm=3)
    endpoint.connect(pull, endpoint.bind(push))
    assert count(push) == 7


@pytest.mark.parametrize("sndhwm,rcvhwm", [(0, 1), (1, 0), (0, 0)])
@inproc
def test_zero_on_either_side_of_inproc_means_no_limit(make, endpoint, sndhwm, rcvhwm):
    push, pull = make(zmq.PUSH, sndhwm=sndhwm), make(zmq.PULL, rcvhwm=rcvhwm)
    endpoint.connect(push, endpoint.bind(pull))
    assert count(push, limit=3000) == 3000
    assert len(drain(pull)) == 3000


@inproc
def test_a_multipart_message_counts_once(make, endpoint):
    push, pull = make(zmq.PUSH, sndhwm=2), make(zmq.PULL, rcvhwm=2)
    endpoint.connect(push, endpoint.bind(pull))
    for _ in range(4):
        push.send_multipart([b"p"] * 20, zmq.DONTWAIT)
    with pytest.raises(zmq.Again):
        push.send_multipart([b"p"] * 20, zmq.DONTWAIT)
    assert all(recv_multipart(pull) == [b"p"] * 20 for _ in range(4))


def test_what_was_taken_arrives_and_room_comes_back(pair_of):
    pull, push = pair_of(
        zmq.PULL, zmq.PUSH, {"rcvhwm": 10, "rcvbuf": 4096}, {"sndhwm": 10, "sndbuf": 4096}
    )
    for _ in range(3):
        sent = fill(push, bytes(1000), least=20)
        assert sent >= 20
        assert [recv(pull) for _ in range(sent)] == [bytes(1000)] * sent
        assert nothing_arrives(pull)
        wait_writable(push)


@inproc
def test_limits_hold_for_each_peer_alone(make, endpoint):
    push = make(zmq.PUSH, sndhwm=3)
    address = endpoint.bind(push)
    pulls = [make(zmq.PULL, rcvhwm=2) for _ in range(3)]
    for pull in pulls:
        endpoint.connect(pull, address)
    assert count(push) == 15
    assert [len(drain(pull)) for pull in pulls] == [5, 5, 5]


@fastmq_only("stays full until half of the new limit was read")
@inproc
def test_raising_the_limit_later_helps_a_full_connection(make, endpoint):
    push, pull = make(zmq.PUSH, sndhwm=2), make(zmq.PULL, rcvhwm=2)
    endpoint.connect(push, endpoint.bind(pull))
    assert count(push) == 4
    push.setsockopt(zmq.SNDHWM, 10)
    assert count(push) == 8
    assert len(drain(pull)) == 12


@inproc
def test_lowering_the_limit_below_what_is_queued_loses_nothing(make, endpoint):
    push, pull = make(zmq.PUSH, sndhwm=50), make(zmq.PULL, rcvhwm=50)
    endpoint.connect(push, endpoint.bind(pull))
    sent = 0
    for sent in range(60):
        push.send(b"%d" % sent, zmq.DONTWAIT)
    push.setsockopt(zmq.SNDHWM, 1)
    assert drain(pull) == [b"%d" % i for i in range(60)]
    eventually("room again", lambda: count(push) > 0)


@streams
def test_a_receiver_at_its_limit_holds_the_sender_back(make, endpoint):
    pull = make(zmq.PULL, rcvhwm=5, rcvbuf=4096)
    push = make(zmq.PUSH, sndhwm=5, sndbuf=4096)
    endpoint.connect(push, endpoint.bind(pull))
    # Far less than 100 MB fits between the two.
    sent = 0
    while sent < 10_000:
        try:
            push.send(b"%05d" % sent + bytes(10_000), zmq.DONTWAIT)
        except zmq.Again:
            if not push.poll(50, zmq.POLLOUT):
                break
            continue
        sent += 1
    assert sent < 10_000
    assert [int(m[:5]) for m in drain(pull, sent)] == list(range(sent))


def test_set_hwm_sets_both(make):
    push = make(zmq.PUSH)
    push.set_hwm(7)
    assert (push.getsockopt(zmq.SNDHWM), push.getsockopt(zmq.RCVHWM)) == (7, 7)
    assert push.get_hwm() == push.hwm == 7


@inproc
def test_hwm_of_two_pubsub_sides(make, endpoint):
    pub = make(zmq.XPUB, sndhwm=10)
    sub = make(zmq.SUB, rcvhwm=10, subscribe=b"")
    endpoint.connect(sub, endpoint.bind(pub))
    assert recv(pub) == b"\x01"
    for i in range(100):
        pub.send(b"%d" % i)
    assert drain(sub) == [b"%d" % i for i in range(20)]
    pub.send(b"after")
    assert recv(sub) == b"after"
