# SPDX-License-Identifier: MIT
"""What a peer sent before it went, when there was no room for it yet and writing to it fails."""

import contextlib
import socket
import time

import pytest
import wire
from helpers import last_endpoint, nothing_arrives, recv
from target import zmq

MESSAGES = [b"%d" % i for i in range(100)]
WORDS = [b"word %d" % i for i in range(20)]


def say(sock):
    """Goes on sending for a while: the kernel takes the first of it and refuses the rest."""
    for word in WORDS:
        with contextlib.suppress(zmq.Again):
            sock.send(word, zmq.DONTWAIT)
        time.sleep(0.005)


def speak_and_go(peer):
    with peer as w:
        w.handshake("DEALER")
        # At one go: the kernel has room for few messages apart.
        w.send(b"".join(wire.frame(message) for message in MESSAGES))


@pytest.fixture
def listener():
    with wire.Listener() as one:
        yield one


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_it_is_read_to_the_end(make, watch, tmp_path, scheme):
    dealer = make(zmq.DEALER, rcvhwm=2)
    events = watch(dealer)
    dealer.bind("tcp://127.0.0.1:*" if scheme == "tcp" else f"ipc://{tmp_path}/socket")
    speak_and_go(wire.connect(last_endpoint(dealer)))
    assert dealer.poll(5000)
    say(dealer)
    assert events.silent(zmq.EVENT_DISCONNECTED)
    assert [recv(dealer) for _ in MESSAGES] == MESSAGES
    events.wait(zmq.EVENT_DISCONNECTED)
    assert nothing_arrives(dealer)


def test_heartbeats_give_it_the_time_that_the_program_takes(make):
    dealer = make(zmq.DEALER, rcvhwm=2, heartbeat_ivl=20, heartbeat_timeout=20)
    dealer.bind("tcp://127.0.0.1:*")
    speak_and_go(wire.connect(last_endpoint(dealer)))
    for message in MESSAGES:
        if int(message) % 10 == 0:
            time.sleep(0.05)
        assert recv(dealer) == message


def test_then_a_connecting_socket_goes_on_with_what_it_has_to_say(make, listener):
    dealer = make(zmq.DEALER, rcvhwm=2, reconnect_ivl=10)
    dealer.connect(listener.address)
    speak_and_go(listener.accept())
    assert dealer.poll(5000)
    say(dealer)
    assert [recv(dealer) for _ in MESSAGES] == MESSAGES
    with listener.accept() as w:
        w.handshake("DEALER")
        (first,) = w.read_message()
        rest = WORDS[WORDS.index(first) + 1 :]
        assert [w.read_message() for _ in rest] == [[word] for word in rest]


def test_a_socket_that_is_closed_does_not_wait_for_such_a_peer(make):
    with zmq.Context() as ctx:
        dealer = ctx.socket(zmq.DEALER)
        dealer.rcvhwm = 2
        dealer.linger = -1
        dealer.bind("tcp://127.0.0.1:*")
        speak_and_go(wire.connect(last_endpoint(dealer)))
        assert dealer.poll(5000)
        say(dealer)
        dealer.close()


@pytest.mark.parametrize("end", ["close", "disconnect"])
def test_a_connecting_socket_that_ends_says_the_rest_to_the_next(listener, end):
    with zmq.Context() as ctx:
        dealer = ctx.socket(zmq.DEALER)
        dealer.rcvhwm = 2
        dealer.linger = -1
        dealer.reconnect_ivl = 10
        dealer.connect(listener.address)
        speak_and_go(listener.accept())
        assert dealer.poll(5000)
        say(dealer)
        if end == "close":
            dealer.close()
        else:
            dealer.disconnect(listener.address)
        with listener.accept() as w:
            w.handshake("DEALER")
            while w.read_message() != [WORDS[-1]]:
                pass
        dealer.close()


@pytest.mark.parametrize("ready", [False, True], ids=["handshake", "heartbeat"])
def test_who_hears_nothing_and_stays_has_its_time_limits(make, watch, tmp_path, ready):
    router = make(zmq.ROUTER, handshake_ivl=200, heartbeat_ivl=100, heartbeat_timeout=200)
    events = watch(router)
    router.bind(f"ipc://{tmp_path}/socket")
    with wire.connect(last_endpoint(router)) as w:
        if ready:
            w.handshake("DEALER")
        w.sock.shutdown(socket.SHUT_RD)
        events.wait(zmq.EVENT_DISCONNECTED)


# What is told of 6 stops the reading of that peer, which is noticed when it says more.
@pytest.mark.parametrize("subscriptions", [1, 6])
def test_a_closed_socket_does_not_listen_to_who_hears_nothing(tmp_path, subscriptions):
    with zmq.Context() as ctx:
        xpub = ctx.socket(zmq.XPUB)
        xpub.rcvhwm = 5
        xpub.sndhwm = 0
        xpub.xpub_verbose = True
        xpub.linger = 20000
        xpub.bind(f"ipc://{tmp_path}/socket")
        with wire.connect(last_endpoint(xpub)) as w:
            w.handshake("SUB")
            w.send(wire.frame(b"\1a") * subscriptions)
            assert xpub.poll(5000)
            for _ in range(20):
                xpub.send(b"a" + bytes(100000))
            time.sleep(0.05)
            xpub.close()
            w.sock.shutdown(socket.SHUT_RD)
            while not w.silent() and w.sock.recv(65536):
                pass
            with contextlib.suppress(OSError):
                w.send(wire.frame(b"\1a"))
            began = time.monotonic()
            ctx.term()
            assert time.monotonic() - began < 5
