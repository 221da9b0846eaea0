# SPDX-License-Identifier: MIT
"""A client that meets a wrong answer where its server should be: whoever holds the port for a while
does not end it for good. A refusal does, and what comes under the server's key."""

import contextlib

import pytest
import wire
from helpers import HANDSHAKE_FAILURES, bind_when_free, no_peer, recv
from security import Keys, curve_client, curve_server, needs_curve, plain_client, reply
from target import IS_FASTMQ, zmq

pytestmark = pytest.mark.skipif(not IS_FASTMQ, reason="libzmq never tries again")

AUTH = zmq.EVENT_HANDSHAKE_FAILED_AUTH
PROTOCOL = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
RETRIED = zmq.EVENT_CONNECT_RETRIED
VIOLATION = getattr(zmq, "EVENT_PROTOCOL_VIOLATION", 0)
STOP = getattr(zmq, "RECONNECT_STOP_PROTOCOL_ERROR", 0)
MALFORMED = 0x10000012

HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
ERROR = wire.command(b"ERROR", b"\x03400")


class Mechanism:
    """The options of both sides, and how a wrong server begins."""

    def __init__(self, name):
        self.name = name
        self.server, self.client = {}, {}
        if name == "PLAIN":
            self.server, self.client = {"plain_server": 1}, plain_client()
        elif name == "CURVE":
            self.keys = Keys()
            self.server = curve_server(self.keys)
            self.client = curve_client(Keys(), self.keys.public)

    def greet(self, w):
        w.send(wire.greeting(mechanism=self.name.encode(), as_server=1))
        w.read(64)

    def accept(self, w):
        """As far as the client has proof of the server's key."""
        import wire_curve

        curve = wire_curve.Server((raw(self.keys.public), raw(self.keys.secret)))
        self.greet(w)
        curve.hello(w)
        w.send(curve.welcome())
        curve.initiate(w)
        return curve


def raw(z85):
    from fastmq.utils import z85 as codec

    return bytes(codec.decode(z85))


@pytest.fixture(params=["NULL", "PLAIN", pytest.param("CURVE", marks=needs_curve)])
def mechanism(request, handler):
    if request.param == "PLAIN":
        handler()
    return Mechanism(request.param)


@pytest.fixture
def curve():
    return Mechanism("CURVE")


def say_http(m, w):
    """Without security it could be a name in ZMTP 1.0 that has not come whole yet."""
    w.send(HTTP if m.server else wire.greeting() + wire.frame(HTTP, wire.COMMAND))


def say_old(m, w):
    """ZMTP 2.0, with a name that is too long."""
    w.send(wire.signature() + b"\1\x08\2" + (300).to_bytes(8, "big"))


def say_another_mechanism(m, w):
    w.send(wire.greeting(mechanism=b"OTHER"))


def say_welcome(m, w):
    """Spoilt, or not asked for."""
    m.greet(w)
    w.send(wire.frame(b"\7WELCOME" + bytes(160), wire.COMMAND))


def say_the_wrong_type(m, w):
    m.greet(w)
    w.send(wire.command(b"WELCOME") if m.name == "PLAIN" else b"")
    w.send(wire.ready("PUB"))


WRONG = [say_http, say_old, say_another_mechanism, say_welcome, say_the_wrong_type]


def meet(listener, mechanism, wrong):
    with listener.accept() as w, contextlib.suppress(OSError):
        wrong(mechanism, w)
        w.wait_closed()


def serve(make, kind, address, **options):
    """Binds where the listener was."""
    sock = make(kind, **options)
    bind_when_free(sock, address)
    return sock


@pytest.mark.parametrize("wrong", WRONG, ids=lambda f: f.__name__)
def test_a_wrong_answer_is_told_each_time_and_tried_again(make, watch, mechanism, wrong):
    push = make(zmq.PUSH, reconnect_ivl=5, **mechanism.client)
    events = watch(push)
    with wire.Listener() as impostor:
        push.connect(impostor.address)
        push.send(b"for the right one")
        for _ in range(3):
            meet(impostor, mechanism, wrong)
            assert events.wait(*HANDSHAKE_FAILURES)[0] == PROTOCOL
            events.wait(RETRIED)
    pull = serve(make, zmq.PULL, impostor.address, **mechanism.server)
    assert recv(pull) == b"for the right one"


