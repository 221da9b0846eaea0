# SPDX-License-Identifier: MIT
"""ws: what is its own, and what strangers send. All patterns run over it by the fixture `endpoint`.

The other end is the standard library's (support/websocket.py) where bytes matter."""

import errno
import socket as pysocket
import time
from contextlib import suppress

import pytest
from helpers import (
    HANDSHAKE_FAILURES,
    WAIT_MS,
    eventually,
    last_endpoint,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
    wait_readable,
)
from security import Keys, curve_client, curve_server, needs_curve, plain_client
from target import IS_FASTMQ, submodule, zmq
from websocket import (
    BINARY,
    PING,
    PONG,
    WebSocket,
    accept_of,
    browse,
    dial,
    frame,
    place_of,
    request_text,
    serve,
)

pytestmark = pytest.mark.skipif(not IS_FASTMQ, reason="few libzmqs are built with ws")

WILDCARD = "ws://127.0.0.1:*/zws"
WS_UNSPECIFIED = 0x30000000


def bind(sock, address=WILDCARD):
    sock.bind(address)
    return last_endpoint(sock)


@pytest.fixture
def browser():
    """browser(endpoint, protocol="ZWS2.0", identity=b""): a WebSocket as a browser opens it."""
    made = []

    def new(endpoint, *args, **kwargs):
        made.append(browse(endpoint, *args, **kwargs))
        return made[-1]

    yield new
    for ws in made:
        ws.close()


@pytest.fixture
def stranger():
    """stranger(endpoint): a connection, before any handshake."""
    made = []

    def new(endpoint):
        made.append(dial(endpoint))
        return made[-1]

    yield new
    for ws in made:
        ws.close()


@pytest.fixture
def listener():
    with pysocket.create_server(("127.0.0.1", 0)) as s:
        s.settimeout(WAIT_MS / 1000)
        yield s


def address_of(listener, path="/p"):
    return f"ws://127.0.0.1:{listener.getsockname()[1]}{path}"


# ---- addresses ----


def test_ws_is_there():
    assert zmq.has("ws")
    assert not zmq.has("wss")


@pytest.mark.parametrize(
    "given, path",
    [
        ("ws://127.0.0.1:*", "/"),
        ("ws://127.0.0.1:*/", "/"),
        ("ws://127.0.0.1:0/a/b", "/a/b"),
        ("ws://lo:*/%20?q=1", "/%20?q=1"),
    ],
)
def test_last_endpoint_has_the_port_and_the_path(make, given, path):
    pull = make(zmq.PULL)
    host, port, shown = place_of(bind(pull, given))
    assert (host, shown) == ("127.0.0.1", path)
    assert port > 0


def test_ipv6_addresses_have_brackets(make):
    pull, push = make(zmq.PULL, ipv6=1), make(zmq.PUSH, ipv6=1)
    end = bind(pull, "ws://[::1]:*/six")
    assert end.startswith("ws://[::1]:")
    push.connect(end)
    push.send(b"x")
    assert recv(pull) == b"x"


def test_names_are_resolved(make):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    _, port, _ = place_of(bind(pull))
    push.connect(f"ws://localhost:{port}/zws")
    push.send(b"x")
    assert recv(pull) == b"x"


@pytest.mark.parametrize(
    "address, words",
    [
        ("ws://127.0.0.1", "no port"),
        ("ws://127.0.0.1/path", "no port"),
        ("ws://127.0.0.1:x/p", "port must be a number"),
        ("ws://127.0.0.1:65536/p", "port must be a number"),
        ("ws://:5/p", "no host"),
        ("ws://*:5/p", "not \\*"),
        ("ws://a_b@c:5/p", "no host name"),
        ("ws://127.0.0.1:5/a b", "path must be"),
        ("ws://127.0.0.1:5/a#b", "path must be"),
        ("ws://127.0.0.1:5/é", "path must be"),
        ("ws://127.0.0.1:5/" + 200 * "a", "path must be"),
        ("ws://" + 500 * "a" + ":5/", "too long a host"),
    ],
)
def test_a_wrong_address_is_named(make, address, words):
    with pytest.raises(zmq.ZMQError, match=words) as e:
        make(zmq.PUSH).connect(address)
    assert e.value.errno == errno.EINVAL


