# SPDX-License-Identifier: MIT
"""PLAIN, and what a ZAP handler says: statuses, metadata, malformed and missing replies."""

import errno
import os
import socket as pysocket
import struct
import sys

import pytest
import wire
from helpers import (
    HANDSHAKE_FAILURES,
    Events,
    eventually,
    last_endpoint,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
)
from security import (
    Handler,
    Keys,
    curve_client,
    curve_server,
    needs_curve,
    ok,
    plain_client,
    reply,
)
from target import IS_FASTMQ, fastmq_only, submodule, zmq

AUTH = zmq.EVENT_HANDSHAKE_FAILED_AUTH
PROTOCOL = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
NO_DETAIL = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
OUTCOMES = (*HANDSHAKE_FAILURES, zmq.EVENT_HANDSHAKE_SUCCEEDED)

networks = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)


class Pair:
    """A server and a client that tries to connect to it, both watched."""

    def __init__(self, make, watch, server_options, client_options, address="tcp://127.0.0.1:*"):
        self.server = make(zmq.DEALER, **server_options)
        self.at_server: Events = watch(self.server)
        self.server.bind(address)
        self.client = make(zmq.DEALER, **client_options)
        self.at_client: Events = watch(self.client)
        self.client.connect(last_endpoint(self.server))

    def works(self):
        self.client.send(b"ping")
        assert recv(self.server) == b"ping"
        self.server.send(b"pong")
        return recv(self.client) == b"pong"

    def outcome(self):
        """(event, value) at the server and at the client."""
        return self.at_server.wait(*OUTCOMES)[:2], self.at_client.wait(*OUTCOMES)[:2]


@pytest.fixture
def plain(make, watch):
    def new(server=None, client=None, **more):
        return Pair(
            make,
            watch,
            {"plain_server": 1, "zap_domain": b"test", **(server or {})},
            client or plain_client(),
            **more,
        )

    return new


@networks
def test_plain_shows_name_and_password_and_the_user_id_comes_with_messages(
    handler,
    make,
    watch,
    plain,
    endpoint,
):
    judge = handler(lambda q: reply(q, user=b"bob", metadata=wire.prop(b"X-Role", b"boss")))
    pair = plain({"routing_id": b"srv"}, address=endpoint.wildcard)
    assert pair.works()
    version, request_id, domain, address, identity, mechanism, *shown = judge.asked()
    assert (version, domain, identity, mechanism) == (b"1.0", b"test", b"srv", b"PLAIN")
    assert request_id
    assert shown == [b"admin", b"secret"]
    if endpoint.kind == "tcp":
        assert address == b"127.0.0.1"
    else:
        assert address.startswith(b"localhost:%d:%d:" % (os.getuid(), os.getgid()))
    pair.client.send(b"again")
    frame = pair.server.recv(copy=False)
    assert (frame.get("User-Id"), frame.get("X-Role")) == ("bob", "boss")
    assert frame["User-Id"] == "bob"
    assert pair.outcome() == ((zmq.EVENT_HANDSHAKE_SUCCEEDED, 0),) * 2


def test_the_longest_name_and_password(handler, plain):
    judge = handler()
    assert plain(client=plain_client(b"n" * 255, b"p" * 255)).works()
    assert judge.asked()[6:] == [b"n" * 255, b"p" * 255]


def test_credentials_have_their_limits(make):
    sock = make(zmq.DEALER)
    for name in ("PLAIN_USERNAME", "PLAIN_PASSWORD"):
        for value in (b"", b"x" * 256):
            with raises_errno(zmq.EINVAL):
                sock.setsockopt(getattr(zmq, name), value)
    with raises_errno(zmq.EINVAL):
        sock.zap_domain = b"d" * 256


@pytest.mark.parametrize("status", [b"300", b"400", b"500"])
@fastmq_only("libzmq does not close after 300")
def test_a_refusal_is_told_as_its_status_says(handler, plain, status):
    handler(lambda q: reply(q, status))
    at_server, at_client = plain(client={**plain_client(), "reconnect_ivl": 5000}).outcome()
    assert at_server == (AUTH, int(status))
    if status == b"300":
        assert at_client[0] == NO_DETAIL
    else:
        assert at_client == (AUTH, int(status))


