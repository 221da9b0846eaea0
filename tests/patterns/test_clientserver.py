# SPDX-License-Identifier: MIT
"""CLIENT, SERVER and PEER: messages of one part, peers by their numbers."""

import errno
import threading

import pytest
import wire
from helpers import (
    eventually,
    fill,
    last_endpoint,
    nothing_arrives,
    raises_errno,
    recv,
    wait_readable,
)
from target import IS_FASTMQ, fastmq_only, zmq

pytestmark = pytest.mark.skipif(not zmq.DRAFT_API, reason="the module has no draft types")

streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)


def recv_frame(sock, what="a message"):
    wait_readable(sock, what)
    return sock.recv(zmq.DONTWAIT, copy=False)


def number_of(server, client, word=b"who"):
    """The routing id under which the server knows the client."""
    client.send(word)
    frame = recv_frame(server, "a client's word")
    assert frame.bytes == word
    return frame.routing_id


# ---- SERVER ----


def test_a_server_answers_each_client_by_its_number(make, endpoint):
    server = make(zmq.SERVER)
    address = endpoint.bind(server)
    clients = [make(zmq.CLIENT) for _ in range(3)]
    for client in clients:
        endpoint.connect(client, address)
    numbers = [number_of(server, client) for client in clients]
    assert len(set(numbers)) == 3
    assert all(0 < n < 2**32 for n in numbers)
    for i in (2, 0, 1):
        server.send(b"to %d" % i, routing_id=numbers[i])
    assert [recv(client) for client in clients] == [b"to 0", b"to 1", b"to 2"]


def test_a_received_frame_is_its_own_answer(pair_of):
    server, client = pair_of(zmq.SERVER, zmq.CLIENT)
    for body in (b"", b"x" * 24, b"x" * 25, b"x" * 1000, b"x" * 100_000):
        client.send(body)
        server.send(recv_frame(server))
        assert recv(client) == body
        client.send(body)
        server.send_multipart([recv_frame(server)])
        assert recv(client) == body


def test_the_routing_id_of_the_call_goes_before_the_frame_s(make, endpoint):
    server, a, b = make(zmq.SERVER), make(zmq.CLIENT), make(zmq.CLIENT)
    address = endpoint.bind(server)
    endpoint.connect(a, address)
    endpoint.connect(b, address)
    to_a, to_b = number_of(server, a), number_of(server, b)
    frame = zmq.Frame(b"x")
    frame.routing_id = to_a
    server.send(frame)
    assert recv(a) == b"x"
    frame = zmq.Frame(b"y")
    frame.routing_id = to_a
    server.send(frame, routing_id=to_b)
    assert recv(b) == b"y"
    assert nothing_arrives(a)


def test_every_form_of_sending_takes_a_routing_id(pair_of):
    server, client = pair_of(zmq.SERVER, zmq.CLIENT)
    number = number_of(server, client)
    server.send_string("string", routing_id=number)
    assert client.recv_string() == "string"
    server.send_json({"a": 1}, routing_id=number)
    assert client.recv_json() == {"a": 1}
    server.send_pyobj([1, 2], routing_id=number)
    assert client.recv_pyobj() == [1, 2]
    server.send(bytearray(b"buffer"), routing_id=number)
    assert recv(client) == b"buffer"
    tracker = server.send(b"z" * 100_000, copy=False, track=True, routing_id=number)
    assert recv(client) == b"z" * 100_000
    tracker.wait(8)


@fastmq_only("has no such keyword or verb")
def test_fastmq_s_own_verbs_carry_routing_ids(pair_of):
    server, client = pair_of(zmq.SERVER, zmq.CLIENT)
    number = number_of(server, client)
    server.send_multipart([b"one"], routing_id=number)
    assert recv(client) == b"one"
    client.send_many([b"1", b"2", b"3"])
    for _ in range(3):
        wait_readable(server, "a message")
        frames = server.recv_many(1, copy=False)
        assert [frame.routing_id for frame in frames] == [number]
        assert server.send_many(frames) == 1
    assert [recv(client) for _ in range(3)] == [b"1", b"2", b"3"]
    client.send(b"4")
    (frame,) = server.recv_multipart(copy=False)
    assert frame.routing_id == frame.get("routing_id") == frame["routing_id"] == number


