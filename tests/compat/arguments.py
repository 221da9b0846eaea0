# SPDX-License-Identifier: MIT
"""Calls every verb with every kind of argument: run by test_arguments.py, in a process of its own.

`arguments.py MODULE` prints, as JSON, what each call of the table gives: {call: {kind: result}},
where a result is "ok" with the value, or the name of the exception.
"""

import array
import collections
import decimal
import enum
import fractions
import importlib
import io
import itertools
import json
import os
import pathlib
import socket
import sys
import warnings
from collections.abc import Callable
from typing import Any

try:
    import numpy as np
except ImportError:
    np = None

zmq: Any = importlib.import_module(sys.argv[1] if __name__ == "__main__" else "fastmq")

Kinds = dict[str, Any]
results: dict[str, dict[str, str]] = {}
numbers = itertools.count()


class Index:
    def __init__(self, n: int) -> None:
        self.n = n

    def __index__(self) -> int:
        return self.n


class Int:
    def __init__(self, n: int) -> None:
        self.n = n

    def __int__(self) -> int:
        return self.n


class HasDescriptor:
    def __init__(self, fd: int) -> None:
        self.fd = fd

    def fileno(self) -> int:
        return self.fd


class Text(str):
    pass


class Bytes(bytes):
    pass


def number(n: int) -> Kinds:
    kinds = {
        "int": n,
        "float": float(n),
        "float and a half": n + 0.5,
        "bool": bool(n),
        "enum": enum.IntEnum("Number", {"N": n}).N,  # type: ignore[attr-defined]
        "__index__": Index(n),
        "__int__": Int(n),
        "Decimal": decimal.Decimal(n),
        "str": str(n),
        "bytes": str(n).encode(),
        "None": None,
        "complex": complex(n),
    }
    if hasattr(fractions.Fraction, "__int__"):  # from Python 3.11 on
        kinds["Fraction"] = fractions.Fraction(n)
    if np is not None:
        kinds |= {"np.int64": np.int64(n), "np.uint8": np.uint8(n), "np.float64": np.float64(n)}
    return kinds


def without(kinds: Kinds, *names: str) -> Kinds:
    return {kind: value for kind, value in kinds.items() if kind not in names}


def buffers() -> Kinds:
    kinds = {
        "bytes": b"ab",
        "bytearray": bytearray(b"ab"),
        "memoryview": memoryview(b"ab"),
        "array of bytes": array.array("B", b"ab"),
        "array of shorts": array.array("H", [1]),
        "memoryview with gaps": memoryview(b"abcd")[::2],
        "buffer of BytesIO": io.BytesIO(b"ab").getbuffer(),
        "Frame": zmq.Frame(b"ab"),
        "subclass of bytes": Bytes(b"ab"),
        "empty": b"",
        "str": "ab",
        "str beyond ASCII": "\xe9",
        "subclass of str": Text("ab"),
        "int": 1,
        "None": None,
        "list": [97, 98],
    }
    if np is not None:
        kinds |= {
            "np": np.frombuffer(b"ab", np.uint8),
            "np with gaps": np.zeros(4, np.uint8)[::2],
            "np 2d": np.zeros((1, 2), np.uint8),
            "np in Fortran order": np.zeros((2, 2), np.uint8, order="F"),
        }
    return kinds


# Each call has a name of its own, since libzmq frees one only when it has closed its socket.
ADDRESSES: Kinds = {
    "str": str,
    "bytes": str.encode,
    "bytearray": lambda text: bytearray(text.encode()),
    "subclass of str": Text,
    "Path": pathlib.PurePosixPath,
    "None": lambda _: None,
    "int": len,
}


def fresh() -> str:
    return f"inproc://name-{next(numbers)}"


