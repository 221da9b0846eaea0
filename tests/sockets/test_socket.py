# SPDX-License-Identifier: MIT
"""The verbs of a Socket: every form of send and recv, misuse, life and death."""

import copy
import gc
import json

import pytest
from helpers import eventually, raises_errno, recv, recv_multipart, wait_readable
from target import fastmq_only, zmq


@pytest.fixture
def pair(make, name):
    a, b = make(zmq.PAIR), make(zmq.PAIR)
    address = name()
    a.bind(address)
    b.connect(address)
    return a, b


def test_send_and_recv_string(pair):
    a, b = pair
    for text in ("", "plain", "grün ☃ \U0001f600"):
        b.send_string(text)
        assert a.recv_string() == text
    b.send_string("grün", encoding="latin-1")
    assert a.recv() == "grün".encode("latin-1")
    b.send_string("x", encoding="utf-16")
    assert a.recv_string(encoding="utf-16") == "x"
    assert b.send_unicode.__name__ and a.recv_unicode.__name__
    with pytest.raises(TypeError):
        b.send_string(b"bytes")


def test_send_and_recv_json(pair):
    a, b = pair
    for value in (None, 1, "x", [1, 2], {"a": {"b": [True, 1.5]}}):
        b.send_json(value)
        assert a.recv_json() == value
    b.send_json({"b": 1, "a": 2}, sort_keys=True)
    assert json.loads(a.recv()) == {"a": 2, "b": 1}
    with pytest.raises(TypeError):
        b.send_json(object())


def test_send_and_recv_pyobj(pair):
    a, b = pair
    value = {"a": (1, {2, 3}), "b": b"x" * 1000}
    b.send_pyobj(value)
    assert a.recv_pyobj() == value
    b.send_pyobj(value, protocol=2)
    assert a.recv_pyobj() == value


def test_send_and_recv_serialized(pair):
    a, b = pair

    def serialize(value):
        return [b"v1", str(value).encode()]

    def deserialize(parts):
        assert bytes(parts[0]) == b"v1"
        return int(bytes(parts[1]))

    b.send_serialized(42, serialize)
    assert a.recv_serialized(deserialize) == 42
    b.send_serialized(43, serialize, copy=False)
    assert a.recv_serialized(deserialize, copy=False) == 43


def test_failed_deserialisation_takes_the_whole_message(pair):
    a, b = pair
    b.send_multipart([b"not a number", b"x"])
    b.send(b"next")
    with pytest.raises(ValueError):
        a.recv_serialized(lambda parts: int(parts[0]))
    assert a.recv() == b"next"


def test_send_multipart_takes_any_buffers(pair):
    a, b = pair
    b.send_multipart([b"x", bytearray(b"y"), memoryview(b"z"), zmq.Frame(b"f")])
    assert a.recv_multipart() == [b"x", b"y", b"z", b"f"]
    b.send_multipart((b"tuple",))
    assert a.recv_multipart() == [b"tuple"]


@pytest.mark.parametrize("wrong", ["text", 5, None, 1.5, ["x"], {}])
def test_send_refuses_what_is_no_buffer(pair, wrong):
    a, b = pair
    with pytest.raises(TypeError):
        b.send(wrong)
    b.send(b"ok")
    assert a.recv() == b"ok"


@pytest.mark.parametrize("wrong", [[b"ok", "text"], [b"ok", 5], [b"a", b"b", None]])
def test_a_bad_part_sends_nothing_of_the_message(pair, wrong):
    a, b = pair
    with pytest.raises(TypeError):
        b.send_multipart(wrong)
    b.send(b"clean")
    assert a.recv_multipart() == [b"clean"]


def test_send_multipart_refuses_a_lone_bytes(pair):
    _, b = pair
    with pytest.raises(TypeError):
        b.send_multipart(b"bytes are no list of parts")