def test_sending_to_nobody_is_an_error(pair_of):
    server, client = pair_of(zmq.SERVER, zmq.CLIENT)
    number = number_of(server, client)
    with raises_errno(zmq.EHOSTUNREACH):
        server.send(b"x")
    with raises_errno(zmq.EHOSTUNREACH):
        server.send(b"x", routing_id=number + 1)
    with raises_errno(zmq.EHOSTUNREACH):
        server.send(zmq.Frame(b"x"))
    with raises_errno(zmq.EINVAL):
        server.send(b"x", routing_id=0)
    with raises_errno(zmq.EINVAL):
        zmq.Frame(b"x").routing_id = 0
    assert nothing_arrives(client)


@fastmq_only('says "Host unreachable"')
def test_the_error_says_whether_a_number_is_missing_or_unknown(pair_of, make):
    server, client = pair_of(zmq.SERVER, zmq.CLIENT)
    number = number_of(server, client)
    with pytest.raises(zmq.ZMQError, match="no peer has that routing id"):
        server.send(b"x", routing_id=number + 1)
    with pytest.raises(zmq.ZMQError, match="SERVER socket needs the routing id of its peer"):
        server.send(b"x")
    router = make(zmq.ROUTER, router_mandatory=1)
    with pytest.raises(zmq.ZMQError, match="no peer has that routing id"):
        router.send_multipart([b"nobody", b"x"])
    with pytest.raises(zmq.ZMQError, match="no peer has that routing id"):
        make(zmq.STREAM).send_multipart([b"nobody", b"x"])


@fastmq_only("takes any number modulo 2**32, and what is no number as 0")
def test_what_is_no_routing_id_is_refused(pair_of):
    server, _ = pair_of(zmq.SERVER, zmq.CLIENT)
    for wrong in (-1, 2**32, 2**40):
        with pytest.raises(zmq.ZMQError, match="between 1 and 4294967295") as info:
            server.send(b"x", routing_id=wrong)
        assert info.value.errno == zmq.EINVAL
    with pytest.raises(TypeError, match="routing_id must be int, not str"):
        server.send(b"x", routing_id="1")


@fastmq_only("ignores both")
@pytest.mark.parametrize("kind", ["CLIENT", "DEALER", "PUSH"])
def test_types_without_routing_ids_refuse_one(make, kind):
    sock = make(getattr(zmq, kind))
    with pytest.raises(zmq.ZMQError, match="only SERVER and PEER") as info:
        sock.send(b"x", routing_id=1)
    assert info.value.errno == zmq.ENOTSUP


def test_a_frame_of_a_server_may_be_sent_on_by_any_type(make, pair_of, name):
    server, client = pair_of(zmq.SERVER, zmq.CLIENT)
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    pull.bind(at := name())
    push.connect(at)
    client.send(b"x")
    frame = recv_frame(server)
    push.send(frame)
    passed = recv_frame(pull)
    assert passed.bytes == b"x"
    if IS_FASTMQ:  # libzmq hands the number on over inproc
        assert passed.routing_id == 0
        assert frame.routing_id != 0


def test_a_client_that_went_is_unreachable(make, endpoint):
    server, client = make(zmq.SERVER), make(zmq.CLIENT)
    address = endpoint.bind(server)
    endpoint.connect(client, address)
    number = number_of(server, client)
    client.close()

    def gone():
        server.poll(0)  # libzmq sees an end when it looks for messages
        try:
            server.send(b"x", routing_id=number)
        except zmq.ZMQError as e:
            return e.errno == zmq.EHOSTUNREACH
        return False

    eventually("the client's end", gone)


def test_what_a_client_sent_before_it_went_keeps_its_number(make, endpoint):
    server, client = make(zmq.SERVER), make(zmq.CLIENT, linger=10_000)
    endpoint.connect(client, endpoint.bind(server))
    number = number_of(server, client)
    client.send(b"last")
    client.close()
    frame = recv_frame(server)
    assert (frame.bytes, frame.routing_id) == (b"last", number)


def test_a_full_client_makes_the_server_wait(pair_of):
    server, client = pair_of(
        zmq.SERVER,
        zmq.CLIENT,
        {"sndhwm": 5, "sndbuf": 4096, "sndtimeo": 50},
        {"rcvhwm": 5, "rcvbuf": 4096},
    )
    number = number_of(server, client)
    frame = zmq.Frame(bytes(20_000))
    frame.routing_id = number
    sent = 0
    with pytest.raises(zmq.Again):
        while sent < 10_000:
            server.send(frame, zmq.DONTWAIT)
            sent += 1
    with pytest.raises(zmq.Again):
        while sent < 10_000:
            server.send(frame)
            sent += 1
    assert server.poll(0, zmq.POLLOUT) == zmq.POLLOUT  # it is not said for which client
    for _ in range(sent):
        assert len(recv(client)) == 20_000
    server.send(b"end", routing_id=number)
    assert recv(client) == b"end"


