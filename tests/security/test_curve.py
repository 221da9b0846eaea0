# SPDX-License-Identifier: MIT
"""CURVE with the real primitives: both roles, every pattern, losses, heartbeats, wrong keys."""

import hashlib
import os
import threading

import pytest
import wire
from helpers import (
    HANDSHAKE_FAILURES,
    bind_when_free,
    drain,
    fill,
    last_endpoint,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
    run_python,
    sync_subscriber,
)
from security import Keys, curve_client, curve_server, needs_curve
from target import fastmq_only, submodule, zmq

pytestmark = needs_curve

networks = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)


@pytest.fixture(scope="module")
def server_keys():
    return Keys()


@pytest.fixture(scope="module")
def client_keys():
    return Keys()


@pytest.fixture
def secured(make, endpoint, server_keys, client_keys):
    """secured(zmq.PUSH, zmq.PULL): the first is CURVE server and bound."""

    def new(bound, connected, server_binds=True, **options):
        server = curve_server(server_keys, **options)
        client = curve_client(client_keys, server_keys.public, **options)
        a = make(bound, **(server if server_binds else client))
        b = make(connected, **(client if server_binds else server))
        endpoint.connect(b, endpoint.bind(a))
        return a, b

    return new


@networks
@pytest.mark.parametrize("server_binds", [True, False], ids=["server-binds", "client-binds"])
def test_messages_of_any_size_and_shape_arrive_whole(secured, server_binds):
    a, b = secured(zmq.PAIR, zmq.PAIR, server_binds)
    sizes = (0, 1, 222, 223, 254, 255, 256, 257, 16350, 16352, 65503, 65536, 200_000, 3_000_000)
    for size in sizes:
        body = os.urandom(size)
        for one, other in ((a, b), (b, a)):
            one.send_multipart([b"", body, b"end"])
            assert recv_multipart(other) == [b"", body, b"end"]


@fastmq_only("about its own use of libsodium")
def test_libsodium_shows_what_its_boxes_are_made_of():
    crypto = submodule("_crypto")
    sodium = pytest.importorskip("nacl._sodium")
    assert crypto.parts(sodium.__file__).keys() == crypto.PARTS.keys()
    assert crypto.parts("/nowhere") == {}
    assert crypto.parts(None) == {}


@fastmq_only("about its own use of libsodium")
@pytest.mark.parametrize("lack", ['sys.modules["ctypes"] = None', "del sodium.__file__"])
def test_parts_that_cannot_be_looked_for_are_done_without(lack):
    pytest.importorskip("nacl._sodium")
    child = run_python(f"""
import nacl._sodium as sodium
{lack}
print(zmq.has("curve"))
""")
    assert child.stdout == "True\n", child.stderr


@fastmq_only("about its own use of libsodium")
def test_whole_boxes_and_those_made_of_parts_are_the_same(make, server_keys, client_keys):
    server = make(zmq.PAIR, **curve_server(server_keys))
    server.bind("tcp://127.0.0.1:*")
    endpoint = last_endpoint(server)
    results = []
    child = threading.Thread(
        target=lambda: results.append(
            run_python(
                """
from fastmq import _crypto
_crypto.parts = lambda path: {}
endpoint, *keys = sys.argv[1:]
with zmq.Context() as ctx, ctx.socket(zmq.PAIR) as sock:
    sock.rcvtimeo = 10_000
    sock.curve_publickey, sock.curve_secretkey, sock.curve_serverkey = (k.encode() for k in keys)
    sock.connect(endpoint)
    while (body := sock.recv()) != b"end":
        sock.send(body)
print("ok")
""",
                endpoint,
                *(k.decode() for k in (client_keys.public, client_keys.secret, server_keys.public)),
            )
        )
    )
    child.start()
    try:
        for size in (0, 1, 255, 256, 70_000, 300_000):
            body = os.urandom(size)
            server.send(body)
            assert recv(server) == body
    finally:
        server.send(b"end")
        child.join()
    assert results[0].stdout == "ok\n", results[0].stderr