@fastmq_only("libzmq does not close after 300")
def test_only_a_temporary_refusal_is_tried_again(handler, plain):
    answers = [b"300", b"300", b"200"]
    judge = handler(lambda q: reply(q, answers[min(len(judge.requests), 3) - 1]))
    assert plain(client={**plain_client(), "reconnect_ivl": 10}).works()
    assert len(judge.requests) == 3


def test_a_final_refusal_ends_the_endpoint(handler, plain):
    judge = handler(lambda q: reply(q, b"400"))
    pair = plain(client={**plain_client(), "reconnect_ivl": 1})
    pair.at_client.wait(AUTH)
    assert pair.at_client.silent(zmq.EVENT_CONNECTED, zmq.EVENT_CONNECT_RETRIED)
    assert len(judge.requests) == 1


MALFORMED = {
    "too few frames": (lambda q: reply(q)[:-1], 1),
    "too many frames": (lambda q: [*reply(q), b""], 1),
    "nothing": (lambda q: [b""], 1),
    "wrong request id": (lambda q: [b"1.0", b"?", *reply(q)[2:]], 2),
    "wrong version": (lambda q: [b"2.0", *reply(q)[1:]], 3),
    "no version": (lambda q: [b"", *reply(q)[1:]], 3),
    "unknown status": (lambda q: reply(q, b"201"), 4),
    "short status": (lambda q: reply(q, b"20"), 4),
    "no status": (lambda q: reply(q, b""), 4),
    "metadata cut off": (lambda q: reply(q, metadata=b"\x03abc\x00\x00\x00\x09x"), 5),
    "metadata without a name": (lambda q: reply(q, metadata=b"\x00\x00\x00\x00\x00"), 5),
    "huge length in metadata": (lambda q: reply(q, metadata=b"\x01a\xff\xff\xff\xff"), 5),
}


@pytest.mark.parametrize("answer, code", MALFORMED.values(), ids=MALFORMED)
@fastmq_only("libzmq accepts some of these")
def test_a_malformed_reply_keeps_the_peer_out_and_is_named(
    handler,
    plain,
    answer,
    code,
):
    handler(answer)
    pair = plain(client={**plain_client(), "reconnect_ivl": 5000})
    at_server, at_client = pair.outcome()
    assert at_server == (PROTOCOL, 0x20000000 + code)
    assert at_client[0] == NO_DETAIL
    pair.client.send(b"secret", zmq.DONTWAIT)
    assert nothing_arrives(pair.server)


def test_the_socket_goes_on_after_a_malformed_reply(handler, plain, make):
    judge = handler(lambda q: ok(q) if q[6] == b"good" else [b"nonsense"])
    pair = plain(client=plain_client(b"bad"))
    pair.at_server.wait(PROTOCOL)
    good = make(zmq.DEALER, **plain_client(b"good"))
    good.connect(last_endpoint(pair.server))
    good.send(b"hello")
    assert recv(pair.server) == b"hello"
    assert len(judge.requests) >= 2


def test_without_a_handler_no_plain_client_comes_in(plain):
    at_server, at_client = plain(client={**plain_client(), "reconnect_ivl": 5000}).outcome()
    assert at_server[0] == NO_DETAIL
    assert at_client[0] == NO_DETAIL


def test_a_handler_that_never_answers_costs_the_handshake_interval(
    handler,
    plain,
    make,
):
    judge = handler(lambda q: ok(q) if q[6] == b"good" else None)
    pair = plain({"handshake_ivl": 150}, {**plain_client(), "reconnect_ivl": 5000})
    judge.asked()
    # Others are not kept waiting by it.
    good = make(zmq.DEALER, **plain_client(b"good"))
    good.connect(last_endpoint(pair.server))
    good.send(b"hello")
    assert recv(pair.server) == b"hello"
    assert pair.at_server.wait(*HANDSHAKE_FAILURES)[0] == NO_DETAIL
    assert pair.at_client.wait(*HANDSHAKE_FAILURES)[0] == NO_DETAIL


