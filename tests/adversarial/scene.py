# SPDX-License-Identifier: MIT
"""A server under attack, its healthy peer, and the ways to speak to it that a hostile peer has."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wire
from helpers import HANDSHAKE_FAILURES, WAIT_MS, Events, eventually, last_endpoint
from security import Keys, needs_curve
from target import zmq

PEER_OF = {
    "PULL": "PUSH",
    "PUSH": "PULL",
    "ROUTER": "DEALER",
    "DEALER": "DEALER",
    "REP": "REQ",
    "REQ": "REP",
    "PUB": "SUB",
    "XPUB": "SUB",
    "SUB": "PUB",
    "PAIR": "PAIR",
    "GATHER": "SCATTER",
    "SERVER": "CLIENT",
}
MB = 1 << 20
ROOM = 64 * MB
"""How much the process may grow: a sanitizer holds back half of that from reuse."""
HANDSHAKE_MS = 1000
"""HANDSHAKE_IVL of the servers: a healthy peer gets through it on a busy machine."""
VIOLATION = getattr(zmq, "EVENT_PROTOCOL_VIOLATION", 0)
MALFORMED = 0x10000012
SUBSCRIPTIONS = 0x70000001
WRONG_PARTS = 0x70000002


def rss() -> int:
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096


def address_space() -> int:
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * 4096


def is_sanitized() -> bool:
    return "libasan" in Path("/proc/self/maps").read_text()


def engine_seconds() -> float:
    """Processor time that the engine's I/O threads have used so far."""
    total = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            if "fmq/" in (task / "comm").read_text():
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def is_idle(seconds: float = 0.08, share: float = 0.1) -> bool:
    """The engine's threads use next to nothing of a short time in which nobody calls."""
    before = engine_seconds()
    time.sleep(seconds)
    return engine_seconds() - before < seconds * share


def reset(w: wire.Wire) -> None:
    """Closes with RST where the transport has that."""
    w.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    w.close()


def push(w: wire.Wire, data: bytes) -> bool:
    """Sends; False when the other side has closed already."""
    try:
        w.send(data)
    except OSError:
        return False
    return True


def stuff(w: wire.Wire, data: bytes, limit: int, seconds: float = 1.0) -> int:
    """Sends `data` again and again until `limit` bytes went, nothing was taken for a while, or the
    other side closed; how many bytes went. The last copy may be cut."""
    sent = 0
    w.sock.settimeout(seconds)
    try:
        while sent < limit:
            rest = memoryview(data)
            while rest:
                n = w.sock.send(rest)
                rest = rest[n:]
                sent += n
    except (TimeoutError, ConnectionError):
        pass
    w.sock.settimeout(wire.TIMEOUT)
    return sent