def test_a_full_client_holds_up_no_other(make, endpoint):
    server = make(zmq.SERVER, sndhwm=2, sndbuf=4096)
    address = endpoint.bind(server)
    full, other = make(zmq.CLIENT, rcvhwm=2, rcvbuf=4096), make(zmq.CLIENT)
    endpoint.connect(full, address)
    endpoint.connect(other, address)
    to_full, to_other = number_of(server, full), number_of(server, other)
    frame = zmq.Frame(bytes(100_000))
    frame.routing_id = to_full
    with pytest.raises(zmq.Again):
        for _ in range(1000):
            server.send(frame, zmq.DONTWAIT)
    server.send(b"hello", routing_id=to_other)
    assert recv(other) == b"hello"


# ---- CLIENT ----


def test_a_client_deals_to_its_servers_in_turn(make, endpoint):
    client = make(zmq.CLIENT)
    servers = [make(zmq.SERVER) for _ in range(2)]
    for server in servers:
        endpoint.connect(client, endpoint.bind(server))
    reached = set()

    def both():
        client.send(b"?")
        reached.update(i for i, server in enumerate(servers) if server.poll(5))
        return len(reached) == 2

    eventually("both servers", both)
    for server in servers:
        while server.poll(20):
            server.recv()
    for i in range(6):
        client.send(b"%d" % i)
    got = [sorted(recv(server) for _ in range(3)) for server in servers]
    assert sorted(got) == [[b"0", b"2", b"4"], [b"1", b"3", b"5"]]


def test_a_client_receives_from_all_servers(make, endpoint):
    client = make(zmq.CLIENT)
    servers = [make(zmq.SERVER) for _ in range(2)]
    for server in servers:
        endpoint.connect(client, endpoint.bind(server))
    waiting = set(servers)
    while waiting:  # each server has to hear of the client before it can answer
        client.send(b"?")
        for server in list(waiting):
            if server.poll(5):
                server.send(recv_frame(server))
                waiting.discard(server)
    assert [recv(client), recv(client)] == [b"?", b"?"]


def test_a_client_without_a_server_waits(make):
    client = make(zmq.CLIENT, sndtimeo=20)
    assert client.poll(0, zmq.POLLOUT) == 0
    with pytest.raises(zmq.Again):
        client.send(b"x", zmq.DONTWAIT)
    with pytest.raises(zmq.Again):
        client.send(b"x")


def test_a_connecting_client_queues_up_to_its_mark(make, endpoint):
    client = make(zmq.CLIENT, sndhwm=3, reconnect_ivl=20)
    server = make(zmq.SERVER)
    address = endpoint.fixed()
    endpoint.connect(client, address)
    sent = fill(client)
    assert sent == 3 or endpoint.is_inproc
    endpoint.bind(server, address)
    for _ in range(sent):
        assert recv(server) == b"x"


def test_a_client_may_be_the_side_that_binds(pair_of):
    client, server = pair_of(zmq.CLIENT, zmq.SERVER)
    number = number_of(server, client)
    server.send(b"answer", routing_id=number)
    assert recv(client) == b"answer"


@streams
def test_a_client_keeps_its_messages_over_a_reconnection(make, endpoint, watch):
    client = make(zmq.CLIENT, reconnect_ivl=20)
    events = watch(client)
    address = endpoint.fixed()
    for round_number in range(2):
        server = make(zmq.SERVER)
        eventually("a free address", lambda s=server: binds(endpoint, s, address))
        if round_number == 0:
            endpoint.connect(client, address)
        number = number_of(server, client, b"round %d" % round_number)
        server.send(b"answer", routing_id=number)
        assert recv(client) == b"answer"
        server.close()
        events.wait(zmq.EVENT_DISCONNECTED)
    client.send(b"queued")
    server = make(zmq.SERVER)
    eventually("a free address", lambda: binds(endpoint, server, address))
    assert recv(server) == b"queued"


def binds(endpoint, sock, address):
    try:
        endpoint.bind(sock, address)
    except zmq.ZMQError:
        return False
    return True


@pytest.mark.parametrize("name", ["CLIENT", "SERVER"])
def test_other_types_are_refused(make, watch, name):
    sock = make(getattr(zmq, name))
    events = watch(sock)
    sock.bind("tcp://127.0.0.1:*")
    dealer = make(zmq.DEALER)
    dealer.connect(last_endpoint(sock))
    # Either side may be the first to see it.
    events.wait(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_DISCONNECTED)
    assert "HANDSHAKE_SUCCEEDED" not in events.seen