@pytest.mark.parametrize("endpoint", ["tcp"], indirect=True)
def test_order_and_number_are_kept_at_full_speed(secured):
    pull, push = secured(zmq.PULL, zmq.PUSH)
    count = 30_000
    seen = hashlib.sha256()
    sent = hashlib.sha256()
    done = 0
    for i in range(count):
        body = b"%d:" % i + b"x" * (i % 300)
        sent.update(body)
        push.send(body)
        while i - done > 500:
            seen.update(recv(pull))
            done += 1
    for _ in range(count - done):
        seen.update(recv(pull))
    assert seen.digest() == sent.digest()


@networks
def test_subscriptions_travel_inside_the_boxes(secured):
    pub, sub = secured(zmq.XPUB, zmq.SUB)
    sub.subscribe(b"news")
    assert recv(pub) == b"\x01news"
    pub.send(b"other")
    pub.send_multipart([b"news", b"x" * 100_000])
    assert recv_multipart(sub) == [b"news", b"x" * 100_000]
    sub.unsubscribe(b"news")
    assert recv(pub) == b"\x00news"


@pytest.mark.parametrize("endpoint", ["tcp"], indirect=True)
def test_each_subscriber_gets_its_own_encryption_of_a_message(
    make, endpoint, server_keys, client_keys
):
    pub = make(zmq.PUB, **curve_server(server_keys))
    address = endpoint.bind(pub)
    subs = []
    for keys in (client_keys, Keys(), Keys()):
        subs.append(make(zmq.SUB, **curve_client(keys, server_keys.public, subscribe=b"")))
        subs[-1].connect(address)
    sync_subscriber(pub, *subs)
    for i in range(50):
        pub.send(b"%d" % i)
    for sub in subs:
        assert [recv(sub) for _ in range(50)] == [b"%d" % i for i in range(50)]


@networks
def test_request_and_reply(secured):
    rep, req = secured(zmq.REP, zmq.REQ)
    for i in range(20):
        req.send(b"%d" % i)
        rep.send(recv(rep) + b"!")
        assert recv(req) == b"%d!" % i


@fastmq_only("libzmq 4.3.5 loses the connection at the first reply behind a ZAP handler")
def test_a_req_may_be_the_server(secured_tcp):
    req, rep = secured_tcp(zmq.REQ, zmq.REP)
    req.send(b"question")
    rep.send(recv(rep))
    assert recv(req) == b"question"


@pytest.fixture
def secured_tcp(make, server_keys, client_keys):
    def new(bound, connected, **options):
        a = make(bound, **curve_server(server_keys, **options))
        a.bind("tcp://127.0.0.1:*")
        b = make(connected, **curve_client(client_keys, server_keys.public, **options))
        b.connect(a.last_endpoint)
        return a, b

    return new


def test_identity_and_metadata_are_inside_the_handshake(make, server_keys, client_keys):
    router = make(zmq.ROUTER, **curve_server(server_keys))
    router.bind("tcp://127.0.0.1:*")
    dealer = make(zmq.DEALER, **curve_client(client_keys, server_keys.public, routing_id=b"me"))
    dealer.connect(router.last_endpoint)
    dealer.send(b"hi")
    who, body = router.recv_multipart(copy=False)
    assert (who.bytes, body.bytes) == (b"me", b"hi")
    assert body.get("Socket-Type") == "DEALER"
    router.send_multipart([b"me", b"back"])
    assert recv(dealer) == b"back"


def test_high_water_mark_stops_the_sender_and_loses_nothing(secured_tcp):
    pull, push = secured_tcp(zmq.PULL, zmq.PUSH, hwm=10, sndbuf=20_000, rcvbuf=20_000)
    sent = fill(push, b"y" * 5000)
    assert sent < 500
    for _ in range(sent):
        assert recv(pull) == b"y" * 5000
    push.send(b"more")
    assert recv(pull) == b"more"


