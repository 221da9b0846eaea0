# SPDX-License-Identifier: MIT
import errno
import socket

import pytest
import wire
from helpers import (
    QUIET_MS,
    drain,
    eventually,
    last_endpoint,
    nothing_arrives,
    raises_errno,
    recv_multipart,
)
from security import needs_curve
from target import fastmq_only, zmq

KEY = bytes(range(32))


@pytest.fixture
def server(make, tcp_address):
    """server(**options): a bound STREAM and a function that opens plain connections to it."""
    opened = []

    def new(**options):
        stream = make(zmq.STREAM, **options)
        stream.bind(tcp_address)
        port = int(last_endpoint(stream).rsplit(":", 1)[1])

        def connect():
            opened.append(socket.create_connection(("127.0.0.1", port), 8))
            return opened[-1]

        return stream, connect

    yield new
    for s in opened:
        s.close()


def read(sock, n):
    got = b""
    while len(got) < n:
        piece = sock.recv(n - len(got))
        assert piece, "closed too early"
        got += piece
    return got


def test_connections_announce_themselves_and_their_end(server):
    stream, connect = server()
    s = connect()
    peer, empty = recv_multipart(stream)
    assert empty == b"" and len(peer) == 5 and peer[0] == 0
    s.close()
    assert recv_multipart(stream) == [peer, b""]


def test_routing_id_tells_what_the_latest_peer_was_given(make, server):
    stream, connect = server()
    assert stream.routing_id == b""
    for _ in range(2):
        connect()
        peer, _ = recv_multipart(stream)
        assert stream.routing_id == peer


def test_a_name_of_ones_own_is_not_shown_as_routing_id(make, server):
    bound, _ = server()
    stream = make(zmq.STREAM)
    stream.setsockopt(zmq.CONNECT_ROUTING_ID, b"web")
    stream.connect(last_endpoint(bound))
    assert recv_multipart(stream) == [b"web", b""]
    assert stream.routing_id == b""


def test_bytes_go_both_ways(server):
    stream, connect = server()
    s = connect()
    peer, _ = recv_multipart(stream)
    s.sendall(b"hello")
    assert recv_multipart(stream) == [peer, b"hello"]
    stream.send_multipart([peer, b"world"])
    assert read(s, 5) == b"world"


def test_no_greeting_is_sent(server):
    stream, connect = server()
    s = connect()
    peer, _ = recv_multipart(stream)
    stream.send_multipart([peer, b"x"])
    assert s.recv(100) == b"x"


def test_sending_nothing_closes_the_connection(server):
    stream, connect = server()
    s = connect()
    peer, _ = recv_multipart(stream)
    stream.send_multipart([peer, b"last"])
    assert read(s, 4) == b"last"
    stream.send_multipart([peer, b""])
    stream.poll(QUIET_MS)  # libzmq closes on the next call
    assert s.recv(1) == b""


def test_large_input_comes_in_pieces_of_bounded_size(server):
    stream, connect = server()
    s = connect()
    peer, _ = recv_multipart(stream)
    data = bytes(i % 251 for i in range(100_000))
    s.sendall(data)
    got = b""
    while len(got) < len(data):
        frames = recv_multipart(stream)
        assert frames[0] == peer and len(frames) == 2
        assert 0 < len(frames[1]) <= 8192
        got += frames[1]
    assert got == data


def test_large_output_arrives_whole(server):
    stream, connect = server()
    s = connect()
    peer, _ = recv_multipart(stream)
    data = bytes(i % 251 for i in range(300_000))
    stream.send_multipart([peer, data])
    assert read(s, len(data)) == data


def test_peers_are_told_apart(server):
    stream, connect = server()
    a = connect()
    a_id, _ = recv_multipart(stream)
    b = connect()
    b_id, _ = recv_multipart(stream)
    assert a_id != b_id
    stream.send_multipart([b_id, b"to b"])
    stream.send_multipart([a_id, b"to a"])
    assert read(a, 4) == b"to a"
    assert read(b, 4) == b"to b"


def test_unknown_id_is_unreachable(server):
    stream, _ = server()
    with raises_errno(zmq.EHOSTUNREACH):
        stream.send_multipart([b"\0none", b"x"])


def test_notify_can_be_turned_off(server):
    stream, connect = server(stream_notify=0)
    s = connect()
    s.sendall(b"x")
    frames = recv_multipart(stream)
    assert frames[1] == b"x"
    s.close()
    assert drain(stream) == []


def test_stream_connects_to_a_plain_server(make):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(8)
        stream = make(zmq.STREAM)
        stream.connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        own = stream.getsockopt(zmq.ROUTING_ID)
        conn, _ = listener.accept()
        with conn:
            conn.settimeout(8)
            assert recv_multipart(stream) == [own, b""]
            stream.send_multipart([own, b"GET"])
            assert read(conn, 3) == b"GET"
            conn.sendall(b"200")
            assert recv_multipart(stream) == [own, b"200"]


def test_connect_routing_id_names_the_connection(make):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(8)
        stream = make(zmq.STREAM)
        stream.setsockopt(zmq.CONNECT_ROUTING_ID, b"web")
        stream.connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        conn, _ = listener.accept()
        with conn:
            assert recv_multipart(stream) == [b"web", b""]
            conn.sendall(b"x")
            assert recv_multipart(stream) == [b"web", b"x"]