def test_threads_share_a_server_and_a_client(pair_of):
    server, client = pair_of(zmq.SERVER, zmq.CLIENT)
    server.setsockopt(zmq.RCVTIMEO, 20_000)
    client.setsockopt(zmq.RCVTIMEO, 20_000)
    count, threads = 200, 4
    got = []

    def serve():
        while True:
            frame = server.recv(copy=False)
            if frame.bytes == b"stop":
                return
            server.send(frame)

    def ask(k):
        for i in range(count):
            client.send(b"%d.%d" % (k, i))
        for _ in range(count):
            got.append(client.recv())

    workers = [threading.Thread(target=serve) for _ in range(threads)]
    askers = [threading.Thread(target=ask, args=(k,)) for k in range(threads)]
    for thread in workers + askers:
        thread.start()
    for thread in askers:
        thread.join()
    for _ in workers:
        client.send(b"stop")
    for thread in workers:
        thread.join()
    assert sorted(got) == sorted(b"%d.%d" % (k, i) for k in range(threads) for i in range(count))


# ---- the messages of a connection's beginning and end ----


def test_a_server_s_hello_greets_each_client(make, endpoint):
    server = make(zmq.SERVER)
    server.setsockopt(zmq.HELLO_MSG, b"welcome")
    address = endpoint.bind(server)
    for _ in range(2):
        client = make(zmq.CLIENT)
        endpoint.connect(client, address)
        assert recv(client) == b"welcome"


def test_a_client_s_hello_greets_the_server(make, endpoint):
    server, client = make(zmq.SERVER), make(zmq.CLIENT)
    client.setsockopt(zmq.HELLO_MSG, b"here I am")
    endpoint.connect(client, endpoint.bind(server))
    frame = recv_frame(server)
    assert frame.bytes == b"here I am"
    server.send(frame)
    assert recv(client) == b"here I am"


def test_a_disconnect_msg_has_the_number_of_the_client_that_went(make, endpoint):
    server = make(zmq.SERVER)
    server.setsockopt(zmq.DISCONNECT_MSG, b"gone")
    address = endpoint.bind(server)
    clients = [make(zmq.CLIENT) for _ in range(2)]
    for client in clients:
        endpoint.connect(client, address)
    numbers = [number_of(server, client) for client in clients]
    clients[1].close()
    frame = recv_frame(server)
    assert (frame.bytes, frame.routing_id) == (b"gone", numbers[1])


@streams
def test_a_hiccup_msg_tells_a_client_of_a_lost_connection(make, endpoint):
    server, client = make(zmq.SERVER), make(zmq.CLIENT)
    client.setsockopt(zmq.HICCUP_MSG, b"hiccup")
    endpoint.connect(client, endpoint.bind(server))
    number_of(server, client)
    server.close()
    assert recv(client) == b"hiccup"


@fastmq_only("has no such verb")
@streams
def test_pipes_stats_are_told_of_a_server_s_clients(make, endpoint):
    import struct

    server, client = make(zmq.SERVER), make(zmq.CLIENT)
    at = "inproc://stats"
    server.monitor(at, zmq.EVENT_PIPES_STATS, version=2)
    told = make(zmq.PAIR)
    told.connect(at)
    with pytest.raises(zmq.Again):
        server.monitor_stats()
    endpoint.connect(client, endpoint.bind(server))
    client.send(b"1")
    client.send(b"2")
    wait_readable(server, "messages")
    eventually("both", lambda: server.stats().queued_in == 2)
    server.monitor_stats()
    event, count, outbound, inbound, *_ = told.recv_multipart()
    assert [struct.unpack("=Q", frame)[0] for frame in (event, count, outbound, inbound)] == [
        zmq.EVENT_PIPES_STATS,
        2,
        0,
        2,
    ]


# ---- PEER ----

peer_only = fastmq_only("pyzmq has no connect_peer")


@peer_only
def test_connect_peer_gives_the_number_of_the_peer(make, endpoint):
    a, b = make(zmq.PEER), make(zmq.PEER)
    address = endpoint.bind(a)
    endpoint.prepare(b)
    number = b.connect_peer(address)
    assert 0 < number < 2**32
    b.send(b"hello", routing_id=number)
    frame = recv_frame(a)
    assert frame.bytes == b"hello"
    a.send(b"answer", routing_id=frame.routing_id)
    frame = recv_frame(b)
    assert (frame.bytes, frame.routing_id) == (b"answer", number)