def shown(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return f"int:{int(value.value)}"
    if isinstance(value, (bytes, int, str, float, type(None))):
        return f"{type(value).__name__}:{value!r}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(shown, value))}]"
    return type(value).__name__


def row(call: str, kinds: Kinds, function: Callable[[Any], Any]) -> None:
    results[call] = {}
    for kind, value in kinds.items():
        try:
            result = f"ok {shown(function(value))}"
        except zmq.ZMQError as e:
            result = f"{type(e).__name__} {e.errno}"
        except Exception as e:
            result = type(e).__name__
        results[call][kind] = result


def with_context(call: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    def run(value: Any) -> Any:
        ctx = zmq.Context()
        try:
            return call(ctx, value)
        finally:
            ctx.destroy(0)

    return run


def with_socket(call: Callable[[Any, Any], Any], kind: str = "PAIR") -> Callable[[Any], Any]:
    def run(value: Any) -> Any:
        sock = common.socket(getattr(zmq, kind))
        try:
            sock.linger = 0
            return call(sock, value)
        finally:
            sock.close(0)

    return run


def with_pair(call: Callable[[Any, Any, Any], Any]) -> Callable[[Any], Any]:
    def run(value: Any) -> Any:
        a, b = common.socket(zmq.PAIR), common.socket(zmq.PAIR)
        for sock in (a, b):
            sock.linger, sock.rcvtimeo, sock.sndtimeo = 0, 5000, 5000
        try:
            name = f"inproc://pair-{next(numbers)}"
            a.bind(name)
            b.connect(name)
            return call(a, b, value)
        finally:
            a.close(0)
            b.close(0)

    return run


def opened(sock: Any, look: Callable[[Any], Any]) -> Any:
    try:
        return look(sock)
    finally:
        sock.close(0)


def assigned(name: str) -> Callable[[Any, Any], Any]:
    def call(obj: Any, value: Any) -> Any:
        setattr(obj, name, value)
        return getattr(obj, name)

    return call


def ended(made: Any) -> Any:
    try:
        return made.get(zmq.IO_THREADS)
    finally:
        made.term()


def polled(members: Any, flags: Any, timeout: Any, modified: bool = False) -> list[int]:
    poller = zmq.Poller()
    for member in members:
        poller.register(member, 3 if modified else flags)
        if modified:
            poller.modify(member, flags)
    return [events for _, events in poller.poll(timeout)]


def contexts() -> None:
    row("Context(n)", number(1), lambda v: ended(zmq.Context(v)))
    row("Context(io_threads=n)", number(2), lambda v: ended(zmq.Context(io_threads=v)))
    row("Context.instance(n)", number(1), lambda v: type(zmq.Context.instance(v)).__name__)
    row("Context.destroy(n)", number(0), with_context(lambda c, v: (c.destroy(v), c.closed)[1]))
    row("Context.set(IO_THREADS, n)", number(1), with_context(lambda c, v: c.set(1, v)))
    row("Context.set(n, 1)", number(1), with_context(lambda c, v: c.set(v, 1)))
    row("Context.get(n)", number(1), with_context(lambda c, v: c.get(v)))
    row("Context.max_sockets = n", number(5), with_context(assigned("max_sockets")))
    row("Context.linger = n", number(5), with_context(assigned("linger")))
    row(
        "Context.socket(n)",
        number(3),
        lambda v: opened(common.socket(v), lambda s: int(s.type)),
    )
    row("Socket(ctx, n)", number(3), lambda v: opened(zmq.Socket(common, v), lambda s: int(s.type)))
    row(
        "Context.socket(PUSH, linger=n)",
        without(number(3), "None"),
        lambda v: opened(common.socket(zmq.PUSH, linger=v), lambda s: s.linger),
    )
    row(
        "Context.socket(PUSH, copy_threshold=n)",
        without(number(3), "None"),
        lambda v: opened(common.socket(zmq.PUSH, copy_threshold=v), lambda s: s.copy_threshold),
    )


def options() -> None:
    row("close(n)", number(5), with_socket(lambda s, v: (s.close(v), s.closed)[1]))
    row("close(linger=n)", number(0), with_socket(lambda s, v: (s.close(linger=v), s.closed)[1]))
    for name in ("set", "setsockopt"):
        row(
            f"{name}(LINGER, n)",
            number(5),
            with_socket(lambda s, v, name=name: (getattr(s, name)(17, v), s.linger)[1]),
        )
    row("set(n, 5)", number(17), with_socket(lambda s, v: (s.set(v, 5), s.linger)[1]))
    row("get(n)", number(17), with_socket(lambda s, v: s.get(v)))
    row("getsockopt(n)", number(17), with_socket(lambda s, v: s.getsockopt(v)))
    for name in ("linger", "LINGER", "maxmsgsize", "affinity", "hwm", "copy_threshold"):
        row(f"{name} = n", number(5), with_socket(assigned(name)))
    row("ipv6 = n", number(1), with_socket(assigned("ipv6")))
    row("set_hwm(n)", number(5), with_socket(lambda s, v: (s.set_hwm(v), s.get_hwm())[1]))
    for name in ("set", "setsockopt"):
        row(
            f"{name}(ROUTING_ID, data)",
            buffers(),
            with_socket(lambda s, v, name=name: (getattr(s, name)(5, v), s.get(5))[1], "DEALER"),
        )
        row(
            f"{name}(SUBSCRIBE, data)",
            buffers(),
            with_socket(lambda s, v, name=name: getattr(s, name)(6, v), "SUB"),
        )
    for name in ("identity", "routing_id", "zap_domain", "plain_username"):
        row(f"{name} = data", buffers(), with_socket(assigned(name), "DEALER"))
    row(
        "set_string(ROUTING_ID, data)",
        buffers(),
        with_socket(lambda s, v: (s.set_string(5, v), s.get_string(5))[1], "DEALER"),
    )
    row("subscribe(data)", buffers(), with_socket(lambda s, v: s.subscribe(v), "SUB"))
    row(
        "unsubscribe(data)",
        buffers(),
        with_socket(lambda s, v: (s.subscribe(b"ab"), s.unsubscribe(v))[1], "SUB"),
    )
    row("subscribe = data", buffers(), with_socket(lambda s, v: setattr(s, "subscribe", v), "SUB"))


def endpoints() -> None:
    for verb in ("bind", "connect"):
        row(
            f"{verb}(address)",
            ADDRESSES,
            with_socket(lambda s, kind, verb=verb: type(getattr(s, verb)(kind(fresh()))).__name__),
        )
    for verb, undo in (("bind", "unbind"), ("connect", "disconnect")):

        def undone(sock: Any, kind: Any, verb: str = verb, undo: str = undo) -> Any:
            name = fresh()
            getattr(sock, verb)(name)
            return getattr(sock, undo)(kind(name))

        row(f"{undo}(address)", ADDRESSES, with_socket(undone))
    row("monitor(address)", ADDRESSES, with_socket(lambda s, kind: s.monitor(kind(fresh()), 1)))
    row("monitor(_, n)", number(1), with_socket(lambda s, v: s.monitor(fresh(), v)))

    def monitored(sock: Any, events: Any) -> None:
        monitor = sock.get_monitor_socket(events)
        sock.disable_monitor()
        monitor.close()

    row("get_monitor_socket(n)", number(1), with_socket(monitored))
    tcp = "tcp://127.0.0.1"
    row(
        "bind_to_random_port(max_tries=n)",
        without(number(50), "bool"),  # True: a single try
        with_socket(lambda s, v: s.bind_to_random_port(tcp, 49152, 60000, v) > 0, "PULL"),
    )
    ranges = {"int": (40_000, 40_001), "float": (40_000.0, 40_001.0)}
    for transport in ("inproc://", "ipc://@fastmq-test-"):

        def random_name(sock: Any, bounds: Any, transport: str = transport) -> Any:
            return sock.bind_to_random_port(f"{transport}{os.getpid()}-{next(numbers)}", *bounds)

        row(
            f"bind_to_random_port({transport}, range)",
            ranges,
            with_socket(random_name, "PULL"),
        )


def polling() -> None:
    finite = without(number(1), "None")
    row("poll(n)", without(number(0), "None"), with_socket(lambda s, v: s.poll(v)))
    row("poll(timeout=n)", finite, with_socket(lambda s, v: s.poll(timeout=v)))
    row("poll(_, n)", number(2), with_pair(lambda a, _, v: a.poll(50, v)))
    row("Poller.register(_, n)", number(2), with_pair(lambda a, _, v: polled([a], v, 50)))
    row("Poller.modify(_, n)", number(2), with_pair(lambda a, _, v: polled([a], v, 50, True)))
    row("Poller.poll(n)", finite, with_pair(lambda a, _, v: polled([a], 1, v)))
    row("Poller.poll(n) of the ready", number(1), with_pair(lambda a, _, v: polled([a], 2, v)))
    row("zmq_poll(_, n)", number(1), with_pair(lambda a, _, v: len(zmq.zmq_poll([(a, 2)], v))))
    row("zmq_poll([(_, n)])", number(2), with_pair(lambda a, _, v: len(zmq.zmq_poll([(a, v)], 9))))
    row("select(_, n)", number(1), with_pair(lambda a, _, v: len(zmq.select([], [a], [], v)[1])))
    read, write = os.pipe()
    listener = socket.create_server(("127.0.0.1", 0))
    with open(os.dup(read), "rb") as file:
        members = {
            "int": read,
            "fileno()": HasDescriptor(read),
            "socket": listener,
            "file": file,
            "float": float(read),
            "str": "x",
            "None": None,
        }
        row("Poller.register(member)", members, lambda v: polled([v], 1, 0))
        row("Poller.modify(member)", members, lambda v: polled([v], 1, 0, True))
        row("zmq_poll([(member, 1)])", members, lambda v: zmq.zmq_poll([(v, 1)], 0))
        row("select([member])", members, lambda v: zmq.select([v], [], [], 0))
    listener.close()
    os.close(read)
    os.close(write)


def sending() -> None:
    def then(
        send: Callable[[Any, Any], Any], receive: str = "recv"
    ) -> Callable[[Any, Any, Any], Any]:
        def call(a: Any, b: Any, value: Any) -> Any:
            sent = send(a, value)
            return type(sent).__name__, getattr(b, receive)()

        return call

    flags = number(1)
    truth = {**number(1), "[]": [], "[1]": [1]}
    row("send(_, n)", flags, with_pair(then(lambda a, v: a.send(b"x", v))))
    whole = "recv_multipart"
    two = [b"x", b"y"]
    row(
        "send_multipart(_, n)", flags, with_pair(then(lambda a, v: a.send_multipart(two, v), whole))
    )
    for name in ("copy", "track"):
        row(
            f"send(_, {name}=value)",
            truth,
            with_pair(then(lambda a, v, name=name: a.send(b"x", **{name: v}))),
        )
    row("send(data)", buffers(), with_pair(then(lambda a, v: a.send(v))))
    row("send(data, copy=False)", buffers(), with_pair(then(lambda a, v: a.send(v, copy=False))))
    row("send_multipart([data])", buffers(), with_pair(then(lambda a, v: a.send_multipart([v]))))
    row(
        "send_multipart([_, data], copy=False)",
        buffers(),
        with_pair(then(lambda a, v: a.send_multipart([b"x", v], copy=False), whole)),
    )
    lists = {
        "list": [b"a", b"b"],
        "tuple": (b"a", b"b"),
        "deque": collections.deque([b"a"]),
        "bytes": b"ab",
        "str": "ab",
        "None": None,
    }
    row("send_multipart(parts)", lists, with_pair(then(lambda a, v: a.send_multipart(v), whole)))
    row(
        "send_serialized(_, f)",
        without(lists, "None"),
        with_pair(then(lambda a, v: a.send_serialized(1, lambda _: v), whole)),
    )
    row("send_string(data)", buffers(), with_pair(then(lambda a, v: a.send_string(v))))
    things = {"str": "a", "bytes": b"a", "list": [1], "float": 1.5, "None": None}
    row("send_json(thing)", things, with_pair(then(lambda a, v: a.send_json(v))))
    for how in ({}, {"copy": True}, {"copy": False}, {"track": True}):
        words = "".join(f", {name}={value}" for name, value in how.items())
        row(f"Frame(data{words})", buffers(), lambda v, how=how: bytes(zmq.Frame(v, **how)))


def receiving() -> None:
    def after(receive: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
        def call(a: Any, b: Any, value: Any) -> Any:
            a.send_multipart([b"ab", b"cd"])
            b.poll(5000)
            return receive(b, value)

        return call

    truth = {**number(1), "[]": [], "[1]": [1]}
    row("recv(n)", number(0), with_pair(after(lambda b, v: b.recv(v))))
    row("recv(flags=n)", number(1), with_pair(after(lambda b, v: b.recv(flags=v))))
    row("recv_multipart(n)", number(1), with_pair(after(lambda b, v: b.recv_multipart(v))))
    for name in ("copy", "track"):
        row(
            f"recv({name}=value)",
            truth,
            with_pair(after(lambda b, v, name=name: type(b.recv(**{name: v})).__name__)),
        )
    encodings = {"str": "utf-8", "bytes": b"utf-8", "None": None}
    row("recv_string(encoding)", encodings, with_pair(after(lambda b, v: b.recv_string(0, v))))
    room: Kinds = {
        "bytearray": bytearray(5),
        "memoryview": memoryview(bytearray(5)),
        "array of shorts": array.array("H", [0, 0, 0]),
        "bytes": b"12345",
        "None": None,
    }
    if np is not None:
        room |= {"np 2d": np.zeros((2, 3), np.uint8), "np with gaps": np.zeros(9, np.uint8)[::2]}
    row("recv_into(buffer)", room, with_pair(after(lambda b, v: b.recv_into(v))))
    row(
        "recv_into(_, nbytes=n)",
        number(2),
        with_pair(after(lambda b, v: b.recv_into(bytearray(5), nbytes=v))),
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    common = zmq.Context()
    contexts()
    options()
    endpoints()
    polling()
    sending()
    receiving()
    json.dump(results, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # what a refused call has left open holds pyzmq's contexts up