def test_types_without_messages_are_refused(make):
    with raises_errno(zmq.ENOCOMPATPROTO):
        make(zmq.STREAM).bind(WILDCARD)
    with raises_errno(zmq.ENOCOMPATPROTO):
        make(zmq.ROUTER, router_raw=1).connect("ws://127.0.0.1:5/")


def test_a_bound_port_is_in_use(make):
    end = bind(make(zmq.PULL))
    with raises_errno(errno.EADDRINUSE):
        make(zmq.PULL).bind(end)


def test_unbind_and_disconnect_take_the_address(make):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    end = bind(pull)
    push.connect(end)
    push.send(b"x")
    assert recv(pull) == b"x"
    push.disconnect(end)
    pull.unbind(end)
    with raises_errno(errno.ENOENT):
        pull.unbind(end)
    bind(make(zmq.PULL), end)


def test_the_link_is_named_ws(make):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    monitor = push.get_monitor_socket(zmq.EVENT_LINK)
    end = bind(pull)
    push.connect(end)
    push.send(b"x")
    assert recv(pull) == b"x"
    assert [p.link for p in pull.peers() + push.peers()] == ["ws", "ws"]
    assert push.peers()[0].endpoint == end
    wait_readable(monitor, "event LINK")
    told = submodule("utils.monitor").recv_monitor_message(monitor)
    assert (told["link"], told["endpoint"]) == ("ws", end.encode())
    push.disable_monitor()
    monitor.close()


def test_there_is_no_shared_memory_over_ws(make):
    pull, push = make(zmq.PULL, shm=2), make(zmq.PUSH, shm=2)
    push.connect(bind(pull))
    for _ in range(4):
        push.send(bytes(1 << 20))
        assert len(recv(pull)) == 1 << 20
    assert pull.peers()[0].link == "ws"


# ---- a browser ----


def test_a_browser_asks_a_rep(make, browser):
    rep = make(zmq.REP)
    ws = browser(bind(rep))
    for i in range(3):
        ws.send(b"\1")  # the delimiter of REQ
        ws.send(b"\0question %d" % i)
        assert recv(rep) == b"question %d" % i
        rep.send_multipart([b"answer", b"", b"x" * 300])
        assert [ws.recv_message() for _ in range(4)] == [
            b"\1",
            b"\1answer",
            b"\1",
            b"\0" + b"x" * 300,
        ]


def test_a_browser_subscribes_to_a_pub(make, browser):
    pub = make(zmq.XPUB)
    ws = browser(bind(pub))
    ws.send(b"\0\1topic")
    assert recv(pub) == b"\1topic"
    pub.send(b"other")
    pub.send_multipart([b"topic", b"1"])
    assert [ws.recv_message(), ws.recv_message()] == [b"\1topic", b"\x001"]
    ws.send(b"\0\0topic")
    assert recv(pub) == b"\0topic"


def test_a_browser_has_the_routing_id_that_it_gave(make, browser):
    router = make(zmq.ROUTER)
    ws = browser(bind(router), identity=b"me")
    ws.send(b"\0hello")
    assert recv_multipart(router) == [b"me", b"hello"]
    router.send_multipart([b"me", b"hi"])
    assert ws.recv_message() == b"\0hi"
    assert router.peers()[0].type is None


def test_a_browser_learns_the_routing_id_of_the_socket(make, browser):
    ws = browser(bind(make(zmq.DEALER, routing_id=b"dealer")), identity=None)
    assert ws.recv_message() == b"\0dealer"


def test_a_browser_speaks_the_null_mechanism(make, browser):
    pull = make(zmq.PULL)
    ws = browser(bind(pull), "ZWS2.0/NULL", identity=None)
    assert ws.recv_message().startswith(b"\2\5READY\x0bSocket-Type\0\0\0\4PULL")
    ws.send(b"\2\5READY\x0bSocket-Type\0\0\0\4PUSH")
    ws.send(b"\0x")
    assert recv(pull) == b"x"
    assert pull.peers()[0].type == zmq.PUSH


