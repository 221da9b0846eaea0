# SPDX-License-Identifier: MIT
"""Subclasses see their own verbs called by those that are built on them, as with pyzmq."""

import asyncio
import json
import pickle

import pytest
from helpers import recv_multipart, unique
from target import fastmq_only, zmq

import fastmq
import fastmq.asyncio

if zmq.__name__ == "zmq":
    import zmq.asyncio


class Noting(zmq.Socket):
    """Notes each part that passes through its own `send` and `recv`."""

    _seen = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._seen = []

    def send(self, data, flags=0, copy=True, track=False, **kwargs):
        self._seen.append(("send", bytes(data), bool(flags & zmq.SNDMORE)))
        return super().send(data, flags, copy, track, **kwargs)

    def recv(self, flags=0, copy=True, track=False):
        part = super().recv(flags, copy, track)
        self._seen.append(("recv", bytes(part)))
        return part


@pytest.fixture
def noting(ctx, make, name):
    sock, peer = Noting(ctx, zmq.PAIR), make(zmq.PAIR)
    address = name()
    sock.bind(address)
    peer.connect(address)
    yield sock, peer
    sock.close()


SENDS = {
    "multipart": (lambda s: s.send_multipart([b"1", b"2", b"3"]), [b"1", b"2", b"3"]),
    "one part": (lambda s: s.send_multipart([b"1"]), [b"1"]),
    "an iterator": (lambda s: s.send_multipart(iter((b"1", b"2"))), [b"1", b"2"]),
    "serialized": (lambda s: s.send_serialized(7, lambda n: [b"%d" % n, b"x"]), [b"7", b"x"]),
    "string": (lambda s: s.send_string("text"), [b"text"]),
    "json": (lambda s: s.send_json([1]), [b"[1]"]),
    "pyobj": (lambda s: s.send_pyobj([1], protocol=4), [pickle.dumps([1], 4)]),
}
RECVS = {
    "multipart": (lambda s: s.recv_multipart(), [b"1", b"2"]),
    "serialized": (lambda s: s.recv_serialized(list), [b"1", b"2"]),
    "string": (lambda s: s.recv_string(), "1"),
    "json": (lambda s: s.recv_json(), 1),
}
if zmq.__name__ == "fastmq":
    SENDS["many"] = (lambda s: s.send_many([[b"1", b"2"]]), [b"1", b"2"])
    RECVS["many"] = (lambda s: s.recv_many(1), [[b"1", b"2"]])
    RECVS["next"] = (next, [b"1", b"2"])


@pytest.mark.parametrize("form", SENDS)
def test_forms_of_send_call_the_send_of_a_subclass(noting, form):
    sock, peer = noting
    send, parts = SENDS[form]
    if form == "an iterator" and zmq.__name__ == "zmq":
        pytest.skip("pyzmq takes no iterators")
    send(sock)
    assert recv_multipart(peer) == parts
    last = len(parts) - 1
    assert sock._seen == [("send", part, i < last) for i, part in enumerate(parts)]


@pytest.mark.parametrize("form", RECVS)
def test_forms_of_recv_call_the_recv_of_a_subclass(noting, form):
    sock, peer = noting
    peer.send_multipart([b"1", b"2"])
    receive, value = RECVS[form]
    assert receive(sock) == value
    whole = value if isinstance(value, list) else [value]
    assert len(sock._seen) == (2 if whole in ([b"1", b"2"], [[b"1", b"2"]]) else 1)
    assert sock._seen[0] == ("recv", b"1")


def test_a_subclass_of_a_subclass_is_seen_too(ctx, make, name):
    class Last(Noting):
        pass

    address = name()
    with Last(ctx, zmq.PAIR) as sock:
        sock.bind(address)
        make(zmq.PAIR).connect(address)
        sock.send_multipart([b"1", b"2"])
        assert len(sock._seen) == 2