class Healthy:
    """Exchanges numbered messages with the server, one at a time, and misses none."""

    def __init__(self, kind: str, server: Any, peer: Any) -> None:
        self.kind = kind
        self.server = server
        self.peer = peer
        self.count = 0
        self.id = b""
        self.strangers = 0
        """Messages of others that came to the server meanwhile."""
        self._error: BaseException | None = None
        self._stop = threading.Event()

    def _next(self, sock: Any, what: str) -> list[bytes]:
        end = time.monotonic() + WAIT_MS / 1000
        while time.monotonic() < end:
            if sock.poll(100, zmq.POLLIN):
                with contextlib.suppress(zmq.Again):
                    return list(sock.recv_multipart(zmq.DONTWAIT))
        raise AssertionError(f"{what} not within {WAIT_MS} ms")

    def _at_server(self, token: bytes) -> list[bytes]:
        """The server's message that ends with the token; what others sent is passed over."""
        while True:
            parts = self._next(self.server, f"{token!r} at the server")
            if parts[-1] == token:
                return parts
            assert not parts[-1].startswith(b"healthy "), f"{parts} instead of {token!r}"
            self.strangers += 1
            if self.kind == "REP":
                self.server.send(b"go away")

    def _at_peer(self, expected: list[bytes]) -> None:
        got = self._next(self.peer, f"{expected} at the healthy peer")
        assert got == expected

    def step(self) -> None:
        self.count += 1
        token = b"healthy %08d" % self.count
        if self.kind in ("PUB", "XPUB", "PUSH"):
            self.server.send(token)
            self._at_peer([token])
        elif self.kind == "STREAM":
            self._stream(token)
        else:
            self.peer.send(token)
            parts = self._at_server(token)
            if self.kind == "ROUTER":
                self.server.send_multipart(parts)
            elif self.kind in ("REP", "PAIR"):
                self.server.send(token)
            else:
                return
            self._at_peer([token])

    def _stream(self, token: bytes) -> None:
        self.peer.send(token)
        got = b""
        while got != token:
            sender, data = self._next(self.server, "bytes at the server")
            if not self.id and data and token.startswith(data):
                self.id = sender
            if sender == self.id:
                got += data
                assert token.startswith(got), f"{got!r} of {token!r}"
        self.server.send_multipart([self.id, token])
        assert self.peer.read(len(token)) == token

    def _loop(self) -> None:
        try:
            while not self._stop.is_set():
                self.step()
                self._stop.wait(0.0005)
        except BaseException as e:
            self._error = e

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Steps in a thread while the block runs, and a few times after it."""
        before = self.count
        thread = threading.Thread(target=self._loop)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            self._stop.clear()
        if self._error:
            raise self._error
        for _ in range(3):
            self.step()
        assert self.count > before + 3, "the healthy peer did nothing meanwhile"


class Scene:
    """One server socket with its healthy peer. `talk()` makes hostile peers."""

    def __init__(
        self,
        ctx: Any,
        other: Any,
        kind: str,
        mechanism: str = "NULL",
        transport: str = "tcp",
        folder: Path = Path("/tmp"),
        **options: Any,
    ) -> None:
        self.ctx = ctx
        self.kind = kind
        self.mechanism = mechanism
        self.keys = Keys()
        self.client_keys = Keys()
        self.server = ctx.socket(getattr(zmq, kind))
        self.server.linger = 0
        self.server.handshake_ivl = HANDSHAKE_MS
        for name, value in options.items():
            self.server.setsockopt(getattr(zmq, name.upper()), value)
        if mechanism == "PLAIN":
            self.server.plain_server = 1
        elif mechanism == "CURVE":
            self.server.curve_secretkey = self.keys.secret
            self.server.curve_server = 1
        if kind == "SUB":
            self.server.setsockopt(zmq.SUBSCRIBE, b"")
        self.server.bind("tcp://127.0.0.1:*" if transport == "tcp" else f"ipc://{folder}/s")
        self.address = last_endpoint(self.server)
        mask = sum(HANDSHAKE_FAILURES) | VIOLATION | zmq.EVENT_DISCONNECTED
        self.events = Events(self.server, mask)
        self.peer = wire.connect(self.address) if kind == "STREAM" else self._healthy(other)
        self.healthy = Healthy(kind, self.server, self.peer)
        try:
            self._wait_for_the_healthy_one()
            self.healthy.step()
        except BaseException:
            self.close()
            raise
        # Sockets make their pollers when they are first polled: none is to appear later.
        poller = zmq.Poller()
        for sock in (self.server, self.events.pair):
            poller.register(sock, zmq.POLLIN)
        poller.poll(0)
        self.descriptors = ctx.stats().descriptors

    def _healthy(self, other: Any) -> Any:
        peer = other.socket(getattr(zmq, PEER_OF[self.kind]))
        peer.linger = 0
        if self.mechanism == "PLAIN":
            peer.plain_username = b"healthy"
            peer.plain_password = b"secret"
        elif self.mechanism == "CURVE":
            peer.curve_publickey = self.client_keys.public
            peer.curve_secretkey = self.client_keys.secret
            peer.curve_serverkey = self.keys.public
        if self.kind in ("PUB", "XPUB"):
            peer.setsockopt(zmq.SUBSCRIBE, b"healthy")
        peer.connect(self.address)
        return peer

    def _wait_for_the_healthy_one(self) -> None:
        if self.kind in ("PUB", "XPUB"):
            self.server.wait_for_subscribers(1, b"healthy", timeout=WAIT_MS)
        elif self.kind == "SUB":
            self.peer.wait_for_subscribers(timeout=WAIT_MS)

    def talk(self) -> Talk:
        return Talk(self)

    def failed(self, times: int = 1) -> list[tuple[int, int]]:
        """(event, value) of so many failed handshakes."""
        return [self.events.wait(*HANDSHAKE_FAILURES)[:2] for _ in range(times)]

    def refused(self) -> int:
        """Why the next handshake that broke the protocol did; others are passed over."""
        return self.events.wait(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)[1]

    def violation(self) -> int:
        """Why the next one was sent away, of those that were in."""
        return self.events.wait(VIOLATION)[1]

    def drain(self) -> None:
        """Receives what hostile peers managed to send."""
        with contextlib.suppress(zmq.Again, zmq.ZMQError):
            while True:
                self.server.recv_multipart(zmq.DONTWAIT)
                self.healthy.strangers += 1
                if self.kind == "REP":
                    self.server.send(b"")

    def alone(self) -> bool:
        self.drain()
        return len(self.server.peers()) == 1

    def memory(self) -> int:
        """Bytes of buffers that are in use."""
        stats = self.ctx.stats()
        return int(stats.pool_bytes - stats.pool_spare)

    def settle(self, memory: int = MB) -> None:
        """Only the healthy peer is left, and nothing is held or done for others."""
        eventually("only the healthy peer", self.alone)
        # The meeting point of shared memory makes its poller, of two, when a peer comes there.
        most = self.descriptors + 2
        eventually("descriptors as before", lambda: self.ctx.stats().descriptors <= most)
        assert self.memory() <= memory, f"{self.memory()} bytes of buffers in use"
        eventually("the engine's threads idle", is_idle)
        for _ in range(3):
            self.healthy.step()

    def close(self) -> None:
        self.events.close()
        self.peer.close()
        self.server.close()


class Talk(wire.Wire):
    """A hostile peer's connection: the handshake in pieces, which it may spoil.

    `pieces()` are what a good peer would send, each a function that gives the bytes when those
    before it were sent; `reply` reads what the server answers to a piece.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.curve: Any = None
        if scene.mechanism == "CURVE":
            import wire_curve

            keys = (zmq_key(scene.client_keys.public), zmq_key(scene.client_keys.secret))
            self.curve = wire_curve.Client(keys, zmq_key(scene.keys.public))
        super().__init__(wire.connect(scene.address).sock)
        if self.sock.family == socket.AF_INET:  # each piece goes out when it is sent
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def properties(self) -> bytes:
        return wire.prop(b"Socket-Type", PEER_OF[self.scene.kind].encode())

    def greeting(self) -> bytes:
        return wire.greeting(mechanism=self.scene.mechanism.encode())

    def hello(self) -> bytes:
        if self.curve:
            return bytes(self.curve.hello())
        return wire.command(b"HELLO", b"\5enemy\6secret")

    def initiate(self, properties: bytes | None = None) -> bytes:
        content = self.properties if properties is None else properties
        if self.curve:
            return bytes(self.curve.initiate(content))
        return wire.command(b"INITIATE", content)

    def ready(self) -> bytes:
        return wire.command(b"READY", self.properties)

    def message(self, body: bytes = b"from the enemy", **inside: Any) -> bytes:
        """A message; of a subscriber, a subscription."""
        subscribes = self.scene.kind in ("PUB", "XPUB")
        if self.curve:
            if subscribes:
                return bytes(self.curve.message(b"\x09SUBSCRIBE" + body, command=True, **inside))
            return bytes(self.curve.message(body, **inside))
        if subscribes:
            return wire.command(b"SUBSCRIBE", body)
        if self.scene.kind == "REP":
            return wire.frame(b"", wire.MORE) + wire.frame(body)
        return wire.frame(body)

    def pieces(self) -> list[Callable[[], bytes]]:
        if self.scene.mechanism == "NULL":
            return [self.greeting, self.ready, self.message]
        return [self.greeting, self.hello, self.initiate, self.message]

    def reply(self, piece: int) -> None:
        if piece == 0:
            self.read(64)
        elif self.scene.mechanism == "NULL":
            if piece == 1:
                assert self.read_command()[0] == b"READY"
        elif piece == 1:
            if self.curve:
                self.curve.welcome(self)
            else:
                assert self.read_command()[0] == b"WELCOME"
        elif piece == 2:
            if self.curve:
                self.curve.ready(self)
            else:
                assert self.read_command()[0] == b"READY"

    def advance(self, upto: int) -> Talk:
        """Does everything right up to that piece."""
        for i, piece in enumerate(self.pieces()[:upto]):
            self.send(piece())
            self.reply(i)
        return self

    def enter(self) -> Talk:
        """The whole handshake."""
        return self.advance(len(self.pieces()) - 1)


def zmq_key(z85: bytes) -> bytes:
    from fastmq.utils import z85 as codec

    return bytes(codec.decode(z85))


def matrix(*rows: tuple[str, str, str], slow_from: int = 99) -> pytest.MarkDecorator:
    """(kind, mechanism, transport) of the scene; the rows from that one on are slow."""
    params = []
    for i, row in enumerate(rows):
        marks: list[Any] = [needs_curve] if row[1] == "CURVE" else []
        if i >= slow_from:
            marks.append(pytest.mark.slow)
        params.append(pytest.param(row, id="-".join(row).lower(), marks=marks))
    return pytest.mark.parametrize("setting", params)


ROWS = (
    ("PULL", "NULL", "tcp"),
    ("XPUB", "NULL", "ipc"),
    ("REP", "NULL", "tcp"),
    ("ROUTER", "PLAIN", "ipc"),
    ("SUB", "PLAIN", "tcp"),
    ("DEALER", "CURVE", "ipc"),
    ("PUB", "CURVE", "tcp"),
    ("PULL", "CURVE", "tcp"),
)