@pytest.mark.parametrize("cut", [1, 3, 1000])
def test_bytes_may_come_in_any_pieces(make, stranger, cut):
    pull = make(zmq.PULL)
    end = bind(pull)
    ws = stranger(end)
    mask = b"\1\2\3\4"
    data = request_text("/zws", "ZWS2.0") + b"".join(
        [
            frame(b"\0id", mask=mask),
            frame(b"\1a", mask=mask),
            frame(b"\0" + b"b" * 300, mask=mask),
            frame(b"\1c", mask=mask, first=0),
            frame(b"ping", PING, mask=mask),
            frame(b"", 0, mask=mask, first=0),
            frame(b"d", 0, mask=mask),
            frame(b"\0", mask=mask),
        ]
    )
    ws.sock.setsockopt(pysocket.IPPROTO_TCP, pysocket.TCP_NODELAY, 1)
    for at in range(0, len(data), cut):
        ws.sock.sendall(data[at : at + cut])
    assert recv_multipart(pull) == [b"a", b"b" * 300]
    assert recv_multipart(pull) == [b"cd", b""]
    ws.head()
    assert ws.recv() == (BINARY, b"\0")
    assert ws.recv() == (PONG, b"ping")


def test_large_messages_pass_both_ways(make, browser):
    dealer = make(zmq.DEALER)
    ws = browser(bind(dealer))
    for size in (124, 125, 65534, 65535, 3_000_000):
        body = bytes(i % 251 for i in range(1000)) * (size // 1000) + b"x" * (size % 1000)
        ws.send(b"\0" + body)
        assert recv(dealer) == body
        dealer.send(body)
        assert ws.recv_message() == b"\0" + body


def test_the_longest_ping_is_answered_by_just_its_bytes(make, browser):
    ws = browser(bind(make(zmq.PULL)))
    for size in (0, 1, 16, 17, 125):
        body = bytes(range(100, 100 + size))
        ws.send(body, PING)
        assert ws.recv() == (PONG, body)


def test_a_ping_in_the_handshake_is_answered(make, browser):
    ws = browser(bind(make(zmq.PULL)), "ZWS2.0/NULL", identity=None)
    ws.recv_message()
    ws.send(b"early", PING)
    assert ws.recv() == (PONG, b"early")
    ws.send(b"unasked", PONG)
    ws.send(b"\2\5READY\x0bSocket-Type\0\0\0\4PUSH")
    ws.send(b"", PING)
    assert ws.recv() == (PONG, b"")


def test_a_close_frame_is_answered(make, browser):
    pull = make(zmq.PULL)
    ws = browser(bind(pull))
    ws.send(b"\0last")
    ws.send(b"\x03\xe9bye", 8)
    assert ws.recv_close() == 1001
    assert ws.ended()
    assert recv(pull) == b"last"


def test_a_closed_socket_says_so_after_its_last_message(make, browser):
    push = make(zmq.PUSH, linger=WAIT_MS)
    ws = browser(bind(push))
    for i in range(50):
        push.send(b"%d" % i * 1000)
    push.close()
    for i in range(50):
        assert ws.recv_message() == b"\0" + b"%d" % i * 1000
    assert ws.recv_close() == 1000
    assert ws.ended()


# ---- HTTP ----


@pytest.mark.parametrize(
    "change, status",
    [
        ({"path": "/other"}, 404),
        ({"path": "/zws/"}, 404),
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Upgrade": None}, 426),
        ({"Connection": "close"}, 426),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Sec_WebSocket_Key": None}, 400),
        ({"Host": None}, 400),
        ({"host": "another"}, 400),
        ({"sec_websocket_version": "13"}, 400),
        ({"Transfer_Encoding": "chunked"}, 400),
        ({"Content_Length": "5"}, 400),
        ({"protocols": None}, 400),
        ({"protocols": "ZWS1.0, chat"}, 400),
        ({"protocols": "ZWS2.0/CURVE"}, 400),
        ({"Cookie": "x" * 9000}, 431),
    ],
)
def test_a_request_that_does_not_fit_gets_its_status(make, stranger, watch, change, status):
    rep = make(zmq.REP)
    events = watch(rep)
    ws = stranger(bind(rep))
    ws.sock.sendall(request_text(change.pop("path", "/zws"), **change))
    assert ws.head().startswith(f"HTTP/1.1 {status} ")
    assert events.wait(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)[1] == WS_UNSPECIFIED
    if status == 426:
        assert ws.take(4)


@pytest.mark.parametrize("first", [b"\xff\0\0\0\0\0\0\0\1\x7f", b"POST / HTTP/1.1\r\n", b"GET x"])
def test_what_is_no_request_ends_at_once(make, stranger, first):
    ws = stranger(bind(make(zmq.PULL)))
    ws.sock.sendall(first)
    assert ws.head().startswith("HTTP/1.1 400 ")


def test_who_sends_no_request_is_cut_off_in_time(make, stranger, watch):
    pull = make(zmq.PULL, handshake_ivl=100)
    events = watch(pull)
    ws = stranger(bind(pull))
    ws.sock.sendall(b"GET /zws HTTP/1.1\r\n")
    events.wait(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
    assert ws.ended()


def test_the_request_of_a_connect_is_complete(make, listener):
    push = make(zmq.PUSH)
    push.connect(address_of(listener, "/some/path?x=1"))
    sock, _ = listener.accept()
    with sock:
        head = WebSocket(sock).head().split("\r\n")
    assert head[0] == "GET /some/path?x=1 HTTP/1.1"
    lines = dict(line.split(": ", 1) for line in head[1:])
    assert lines.pop("Host") == f"127.0.0.1:{listener.getsockname()[1]}"
    assert len(lines.pop("Sec-WebSocket-Key")) == 24
    assert lines == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Protocol": "ZWS2.0/NULL,ZWS2.0",
        "Sec-WebSocket-Version": "13",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"Sec_WebSocket_Accept": accept_of("A" * 22 + "==")},
        {"Sec_WebSocket_Accept": None},
        {"Sec_WebSocket_Protocol": None},
        {"protocol": "ZWS2.0/PLAIN"},
        {"Upgrade": None},
        {"Connection": "close"},
        {"Sec_WebSocket_Extensions": "permessage-deflate"},
    ],
)
def test_a_wrong_answer_is_not_taken_and_asked_for_again(make, listener, watch, wrong):
    push = make(zmq.PUSH, reconnect_ivl=10)
    events = watch(push)
    push.connect(address_of(listener))
    push.send(b"x")
    ws = serve(listener, **wrong)
    assert events.wait(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)[1] == WS_UNSPECIFIED
    ws.close()
    ws = serve(listener)
    ws.send(b"\0")
    assert ws.recv_message() == b"\0"
    assert ws.recv_message() == b"\0x"
    ws.close()