def test_linger_waits_for_what_is_encrypted_and_unsent(ctx, make, server_keys, client_keys):
    pull = make(zmq.PULL, **curve_server(server_keys, rcvhwm=1, rcvbuf=20_000))
    pull.bind("tcp://127.0.0.1:*")
    push = ctx.socket(zmq.PUSH)
    for name, value in curve_client(client_keys, server_keys.public, sndbuf=20_000).items():
        push.setsockopt(getattr(zmq, name.upper()), value)
    push.connect(pull.last_endpoint)
    for i in range(40):
        push.send(b"%d" % i + b"z" * 10_000)
    push.close(linger=10_000)
    assert [int(recv(pull).rstrip(b"z")) for _ in range(40)] == list(range(40))


def test_traffic_goes_on_after_the_server_came_back(make, watch, server_keys, client_keys):
    first = make(zmq.PULL, **curve_server(server_keys))
    first.bind("tcp://127.0.0.1:*")
    address = first.last_endpoint
    push = make(
        zmq.PUSH, **curve_client(client_keys, server_keys.public, reconnect_ivl=10, sndhwm=100)
    )
    events = watch(push)
    push.connect(address)
    push.send(b"one")
    assert recv(first) == b"one"
    first.close(0)
    events.wait(zmq.EVENT_DISCONNECTED)
    push.send_multipart([b"two", b"parts"])
    second = make(zmq.PULL, **curve_server(server_keys))
    bind_when_free(second, address)
    assert recv_multipart(second) == [b"two", b"parts"]
    push.send(b"three")
    assert recv(second) == b"three"


def test_heartbeats_keep_a_silent_connection(make, watch, server_keys, client_keys):
    beats = {"heartbeat_ivl": 20, "heartbeat_timeout": 300, "heartbeat_ttl": 300}
    pull = make(zmq.PULL, **curve_server(server_keys))
    pull.bind("tcp://127.0.0.1:*")
    push = make(zmq.PUSH, **curve_client(client_keys, server_keys.public, **beats))
    events = watch(push)
    push.connect(pull.last_endpoint)
    events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    assert not events.pair.poll(500), "the connection was lost"
    push.send(b"still here")
    assert recv(pull) == b"still here"


def test_a_silent_server_is_left_after_the_heartbeat_timeout(make, watch, client_keys):
    with wire.Listener() as listener:
        # Never gets as far as heartbeats: the handshake interval is what ends it.
        push = make(
            zmq.PUSH,
            **curve_client(client_keys, Keys().public, handshake_ivl=100, reconnect_ivl=-1),
        )
        events = watch(push)
        push.connect(listener.address)
        with listener.accept() as w:
            w.send(wire.greeting(mechanism=b"CURVE"))
            w.read(64)
            assert len(w.read_frame()[1]) == 200  # HELLO
            event, _, _ = events.wait(*HANDSHAKE_FAILURES)
            assert event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


# ---- who does not get in ----


def refused(make, watch, server_options, client_options):
    """Events of both monitors, after nothing has arrived."""
    pull = make(zmq.PULL, handshake_ivl=1000, **server_options)
    at_server = watch(pull)
    pull.bind("tcp://127.0.0.1:*")
    push = make(zmq.PUSH, handshake_ivl=1000, reconnect_ivl=1000, **client_options)
    at_client = watch(push)
    push.connect(pull.last_endpoint)
    push.send(b"secret", zmq.DONTWAIT)
    server_event = at_server.wait(*HANDSHAKE_FAILURES)
    client_event = at_client.wait(*HANDSHAKE_FAILURES)
    assert nothing_arrives(pull)
    return server_event[:2], client_event[:2]


CRYPTOGRAPHIC = 0x11000001
MISMATCH = 0x11000002
PROTOCOL = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
NO_DETAIL = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