def test_serialized_forms_call_the_multipart_forms_of_a_subclass(ctx, make, name):
    class Whole(zmq.Socket):
        def send_multipart(self, parts, flags=0, copy=True, track=False):
            return super().send_multipart([b"head", *parts], flags, copy, track)

        def recv_multipart(self, flags=0, copy=True, track=False):
            return super().recv_multipart(flags, copy, track)[1:]

    address = name()
    with Whole(ctx, zmq.PAIR) as sock:
        peer = make(zmq.PAIR)
        sock.bind(address)
        peer.connect(address)
        sock.send_serialized(b"x", lambda part: [part])
        assert recv_multipart(peer) == [b"head", b"x"]
        peer.send_multipart([b"head", b"y"])
        assert sock.recv_serialized(list) == [b"y"]


def test_an_object_may_have_a_verb_of_its_own(make, name):
    address = name()
    sock, peer = make(zmq.PAIR), make(zmq.PAIR)
    sock.bind(address)
    peer.connect(address)
    seen = []
    sock.send = lambda data, flags=0, **_: seen.append((data, int(flags)))
    sock.send_multipart([b"1", b"2"])
    assert seen == [(b"1", zmq.SNDMORE), (b"2", 0)]
    sock.recv = lambda flags=0, **_: b"mine"
    assert sock.recv_multipart() == [b"mine"]


def test_a_poller_class_of_a_subclass_is_used(ctx):
    made = []

    class Own(zmq.Poller):
        def __init__(self):
            made.append(self)
            super().__init__()

    class Polls(zmq.Socket):
        _poller_class = Own

    with Polls(ctx, zmq.PULL) as sock:
        assert sock.poll(0) == 0
    assert len(made) == 1


def test_bind_of_a_subclass_is_called_for_a_random_port(ctx):
    bound = []

    class Binds(zmq.Socket):
        def bind(self, addr):
            bound.append(addr)
            return super().bind(addr)

    with Binds(ctx, zmq.PULL) as sock:
        sock.bind_to_random_port("tcp://127.0.0.1")
    assert bound == ["tcp://127.0.0.1:*"]


def test_set_and_get_of_a_subclass_are_called_for_options(ctx):
    calls = []

    class Options(zmq.Socket):
        def set(self, option, value):
            calls.append(("set", int(option), value))
            return super().set(option, value)

        def get(self, option):
            calls.append(("get", int(option)))
            return super().get(option)

    with Options(ctx, zmq.SUB) as sock:
        calls.clear()
        sock.linger = 5
        assert sock.linger == 5
        sock.subscribe("a")
        sock.set_string(zmq.UNSUBSCRIBE, "a")
    assert calls == [
        ("set", zmq.LINGER, 5),
        ("get", zmq.LINGER),
        ("set", zmq.SUBSCRIBE, b"a"),
        ("set", zmq.UNSUBSCRIBE, b"a"),
    ]


@pytest.mark.parametrize("where", ["object", "class"])
def test_the_socket_class_of_a_context_is_used(where):
    class Contexts(zmq.Context):
        if where == "class":
            _socket_class = Noting

    with Contexts() as ctx:
        if where == "object":
            ctx._socket_class = Noting
        with ctx.socket(zmq.PAIR) as sock:
            assert type(sock) is Noting
        ctx.destroy()


@fastmq_only("libzmq sends parts one by one")
def test_a_message_that_failed_part_by_part_may_be_sent_again(ctx, make, name):
    class Fails(zmq.Socket):
        _fail = True

        def send(self, data, flags=0, **kwargs):
            if data == b"2" and self._fail:
                raise zmq.Again
            return super().send(data, flags, **kwargs)

    address = name()
    peer = make(zmq.PAIR)
    with Fails(ctx, zmq.PAIR) as sock:
        sock.bind(address)
        peer.connect(address)
        with pytest.raises(zmq.Again):
            sock.send_multipart([b"1", b"2"], zmq.DONTWAIT)
        sock._fail = False
        sock.send_multipart([b"1", b"2"], zmq.DONTWAIT)
        assert recv_multipart(peer) == [b"1", b"2"]


def test_what_is_no_buffer_is_refused_before_a_part_is_sent(noting):
    sock, _ = noting
    with pytest.raises(TypeError):
        sock.send_multipart([b"1", "2"])
    assert sock._seen == []


# ---- the pattern of eventlet's green sockets ----