@pytest.mark.parametrize("status", [404, 400, 302, 200])
def test_a_refusal_is_a_protocol_error(make, listener, watch, status):
    push = make(zmq.PUSH)
    events = watch(push)
    push.connect(address_of(listener))
    sock, _ = listener.accept()
    with sock:
        WebSocket(sock).head()
        sock.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
        assert events.wait(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)[1] == WS_UNSPECIFIED


# ---- what breaks the rules ----

MASK = b"\1\2\3\4"
VIOLATIONS = {
    "unmasked": (frame(b"\0x"), 1002),
    "text": (frame(b"\0x", 1, mask=MASK), 1003),
    "compressed": (frame(b"\0x", mask=MASK, first=0xC0), 1002),
    "no flags": (frame(b"", mask=MASK), 1002),
    "unknown flags": (frame(b"\4x", mask=MASK), 1002),
    "more of a command": (frame(b"\3x", mask=MASK), 1002),
    "continues nothing": (frame(b"x", 0, mask=MASK), 1002),
    "a new one in fragments": (frame(b"\0", mask=MASK, first=0) + frame(b"\0", mask=MASK), 1002),
    "fragmented ping": (frame(b"", PING, mask=MASK, first=0), 1002),
    "long ping": (frame(b"x" * 126, PING, mask=MASK), 1002),
    "unknown opcode": (frame(b"", 5, mask=MASK), 1002),
    "half a code": (frame(b"x", 8, mask=MASK), 1002),
    "beyond all memory": (b"\x82\xff" + b"\xff" * 8 + MASK, 1009),
}


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_a_violation_ends_the_connection_with_its_code_and_no_other(make, browser, kind):
    data, code = VIOLATIONS[kind]
    pull = make(zmq.PULL)
    end = bind(pull)
    good, bad = browser(end), browser(end)
    bad.send(b"\0before")
    assert recv(pull) == b"before"
    bad.sock.sendall(data)
    assert bad.recv_close() == code
    assert bad.ended()
    assert nothing_arrives(pull)
    good.send(b"\0after")
    assert recv(pull) == b"after"