def test_recv_into(pair):
    a, b = pair
    if not hasattr(a, "recv_into"):
        pytest.skip("no recv_into")
    buffer = bytearray(10)
    b.send(b"hello")
    assert a.recv_into(buffer) == 5
    assert buffer[:5] == b"hello"
    b.send(b"abcdefgh")
    assert a.recv_into(buffer, nbytes=4) >= 4
    assert buffer[:4] == b"abcd"
    with pytest.raises(zmq.Again):
        a.recv_into(buffer, flags=zmq.DONTWAIT)
    with pytest.raises((TypeError, BufferError, ValueError)):
        a.recv_into(b"read only", flags=zmq.DONTWAIT)


def test_recv_gives_bytes_or_frames(pair):
    a, b = pair
    b.send(b"1")
    b.send(b"2")
    assert type(a.recv()) is bytes
    assert type(a.recv(copy=False)) is zmq.Frame


def test_flags_may_be_keywords_and_enums(pair):
    a, b = pair
    b.send(b"a", flags=zmq.Flag.SNDMORE)
    b.send(b"b", flags=zmq.Flag(0))
    assert a.recv(flags=zmq.Flag.DONTWAIT) == b"a"
    assert a.recv() == b"b"
    with pytest.raises(zmq.Again):
        a.recv(flags=zmq.NOBLOCK)


def test_nothing_to_receive(pair):
    a, _ = pair
    with pytest.raises(zmq.Again) as info:
        a.recv(zmq.DONTWAIT)
    assert info.value.errno == zmq.EAGAIN
    assert isinstance(info.value, zmq.ZMQError)
    a.setsockopt(zmq.RCVTIMEO, 5)
    with pytest.raises(zmq.Again):
        a.recv()
    a.setsockopt(zmq.RCVTIMEO, 0)
    with pytest.raises(zmq.Again):
        a.recv()


@fastmq_only("has no timeout per call")
def test_timeouts_per_call(pair, make):
    a, b = pair
    a.setsockopt(zmq.RCVTIMEO, -1)
    with pytest.raises(zmq.Again):
        a.recv(timeout=5)
    with pytest.raises(zmq.Again):
        a.recv_multipart(timeout=0) if False else a.recv(timeout=0)
    b.send(b"x", timeout=1000)
    assert a.recv(timeout=1000) == b"x"
    lonely = make(zmq.PUSH, sndtimeo=-1)
    with pytest.raises(zmq.Again):
        lonely.send(b"x", timeout=5)
    with pytest.raises(TypeError):
        a.recv(timeout="soon")
    assert a.getsockopt(zmq.RCVTIMEO) == -1


CLOSED_CALLS = {
    "send": lambda s: s.send(b"x"),
    "recv": lambda s: s.recv(),
    "recv_dontwait": lambda s: s.recv(zmq.DONTWAIT),
    "send_multipart": lambda s: s.send_multipart([b"x"]),
    "recv_multipart": lambda s: s.recv_multipart(),
    "bind": lambda s: s.bind("inproc://closed"),
    "connect": lambda s: s.connect("inproc://closed"),
    "unbind": lambda s: s.unbind("inproc://closed"),
    "disconnect": lambda s: s.disconnect("inproc://closed"),
    "getsockopt": lambda s: s.getsockopt(zmq.LINGER),
    "setsockopt": lambda s: s.setsockopt(zmq.LINGER, 0),
    "poll": lambda s: s.poll(0),
    "monitor": lambda s: s.monitor("inproc://m", zmq.EVENT_ALL),
}


@pytest.mark.parametrize("call", CLOSED_CALLS)
def test_a_closed_socket_refuses_everything(make, call):
    sock = make(zmq.PAIR)
    assert not sock.closed
    sock.close()
    assert sock.closed
    with raises_errno(zmq.ENOTSOCK, zmq.ENOTSUP):
        CLOSED_CALLS[call](sock)


def test_closing_twice_is_harmless(make):
    sock = make(zmq.PAIR)
    sock.close()
    sock.close(0)
    sock.close(linger=5)


def test_a_socket_is_a_context_manager(ctx):
    with ctx.socket(zmq.PAIR) as sock:
        sock.bind("inproc://managed")
    assert sock.closed
    with pytest.raises(RuntimeError), ctx.socket(zmq.PAIR) as sock:
        raise RuntimeError
    assert sock.closed


