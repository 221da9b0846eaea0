# SPDX-License-Identifier: MIT
"""Endpoints of every transport, and waits that name what they wait for."""

import contextlib
import itertools
import os
import select
import socket as pysocket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from target import MODULE, zmq

WAIT_MS = int(os.environ.get("FASTMQ_TEST_WAIT_MS", "8000"))
"""How long a test waits for something that must come."""
QUIET_MS = 50
"""How long a test watches for something that must not come."""

_serial = itertools.count(1)


def unique(prefix: str) -> str:
    return f"{prefix}-{os.getpid()}-{next(_serial)}"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on just now."""
    family = pysocket.AF_INET6 if ":" in host else pysocket.AF_INET
    with pysocket.socket(family) as s:
        s.bind((host, 0))
        return int(s.getsockname()[1])


class Endpoint:
    """One transport: fresh addresses, and bind/connect with the options that it needs."""

    KINDS = ("tcp", "tcp6", "ipc", "ipc-abstract", "inproc", "ws")

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder

    @property
    def is_inproc(self) -> bool:
        return self.kind == "inproc"

    @property
    def wildcard(self) -> str:
        """An address to bind that no one else has; LAST_ENDPOINT tells the real one."""
        if self.kind == "tcp":
            return "tcp://127.0.0.1:*"
        if self.kind == "tcp6":
            return "tcp://[::1]:*"
        if self.kind == "ws":
            return "ws://127.0.0.1:*/zws"
        return self.fixed()

    def fixed(self) -> str:
        """An unused address that can be connected to before it is bound."""
        if self.kind == "tcp":
            return f"tcp://127.0.0.1:{free_port()}"
        if self.kind == "tcp6":
            return f"tcp://[::1]:{free_port('::1')}"
        if self.kind == "ws":
            return f"ws://127.0.0.1:{free_port()}/zws"
        if self.kind == "ipc":
            return f"ipc://{self.folder}/{next(_serial)}"
        if self.kind == "ipc-abstract":
            return f"ipc://@{unique('fastmq')}"
        return f"inproc://{unique('test')}"

    def prepare(self, sock: Any) -> None:
        if self.kind == "tcp6":
            sock.setsockopt(zmq.IPV6, 1)

    def bind(self, sock: Any, address: str | None = None) -> str:
        """Binds and returns the address to connect to."""
        self.prepare(sock)
        sock.bind(address or self.wildcard)
        return last_endpoint(sock)

    def connect(self, sock: Any, address: str) -> None:
        self.prepare(sock)
        sock.connect(address)


def last_endpoint(sock: Any) -> str:
    return str(sock.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode())


def bind_when_free(sock: Any, address: str) -> None:
    """Binds where another socket was until just now."""

    def bind() -> bool:
        try:
            sock.bind(address)
        except zmq.ZMQError as e:
            if e.errno != zmq.EADDRINUSE:
                raise
            return False
        return True

    eventually(f"{address} is free", bind)


def recv(sock: Any, what: str = "a message") -> bytes:
    """One part, within WAIT_MS; the failure names `what`."""
    wait_readable(sock, what)
    return bytes(sock.recv(zmq.DONTWAIT))


def recv_multipart(sock: Any, what: str = "a message") -> list[bytes]:
    wait_readable(sock, what)
    return list(sock.recv_multipart(zmq.DONTWAIT))


def wait_readable(sock: Any, what: str) -> None:
    if not sock.poll(WAIT_MS, zmq.POLLIN):
        pytest.fail(f"no {what} within {WAIT_MS} ms")


def wait_writable(sock: Any, what: str = "room to send") -> None:
    if not sock.poll(WAIT_MS, zmq.POLLOUT):
        pytest.fail(f"no {what} within {WAIT_MS} ms")


def nothing_arrives(sock: Any) -> bool:
    return bool(sock.poll(QUIET_MS, zmq.POLLIN) == 0)


def settled(*socks: Any) -> None:
    """Waits until it is decided of each peer whether its connection moves into shared memory; with
    SHM 1 it is not before the connection is in use."""
    if hasattr(zmq.Socket, "peers"):
        eventually(
            "all links are settled",
            lambda: all(p.link_reason != "not yet" for s in socks for p in s.peers()),
        )


def not_readable(sock: Any) -> bool:
    """The socket's descriptor shows nothing. In shared memory a wake-up may have been on its way
    when its message was read: the descriptor shows that once, and EVENTS that it was nothing."""
    fd = sock.getsockopt(zmq.FD)
    if not select.select([fd], [], [], 0.05)[0]:
        return True
    if sock.peers()[0].link != "shm" or sock.getsockopt(zmq.EVENTS) & zmq.POLLIN:
        return False
    return not select.select([fd], [], [], 0.05)[0]


def eventually(what: str, check: Callable[[], Any], timeout: float = WAIT_MS / 1000) -> Any:
    """For states that no event announces: looks again and again, fails naming `what`."""
    end = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"not within {timeout:g} s: {what}")
        time.sleep(0.002)


def lasting_descriptors() -> int:
    """How many descriptors of this process a peer can leave behind. Pollers and wake-ups, which a
    socket makes when it first needs them and keeps, do not count."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += not os.readlink(f"/proc/self/fd/{fd}").startswith("anon_inode:")
    return found


@contextlib.contextmanager
def raises_errno(*numbers: int) -> Iterator[None]:
    """The block must raise a ZMQError with one of these errnos."""
    with pytest.raises(zmq.ZMQError) as info:
        yield
    names = [zmq.strerror(n) for n in numbers]
    assert info.value.errno in numbers, f"{info.value!r} is none of {names}"