@fastmq_only("libzmq waits for HANDSHAKE_IVL")
def test_a_handler_that_dies_leaves_the_peer_out_and_the_next_one_lets_it_in(
    ctx,
    plain,
    make,
):
    first = Handler(ctx, lambda q: None)
    pair = plain(client={**plain_client(), "reconnect_ivl": 20})
    first.asked()
    first.close()
    assert pair.at_server.wait(*HANDSHAKE_FAILURES)[0] == NO_DETAIL
    second = Handler(ctx)
    try:
        assert pair.works()
    finally:
        second.close()


def test_a_question_that_was_given_up_is_asked_anew(handler, plain):
    judge = handler(lambda q: None)
    pair = plain({"handshake_ivl": 50}, {**plain_client(), "reconnect_ivl": 5000})
    judge.asked()
    pair.at_server.wait(NO_DETAIL)
    judge.answer = ok  # the handler goes on; the first question stays open
    pair.client.disconnect(last_endpoint(pair.server))
    pair.client.connect(last_endpoint(pair.server))
    assert pair.works()


def test_a_client_that_goes_while_it_is_judged_leaves_nothing_behind(
    handler,
    make,
):
    judge = handler(lambda q: None)
    server = make(zmq.DEALER, plain_server=1)
    server.bind("tcp://127.0.0.1:*")
    for i in range(1, 6):
        with wire.connect(last_endpoint(server)) as w:
            w.send(wire.greeting(mechanism=b"PLAIN"))
            w.send(wire.command(b"HELLO", b"\x01a\x01b") + b"\0" * 5000)
            judge.asked(i)
    server.unbind(last_endpoint(server))
    eventually("nothing left of them", lambda: server.peers() == [])


def ask(address, more=b""):
    """A client of PLAIN that has shown its name and password."""
    w = wire.connect(address)
    w.send(wire.greeting(mechanism=b"PLAIN"))
    w.peer_greeting = w.read(64)
    w.send(wire.command(b"HELLO", b"\x01a\x01b") + more)
    return w


LEAVINGS = {
    "closes": lambda w: None,
    "closes one way": lambda w: w.sock.shutdown(pysocket.SHUT_WR),
    "resets": lambda w: w.sock.setsockopt(
        pysocket.SOL_SOCKET, pysocket.SO_LINGER, struct.pack("ii", 1, 0)
    ),
}


@networks
@pytest.mark.parametrize("leaving", LEAVINGS)
def test_a_client_that_leaves_while_the_handler_is_asked_is_noticed_at_once(
    handler, make, watch, endpoint, leaving
):
    judge = handler(lambda q: None)
    server = make(zmq.DEALER, plain_server=1, handshake_ivl=0)
    events = watch(server)
    address = endpoint.bind(server)
    with ask(address) as w:
        judge.asked()
        LEAVINGS[leaving](w)
        if leaving != "closes one way":
            w.close()
        event, value, _ = events.wait(*HANDSHAKE_FAILURES)
        reset = leaving == "resets" and endpoint.kind == "tcp"
        assert (event, value) == (NO_DETAIL, errno.ECONNRESET if reset else errno.EPIPE)
        events.wait(zmq.EVENT_DISCONNECTED)


@fastmq_only("counts descriptors")
def test_impatient_clients_hold_no_descriptors(handler, make):
    judge = handler(lambda q: None)
    server = make(zmq.DEALER, plain_server=1, handshake_ivl=0)
    server.bind("tcp://127.0.0.1:*")
    assert server.fd >= 0  # it has all that it will need beside connections
    before = server.stats().descriptors
    clients = [ask(last_endpoint(server)) for _ in range(20)]
    judge.asked(20)
    assert server.stats().descriptors == before + 20
    for client in clients:
        client.close()
    eventually("the descriptors are closed", lambda: server.stats().descriptors == before)


