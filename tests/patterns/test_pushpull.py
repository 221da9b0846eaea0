# SPDX-License-Identifier: MIT
import contextlib
import threading
import time
import warnings

import pytest
from helpers import (
    drain,
    eventually,
    no_peer,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
)
from target import IS_FASTMQ, zmq

streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)


def test_push_cannot_recv(make):
    push = make(zmq.PUSH)
    with raises_errno(zmq.ENOTSUP):
        push.recv()
    with raises_errno(zmq.ENOTSUP):
        push.recv(zmq.DONTWAIT)


def test_pull_cannot_send(make):
    pull = make(zmq.PULL)
    with raises_errno(zmq.ENOTSUP):
        pull.send(b"x")
    with raises_errno(zmq.ENOTSUP):
        pull.send_multipart([b"x", b"y"])


def test_push_delivers_in_order(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    for i in range(500):
        push.send(b"%d" % i)
    assert [recv(pull) for _ in range(500)] == [b"%d" % i for i in range(500)]


def test_pull_may_be_the_side_that_connects(pair_of):
    push, pull = pair_of(zmq.PUSH, zmq.PULL)
    push.send_multipart([b"a", b"", b"c"])
    assert recv_multipart(pull) == [b"a", b"", b"c"]


def ready_peers(push, pulls):
    """Every peer is connected and has been served once."""
    left = set(range(len(pulls)))
    end = time.monotonic() + 8
    while left:
        push.send(b"hello")
        assert time.monotonic() < end, f"never served: {left}"
        for i in list(left):
            if pulls[i].poll(2):
                left.discard(i)
    for pull in pulls:
        while pull.poll(30):
            pull.recv()


def test_push_goes_round_its_peers(make, endpoint):
    push = make(zmq.PUSH)
    address = endpoint.bind(push)
    pulls = [make(zmq.PULL) for _ in range(5)]
    for pull in pulls:
        endpoint.connect(pull, address)
    ready_peers(push, pulls)
    for i in range(25):
        push.send_multipart([b"%d" % i, b"tail"])
    for pull in pulls:
        got = [recv_multipart(pull) for _ in range(5)]
        numbers = [int(m[0]) for m in got]
        assert [n - numbers[0] for n in numbers] == [0, 5, 10, 15, 20]
        assert all(m[1:] == [b"tail"] for m in got)


def test_pull_serves_its_peers_in_turn(make, endpoint):
    pull = make(zmq.PULL)
    address = endpoint.bind(pull)
    pushes = [make(zmq.PUSH) for _ in range(4)]
    for push in pushes:
        endpoint.connect(push, address)
        push.send(b"hello")
        assert recv(pull) == b"hello"
    for i, push in enumerate(pushes):
        for n in range(10):
            push.send(b"%d %d" % (i, n))
    seen = dict.fromkeys(range(4), 0)
    for _ in range(40):
        i, n = map(int, recv(pull).split())
        assert n == seen[i], "a peer's messages out of order"
        seen[i] += 1
    assert set(seen.values()) == {10}


def test_pull_is_fair_to_a_quiet_peer(make, endpoint):
    pull = make(zmq.PULL)
    address = endpoint.bind(pull)
    noisy, quiet = make(zmq.PUSH), make(zmq.PUSH)
    for p in (noisy, quiet):
        endpoint.connect(p, address)
        p.send(b"hello")
        recv(pull)
    for _ in range(300):
        noisy.send(b"noise")
    quiet.send(b"quiet")
    if endpoint.is_inproc:
        # Both are queued by now, so the quiet one waits for one message at most.
        assert b"quiet" in [recv(pull), recv(pull)]
        assert len(drain(pull)) == 299
    else:
        assert sorted(recv(pull) for _ in range(301)) == [b"noise"] * 300 + [b"quiet"]


def test_push_without_peer_blocks(make, endpoint):
    push = make(zmq.PUSH, sndtimeo=20)
    endpoint.bind(push)
    with pytest.raises(zmq.Again):
        push.send(b"x", zmq.DONTWAIT)
    with pytest.raises(zmq.Again):
        push.send(b"x")
    assert push.poll(0, zmq.POLLOUT) == 0


def test_a_blocked_send_ends_when_a_peer_comes(make, endpoint):
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    address = endpoint.bind(push)
    done = threading.Event()

    def send():
        push.send(b"waited")
        done.set()

    sender = threading.Thread(target=send)
    sender.start()
    assert not done.wait(0.05)
    endpoint.connect(pull, address)
    assert recv(pull) == b"waited"
    sender.join()


def test_a_blocked_recv_ends_when_a_message_comes(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    got = []
    receiver = threading.Thread(target=lambda: got.append(pull.recv()))
    receiver.start()
    push.send(b"wake up")
    receiver.join(8)
    assert got == [b"wake up"]


def test_messages_wait_for_a_peer_that_binds_later(make, endpoint):
    push, pull = make(zmq.PUSH, reconnect_ivl=20), make(zmq.PULL)
    address = endpoint.fixed()
    endpoint.connect(push, address)
    for i in range(10):
        push.send(b"%d" % i)
    endpoint.bind(pull, address)
    assert [recv(pull) for _ in range(10)] == [b"%d" % i for i in range(10)]


def test_an_unfinished_message_is_not_seen(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    push.send(b"a", zmq.SNDMORE)
    assert nothing_arrives(pull)
    push.send(b"b")
    assert recv_multipart(pull) == [b"a", b"b"]


def test_rcvmore_tells_of_more_parts(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    push.send_multipart([b"a", b"b", b"c"])
    recv(pull)
    assert pull.getsockopt(zmq.RCVMORE)
    assert pull.recv() == b"b"
    assert pull.getsockopt(zmq.RCVMORE)
    assert pull.recv() == b"c"
    assert not pull.getsockopt(zmq.RCVMORE)


@pytest.mark.parametrize("parts", [1, 2, 50, 1000])
def test_messages_of_many_parts(pair_of, parts):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    message = [b"%d" % i * (i % 3) for i in range(parts)]
    push.send_multipart(message)
    assert recv_multipart(pull) == message


def test_mixed_sizes_keep_order(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    sizes = [0, 10, 100_000, 1, 33, 8192, 300, 70_000, 5, 1 << 20, 2]

    def send():
        for n in range(3):
            for size in sizes:
                push.send_multipart([b"%d" % n, bytes([n + 1]) * size])

    sender = threading.Thread(target=send)
    sender.start()
    for n in range(3):
        for size in sizes:
            assert recv_multipart(pull) == [b"%d" % n, bytes([n + 1]) * size]
    sender.join()


@streams
def test_push_leaves_a_dead_peer_for_a_living_one(make, endpoint, watch):
    push, first, second = make(zmq.PUSH), make(zmq.PULL), make(zmq.PULL)
    address = endpoint.bind(push)
    events = watch(push)
    endpoint.connect(first, address)
    push.send(b"1")
    assert recv(first) == b"1"
    first.close()
    events.wait(zmq.EVENT_DISCONNECTED)
    no_peer(push)
    with pytest.raises(zmq.Again):
        push.send(b"nobody", zmq.DONTWAIT)
    endpoint.connect(second, address)
    push.send(b"2")
    assert recv(second) == b"2"


@streams
def test_a_message_begun_before_its_peer_died_is_never_cut(make, endpoint, watch):
    push, first = make(zmq.PUSH), make(zmq.PULL)
    address = endpoint.bind(push)
    events = watch(push)
    endpoint.connect(first, address)
    push.send(b"1")
    assert recv(first) == b"1"
    push.send(b"half", zmq.SNDMORE)
    first.close()
    events.wait(zmq.EVENT_DISCONNECTED)
    second = make(zmq.PULL)
    if IS_FASTMQ:
        # A message is routed when it is complete: this one waits for its end and for a peer.
        endpoint.connect(second, address)
        push.send(b"other half")
        assert recv_multipart(second) == [b"half", b"other half"]
    else:
        # There the rest of the message goes nowhere, whatever the answer to this call is.
        with contextlib.suppress(zmq.Again):
            push.send(b"other half", zmq.DONTWAIT)
        endpoint.connect(second, address)

    def came():
        try:
            push.send_multipart([b"whole", b"message"], zmq.DONTWAIT)
        except zmq.Again:
            pass
        return second.poll(10)

    eventually("a message for the second peer", came)
    assert recv_multipart(second) == [b"whole", b"message"]


@streams
def test_pull_drops_the_half_received_message_of_a_dead_peer(make, endpoint):
    pull = make(zmq.PULL)
    address = endpoint.bind(pull)
    first, second = make(zmq.PUSH), make(zmq.PUSH)
    endpoint.connect(first, address)
    first.send(b"whole")
    assert recv(pull) == b"whole"
    first.send(b"half", zmq.SNDMORE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that half of one was sent
        first.close()
    endpoint.connect(second, address)
    second.send(b"next")
    assert recv_multipart(pull) == [b"next"]


@streams
def test_messages_received_before_the_peer_died_are_kept(make, endpoint, watch):
    pull, push = make(zmq.PULL), make(zmq.PUSH, linger=-1)
    address = endpoint.bind(pull)
    events = watch(pull)
    endpoint.connect(push, address)
    for i in range(100):
        push.send(b"%d" % i)
    push.close()
    events.wait(zmq.EVENT_DISCONNECTED)
    assert [recv(pull) for _ in range(100)] == [b"%d" % i for i in range(100)]


def test_a_full_push_goes_on_with_its_other_peer(make, endpoint):
    push = make(zmq.PUSH, sndhwm=2, sndbuf=4096)
    address = endpoint.bind(push)
    stuck, live = make(zmq.PULL, rcvhwm=2, rcvbuf=4096), make(zmq.PULL)
    for p in (stuck, live):
        endpoint.connect(p, address)
    ready_peers(push, [stuck, live])
    # `stuck` never receives. All that it does not take reaches the other.
    total = 2000
    got = 0
    for _ in range(total):
        push.send(bytes(3000))
        while live.poll(0):
            live.recv()
            got += 1

    def all_came():
        nonlocal got
        got += len(drain(live)) + len(drain(stuck))
        return got == total

    eventually("every message arrived", all_came)


def test_conflate_keeps_the_last_message_only(make, endpoint):
    pull, push = make(zmq.PULL, conflate=1), make(zmq.PUSH)
    endpoint.connect(push, endpoint.bind(pull))
    for i in range(1000):
        push.send(b"%d" % i)
    last = b""
    while last != b"999":
        message = recv(pull)
        assert last == b"" or int(message) > int(last)
        last = message
    assert nothing_arrives(pull)


@streams
def test_conflate_on_the_sending_side_keeps_the_last(make, endpoint):
    push = make(zmq.PUSH, conflate=1, reconnect_ivl=20)
    address = endpoint.fixed()
    endpoint.connect(push, address)
    for i in range(10):
        push.send(b"%d" % i)
    pull = make(zmq.PULL)
    endpoint.bind(pull, address)
    assert recv(pull) == b"9"
    assert nothing_arrives(pull)


@streams
def test_immediate_queues_nothing_for_a_peer_that_is_not_there(make, endpoint):
    push = make(zmq.PUSH, immediate=1, reconnect_ivl=20)
    address = endpoint.fixed()
    endpoint.connect(push, address)
    with pytest.raises(zmq.Again):
        push.send(b"x", zmq.DONTWAIT)
    pull = make(zmq.PULL)
    endpoint.bind(pull, address)
    push.send(b"now")
    assert recv(pull) == b"now"


@streams
def test_without_immediate_half_the_messages_wait_for_the_missing_peer(make, endpoint):
    pull = make(zmq.PULL)
    push = make(zmq.PUSH)
    endpoint.connect(push, endpoint.fixed())
    endpoint.connect(push, endpoint.bind(pull))
    for i in range(10):
        push.send(b"%d" % i)
    assert len(drain(pull, 5)) == 5