def fill(sock: Any, message: bytes = b"x", limit: int = 100_000, least: int = 0) -> int:
    """Sends until no room has come for QUIET_MS; how many messages went in. Before that are `least`
    it waits longer: nobody knows when the peer has connected, or what the machine does."""
    for sent in range(limit):
        try:
            sock.send(message, zmq.DONTWAIT)
        except zmq.Again:
            if not sock.poll(WAIT_MS if sent < least else QUIET_MS, zmq.POLLOUT):
                return sent
            sock.send(message)
    pytest.fail(f"not full after {limit} messages")


def no_peer(sock: Any) -> None:
    """Waits until `sock` has nobody to send to: the monitor tells of it a little earlier."""
    eventually("no peer any more", lambda: sock.poll(0, zmq.POLLOUT) == 0)


def drain(sock: Any, count: int = 0) -> list[bytes]:
    """Everything that can be received now and in the next QUIET_MS, and `count` messages at least:
    a sender that the machine keeps waiting is waited for."""
    got = [recv(sock) for _ in range(count)]
    while sock.poll(QUIET_MS):
        got.append(sock.recv())
    return got


def sync_subscriber(pub: Any, *subs: Any) -> None:
    """Returns when every earlier subscription of `subs` has reached `pub`.

    Subscriptions arrive in the order in which they were made, or in that of the topics when a
    connection begins: one for a topic that is last in both tells of all before it.
    """
    topic = b"\xfe\xffsync%d" % next(_serial)
    for sub in subs:
        sub.setsockopt(zmq.SUBSCRIBE, topic)
    left = list(subs)

    def probe() -> bool:
        pub.send(topic + b"?")
        left[:] = [sub for sub in left if not sub.poll(5)]
        return not left

    eventually("subscriptions at the publisher", probe)
    pub.send(topic + b"!")
    for sub in subs:
        while recv(sub, "end of the synchronisation") != topic + b"!":
            continue
        sub.setsockopt(zmq.UNSUBSCRIBE, topic)


def at_once(*targets: Callable[[], Any]) -> None:
    """Runs each in a thread of its own, let go together; what one raises is raised here."""
    gate = threading.Barrier(len(targets))
    failures: list[BaseException] = []

    def run(target: Callable[[], Any]) -> None:
        try:
            gate.wait()
            target()
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=run, args=(t,)) for t in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@contextlib.contextmanager
def sockets_of(context: Any) -> Iterator[Callable[..., Any]]:
    """new(kind, **options): sockets with LINGER 0 and these options, closed at the end."""
    made: list[Any] = []

    def new(kind: int, cls: Any = None, **options: Any) -> Any:
        made.append(context.socket(kind, cls))
        for name, value in {"linger": 0, **options}.items():
            setattr(made[-1], name, value)
        return made[-1]

    yield new
    for sock in reversed(made):
        sock.close()


class Events:
    """The monitor of a socket; parses the frames itself."""

    def __init__(self, sock: Any, mask: int | None = None) -> None:
        self.address = f"inproc://{unique('monitor')}"
        self.seen: list[str] = []
        sock.monitor(self.address, zmq.EVENT_ALL if mask is None else mask)
        self.pair = sock.context.socket(zmq.PAIR)
        self.pair.linger = 0
        self.pair.connect(self.address)

    def next(self, what: str = "event", timeout: int = WAIT_MS) -> tuple[int, int, str]:
        """(event, value, endpoint) of the next event."""
        if not self.pair.poll(timeout):
            pytest.fail(f"no {what} within {timeout} ms; seen: {self.seen}")
        head, endpoint = self.pair.recv_multipart()
        event, value = struct.unpack("=HI", head)
        self.seen.append(event_name(event))
        return event, value, endpoint.decode()

    def wait(self, *events: int, timeout: int = WAIT_MS) -> tuple[int, int, str]:
        """The next event that is one of `events`; others are skipped."""
        what = " or ".join(event_name(e) for e in events)
        end = time.monotonic() + timeout / 1000
        while True:
            left = max(0, int((end - time.monotonic()) * 1000))
            got = self.next(what, left)
            if got[0] in events:
                return got

    def silent(self, *events: int) -> bool:
        """True when none of `events` comes for a moment."""
        while self.pair.poll(QUIET_MS):
            if self.next()[0] in events:
                return False
        return True

    def close(self) -> None:
        self.pair.close(0)


EVENT_NAMES = [
    "CONNECTED",
    "CONNECT_DELAYED",
    "CONNECT_RETRIED",
    "LISTENING",
    "BIND_FAILED",
    "ACCEPTED",
    "ACCEPT_FAILED",
    "CLOSED",
    "CLOSE_FAILED",
    "DISCONNECTED",
    "MONITOR_STOPPED",
    "HANDSHAKE_FAILED_NO_DETAIL",
    "HANDSHAKE_SUCCEEDED",
    "HANDSHAKE_FAILED_PROTOCOL",
    "HANDSHAKE_FAILED_AUTH",
    "PROTOCOL_VIOLATION",
]


def event_name(event: int) -> str:
    for name in EVENT_NAMES:
        if getattr(zmq, "EVENT_" + name, None) == event:
            return name
    return hex(event)


HANDSHAKE_FAILURES = (0x0800, 0x2000, 0x4000)


def run_python(code: str, *args: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a fresh interpreter where `zmq` is the module under test."""
    support = str(Path(__file__).parent)
    program = f"import sys; sys.path.insert(0, {support!r})\nfrom target import zmq\n{code}"
    env = dict(os.environ, FASTMQ_TEST_MODULE=MODULE)
    try:
        return subprocess.run(
            [sys.executable, "-c", program, *args],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=env,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        pytest.fail(f"the child did not end within {timeout} s; stderr: {e.stderr!r}")