@fastmq_only("libzmq reads nothing more of a peer that left")
@networks
@pytest.mark.parametrize("leaving", ["closes", "closes one way"])
def test_what_a_peer_sent_behind_its_handshake_is_read_when_it_is_let_in(
    handler, make, endpoint, leaving
):
    judge = handler(lambda q: None)
    server = make(zmq.PULL, zap_domain=b"null", handshake_ivl=0)
    address = endpoint.bind(server)
    with wire.connect(address) as w:
        w.send(wire.greeting() + wire.ready("PUSH"))
        w.send(b"".join(wire.frame(b"%d" % i + bytes(200)) for i in range(100)))
        w.read(64)  # or closing would be a reset, and what the kernel has not sent be lost
        judge.asked()
        LEAVINGS[leaving](w)
        if leaving == "closes":
            w.close()
        assert nothing_arrives(server)
        judge.admit(0)
        assert [int(recv(server).rstrip(b"\0")) for _ in range(100)] == list(range(100))


def test_a_question_that_the_handler_was_told_of_is_there_to_be_received(make, watch):
    judge = make(zmq.ROUTER)
    judge.bind("inproc://zeromq.zap.01")
    server = make(zmq.DEALER, plain_server=1, handshake_ivl=0)
    events = watch(server)
    server.bind("tcp://127.0.0.1:*")
    with ask(last_endpoint(server)):
        assert judge.poll(8000)
    events.wait(NO_DETAIL)
    assert recv_multipart(judge)[-2:] == [b"a", b"b"]


def test_a_context_ends_while_questions_are_open(ctx, handler, make):
    judge = handler(lambda q: None)
    server = make(zmq.DEALER, plain_server=1)
    server.bind("tcp://127.0.0.1:*")
    client = make(zmq.DEALER, **plain_client())
    client.connect(last_endpoint(server))
    judge.asked()
    client.close()
    server.close()


# ---- the address ----

PIPELINED = {
    "NULL": wire.greeting() + wire.ready("DEALER"),
    "PLAIN": wire.greeting(mechanism=b"PLAIN")
    + wire.command(b"HELLO", b"\5admin\6secret")
    + wire.command(b"INITIATE", wire.prop(b"Socket-Type", b"DEALER")),
}


def bind_to_a_reset_connection(sock, data):
    """The connection is accepted when it was reset already: the system knows no address of it."""
    with pysocket.create_server(("127.0.0.1", 0)) as listener:
        with pysocket.create_connection(listener.getsockname()) as s:
            s.sendall(data)
            name = "tcp://{}:{}".format(*s.getsockname())
            s.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.use_fd = listener.detach()
        sock.bind("tcp://127.0.0.1:*")
    return name


@fastmq_only("libzmq closes it unasked")
@pytest.mark.parametrize("mechanism", PIPELINED)
def test_a_peer_that_reset_its_connection_is_still_judged_by_its_address(
    handler, make, watch, mechanism
):
    denied = b"127.0.0.1"
    asked = handler(lambda r: reply(r, b"400" if r[3] == denied else b"200"))
    server = make(zmq.DEALER, zap_domain=b"test", plain_server=mechanism == "PLAIN")
    events = watch(server)
    bind_to_a_reset_connection(server, PIPELINED[mechanism] + wire.frame(b"let me in"))
    assert asked.asked()[3] == denied
    assert events.wait(*OUTCOMES)[:2] == (AUTH, 400)
    assert nothing_arrives(server)


@fastmq_only("libzmq loses it")
def test_the_address_of_a_reset_connection_is_told(make):
    server = make(zmq.DEALER)
    server.monitor("inproc://both-ends", zmq.EVENT_ALL_V2, version=2)
    monitor = make(zmq.PAIR)
    monitor.connect("inproc://both-ends")
    name = bind_to_a_reset_connection(server, PIPELINED["NULL"] + wire.frame(b"x"))
    frame = server.recv(timeout=8000, copy=False)
    assert frame.get("Peer-Address") == "127.0.0.1"
    wanted = {zmq.EVENT_ACCEPTED, zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED}
    while wanted:
        event, _, _, _, remote = recv_multipart(monitor)
        number = int.from_bytes(event, sys.byteorder)
        if number in wanted:
            assert remote.decode() == name
            wanted.remove(number)


