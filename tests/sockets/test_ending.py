# SPDX-License-Identifier: MIT
"""What disconnect, unbind and close end, what is still received then, and who is told."""

import errno
import time

import pytest
from helpers import (
    WAIT_MS,
    bind_when_free,
    drain,
    eventually,
    last_endpoint,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
    sync_subscriber,
    wait_readable,
)
from target import IS_FASTMQ, fastmq_only, zmq

one = pytest.mark.parametrize("endpoint", ["tcp", "ipc", "inproc"], indirect=True)
streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)

# The sender, the receiver, and what a message looks like to the receiver.
PAIRS = {
    "pull": (zmq.PUSH, zmq.PULL, lambda m: [m]),
    "pair": (zmq.PAIR, zmq.PAIR, lambda m: [m]),
    "dealer": (zmq.DEALER, zmq.DEALER, lambda m: [m]),
    "dealer of a router": (zmq.ROUTER, zmq.DEALER, lambda m: [m]),
    "router": (zmq.DEALER, zmq.ROUTER, lambda m: [b"S", m]),
    "sub": (zmq.PUB, zmq.SUB, lambda m: [m]),
    "xsub": (zmq.PUB, zmq.XSUB, lambda m: [m]),
}


@pytest.fixture(params=PAIRS)
def unread(request, make, endpoint):
    """unread(binder): a sender, a receiver that has five messages unread, the endpoint, a form."""
    first, second, form = PAIRS[request.param]

    def new(binder):
        sender, receiver = make(first), make(second)
        sender.setsockopt(zmq.ROUTING_ID, b"S")
        receiver.setsockopt(zmq.ROUTING_ID, b"R")
        ends = [sender, receiver] if binder == "sender" else [receiver, sender]
        address = endpoint.bind(ends[0])
        endpoint.connect(ends[1], address)
        if second == zmq.SUB:
            sync_subscriber(sender, receiver)
            receiver.setsockopt(zmq.SUBSCRIBE, b"m")
            sync_subscriber(sender, receiver)
        elif second == zmq.XSUB:
            receiver.send(b"\1m")
            eventually("a subscription", lambda: (sender.send(b"m?"), receiver.poll(10))[1])
            drain(receiver)
        # A first message that the receiver answers, or not, shows that both sides are there.
        prefix = [b"R"] if first == zmq.ROUTER else []
        if first == zmq.ROUTER:
            sender.setsockopt(zmq.ROUTER_MANDATORY, 1)
            eventually("a route", lambda: route(sender))
        else:
            sender.send(b"m-first")
        assert recv_multipart(receiver)[-1] == b"m-first"
        for i in range(5):
            sender.send_multipart([*prefix, b"m%d" % i])
        arrive(receiver, 5)
        return sender, receiver, address, form

    def route(sender):
        try:
            sender.send_multipart([b"R", b"m-first"])
        except zmq.ZMQError:
            return False
        return True

    return new


def arrive(sock, n):
    """Waits until so many messages lie unread at the socket."""
    if IS_FASTMQ:
        eventually("all of them", lambda: sock.stats().queued_in == n)
    else:
        time.sleep(0.2)


def act_on(sock, act, address=None):
    act(sock, address)
    if not IS_FASTMQ and not sock.closed:
        sock.poll(100)  # what a program began is done there when its thread next looks


@one
def test_what_is_unread_of_a_disconnected_peer_is_not_received(unread):
    _, receiver, address, _ = unread("sender")
    receiver.disconnect(address)
    assert nothing_arrives(receiver)
    with pytest.raises(zmq.Again):
        receiver.recv(zmq.DONTWAIT)


@one
def test_what_is_unread_of_an_unbound_endpoint_is_received(unread):
    _, receiver, address, form = unread("receiver")
    receiver.unbind(address)
    assert [recv_multipart(receiver) for _ in range(5)] == [form(b"m%d" % i) for i in range(5)]


@one
def test_disconnecting_one_peer_leaves_what_another_sent(make, endpoint):
    pull, a, b = make(zmq.PULL), make(zmq.PUSH), make(zmq.PUSH)
    here, there = endpoint.bind(a), endpoint.bind(b)
    endpoint.connect(pull, here)
    endpoint.connect(pull, there)
    for push, name in ((a, b"a"), (b, b"b")):
        push.send(name + b"0")
        assert recv(pull) == name + b"0"
    for i in range(3):
        a.send(b"a%d" % i)
        b.send(b"b%d" % i)
    arrive(pull, 6)
    pull.disconnect(here)
    assert [recv(pull) for _ in range(3)] == [b"b0", b"b1", b"b2"]
    assert nothing_arrives(pull)


@fastmq_only("aborts")
@one
def test_a_message_that_was_begun_is_received_to_its_end(make, endpoint):
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    address = endpoint.bind(push)
    endpoint.connect(pull, address)
    push.send_multipart([b"1", b"2", b"3"])
    push.send(b"4")
    assert recv(pull) == b"1"
    pull.disconnect(address)
    assert [recv(pull), recv(pull)] == [b"2", b"3"]
    assert nothing_arrives(pull)