def test_the_waits_grow_with_wrong_answers_and_begin_anew(make, watch):
    push = make(zmq.PUSH, reconnect_ivl=4)
    events = watch(push)
    with wire.Listener() as server:
        push.connect(server.address)
        for factor in (1, 2, 4, 8, 16, 16):
            meet(server, Mechanism("NULL"), say_http)
            assert 4 * factor <= events.wait(RETRIED)[1] < 8 * factor
        with server.accept() as w:
            w.handshake("PULL")
        assert 4 <= events.wait(RETRIED)[1] < 8
        server.accept().close()


def test_the_waits_end_at_reconnect_ivl_max(make, watch):
    push = make(zmq.PUSH, reconnect_ivl=4, reconnect_ivl_max=10)
    events = watch(push)
    with wire.Listener() as server:
        push.connect(server.address)
        for wait in (4, 8, 10, 10):
            meet(server, Mechanism("NULL"), say_http)
            assert events.wait(RETRIED)[1] == wait


# ---- after the handshake ----


@pytest.mark.parametrize("name", ["NULL", "PLAIN"])
def test_a_peer_that_breaks_the_rules_is_tried_again(make, watch, handler, name):
    mechanism = Mechanism(name)
    dealer = make(zmq.DEALER, reconnect_ivl=5, **mechanism.client)
    events = watch(dealer)
    with wire.Listener() as impostor:
        dealer.connect(impostor.address)
        dealer.send(b"hello")
        for _ in range(2):
            with impostor.accept() as w:
                mechanism.greet(w)
                if name == "PLAIN":
                    w.send(wire.command(b"WELCOME"))
                w.send(wire.ready("DEALER") + b"\x02\xff" + bytes(7))
                w.wait_closed()
            assert events.wait(VIOLATION)[1] == MALFORMED
            events.wait(RETRIED)
    if name == "PLAIN":
        handler()
    server = serve(make, zmq.DEALER, impostor.address, **mechanism.server)
    dealer.send(b"again")
    assert recv(server) in (b"hello", b"again")


def test_a_server_that_answers_a_req_with_nonsense_is_tried_again(make, watch):
    req = make(zmq.REQ, reconnect_ivl=5, req_relaxed=1, req_correlate=1)
    events = watch(req)
    with wire.Listener() as impostor:
        req.connect(impostor.address)
        for _ in range(2):
            with impostor.accept() as w:
                w.handshake("REP")
                req.send(b"question", timeout=8000)
                w.read_message()
                w.send_message(b"nonsense")
                assert events.wait(VIOLATION)[1] == MALFORMED
                w.wait_closed()
            no_peer(req)
            events.wait(RETRIED)
    rep = serve(make, zmq.REP, impostor.address)
    req.send(b"question", timeout=8000)
    assert recv(rep) == b"question"
    rep.send(b"answer")
    assert recv(req) == b"answer"


# ---- what ends it ----


def ended(events):
    return events.silent(RETRIED, zmq.EVENT_CONNECTED, zmq.EVENT_CONNECT_DELAYED)


@needs_curve
def test_a_refusal_before_the_key_was_shown_counts_for_nothing(make, watch, curve):
    push = make(zmq.PUSH, reconnect_ivl=5, **curve.client)
    events = watch(push)

    def refuse(m, w):
        m.greet(w)
        w.send(ERROR)

    with wire.Listener() as impostor:
        push.connect(impostor.address)
        for _ in range(2):
            meet(impostor, curve, refuse)
            assert events.wait(*HANDSHAKE_FAILURES)[:2] == (AUTH, 400)
            events.wait(RETRIED)