def test_a_socket_knows_its_context_and_type(make, ctx):
    sock = make(zmq.DEALER)
    assert sock.context is ctx
    assert sock.type == zmq.DEALER
    assert "DEALER" in repr(sock)
    sock.close()
    assert "closed" in repr(sock)


def test_sockets_can_be_keys(make):
    a, b = make(zmq.PAIR), make(zmq.PAIR)
    assert {a: 1, b: 2}[a] == 1
    assert a != b


def test_a_shadow_uses_the_same_socket(pair):
    a, b = pair
    shadow = zmq.Socket.shadow(a.underlying)
    b.send(b"x")
    assert shadow.recv() == b"x"
    for other in (copy.copy(a), copy.deepcopy(a)):
        assert other.underlying == a.underlying
    del shadow, other
    gc.collect()
    assert not a.closed
    b.send(b"y")
    assert a.recv() == b"y"


def test_copy_threshold_is_adjustable(ctx):
    with ctx.socket(zmq.PAIR) as sock:
        assert sock.copy_threshold == zmq.COPY_THRESHOLD
        sock.copy_threshold = 10
        assert sock.copy_threshold == 10


def test_errors_have_text_and_number(make):
    with pytest.raises(zmq.ZMQError) as info:
        make(zmq.PUSH).recv()
    e = info.value
    assert e.errno == zmq.ENOTSUP
    assert e.strerror
    assert str(e)
    assert zmq.strerror(zmq.EAGAIN)
    assert zmq.ZMQError(zmq.EFSM).errno == zmq.EFSM
    assert issubclass(zmq.ContextTerminated, zmq.ZMQError)
    assert issubclass(zmq.Again, zmq.ZMQError)
    assert issubclass(zmq.ZMQError, zmq.ZMQBaseError)
    assert issubclass(zmq.NotDone, zmq.ZMQBaseError)
    assert issubclass(zmq.ZMQBindError, zmq.ZMQBaseError)


def test_own_error_numbers_are_those_of_zeromq():
    base = 156384712
    assert tuple(base + n for n in (51, 52, 53, 54)) == (
        zmq.EFSM,
        zmq.ENOCOMPATPROTO,
        zmq.ETERM,
        zmq.EMTHREAD,
    )


def test_forgotten_sockets_free_their_address(ctx):
    with pytest.warns(ResourceWarning):
        sock = ctx.socket(zmq.PULL)
        sock.bind("inproc://forgotten")
        del sock
        gc.collect()

    def bind():
        with ctx.socket(zmq.PULL) as again:
            try:
                again.bind("inproc://forgotten")
            except zmq.ZMQError:
                return False
        return True

    eventually("the name is free", bind)


def test_subscribe_and_unsubscribe_methods(make, name):
    address = name()
    pub, sub = make(zmq.XPUB), make(zmq.SUB)
    pub.bind(address)
    sub.connect(address)
    sub.subscribe(b"a")
    sub.subscribe("ünï")
    assert {recv(pub), recv(pub)} == {b"\x01a", b"\x01" + "ünï".encode()}
    sub.unsubscribe("ünï")
    assert recv(pub) == b"\x00" + "ünï".encode()
    sub.subscribe = b"as an attribute"
    assert recv(pub) == b"\x01as an attribute"


TYPED = [
    "Req",
    "Rep",
    "Dealer",
    "Router",
    "Pub",
    "Sub",
    "XPub",
    "XSub",
    "Push",
    "Pull",
    "Pair",
    "Stream",
]


@fastmq_only("has one class for all")
@pytest.mark.parametrize("cls", TYPED)
def test_every_type_has_its_class(ctx, cls):
    typed = getattr(zmq, cls)
    number = getattr(zmq, cls.upper())
    with ctx.socket(number) as sock:
        assert type(sock) is typed
        assert isinstance(sock, zmq.Socket)
        assert sock.type == number
    assert typed.__doc__


