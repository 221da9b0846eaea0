# SPDX-License-Identifier: MIT
"""What a peer sent before it went, when there was no room for it yet and writing to it fails."""

import contextlib
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