@peer_only
def test_a_peer_knows_several_by_their_numbers(make, endpoint):
    me = make(zmq.PEER)
    others = [make(zmq.PEER) for _ in range(3)]
    endpoint.prepare(me)
    numbers = [me.connect_peer(endpoint.bind(other)) for other in others]
    assert len(set(numbers)) == 3
    for i in (2, 0, 1):
        me.send(b"%d" % i, routing_id=numbers[i])
    for i, other in enumerate(others):
        frame = recv_frame(other)
        assert frame.bytes == b"%d" % i
        other.send(frame)
    got = {(f.bytes, f.routing_id) for f in (recv_frame(me) for _ in range(3))}
    assert got == {(b"%d" % i, numbers[i]) for i in range(3)}


@peer_only
@streams
def test_a_peer_s_number_lasts_over_a_reconnection(make, endpoint):
    a, b = make(zmq.PEER), make(zmq.PEER, reconnect_ivl=20)
    b.setsockopt(zmq.HICCUP_MSG, b"hiccup")
    address = endpoint.fixed()
    endpoint.bind(a, address)
    number = b.connect_peer(address)
    b.send(b"1", routing_id=number)
    assert recv(a) == b"1"
    a.close()
    frame = recv_frame(b)
    assert (frame.bytes, frame.routing_id) == (b"hiccup", number)
    b.send(b"2", routing_id=number)
    other = make(zmq.PEER)
    eventually("a free address", lambda: binds(endpoint, other, address))
    frame = recv_frame(other)
    assert frame.bytes == b"2"
    other.send(frame)
    assert recv_frame(b).routing_id == number


@peer_only
def test_disconnect_peer_ends_a_connection_that_was_made(make, endpoint):
    a, b = make(zmq.PEER), make(zmq.PEER)
    a.setsockopt(zmq.DISCONNECT_MSG, b"gone")
    b.setsockopt(zmq.DISCONNECT_MSG, b"gone")
    address = endpoint.bind(a)
    endpoint.prepare(b)
    number = b.connect_peer(address)
    b.send(b"hello", routing_id=number)
    here = recv_frame(a).routing_id
    b.disconnect_peer(number)
    with raises_errno(zmq.EHOSTUNREACH):
        b.send(b"x", routing_id=number)
    with raises_errno(zmq.EHOSTUNREACH):
        b.disconnect_peer(number)
    frame = recv_frame(a)
    assert (frame.bytes, frame.routing_id) == (b"gone", here)
    assert nothing_arrives(b)  # it knows what it did
    with raises_errno(errno.ENOENT):
        b.disconnect(address)


@peer_only
@pytest.mark.parametrize("kinds", [("SERVER", "CLIENT"), ("PEER", "PEER")])
def test_disconnect_peer_ends_a_connection_that_was_accepted(make, endpoint, kinds):
    server, client = (make(getattr(zmq, kind), reconnect_ivl=10_000) for kind in kinds)
    address = endpoint.bind(server)
    endpoint.prepare(client)
    if kinds[1] == "PEER":
        client.setsockopt(zmq.DISCONNECT_MSG, b"gone")
        client.send(b"who", routing_id=client.connect_peer(address))
    else:
        client.setsockopt(zmq.HICCUP_MSG, b"gone")
        client.connect(address)
        client.send(b"who")
    number = recv_frame(server).routing_id
    server.disconnect_peer(number)
    with raises_errno(zmq.EHOSTUNREACH):
        server.send(b"x", routing_id=number)
    eventually("no peer", lambda: client.stats().peers == 0)
    eventually("no peer", lambda: server.stats().peers == 0)


@peer_only
@streams
def test_disconnect_peer_lets_out_what_is_queued(make, endpoint):
    server, client = make(zmq.SERVER, linger=10_000), make(zmq.CLIENT, reconnect_ivl=10_000)
    endpoint.connect(client, endpoint.bind(server))
    number = number_of(server, client)
    for i in range(100):
        server.send(b"%d" % i, routing_id=number)
    server.disconnect_peer(number)
    assert [recv(client) for _ in range(100)] == [b"%d" % i for i in range(100)]


@peer_only
def test_disconnect_peer_drops_what_is_not_received(make, endpoint):
    server, client = make(zmq.SERVER), make(zmq.CLIENT)
    endpoint.connect(client, endpoint.bind(server))
    number = number_of(server, client)
    client.send(b"unread")
    wait_readable(server, "a message")
    server.disconnect_peer(number)
    assert nothing_arrives(server)