def test_a_socket_that_waits_by_itself_for_each_part(ctx, make, name):
    """eventlet overrides send, recv and getsockopt, and lets its hub run where they would block."""
    waits = []

    class Green(zmq.Socket):
        _hub = None

        def getsockopt(self, option):
            waits.append(("getsockopt", int(option)))
            return super().getsockopt(option)

        def send(self, msg, flags=0, copy=True, track=False):
            while True:
                try:
                    return super().send(msg, flags | zmq.NOBLOCK, copy, track)
                except zmq.Again:
                    waits.append("send")
                    self._hub()

        def send_multipart(self, msg_parts, flags=0, copy=True, track=False):
            return super().send_multipart(msg_parts, flags, copy, track)

        def recv(self, flags=0, copy=True, track=False):
            while True:
                try:
                    return super().recv(flags | zmq.NOBLOCK, copy, track)
                except zmq.Again:
                    waits.append("recv")
                    self._hub()

        def recv_multipart(self, flags=0, copy=True, track=False):
            return super().recv_multipart(flags, copy, track)

    address = name()

    def once(call):
        todo = [call]
        return lambda: todo and todo.pop()()

    with Green(ctx, zmq.DEALER) as sock:
        peer = make(zmq.DEALER)
        sock._hub = once(lambda: peer.connect(address))
        sock.bind(address)
        sock.send_multipart([b"1", b"2"])
        assert set(waits) == {"send"}
        assert recv_multipart(peer) == [b"1", b"2"]
        waits.clear()
        sock._hub = once(lambda: peer.send_multipart([b"3", b"4"]))
        assert sock.recv_multipart() == [b"3", b"4"]
        assert waits[0] == "recv"
        assert [w for w in waits if w != "recv"] == [("getsockopt", zmq.RCVMORE)] * 2


# ---- asyncio ----


def test_asyncio_forms_call_the_verbs_of_a_subclass():
    class Async(zmq.asyncio.Socket):
        def send(self, data, *args, **kwargs):
            return super().send(b"s" + data, *args, **kwargs)

        def recv(self, *args, **kwargs):
            self._received += 1
            return super().recv(*args, **kwargs)

        _received = 0

    async def main():
        with zmq.asyncio.Context() as ctx, Async(ctx, zmq.PAIR) as a, Async(ctx, zmq.PAIR) as b:
            address = f"inproc://{unique('sub')}"
            a.bind(address)
            b.connect(address)
            await a.send_string("x")
            assert await b.recv_string() == "sx"
            await a.send_multipart([b"1", b"2"])
            assert await b.recv_multipart() == [b"1", b"2"]
            waiting = asyncio.ensure_future(b.recv_json())
            await a.send(b"")
            with pytest.raises(json.JSONDecodeError):
                await waiting
            assert b._received == 2

    asyncio.run(main())


@fastmq_only("pyzmq's forms take Futures only")
def test_asyncio_forms_take_coroutines_of_a_subclass():
    class Async(fastmq.asyncio.Socket):
        async def recv(self, *args, **kwargs):
            return b"[%s]" % await super().recv(*args, **kwargs)

        async def recv_multipart(self, *args, **kwargs):
            return [b"mine", *await super().recv_multipart(*args, **kwargs)]

    async def main():
        got = []
        with zmq.asyncio.Context() as ctx, Async(ctx, zmq.PAIR) as a, Async(ctx, zmq.PAIR) as b:
            address = f"inproc://{unique('sub')}"
            a.bind(address)
            b.connect(address)
            waiting = asyncio.ensure_future(b.recv_json())
            await a.send(b"1")
            assert await waiting == [1]
            await a.send(b"x")
            assert await b.recv_serialized(list) == [b"mine", b"x"]
            await a.send(b"y")
            await a.send(b"z")

            async def iterate():
                async for parts in b:
                    got.append(parts)

            task = asyncio.ensure_future(iterate())
            while len(got) < 2:
                await asyncio.sleep(0.001)
            b.close()
            await task
            assert got == [[b"mine", b"y"], [b"mine", b"z"]]

    asyncio.run(main())


@fastmq_only("pyzmq has no cheaper way to lose")
def test_a_plain_class_and_its_own_types_override_nothing(ctx):
    for kind in (zmq.PAIR, zmq.ROUTER, zmq.SUB):
        with ctx.socket(kind) as sock:
            assert not sock._sends_by_part