@fastmq_only("libzmq lets it in")
def test_a_tcp_peer_without_an_address_is_refused(make, watch, tmp_path):
    server = make(zmq.DEALER)
    events = watch(server)
    with pysocket.socket(pysocket.AF_UNIX) as listener, pysocket.socket(pysocket.AF_UNIX) as s:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        s.connect(str(tmp_path / "s"))
        server.use_fd = listener.detach()
        server.bind("tcp://127.0.0.1:*")
        assert events.wait(zmq.EVENT_ACCEPT_FAILED)[1] == errno.ENOTCONN
        s.settimeout(8)
        assert s.recv(1) == b""


@networks
def test_peers_tell_the_address_of_both_ends(make, endpoint):
    server, client = make(zmq.DEALER), make(zmq.DEALER)
    endpoint.connect(client, address := endpoint.bind(server))
    client.send(b"x")
    frame = server.recv(copy=False)
    assert frame.get("Peer-Address").startswith(
        "127.0.0.1" if endpoint.kind == "tcp" else f"localhost:{os.getuid()}:{os.getgid()}:"
    )
    if IS_FASTMQ:
        assert client.peers()[0].address == address
        assert server.peers()[0].address.startswith(address.split("//")[0])


@fastmq_only("libzmq answers what follows HELLO with a reset")
def test_bytes_of_a_peer_that_waits_are_not_piled_up(handler, make):
    judge = handler(lambda q: None)
    server = make(zmq.DEALER, plain_server=1, rcvbuf=10_000)
    server.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(server)) as w:
        w.send(wire.greeting(mechanism=b"PLAIN") + wire.command(b"HELLO", b"\x01a\x01b"))
        judge.asked()
        w.sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            for _ in range(2000):
                w.send(bytes(10_000))


@fastmq_only("libzmq 4.3.5 aborts")
def test_enforced_domain_without_a_domain_keeps_plain_clients_out(handler, plain):
    judge = handler()
    pair = plain(
        {"zap_domain": b"", "zap_enforce_domain": 1}, {**plain_client(), "reconnect_ivl": 5000}
    )
    assert pair.outcome()[0] == (NO_DETAIL, 14)
    assert judge.requests == []


# ---- NULL ----


@pytest.mark.parametrize("asker", ["bound", "connected"])
def test_null_asks_when_there_is_a_domain(handler, make, watch, asker):
    judge = handler(lambda q: reply(q, user=b"anybody"))
    domain = {"zap_domain": b"null"}
    options = (domain, {}) if asker == "bound" else ({}, domain)
    pair = Pair(make, watch, *options)
    assert pair.works()
    assert judge.asked()[2] == b"null"
    assert judge.asked()[5:] == [b"NULL"]
    assert len(judge.requests) == 1


def test_null_without_a_domain_does_not_ask(handler, make, watch):
    judge = handler(lambda q: reply(q, b"400"))
    assert Pair(make, watch, {}, {}).works()
    assert judge.requests == []


def test_null_is_refused_with_an_error_command(handler, make, watch):
    handler(lambda q: reply(q, b"400"))
    pair = Pair(make, watch, {"zap_domain": b"null"}, {})
    assert pair.outcome() == ((AUTH, 400), (AUTH, 400))