def test_wrong_server_key(make, watch, server_keys, client_keys):
    server, client = refused(
        make, watch, curve_server(server_keys), curve_client(client_keys, Keys().public)
    )
    assert server == (PROTOCOL, CRYPTOGRAPHIC)
    assert client[0] == NO_DETAIL


@pytest.mark.parametrize("wrong", ["public", "secret"])
def test_keys_that_do_not_belong_together(make, watch, server_keys, client_keys, wrong):
    bogus = Keys()
    options = curve_client(client_keys, server_keys.public)
    options[f"curve_{wrong}key"] = getattr(bogus, wrong)
    server, client = refused(make, watch, curve_server(server_keys), options)
    assert server == (PROTOCOL, CRYPTOGRAPHIC)
    assert client[0] == NO_DETAIL


def test_a_client_without_security_at_a_secured_server(make, watch, server_keys):
    server, client = refused(make, watch, curve_server(server_keys), {})
    assert server == (PROTOCOL, MISMATCH)
    assert client[0] in (PROTOCOL, NO_DETAIL)


def test_a_secured_client_at_a_server_without_security(make, watch, server_keys, client_keys):
    server, client = refused(make, watch, {}, curve_client(client_keys, server_keys.public))
    assert server[0] == PROTOCOL
    assert client[0] in (PROTOCOL, NO_DETAIL)


def test_plain_and_curve_do_not_meet(make, watch, server_keys):
    server, _ = refused(make, watch, curve_server(server_keys), {"plain_username": b"a"})
    assert server == (PROTOCOL, MISMATCH)


@pytest.mark.parametrize(
    "opening",
    [
        pytest.param(b"\x01\x00", id="1.0"),
        pytest.param(b"\xff" + bytes(8) + b"\x7f\x00", id="1.0 with a version"),
        pytest.param(b"\xff" + bytes(8) + b"\x7f\x01\x08\x00\x00", id="2.0"),
        pytest.param(wire.greeting(mechanism=b"NULL"), id="NULL"),
    ],
)
@fastmq_only("libzmq tells DISCONNECTED only")
def test_no_way_down_to_an_unsecured_protocol(make, watch, server_keys, opening):
    pull = make(zmq.PULL, **curve_server(server_keys))
    events = watch(pull)
    pull.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(pull)) as w:
        w.send(opening + wire.ready("PUSH") + wire.frame(b"smuggled"))
        event, value, _ = events.wait(*HANDSHAKE_FAILURES)
        assert (event, value) == (PROTOCOL, MISMATCH)
        w.wait_closed()
    assert nothing_arrives(pull)


@fastmq_only("libzmq tells DISCONNECTED only")
def test_a_secured_client_does_not_follow_a_server_down(make, watch, client_keys):
    with wire.Listener() as listener:
        push = make(zmq.PUSH, **curve_client(client_keys, Keys().public))
        events = watch(push)
        push.connect(listener.address)
        push.send(b"secret", zmq.DONTWAIT)
        with listener.accept() as w:
            w.send(b"\xff" + bytes(8) + b"\x7f\x01")
            event, value, _ = events.wait(*HANDSHAKE_FAILURES)
            assert (event, value) == (PROTOCOL, MISMATCH)
            assert b"secret" not in w.wait_closed()


def test_a_healthy_client_notices_nothing_of_garbage(make, server_keys, client_keys):
    pull = make(zmq.PULL, **curve_server(server_keys))
    pull.bind("tcp://127.0.0.1:*")
    push = make(zmq.PUSH, **curve_client(client_keys, server_keys.public))
    push.connect(pull.last_endpoint)
    for i in range(20):
        with wire.connect(last_endpoint(pull)) as w:
            w.send(wire.greeting(mechanism=b"CURVE"))
            w.send(wire.command(b"HELLO", b"\x01\x00" + os.urandom(192 if i % 2 else i)))
            push.send(b"%d" % i)
            assert recv(pull) == b"%d" % i
            w.wait_closed()
    assert drain(pull) == []


# ---- options ----


