# SPDX-License-Identifier: MIT
"""FD and EVENTS as event loops outside use them: wait for the descriptor, then ask.

What holds of libzmq's descriptor must hold of ours: after a call that would have to wait, or after
EVENTS did not show what is wanted, the descriptor becomes readable when it comes. Ours may wake
more often, never less.
"""

import select
import threading

import pytest
from helpers import QUIET_MS, WAIT_MS, nothing_arrives, recv, wait_writable
from target import fastmq_only, zmq

IN, OUT = zmq.POLLIN, zmq.POLLOUT

one = pytest.mark.parametrize("endpoint", ["tcp", "ipc", "inproc"], indirect=True)


def readable(sock, timeout_ms=WAIT_MS):
    return bool(select.select([sock.fileno()], [], [], timeout_ms / 1000)[0])


def wait(sock):
    assert readable(sock), f"FD does not wake; EVENTS: {sock.getsockopt(zmq.EVENTS)}"


class Loop:
    """Sends and receives without blocking and asks for EVENTS only when FD has woken."""

    def __init__(self, sock):
        self.sock = sock

    def until_done(self, call):
        while True:
            try:
                return call()
            except zmq.Again:
                wait(self.sock)
                self.sock.getsockopt(zmq.EVENTS)

    def send(self, message):
        self.until_done(lambda: self.sock.send(message, zmq.DONTWAIT))

    def recv(self):
        return self.until_done(lambda: self.sock.recv(zmq.DONTWAIT))


def fill(sock, message):
    """Sends until that would have to wait, for good."""
    while True:
        try:
            sock.send(message, zmq.DONTWAIT)
        except zmq.Again:
            if not sock.poll(QUIET_MS, OUT):
                break
    with pytest.raises(zmq.Again):
        sock.send(message, zmq.DONTWAIT)


@one
@pytest.mark.parametrize("order", ["fd first", "events first"])
def test_fd_wakes_a_sender_that_was_refused_when_room_comes(make, endpoint, order):
    """EVENTS last said that there is room; the refusal alone tells that it is waited for."""
    push, pull = make(zmq.PUSH, sndhwm=1), make(zmq.PULL, rcvhwm=1)
    endpoint.connect(push, endpoint.bind(pull))
    wait_writable(push)
    if order == "fd first":
        push.fileno()
    assert push.getsockopt(zmq.EVENTS) & OUT
    fill(push, b"x" * 100_000)
    while readable(push, 0):
        push.getsockopt(zmq.EVENTS)
        with pytest.raises(zmq.Again):
            push.send(b"x" * 100_000, zmq.DONTWAIT)
    while pull.poll(QUIET_MS):
        pull.recv()
    wait(push)
    assert push.getsockopt(zmq.EVENTS) & OUT
    push.send(b"more", zmq.DONTWAIT)
    assert recv(pull) == b"more"


@one
@pytest.mark.parametrize("size", [10, 100_000])
def test_a_sender_and_a_receiver_that_wait_for_fd_alone_miss_nothing(make, endpoint, size):
    push, pull = make(zmq.PUSH, sndhwm=2), make(zmq.PULL, rcvhwm=2)
    endpoint.connect(push, endpoint.bind(pull))
    number = 300
    failure = []

    def send_all():
        try:
            for i in range(number):
                Loop(push).send(b"%d" % i + bytes(size))
        except BaseException as e:
            failure.append(e)

    sender = threading.Thread(target=send_all)
    sender.start()
    receiver = Loop(pull)
    for i in range(number):
        assert receiver.recv().rstrip(b"\0") == b"%d" % i
    sender.join(WAIT_MS / 1000)
    assert not failure and not sender.is_alive()


@one
def test_both_ways_of_one_socket_share_a_descriptor(make, endpoint):
    """A round trip each, again and again; between them the mark is reached and left."""
    here, there = make(zmq.DEALER, hwm=1), make(zmq.DEALER, hwm=1)
    endpoint.connect(there, endpoint.bind(here))
    a, b = Loop(here), Loop(there)
    for i in range(200):
        a.send(b"%d" % i)
        assert b.recv() == b"%d" % i
        b.send(b"r%d" % i)
        assert a.recv() == b"r%d" % i


def test_fd_wakes_when_the_first_peer_comes(make, tcp_address):
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    push.bind(tcp_address)
    Loop(push).sock.getsockopt(zmq.EVENTS)
    with pytest.raises(zmq.Again):
        push.send(b"x", zmq.DONTWAIT)
    pull.connect(push.last_endpoint.decode())
    wait(push)
    Loop(push).send(b"x")
    assert recv(pull) == b"x"


@fastmq_only("shows other things, too")
@one
def test_a_program_that_never_asks_for_events_is_not_woken_for_ever(make, endpoint):
    here, there = make(zmq.DEALER, hwm=1), make(zmq.DEALER, hwm=1)
    endpoint.connect(there, endpoint.bind(here))
    wait_writable(there)
    there.fileno()
    fill(there, b"x" * 100_000)
    while here.poll(QUIET_MS):
        here.recv()
    wait(there)

    def quiet():
        with pytest.raises(zmq.Again):
            there.recv(zmq.DONTWAIT)
        return not readable(there, QUIET_MS)

    assert any(quiet() for _ in range(5))
    assert nothing_arrives(there)


@fastmq_only("has the descriptor from the beginning on")
@one
def test_a_descriptor_that_is_asked_for_late_shows_the_room_that_came_meanwhile(make, endpoint):
    push, pull = make(zmq.PUSH, sndhwm=1), make(zmq.PULL, rcvhwm=1)
    endpoint.connect(push, endpoint.bind(pull))
    wait_writable(push)
    fill(push, b"x" * 100_000)
    while pull.poll(QUIET_MS):
        pull.recv()
    wait_writable(push)
    wait(push)
    assert push.getsockopt(zmq.EVENTS) & OUT
    assert not readable(push, QUIET_MS)