@pytest.mark.parametrize("enforce", [0, 1])
@fastmq_only("libzmq tells DISCONNECTED only")
def test_null_with_a_domain_and_no_handler(make, watch, enforce):
    options = {"zap_domain": b"null", "zap_enforce_domain": enforce}
    pair = Pair(make, watch, options, {"reconnect_ivl": 5000})
    if enforce:
        assert pair.outcome()[0][0] == NO_DETAIL
    else:
        assert pair.works()


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@fastmq_only("libzmq tells DISCONNECTED only")
def test_a_socket_with_a_domain_speaks_no_older_protocol(
    handler,
    make,
    watch,
    version,
):
    judge = handler()
    server = make(zmq.PULL, zap_domain=b"null")
    events = watch(server)
    server.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(server)) as w:
        w.send(b"\x01\x00" if version == (1, 0) else b"\xff" + bytes(8) + b"\x7f\x01\x08\x00\x00")
        assert events.wait(*HANDSHAKE_FAILURES)[:2] == (PROTOCOL, 0x11000002)
        w.wait_closed()
    assert judge.requests == []


LATER = {  # what a server had when it was bound, what it is given then, and who must not come in
    "curve": (lambda: curve_server(Keys()), {"curve_server": 0}, {}),
    "curve, then plain": (lambda: curve_server(Keys()), {"plain_server": 1}, plain_client()),
    "plain": (lambda: {"plain_server": 1}, {"plain_server": 0}, {}),
    "plain, then a client": (lambda: {"plain_server": 1}, {"plain_username": b"x"}, {}),
    "domain": (lambda: {"zap_domain": b"global", "zap_enforce_domain": 1}, {"zap_domain": b""}, {}),
    "enforced": (
        lambda: {"zap_domain": b"global", "zap_enforce_domain": 1},
        {"zap_enforce_domain": 0},
        {},
    ),
}


@needs_curve
@networks
@pytest.mark.parametrize("case", LATER)
def test_options_that_change_later_open_no_endpoint(make, watch, endpoint, case):
    before, later, stranger = LATER[case]
    server = make(zmq.PULL, **before())
    server.bind(endpoint.wildcard)
    for name, value in later.items():
        setattr(server, name, value)
    client = make(zmq.PUSH, reconnect_ivl=5000, **stranger)
    events = watch(client)
    client.connect(last_endpoint(server))
    events.wait(*HANDSHAKE_FAILURES)
    assert nothing_arrives(server)


@needs_curve
def test_endpoints_of_one_socket_have_the_security_that_was_set_when_they_were_made(make):
    keys = Keys()
    server = make(zmq.PULL)
    server.bind("tcp://127.0.0.1:*")
    inside = last_endpoint(server)
    for name, value in curve_server(keys).items():
        setattr(server, name, value)
    server.bind("tcp://127.0.0.1:*")
    outside = last_endpoint(server)
    near = make(zmq.PUSH)
    near.connect(inside)
    near.send(b"near")
    assert recv(server) == b"near"
    # The client, too: what it connected with stays, also when it connects again.
    far = make(zmq.PUSH, **curve_client(Keys(), keys.public))
    far.connect(outside)
    far.curve_serverkey = Keys().public
    far.send(b"far")
    assert recv(server) == b"far"


def test_limits_that_change_later_open_no_endpoint(make, watch):
    server = make(zmq.PULL, maxmsgsize=100, handshake_ivl=50)
    at_server = watch(server)
    server.bind("tcp://127.0.0.1:*")
    server.maxmsgsize = -1
    server.handshake_ivl = 0
    client = make(zmq.PUSH, reconnect_ivl=5000)
    client.connect(last_endpoint(server))
    client.send(bytes(100))
    client.send(bytes(101))
    assert recv(server) == bytes(100)
    at_server.wait(zmq.EVENT_DISCONNECTED)
    with wire.connect(last_endpoint(server)) as w:
        w.wait_closed()
    assert nothing_arrives(server)


def test_a_filter_of_addresses_that_changes_later_opens_no_endpoint(make, watch):
    server = make(zmq.PULL)
    server.setsockopt(zmq.TCP_ACCEPT_FILTER, b"10.0.0.0/8")
    server.bind("tcp://127.0.0.1:*")
    closed = last_endpoint(server)
    server.setsockopt(zmq.TCP_ACCEPT_FILTER, b"")
    server.bind("tcp://127.0.0.1:*")
    open_ = last_endpoint(server)
    stranger = make(zmq.PUSH, reconnect_ivl=5000)
    events = watch(stranger)
    stranger.connect(closed)
    events.wait(*HANDSHAKE_FAILURES)
    client = make(zmq.PUSH)
    client.connect(open_)
    client.send(b"in")
    assert recv(server) == b"in"


