# SPDX-License-Identifier: MIT
import socket

import pytest
import wire
from helpers import bind_when_free, last_endpoint, recv, recv_multipart
from target import fastmq_only, zmq


def rebind(make, kind, address, **options):
    sock = make(kind, **options)
    bind_when_free(sock, address)
    return sock


def waits(events, n):
    return [events.wait(zmq.EVENT_CONNECT_RETRIED)[1] for _ in range(n)]


def test_the_interval_is_jittered_up_to_twice(make, watch, endpoint):
    if endpoint.is_inproc:
        pytest.skip("nothing to reconnect")
    push = make(zmq.PUSH, reconnect_ivl=10)
    events = watch(push)
    endpoint.connect(push, endpoint.fixed())
    assert all(10 <= w <= 20 for w in waits(events, 6))


def test_the_interval_doubles_up_to_the_maximum(make, watch):
    push = make(zmq.PUSH, reconnect_ivl=5, reconnect_ivl_max=40)
    events = watch(push)
    push.connect("tcp://127.0.0.1:9")
    assert waits(events, 5) == [5, 10, 20, 40, 40]


@pytest.mark.parametrize("interval", [-1])
def test_no_interval_no_second_attempt(make, watch, interval):
    push = make(zmq.PUSH, reconnect_ivl=interval)
    events = watch(push)
    push.connect("tcp://127.0.0.1:9")
    events.wait(zmq.EVENT_CLOSED)
    assert events.silent(zmq.EVENT_CONNECT_RETRIED, zmq.EVENT_CONNECT_DELAYED)


def test_the_interval_starts_anew_after_a_success(make, watch):
    with wire.Listener() as server:
        push = make(zmq.PUSH, reconnect_ivl=5, reconnect_ivl_max=1000)
        events = watch(push)
        push.connect(server.address)
        for _ in range(3):
            with server.accept() as w:
                w.handshake("PULL")
                events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)
            assert events.wait(zmq.EVENT_CONNECT_RETRIED)[1] == 5


@pytest.mark.parametrize("endpoint", ["tcp", "tcp6", "ipc", "ipc-abstract"], indirect=True)
def test_traffic_goes_on_after_the_server_came_back(make, endpoint, watch):
    server = make(zmq.ROUTER)
    address = endpoint.bind(server)
    client = make(zmq.DEALER, routing_id=b"C", reconnect_ivl=10)
    events = watch(client)
    endpoint.connect(client, address)
    for turn in range(3):
        client.send(b"%d" % turn)
        assert recv_multipart(server) == [b"C", b"%d" % turn]
        server.send_multipart([b"C", b"re"])
        assert recv(client) == b"re"
        server.close()
        events.wait(zmq.EVENT_DISCONNECTED)
        options = {"ipv6": 1} if endpoint.kind == "tcp6" else {}
        server = rebind(make, zmq.ROUTER, address, **options)


def test_messages_queued_while_away_are_delivered(make, watch):
    server = make(zmq.PULL)
    server.bind("tcp://127.0.0.1:*")
    address = last_endpoint(server)
    push = make(zmq.PUSH, reconnect_ivl=10)
    events = watch(push)
    push.connect(address)
    push.send(b"first")
    assert recv(server) == b"first"
    server.close()
    events.wait(zmq.EVENT_DISCONNECTED)
    for i in range(20):
        push.send(b"%d" % i)
    server = rebind(make, zmq.PULL, address)
    assert [recv(server) for _ in range(20)] == [b"%d" % i for i in range(20)]


def test_a_message_is_never_cut_in_two_by_a_reconnect(make):
    """The connection breaks in the middle of a large multipart message: whole ones only arrive."""
    with wire.Listener() as server:
        # Small buffers: the kernel must not take the whole message before the connection breaks.
        server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        push = make(zmq.PUSH, reconnect_ivl=10, sndbuf=65536)
        push.connect(server.address)
        message = [b"head", bytes(3_000_000), b"tail"]
        push.send_multipart(message)
        push.send_multipart([b"next", b"one"])
        with server.accept() as w:
            w.handshake("PULL")
            w.read(1000)
        with server.accept() as w:
            w.handshake("PULL")
            got = w.read_message()
            # The broken one may be sent again from its start, or be lost; never its tail alone.
            assert got in (message, [b"next", b"one"])


def test_half_received_messages_are_dropped_on_a_break(make):
    with wire.Listener() as server:
        pull = make(zmq.PULL, reconnect_ivl=10)
        pull.connect(server.address)
        with server.accept() as w:
            w.handshake("PUSH")
            w.send(wire.frame(b"half", wire.MORE))
        with server.accept() as w:
            w.handshake("PUSH")
            w.send_message(b"whole", b"one")
            assert recv_multipart(pull) == [b"whole", b"one"]


def test_stop_when_refused(make, watch):
    push = make(zmq.PUSH, reconnect_ivl=10, reconnect_stop=zmq.RECONNECT_STOP_CONN_REFUSED)
    events = watch(push)
    push.connect("tcp://127.0.0.1:9")
    events.wait(zmq.EVENT_CLOSED)
    assert events.silent(zmq.EVENT_CONNECT_RETRIED)


def test_stop_when_the_handshake_failed(make, watch):
    stop = getattr(zmq, "RECONNECT_STOP_HANDSHAKE_FAILED", 2)
    with wire.Listener() as server:
        push = make(zmq.PUSH, reconnect_ivl=10, reconnect_stop=stop)
        events = watch(push)
        push.connect(server.address)
        with server.accept() as w:
            w.greet()
        events.wait(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
        assert events.silent(zmq.EVENT_CONNECT_RETRIED)


def test_stop_flags_for_one_reason_leave_others_alone(make, watch):
    stop = getattr(zmq, "RECONNECT_STOP_HANDSHAKE_FAILED", 2)
    push = make(zmq.PUSH, reconnect_ivl=10, reconnect_stop=stop)
    events = watch(push)
    push.connect("tcp://127.0.0.1:9")
    waits(events, 2)


@fastmq_only("needs RECONNECT_STOP_AFTER_DISCONNECT")
def test_disconnect_ends_the_attempts(make, watch):
    push = make(zmq.PUSH, reconnect_ivl=10)
    events = watch(push)
    push.connect("tcp://127.0.0.1:9")
    waits(events, 2)
    push.disconnect("tcp://127.0.0.1:9")
    # One that was under way may still be told.
    while events.pair.poll(50):
        events.next()
    assert events.silent(zmq.EVENT_CONNECT_DELAYED, zmq.EVENT_CONNECT_RETRIED)


def test_a_frozen_peer_is_left_by_heartbeat_and_found_again(make, watch):
    with wire.Listener() as server:
        push = make(zmq.PUSH, reconnect_ivl=10, heartbeat_ivl=20, heartbeat_timeout=60)
        events = watch(push)
        push.connect(server.address)
        with server.accept() as frozen:
            frozen.handshake("PULL")
            events.wait(zmq.EVENT_DISCONNECTED)
            with server.accept() as w:
                w.handshake("PULL")
                push.send(b"hello again")
                while (got := w.read_frame())[0] & wire.COMMAND:
                    continue
                assert got == (0, b"hello again")


def test_closing_while_reconnecting_is_quick(make, endpoint):
    for _ in range(10):
        push = make(zmq.PUSH, reconnect_ivl=1)
        endpoint.connect(push, endpoint.fixed())
        push.send(b"lost")
        push.close()
