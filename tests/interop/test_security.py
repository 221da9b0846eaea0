# SPDX-License-Identifier: MIT
"""PLAIN and CURVE against a real libzmq: each side as server, each side binding."""

import pytest
from helpers import HANDSHAKE_FAILURES, Endpoint, nothing_arrives, recv_multipart
from security import Keys, curve_client, curve_server, needs_curve, plain_client
from target import submodule, zmq

PASSWORDS = {"admin": "secret"}

endpoints = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)
binders = pytest.mark.parametrize("binder", ["we-bind", "they-bind"])
servers = pytest.mark.parametrize("server", ["we-serve", "they-serve"])


@pytest.fixture(scope="module")
def keys():
    """The server's and the client's."""
    return Keys(), Keys()


@pytest.fixture
def judge(request, _shared_libzmq, ctx, keys, server):
    """An authenticator on the serving side."""
    if server == "they-serve":
        known = [keys[1].public.decode()]
        _shared_libzmq.ask("authenticate", passwords=PASSWORDS, keys=known)
        yield
        _shared_libzmq.ask("authenticate_no_more")
        return

    one = submodule("auth.thread").ThreadAuthenticator(ctx)
    one.start()
    one.configure_plain(domain="interop", passwords=PASSWORDS)

    class Known:
        def callback(self, domain, key):
            return key == keys[1].public

    one.configure_curve_callback("interop", Known())
    yield
    one.stop()


def options_of(mechanism, keys):
    if mechanism == "plain":
        return {"plain_server": 1, "zap_domain": b"interop"}, plain_client()
    return (
        curve_server(keys[0], zap_domain=b"interop"),
        curve_client(keys[1], keys[0].public),
    )


def join(binder, endpoint, here, there):
    if binder == "we-bind":
        there.connect(endpoint.bind(here))
    else:
        here.connect(there.bind(endpoint.wildcard))


MESSAGES = [
    [b"hello"],
    [b""],
    [b"a", b"", b"c" * 300],
    [b"l" * 70_000, b"m"],
    [b"h" * 2_000_000],
]


@needs_curve
@endpoints
@binders
@servers
@pytest.mark.parametrize("mechanism", ["plain", "curve"])
def test_messages_pass_both_ways(
    make, libzmq, endpoint: Endpoint, judge, keys, mechanism, server, binder
):
    serving, asking = options_of(mechanism, keys)
    ours, theirs = (serving, asking) if server == "we-serve" else (asking, serving)
    here, there = make(zmq.PAIR, **ours), libzmq("PAIR", **theirs)
    join(binder, endpoint, here, there)
    for message in MESSAGES:
        here.send_multipart(message)
        assert there.recv() == message
        there.send(*message)
        assert recv_multipart(here, "a message from libzmq") == message


@needs_curve
@servers
@pytest.mark.parametrize("wrong", ["password", "client key", "server key"])
def test_wrong_credentials_stay_out(make, libzmq, watch, judge, keys, server, wrong):
    mechanism = "plain" if wrong == "password" else "curve"
    serving, asking = options_of(mechanism, keys)
    if wrong == "password":
        asking["plain_password"] = b"guess"
    elif wrong == "client key":
        asking = curve_client(Keys(), keys[0].public)
    else:
        asking["curve_serverkey"] = Keys().public
    if server == "we-serve":
        here, there = make(zmq.PULL, **serving), libzmq("PUSH", **asking)
        events = watch(here)
        here.bind("tcp://127.0.0.1:*")
        there.connect(here.last_endpoint.decode())
        event, value, _ = events.wait(*HANDSHAKE_FAILURES)
        assert nothing_arrives(here)
    else:
        here, there = make(zmq.PUSH, **asking), libzmq("PULL", **serving)
        events = watch(here)
        here.connect(there.bind("tcp://127.0.0.1:*"))
        event, value, _ = events.wait(*HANDSHAKE_FAILURES)
        assert there.poll(50) == 0
    if wrong == "server key":
        expected = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        assert event == expected or server == "they-serve"
    else:
        assert (event, value) == (zmq.EVENT_HANDSHAKE_FAILED_AUTH, 400)


@needs_curve
@servers
def test_subscriptions_and_heartbeats_under_curve(make, libzmq, watch, judge, keys, server):
    serving, asking = options_of("curve", keys)
    beats = {"heartbeat_ivl": 20, "heartbeat_timeout": 400}
    if server == "we-serve":
        here, there = make(zmq.XPUB, **serving, **beats), libzmq("SUB", **asking, **beats)
        events = watch(here)
        here.bind("tcp://127.0.0.1:*")
        there.connect(here.last_endpoint.decode())
        there.set("subscribe", b"news")
        assert recv_multipart(here) == [b"\x01news"]
    else:
        here, there = make(zmq.SUB, **asking, **beats), libzmq("XPUB", **serving, **beats)
        events = watch(here)
        here.subscribe(b"news")
        here.connect(there.bind("tcp://127.0.0.1:*"))
        assert there.recv() == [b"\x01news"]
    assert events.silent(zmq.EVENT_DISCONNECTED)
    for _ in range(5):
        if server == "we-serve":
            here.send_multipart([b"news", b"x"])
            assert there.recv() == [b"news", b"x"]
        else:
            there.send(b"news", b"x")
            assert recv_multipart(here) == [b"news", b"x"]


@needs_curve
@pytest.mark.parametrize("server", ["we-serve", "they-serve"])
def test_many_messages_keep_their_order_under_curve(make, libzmq, judge, keys, server):
    serving, asking = options_of("curve", keys)
    count = 3000
    ours, theirs = (serving, asking) if server == "we-serve" else (asking, serving)
    here, there = make(zmq.PUSH, **ours), libzmq("PULL", **theirs)
    join("we-bind", Endpoint("tcp", None), here, there)
    there.start("recv_numbers", count=count)
    for i in range(count):
        here.send(b"%d" % i + bytes(i % 500))
    assert there.finish("receiving") == list(range(count))