@needs_curve
@pytest.mark.parametrize("status", [b"400", b"no, never"])
def test_a_refusal_of_the_server_itself_ends_the_endpoint(make, watch, curve, status):
    push = make(zmq.PUSH, reconnect_ivl=5, **curve.client)
    events = watch(push)
    with wire.Listener() as server:
        push.connect(server.address)
        with server.accept() as w:
            curve.accept(w)
            w.send(wire.command(b"ERROR", bytes([len(status)]) + status))
            w.wait_closed()
        assert events.wait(*HANDSHAKE_FAILURES)[0] == (AUTH if status == b"400" else PROTOCOL)
        assert ended(events)


@needs_curve
def test_a_handler_that_refuses_a_curve_client_ends_its_endpoint(make, watch, handler, curve):
    asked = handler(lambda q: reply(q, b"400"))
    pull = make(zmq.PULL, **curve.server)
    pull.bind("tcp://127.0.0.1:*")
    push = make(zmq.PUSH, reconnect_ivl=5, **curve.client)
    events = watch(push)
    push.connect(pull.last_endpoint)
    assert events.wait(*HANDSHAKE_FAILURES)[:2] == (AUTH, 400)
    assert ended(events)
    assert len(asked.requests) == 1


@needs_curve
def test_a_wrong_answer_under_the_servers_key_ends_the_endpoint(make, watch, curve):
    push = make(zmq.PUSH, reconnect_ivl=5, **curve.client)
    events = watch(push)
    with wire.Listener() as server:
        push.connect(server.address)
        with server.accept() as w:
            w.send(curve.accept(w).ready(wire.prop(b"Socket-Type", b"PUB")))
            w.wait_closed()
        assert events.wait(*HANDSHAKE_FAILURES)[0] == PROTOCOL
        assert ended(events)


@needs_curve
@pytest.mark.parametrize("authentic", [True, False])
def test_what_breaks_the_rules_in_a_box_ends_the_endpoint(make, watch, curve, authentic):
    """In a spoilt box, it is somebody else's."""
    dealer = make(zmq.DEALER, reconnect_ivl=5, maxmsgparts=1, **curve.client)
    events = watch(dealer)
    with wire.Listener() as server:
        dealer.connect(server.address)
        with server.accept() as w:
            box = curve.accept(w)
            w.send(box.ready(wire.prop(b"Socket-Type", b"DEALER")))
            message = box.message(b"one of several", more=True)
            w.send(message if authentic else message[:-1] + bytes([message[-1] ^ 1]))
            w.wait_closed()
        events.wait(VIOLATION)
        if authentic:
            assert ended(events)
        else:
            events.wait(RETRIED)


def test_an_option_asks_for_the_end_at_the_first_wrong_answer(make, watch, mechanism):
    push = make(zmq.PUSH, reconnect_ivl=5, reconnect_stop=STOP, **mechanism.client)
    events = watch(push)
    with wire.Listener() as server:
        push.connect(server.address)
        server.accept().close()  # a loss is none
        events.wait(RETRIED)
        meet(server, mechanism, say_http)
        assert events.wait(PROTOCOL)
        assert ended(events)


def test_with_that_option_what_breaks_the_rules_ends_it_too(make, watch):
    req = make(zmq.REQ, reconnect_ivl=5, reconnect_stop=STOP)
    dealer = make(zmq.DEALER, reconnect_ivl=5, reconnect_stop=STOP)
    for sock, bad in ((req, wire.frame(b"nonsense")), (dealer, b"\x02\xff" + bytes(7))):
        events = watch(sock)
        with wire.Listener() as server:
            sock.connect(server.address)
            sock.send(b"question")
            with server.accept() as w:
                w.handshake("REP")
                assert w.read_message()[-1] == b"question"
                w.send(bad)
                w.wait_closed()
            events.wait(VIOLATION)
            assert ended(events)


def test_a_closed_socket_is_done_with_at_a_wrong_answer(ctx, make):
    """Nobody is there any more to whom it could be told: the context does not wait for LINGER."""
    push = make(zmq.PUSH, reconnect_ivl=5)
    with wire.Listener() as impostor:
        push.connect(impostor.address)
        push.send(b"last words")
        push.close(linger=-1)
        meet(impostor, Mechanism("NULL"), say_http)
        ctx.term(timeout=8000)