@peer_only
def test_a_peer_that_is_not_connected_yet_may_be_disconnected(make, endpoint):
    b = make(zmq.PEER, reconnect_ivl=20)
    endpoint.prepare(b)
    address = endpoint.fixed()
    number = b.connect_peer(address)
    b.send(b"queued", routing_id=number)
    b.disconnect_peer(number)
    with raises_errno(zmq.EHOSTUNREACH):
        b.send(b"x", routing_id=number)
    a = make(zmq.PEER)
    endpoint.bind(a, address)
    number = b.connect_peer(address)
    b.send(b"anew", routing_id=number)
    got = recv(a)
    assert got == (b"queued" if endpoint.is_inproc and got == b"queued" else b"anew")


@peer_only
def test_connect_peer_needs_its_pipe_at_once(make, endpoint):
    b = make(zmq.PEER, immediate=1)
    with raises_errno(zmq.EFAULT):
        b.connect_peer("tcp://127.0.0.1:1")
    b.setsockopt(zmq.IMMEDIATE, 0)
    with raises_errno(zmq.EINVAL):
        b.connect_peer("tcp://127.0.0.1")
    with raises_errno(zmq.EPROTONOSUPPORT):
        b.connect_peer("abc://x")
    with pytest.raises(TypeError):
        b.connect_peer(5)


@peer_only
@pytest.mark.parametrize("name", ["SERVER", "CLIENT", "ROUTER", "PAIR", "CHANNEL"])
def test_other_types_have_no_connect_peer(make, name):
    sock = make(getattr(zmq, name))
    with pytest.raises(zmq.ZMQError, match=f"a {name} socket has no") as info:
        sock.connect_peer("tcp://127.0.0.1:1")
    assert info.value.errno == zmq.ENOTSUP
    if name != "SERVER":
        with raises_errno(zmq.ENOTSUP):
            sock.disconnect_peer(1)
    with pytest.raises(TypeError, match="routing_id must be int"):
        sock.disconnect_peer("1")
    with raises_errno(zmq.EINVAL):
        sock.disconnect_peer(0)


def test_a_peer_may_connect_without_learning_the_number(pair_of):
    a, b = pair_of(zmq.PEER, zmq.PEER)
    with raises_errno(zmq.EHOSTUNREACH):
        b.send(b"x")
    assert a.poll(0, zmq.POLLOUT) == zmq.POLLOUT


# ---- on the wire ----


@pytest.mark.parametrize(
    ("kind", "other"),
    [("SERVER", "CLIENT"), ("CLIENT", "SERVER"), ("PEER", "PEER"), ("CHANNEL", "CHANNEL")],
)
def test_the_handshake_names_the_type_and_no_identity(make, kind, other):
    sock = make(getattr(zmq, kind))
    sock.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(sock)) as peer:
        peer.handshake(other)
        peer.peer_props.pop("X-Fastmq-Shm", None)  # where connections go into shared memory
        assert peer.peer_props == {"Socket-Type": kind.encode()}
        peer.send_message(b"hello")
        frame = recv_frame(sock)
        assert frame.bytes == b"hello"
        sock.send(frame)
        assert peer.read_frame() == (0, b"hello")  # the number stays here


@pytest.mark.parametrize(("kind", "number"), [("CLIENT", 13), ("SERVER", 12)])
def test_zmtp_2_names_the_type_by_its_number(make, kind, number):
    sock = make(getattr(zmq, kind))
    sock.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(sock), (2, 0)) as peer:
        peer.handshake("SERVER" if kind == "CLIENT" else "CLIENT")
        assert peer.peer_type == number
        peer.send_message(b"x")
        assert recv(sock) == b"x"


@fastmq_only("has no peers()")
def test_peers_tells_the_numbers(make, endpoint):
    server = make(zmq.SERVER)
    address = endpoint.bind(server)
    clients = [make(zmq.CLIENT) for _ in range(2)]
    for client in clients:
        endpoint.connect(client, address)
    numbers = {number_of(server, client) for client in clients}
    assert {peer.routing_id for peer in server.peers()} == numbers
    assert [peer.routing_id for peer in clients[0].peers()] == [None]
    a, b = make(zmq.PEER), make(zmq.PEER)
    endpoint.prepare(b)
    number = b.connect_peer(endpoint.bind(a))
    assert [peer.routing_id for peer in b.peers()] == [number]