def test_two_streams_talk(make, server):
    stream, _ = server()
    client = make(zmq.STREAM)
    client.connect(last_endpoint(stream))
    peer, _ = recv_multipart(stream)
    mine, _ = recv_multipart(client)
    client.send_multipart([mine, b"ping"])
    assert recv_multipart(stream) == [peer, b"ping"]
    stream.send_multipart([peer, b"pong"])
    assert recv_multipart(client) == [mine, b"pong"]


def test_sending_to_a_peer_that_left_is_an_error_soon(server):
    stream, connect = server()
    s = connect()
    peer, _ = recv_multipart(stream)
    s.close()
    assert recv_multipart(stream) == [peer, b""]

    def unreachable():
        stream.poll(0)  # libzmq learns of it here
        try:
            stream.send_multipart([peer, b"x"], zmq.DONTWAIT)
        except zmq.ZMQError as e:
            return e.errno == zmq.EHOSTUNREACH
        return False

    eventually("EHOSTUNREACH", unreachable)


def test_sndmore_on_the_data_does_not_matter(server):
    stream, connect = server()
    s = connect()
    peer, _ = recv_multipart(stream)
    stream.send(peer, zmq.SNDMORE)
    stream.send(b"a", zmq.SNDMORE)
    stream.send(peer, zmq.SNDMORE)
    stream.send(b"b", zmq.SNDMORE)
    assert read(s, 2) == b"ab"


@fastmq_only("has no Peer-Address for raw connections in some versions")
def test_received_frames_tell_the_address(server):
    stream, connect = server()
    s = connect()
    recv_multipart(stream)
    s.sendall(b"x")
    assert stream.poll(8000)
    frames = stream.recv_multipart(copy=False)
    assert frames[-1].get("Peer-Address") == "127.0.0.1"


# ---- security, which needs ZMTP ----

SECURED = {
    "PLAIN server": {"plain_server": 1},
    "PLAIN client": {"plain_username": b"bob", "plain_password": b"secret"},
    "CURVE server": {"curve_secretkey": KEY, "curve_server": 1},
    "CURVE client": {"curve_secretkey": KEY, "curve_serverkey": KEY},
    "ZAP_ENFORCE_DOMAIN": {"zap_enforce_domain": 1},
    "ZAP_DOMAIN": {"zap_domain": b"somewhere"},
}
secured = pytest.mark.parametrize(
    "options",
    [
        pytest.param(options, id=name, marks=needs_curve if "CURVE" in name else ())
        for name, options in SECURED.items()
    ],
)


@fastmq_only("libzmq serves everybody in the clear")
@secured
@pytest.mark.parametrize("kind, more", [(zmq.STREAM, {}), (zmq.ROUTER, {"router_raw": 1})])
def test_security_is_not_to_be_had_without_zmtp(make, tmp_path, kind, more, options):
    for address in ("tcp://127.0.0.1:*", f"ipc://{tmp_path}/s"):
        sock = make(kind, **more, **options)
        with pytest.raises(zmq.ZMQError, match="STREAM or ROUTER_RAW") as error:
            sock.bind(address)
        assert error.value.errno == zmq.EINVAL
        with pytest.raises(zmq.ZMQError, match="STREAM or ROUTER_RAW"):
            sock.connect(address.replace("*", "9"))


@fastmq_only("libzmq serves everybody in the clear")
@secured
def test_security_that_is_set_later_keeps_everybody_out_of_a_stream(make, watch, options):
    """Of options that change the next connections take notice."""
    stream = make(zmq.STREAM)
    events = watch(stream)
    stream.bind("tcp://127.0.0.1:*")
    for name, value in options.items():
        stream.setsockopt(getattr(zmq, name.upper()), value)
    with wire.connect(last_endpoint(stream)) as w:
        assert events.wait(zmq.EVENT_ACCEPT_FAILED)[1] == errno.EINVAL
        w.wait_closed()


@fastmq_only("libzmq serves everybody in the clear")
def test_a_secured_router_that_becomes_raw_serves_nobody(make, watch):
    router = make(zmq.ROUTER, plain_server=1)
    events = watch(router)
    router.bind("tcp://127.0.0.1:*")
    router.router_raw = 1
    with wire.connect(last_endpoint(router)) as w:
        assert events.wait(zmq.EVENT_ACCEPT_FAILED)[1] == errno.EINVAL
        w.wait_closed()
    assert nothing_arrives(router)


@fastmq_only("libzmq serves everybody in the clear")
def test_a_connecting_stream_that_is_secured_later_connects_no_more(make, watch):
    stream = make(zmq.STREAM, reconnect_ivl=5)
    events = watch(stream)
    with wire.Listener() as server:
        stream.connect(server.address)
        server.accept().close()
        events.wait(zmq.EVENT_DISCONNECTED)
        stream.plain_username = b"bob"
        with server.accept() as w:
            w.wait_closed()
        events.wait(zmq.EVENT_CLOSED)
        events.wait(zmq.EVENT_CONNECT_RETRIED)


def test_a_stream_is_bound_when_its_security_is_taken_back(make):
    stream = make(zmq.STREAM, plain_server=1)
    stream.plain_server = 0
    stream.bind("tcp://127.0.0.1:*")