@one
def test_a_reply_of_a_server_that_was_disconnected_is_not_received(make, endpoint):
    """A client that goes to another server must not take the old one's late reply for the new's."""
    req, old, new = make(zmq.REQ, req_relaxed=1), make(zmq.REP), make(zmq.REP)
    address = endpoint.bind(old)
    endpoint.connect(req, address)
    req.send(b"1")
    assert recv(old) == b"1"
    old.send(b"late")
    wait_readable(req, "a reply")
    req.disconnect(address)
    assert nothing_arrives(req)
    endpoint.connect(req, endpoint.bind(new))
    req.send(b"2")
    assert recv(new) == b"2"
    new.send(b"right")
    assert recv(req) == b"right"


@fastmq_only("keeps a request that poll has looked at")
@one
def test_a_request_of_a_disconnected_client_is_not_received(make, endpoint):
    req, rep = make(zmq.REQ), make(zmq.REP)
    address = endpoint.bind(req)
    endpoint.connect(rep, address)
    req.send(b"1")
    wait_readable(rep, "a request")
    rep.disconnect(address)
    assert nothing_arrives(rep)


@one
def test_an_xpub_still_hears_what_a_disconnected_subscriber_asked_for(make, endpoint):
    xsub, xpub = make(zmq.XSUB), make(zmq.XPUB)
    address = endpoint.bind(xsub)
    endpoint.connect(xpub, address)
    eventually("connected", lambda: (xsub.send(b"\1a"), xpub.poll(10))[1])
    xpub.disconnect(address)
    assert [recv(xpub), recv(xpub)] == [b"\1a", b"\0a"]


# ---- either verb ends what the other made ----


@one
def test_disconnect_takes_a_bound_endpoint(make, endpoint):
    push, pull, other = make(zmq.PUSH), make(zmq.PULL), make(zmq.PULL)
    address = endpoint.bind(pull)
    endpoint.connect(push, address)
    push.send(b"1")
    assert recv(pull) == b"1"
    push.send(b"unread")
    wait_readable(pull, "a message")
    pull.disconnect(address)
    assert recv(pull) == b"unread"
    for verb in (pull.disconnect, pull.unbind):
        with raises_errno(errno.ENOENT):
            verb(address)
    bind_when_free(other, address)


@one
def test_unbind_takes_a_connected_endpoint(make, endpoint):
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    address = endpoint.bind(push)
    endpoint.connect(pull, address)
    push.send(b"1")
    assert recv(pull) == b"1"
    push.send(b"unread")
    wait_readable(pull, "a message")
    act_on(pull, lambda sock, _: sock.unbind(address))
    assert nothing_arrives(pull)
    eventually("nobody to send to", lambda: push.poll(0, zmq.POLLOUT) == 0)
    for verb in (pull.disconnect, pull.unbind):
        with raises_errno(errno.ENOENT):
            verb(address)


@one
def test_unbind_takes_an_endpoint_that_was_never_connected(make, endpoint):
    push = make(zmq.PUSH)
    address = endpoint.fixed()
    endpoint.connect(push, address)
    push.unbind(address)
    assert push.poll(0, zmq.POLLOUT) == 0


@one
def test_disconnect_ends_all_connections_to_an_endpoint(make, endpoint):
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    address = endpoint.bind(pull)
    endpoint.connect(push, address)
    endpoint.connect(push, address)
    push.disconnect(address)
    assert push.poll(0, zmq.POLLOUT) == 0
    with raises_errno(errno.ENOENT):
        push.disconnect(address)


def test_unbinding_an_inproc_name_leaves_what_is_connected(make, name):
    push, pull, other = make(zmq.PUSH), make(zmq.PULL), make(zmq.PULL)
    address = name()
    pull.bind(address)
    push.connect(address)
    push.send(b"1")
    assert recv(pull) == b"1"
    pull.unbind(address)
    other.bind(address)
    push.send(b"2")
    assert recv(pull) == b"2"


@streams
def test_unbind_ends_what_was_connected(make, endpoint):
    push, pull = make(zmq.PUSH), make(zmq.PULL, reconnect_ivl=-1)
    address = endpoint.bind(push)
    endpoint.connect(pull, address)
    push.send(b"1")
    assert recv(pull) == b"1"
    push.unbind(address)
    eventually("nobody to send to", lambda: push.poll(0, zmq.POLLOUT) == 0)


# ---- who is told ----

ACTS = {
    "disconnect": ("connected", lambda sock, address: sock.disconnect(address)),
    "close": ("connected", lambda sock, address: sock.close()),
    "unbind": ("bound", lambda sock, address: sock.unbind(address)),
    "close of the bound": ("bound", lambda sock, address: sock.close()),
}