@fastmq_only("has one class for all")
@pytest.mark.parametrize("cls", ["Pull", "Sub"])
def test_verbs_that_a_pattern_lacks_raise_for_sending(ctx, cls):
    with ctx.socket(getattr(zmq, cls.upper())) as sock:
        for call in (
            lambda: sock.send(b"x"),
            lambda: sock.send_multipart([b"x"]),
            lambda: sock.send_string("x"),
            lambda: sock.send_json(1),
            lambda: sock.send_many([b"x"]),
        ):
            with raises_errno(zmq.ENOTSUP):
                call()


@fastmq_only("has one class for all")
@pytest.mark.parametrize("cls", ["Push", "Pub"])
def test_verbs_that_a_pattern_lacks_raise_for_receiving(ctx, cls):
    with ctx.socket(getattr(zmq, cls.upper())) as sock:
        for call in (
            sock.recv,
            sock.recv_multipart,
            sock.recv_string,
            sock.recv_json,
            lambda: sock.recv_many(1),
        ):
            with raises_errno(zmq.ENOTSUP):
                call()


def test_subclasses_have_the_attributes_that_they_annotate(ctx):
    class Noted(zmq.Socket):
        note: "NotThere"  # noqa: F821
        count: int = 0

    class More(Noted):
        other: str

    with ctx.socket(zmq.PULL, socket_class=More) as sock:
        sock.note, sock.count, sock.other = "x", 1, "y"
        assert (sock.note, sock.count, sock.other) == ("x", 1, "y")
        with pytest.raises(AttributeError):
            sock.neither = 1


def test_subclasses_and_socket_classes(ctx):
    class Mine(zmq.Socket):
        def shout(self):
            return self.recv().upper()

    with ctx.socket(zmq.PULL, socket_class=Mine) as a, ctx.socket(zmq.PUSH) as b:
        a.bind("inproc://mine")
        b.connect("inproc://mine")
        b.send(b"x")
        assert a.shout() == b"X"


def test_sockets_may_be_made_directly(ctx):
    with zmq.Socket(ctx, zmq.PAIR) as sock:
        assert sock.type == zmq.PAIR
    with pytest.raises(TypeError):
        zmq.Socket("no context", zmq.PAIR)


def test_a_part_received_alone_leaves_the_rest(pair):
    a, b = pair
    b.send_multipart([b"1", b"2", b"3"])
    assert a.recv() == b"1"
    assert a.rcvmore
    assert a.recv_multipart() == [b"2", b"3"]


def test_large_and_small_in_turn(pair_of):
    a, b = pair_of(zmq.PAIR, zmq.PAIR)
    for size in (1, 1 << 20, 2, 5 << 20, 3):
        b.send(b"%d" % (size % 10) * size)
        wait_readable(a, "message")
        assert a.recv() == b"%d" % (size % 10) * size


def test_versions_and_capabilities():
    assert zmq.zmq_version_info() >= (4, 3)
    assert zmq.zmq_version() == ".".join(map(str, zmq.zmq_version_info()))
    assert zmq.has("ipc")
    assert not zmq.has("no such thing")
    assert zmq.pyzmq_version()


def test_device_is_the_old_name_of_proxy():
    assert callable(zmq.device)


def test_messages_in_both_directions_at_once_do_not_deadlock(pair_of):
    """Both sides send more than their buffers hold before either receives."""
    a, b = pair_of(zmq.PAIR, zmq.PAIR)
    for _ in range(20):
        a.send(bytes(200_000))
        b.send(bytes(200_000))
    for _ in range(20):
        assert len(recv(a)) == 200_000
        assert len(recv(b)) == 200_000
    a.send_multipart([b"x", b"y"])
    assert recv_multipart(b) == [b"x", b"y"]


@fastmq_only("loses the first socket")
def test_an_open_socket_is_not_made_anew(make):
    s = make(zmq.PAIR)
    with pytest.raises(RuntimeError):
        s.__init__(s.context, zmq.PAIR)
    assert not s.closed