def test_the_last_option_set_chooses_mechanism_and_role(make, server_keys):
    sock = make(zmq.DEALER)
    assert sock.mechanism == 0
    sock.plain_username = b"me"
    assert (sock.mechanism, sock.plain_server) == (1, 0)
    sock.plain_server = 1
    assert (sock.mechanism, sock.plain_server) == (1, 1)
    sock.curve_server = 1
    assert (sock.mechanism, sock.plain_server, sock.curve_server) == (2, 0, 1)
    sock.curve_serverkey = server_keys.public
    assert (sock.mechanism, sock.curve_server) == (2, 0)
    sock.plain_password = b"x"
    assert sock.mechanism == 1
    sock.plain_server = 0
    assert sock.mechanism == 0


@fastmq_only("pyzmq cannot read keys")
def test_keys_may_be_raw_or_z85_and_read_as_z85(make, server_keys):
    sock = make(zmq.DEALER)
    assert sock.curve_secretkey == b""
    raw = submodule("utils.z85").decode(server_keys.secret)
    for value in (raw, server_keys.secret, server_keys.secret + b"\0", server_keys.secret.decode()):
        sock.curve_secretkey = value
        assert sock.curve_secretkey == server_keys.secret


@pytest.mark.parametrize(
    "value", [b"x" * 31, b"x" * 33, b"x" * 39, b'"' * 40, b"#" * 40, b"0" * 40 + b"x"]
)
def test_what_is_no_key_is_refused(make, value):
    sock = make(zmq.DEALER)
    with raises_errno(zmq.EINVAL):
        sock.curve_secretkey = value
    assert sock.mechanism == 0


@fastmq_only("libzmq connects and fails silently")
def test_a_socket_without_its_keys_says_so(make, server_keys):
    sock = make(zmq.DEALER, curve_secretkey=server_keys.secret)
    with pytest.raises(zmq.ZMQError, match="CURVE_SERVERKEY") as info:
        sock.connect("tcp://127.0.0.1:1")
    assert info.value.errno == zmq.EINVAL
    server = make(zmq.DEALER, curve_server=1)
    with pytest.raises(zmq.ZMQError, match="CURVE_SECRETKEY"):
        server.bind("tcp://127.0.0.1:*")


@fastmq_only("libzmq wants the public key, too")
def test_the_public_key_follows_from_the_secret_one(make, server_keys, client_keys):
    pull = make(zmq.PULL, **curve_server(server_keys))
    pull.bind("tcp://127.0.0.1:*")
    push = make(zmq.PUSH, curve_secretkey=client_keys.secret, curve_serverkey=server_keys.public)
    push.connect(pull.last_endpoint)
    push.send(b"x")
    assert recv(pull) == b"x"


@fastmq_only("about its own requirement")
def test_without_libsodium_the_error_says_what_to_install():
    result = run_python(
        """
sys.modules["nacl"] = None
assert not zmq.has("curve")
try:
    zmq.curve_keypair()
except zmq.ZMQError as e:
    assert e.errno == zmq.ENOTSUP and "pip install PyNaCl" in str(e), e
with zmq.Context() as ctx, ctx.socket(zmq.PULL) as sock:
    for name, value in (("curve_server", 1), ("curve_secretkey", b"x" * 32)):
        try:
            setattr(sock, name, value)
        except zmq.ZMQError as e:
            assert e.errno == zmq.ENOTSUP and "pip install PyNaCl" in str(e), e
        else:
            raise SystemExit(name)
print("ok")
"""
    )
    assert result.stdout == "ok\n", result.stderr


def test_keys_are_new_each_time_and_belong_together():
    pairs = [zmq.curve_keypair() for _ in range(20)]
    assert len({p for pair in pairs for p in pair}) == 40
    for public, secret in pairs:
        assert len(public) == len(secret) == 40
        assert zmq.curve_public(secret) == zmq.curve_public(secret.decode()) == public
    with pytest.raises(ValueError):
        zmq.curve_public(b"short")