@streams
@pytest.mark.parametrize("act", ACTS)
def test_the_peer_sees_a_disconnection_and_who_caused_it_does_not(make, endpoint, watch, act):
    who, run = ACTS[act]
    bound, connected = make(zmq.DEALER), make(zmq.DEALER)
    told = {"bound": watch(bound), "connected": watch(connected)}
    address = endpoint.bind(bound)
    endpoint.connect(connected, address)
    connected.send(b"1")
    assert recv(bound) == b"1"
    for events in told.values():
        events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    other = "connected" if who == "bound" else "bound"
    actor = bound if who == "bound" else connected
    act_on(actor, run, address)
    told[other].wait(zmq.EVENT_DISCONNECTED)
    if actor.closed:
        # The last event, so nothing comes after it; helpers.Events keeps what was seen.
        told[who].wait(zmq.EVENT_MONITOR_STOPPED)
        assert "DISCONNECTED" not in told[who].seen
    else:
        assert told[who].silent(zmq.EVENT_DISCONNECTED)
    assert ("CLOSED" in told[who].seen) == (who == "bound")


@fastmq_only("draft options")
@one
@pytest.mark.parametrize("option", ["ROUTER_NOTIFY", "DISCONNECT_MSG"])
@pytest.mark.parametrize("act", ["disconnect", "unbind"])
def test_a_router_is_not_told_of_what_it_ends_itself(make, endpoint, option, act):
    who, run = ACTS[act]
    if endpoint.is_inproc and act == "unbind":
        pytest.skip("ends no connection")
    bound, connected = make(zmq.ROUTER, routing_id=b"B"), make(zmq.ROUTER, routing_id=b"C")
    for sock in (bound, connected):
        if option == "ROUTER_NOTIFY":
            sock.setsockopt(zmq.ROUTER_NOTIFY, zmq.NOTIFY_DISCONNECT)
        else:
            sock.setsockopt(zmq.DISCONNECT_MSG, b"gone")
    bound.setsockopt(zmq.ROUTER_MANDATORY, 1)
    address = endpoint.bind(bound)
    endpoint.connect(connected, address)
    eventually("a route", lambda: reaches(bound, b"C"))
    assert recv_multipart(connected) == [b"B", b"hello"]
    actor, other = (bound, connected) if who == "bound" else (connected, bound)
    act_on(actor, run, address)
    if option == "ROUTER_NOTIFY":
        assert recv_multipart(other)[1] == b""
    elif other is bound:
        assert recv_multipart(other) == [b"C", b"gone"]
    assert nothing_arrives(actor)


def reaches(router, peer):
    try:
        router.send_multipart([peer, b"hello"])
    except zmq.ZMQError:
        return False
    return True


@fastmq_only("a draft option")
@one
@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.PAIR])
def test_only_routers_have_a_disconnect_msg(make, endpoint, watch, kind):
    sock, peer = make(kind), make(kind)
    sock.setsockopt(zmq.DISCONNECT_MSG, b"gone")
    address = endpoint.bind(sock)
    endpoint.connect(peer, address)
    peer.send(b"1")
    assert recv(sock) == b"1"
    peer.close()
    eventually("nobody to send to", lambda: sock.poll(0, zmq.POLLOUT) == 0)
    assert nothing_arrives(sock)


@fastmq_only("a draft option")
def test_only_types_that_say_hello_greet(make, name):
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    push.setsockopt(zmq.HELLO_MSG, b"hello")
    address = name()
    pull.bind(address)
    push.connect(address)
    push.send(b"1")
    assert recv(pull) == b"1"


@pytest.fixture
def stream_pair(make):
    """Two STREAMs that know one another: (bound, id of its peer, connected, id, address)."""
    bound, connected = make(zmq.STREAM), make(zmq.STREAM, reconnect_ivl=10_000)
    bound.bind("tcp://127.0.0.1:*")
    address = last_endpoint(bound)
    connected.connect(address)
    there, here = recv_multipart(bound), recv_multipart(connected)
    assert there[1:] == here[1:] == [b""]
    return bound, there[0], connected, here[0], address


def test_a_stream_is_not_told_that_it_closed_a_peer(stream_pair, watch):
    bound, peer, connected, _, _ = stream_pair
    events = watch(bound)
    act_on(bound, lambda sock, _: sock.send_multipart([peer, b""]))
    wait_readable(connected, "the end")
    assert recv_multipart(connected)[1] == b""
    assert peer not in [frames[0] for frames in received(bound)]
    assert events.silent(zmq.EVENT_DISCONNECTED)


def received(sock):
    frames = []
    while sock.poll(50):
        frames.append(sock.recv_multipart())
    return frames


@pytest.mark.parametrize("act", ["disconnect", "unbind"])
def test_a_stream_is_not_told_of_what_it_ends_itself(stream_pair, act):
    bound, peer, connected, name, address = stream_pair
    if act == "disconnect":
        act_on(connected, lambda sock, _: sock.disconnect(address))
        assert recv_multipart(bound) == [peer, b""]
        assert received(connected) == []
    else:
        act_on(bound, lambda sock, _: sock.unbind(address))
        assert recv_multipart(connected) == [name, b""]
        assert received(bound) == []


@fastmq_only("draft options")
def test_what_a_peer_ends_is_told_as_before(make, stream_pair, watch):
    bound, peer, connected, _, _ = stream_pair
    events = watch(bound)
    connected.close()
    assert recv_multipart(bound) == [peer, b""]
    events.wait(zmq.EVENT_DISCONNECTED, timeout=WAIT_MS)