@fastmq_only("libzmq believes a peer that names itself")
def test_a_peer_does_not_choose_its_own_user_id(make):
    server = make(zmq.PULL)
    server.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(server)) as w:
        w.send(wire.greeting())
        w.read(64)
        w.send(
            wire.command(
                b"READY",
                wire.prop(b"Socket-Type", b"PUSH")
                + wire.prop(b"user-id", b"root")
                + wire.prop(b"Peer-Address", b"10.0.0.1")
                + wire.prop(b"X-Name", b"me"),
            )
        )
        w.read_frame()
        w.send(wire.frame(b"hi"))
        frame = server.recv(copy=False)
    assert frame.get("X-Name") == "me"
    assert frame.get("Peer-Address") == "127.0.0.1"
    with pytest.raises(zmq.ZMQError):
        frame.get("User-Id")


# ---- CURVE ----


@pytest.fixture(scope="module")
def keys():
    """The server's and the client's."""
    return Keys(), Keys()


@needs_curve
class TestCurve:
    @pytest.fixture
    def curve(self, make, watch, keys):
        def new(client=None, **server):
            return Pair(
                make,
                watch,
                curve_server(keys[0], **server),
                curve_client(keys[1], keys[0].public, **(client or {})),
            )

        return new

    @pytest.mark.parametrize("domain", [b"", b"vault"])
    def test_the_handler_sees_the_clients_key(self, handler, curve, keys, domain):
        judge = handler(lambda q: reply(q, user=b"bob"))
        options = {"zap_domain": domain} if domain else {}
        pair = curve(**options)
        assert pair.works()
        assert judge.asked()[2] == domain
        mechanism, key = judge.asked()[5:]
        assert mechanism == b"CURVE"
        assert submodule("utils.z85").encode(key) == keys[1].public
        pair.client.send(b"x")
        assert pair.server.recv(copy=False).get("User-Id") == "bob"

    @pytest.mark.parametrize("status", [b"300", b"400", b"500"])
    def test_statuses(self, handler, curve, status):
        handler(lambda q: reply(q, status))
        at_server, at_client = curve(client={"reconnect_ivl": 5000}).outcome()
        assert at_server == (AUTH, int(status))
        assert at_client == (AUTH, int(status)) if status != b"300" else at_client[0] == NO_DETAIL

    def test_without_a_handler_the_servers_key_is_enough(self, curve):
        assert curve().works()
        assert curve(zap_domain=b"vault").works()
        assert curve(zap_enforce_domain=1).works()

    @fastmq_only("libzmq tells DISCONNECTED only")
    def test_unless_a_domain_is_enforced(self, curve):
        pair = curve(client={"reconnect_ivl": 5000}, zap_domain=b"vault", zap_enforce_domain=1)
        assert pair.outcome()[0][0] == NO_DETAIL

    def test_a_domain_that_is_not_there_is_not_asked_about(self, handler, curve):
        judge = handler(lambda q: reply(q, b"400"))
        assert curve(zap_enforce_domain=1).works()
        assert judge.requests == []

    def test_hello_over_and_over_costs_no_question(self, handler, curve):
        judge = handler()
        pair = curve()
        assert pair.works()
        for _ in range(50):
            with wire.connect(last_endpoint(pair.server)) as w:
                w.send(wire.greeting(mechanism=b"CURVE"))
                body = b"\x01\x00" + bytes(72) + os.urandom(32) + struct.pack(">Q", 1)
                w.send(wire.command(b"HELLO", body + os.urandom(80)))
                w.wait_closed()
        assert len(judge.requests) == 1
        assert pair.works()