def test_a_server_that_masks_is_refused(make, listener, watch):
    pull = make(zmq.PULL)
    events = watch(pull)
    pull.connect(address_of(listener))
    ws = serve(listener)
    ws.client = True
    ws.send(b"\0")
    assert events.wait(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)[1] == WS_UNSPECIFIED
    ws.close()


@pytest.mark.parametrize("parts", [1, 3])
def test_maxmsgsize_holds_for_whole_messages_and_fragments(make, browser, parts):
    pull = make(zmq.PULL, maxmsgsize=100_000)
    end = bind(pull)
    ws = browser(end)
    for size in (100_000, 100_001):
        pieces = [b"\0"] + [b"x" * (size // parts)] * parts + [b"x" * (size % parts)]
        body = b"".join(pieces)
        if parts == 1:
            ws.send(body)
        else:
            ws.send(pieces[0], first=0)
            for piece in pieces[1:-1]:
                ws.send(piece, 0, first=0)
            ws.send(pieces[-1], 0)
        if size == 100_000:
            assert recv(pull) == body[1:]
    assert eventually("it ends", lambda: not pull.peers())


FRAGMENTS = {
    "one that is endless": [1 << 20],
    "many": [1000] * 200,
}


@pytest.mark.parametrize("kind", FRAGMENTS)
def test_a_peer_that_is_not_admitted_piles_up_no_fragments(make, browser, kind):
    ws = browser(bind(make(zmq.PULL, plain_server=1)), "ZWS2.0/PLAIN", identity=None)
    with suppress(ConnectionError):  # it has ended by then
        for i, size in enumerate(FRAGMENTS[kind]):
            ws.send(bytes(size), 0 if i else BINARY, first=0)
    try:
        assert ws.recv_close() == 1009
    except ConnectionResetError:  # the rest came after that, unread
        pass
    assert ws.ended()


def test_fragments_right_behind_the_handshake_may_be_large(make, browser):
    pull = make(zmq.PULL)
    ws = browser(bind(pull), identity=None)
    body = bytes(range(250)) * 1000
    at = len(body) - 20_000
    mask = b"\1\2\3\4"
    ws.sock.sendall(
        frame(b"\0", mask=mask)
        + frame(b"\0" + body[:at], mask=mask, first=0)
        + frame(body[at:], 0, mask=mask)
    )
    assert recv(pull) == body


def test_a_wrong_type_is_refused(make, watch):
    pull, sub = make(zmq.PULL), make(zmq.SUB)
    events = watch(pull)
    sub.connect(bind(pull))
    assert events.wait(*HANDSHAKE_FAILURES)


# ---- security ----


def test_plain_names_and_passwords_are_asked_for(make, handler, watch):
    seen = handler()
    pull = make(zmq.PULL, plain_server=1)
    end = bind(pull)
    push = make(zmq.PUSH, **plain_client())
    push.connect(end)
    push.send(b"x")
    assert recv(pull) == b"x"
    request = seen.requests[0]
    assert request[5:] == [b"PLAIN", b"admin", b"secret"]
    assert request[3] == b"127.0.0.1"


@needs_curve
def test_curve_encrypts_and_heartbeats_go_on(make):
    server, client = Keys(), Keys()
    pair = make(zmq.PAIR, heartbeat_ivl=20, **curve_server(server))
    other = make(zmq.PAIR, heartbeat_ivl=20, **curve_client(client, server.public))
    other.connect(bind(pair))
    for size in (0, 1, 300, 70_000, 1_000_000):
        other.send_multipart([b"a", b"b" * size])
        assert recv_multipart(pair) == [b"a", b"b" * size]
        pair.send(b"c" * size)
        assert recv(other) == b"c" * size
    for one in (pair, other):
        eventually("a heartbeat is answered", lambda one=one: one.peers()[0].rtt is not None)
    assert pair.peers()[0].reconnections == 0


@pytest.mark.parametrize("protocol", ["ZWS2.0", "ZWS2.0/NULL"])
def test_a_secured_socket_offers_its_mechanism_alone(make, stranger, protocol):
    ws = stranger(bind(make(zmq.PULL, plain_server=1)))
    ws.sock.sendall(request_text("/zws", protocol))
    assert ws.head().startswith("HTTP/1.1 400 ")


def test_an_authenticator_is_asked_by_the_null_mechanism_alone(make, stranger, handler, browser):
    seen = handler()
    pull = make(zmq.PULL, zap_domain=b"global")
    end = bind(pull)
    ws = stranger(end)
    ws.sock.sendall(request_text("/zws", "ZWS2.0"))
    assert ws.head().startswith("HTTP/1.1 400 ")
    ws = browser(end, "ZWS2.0/NULL", identity=None)
    ws.send(b"\2\5READY\x0bSocket-Type\0\0\0\4PUSH")
    ws.send(b"\0x")
    assert recv(pull) == b"x"
    assert len(seen.requests) == 1


# ---- heartbeats, loss ----


def test_heartbeats_are_pings_and_their_answers_are_timed(make, browser):
    pull = make(zmq.PULL, heartbeat_ivl=20, heartbeat_timeout=WAIT_MS)
    ws = browser(bind(pull))
    for _ in range(3):
        opcode, body = ws.recv()
        assert opcode == PING
        ws.send(body, PONG)
    eventually("a round trip is known", lambda: pull.peers()[0].rtt is not None)


def test_pongs_do_not_pile_up_for_a_peer_that_does_not_read(make, browser):
    push = make(zmq.PUSH, sndhwm=0)
    ws = browser(bind(push))
    size, count, pings = 1 << 20, 16, 2000
    for _ in range(count):
        push.send(bytes(size))
    ws.sock.setsockopt(pysocket.IPPROTO_TCP, pysocket.TCP_NODELAY, 1)
    ping = frame(b"how are you", PING, mask=bytes(4))
    before = push.peers()[0].bytes_received
    for i in range(1, pings + 1):  # each is read by itself
        ws.sock.sendall(ping)
        if i % 20 == 0:
            eventually(
                "all read", lambda i=i: push.peers()[0].bytes_received >= before + i * len(ping)
            )
    bodies = pongs = 0
    while bodies < count:
        opcode, body = ws.recv()
        bodies += opcode == BINARY and len(body) == size + 1
        pongs += opcode == PONG
    ws.send(b"last", PING)
    while (found := ws.recv()) != (PONG, b"last"):
        assert found == (PONG, b"how are you")
        pongs += 1
    assert pongs < 20


def test_a_silent_peer_is_lost(make, browser, watch):
    pull = make(zmq.PULL, heartbeat_ivl=20, heartbeat_timeout=50)
    events = watch(pull)
    browser(bind(pull))
    events.wait(zmq.EVENT_DISCONNECTED)


@pytest.mark.slow
def test_fragments_are_a_sign_of_life(make, browser, watch):
    pull = make(zmq.PULL, heartbeat_ivl=50, heartbeat_timeout=500)
    events = watch(pull)
    ws = browser(bind(pull))
    ws.send(b"\0", first=0)
    until = time.monotonic() + 1.5
    count = 0
    while time.monotonic() < until:  # no PING is answered
        ws.send(b"x", 0, first=0)
        count += 1
        time.sleep(0.02)
    ws.send(b"", 0)
    assert recv(pull) == b"x" * count
    events.wait(zmq.EVENT_DISCONNECTED)  # it is silent now


def test_a_lost_server_is_found_again_and_nothing_is_lost(make, listener):
    push = make(zmq.PUSH, reconnect_ivl=10)
    push.connect(address_of(listener))
    for i in range(20):
        ws = serve(listener)
        ws.send(b"\0")
        assert ws.recv_message() == b"\0"
        push.send(b"%d" % i)
        assert ws.recv_message() == b"\0%d" % i
        ws.close()


def test_a_full_peer_pushes_back(make, browser):
    """All that is queued arrives in order, although the descriptor takes it in pieces."""
    push = make(zmq.PUSH, sndhwm=0, sndbuf=20_000)
    ws = browser(bind(push))
    count = 3000
    for i in range(count):
        push.send_multipart([b"%d" % i, b"x" * (i % 700)])
    for i in range(count):
        assert ws.recv_message() == b"\1%d" % i
        assert ws.recv_message() == b"\0" + b"x" * (i % 700)


def test_conflate_keeps_whole_messages(make, browser):
    pub = make(zmq.PUSH, conflate=1, sndbuf=10_000)
    ws = browser(bind(pub))
    body = b"y" * 50_000
    for i in range(500):
        pub.send(b"%3d" % i + body)
    last = -1
    while last < 499:
        got = ws.recv_message()
        assert got[4:] == body
        assert int(got[1:4]) > last
        last = int(got[1:4])
