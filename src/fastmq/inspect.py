# SPDX-License-Identifier: MIT
"""A window into running programs: what their contexts, sockets and peers do, seen from outside.

A program opens it with `serve()`, or by FASTMQ_INSPECT=1 in its environment. `snapshot(pid)`,
`fastmq top` and `fastmq why` look through it, as the same user and on the same host.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import socket as _socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypedDict, cast

from . import _core

FORM = 1
"""The form of the snapshots that this module knows."""


class Counters(TypedDict):
    """What was counted so far, and what is queued now; fields as in `Peer` and `SocketStats`."""

    messages_sent: int
    messages_received: int
    bytes_sent: int
    bytes_received: int
    dropped: int
    queued_out: int
    queued_in: int
    queued_out_bytes: int
    queued_in_bytes: int
    reconnections: int
    packets_lost: int


class PeerView(Counters):
    """A peer of a socket, connected or not."""

    endpoint: str
    address: str
    accepted: bool
    state: str
    """ "connecting", "handshaking", "ready" or "closing"."""
    type: str | None
    identity: str
    """Bytes, each as the character of that number."""
    routing_id: int | None
    since: float | None
    round_trip: float | None
    """Seconds, of the last heartbeat."""
    link: str
    """ "socket", "shm", "ws" or ""."""
    link_reason: str
    connect_error: int
    full: bool
    """A message for it was refused at a limit, and there is no room yet."""
    paused: bool
    """Nothing more is read from it: its messages fill their queue here."""
    subscriptions: int | None
    topics: list[str]
    """Of `subscriptions`, the first ones; missing where that is None. Bytes as in `identity`."""


class EndpointView(TypedDict):
    """What one bind or connect has made; names of inproc are in `ContextView.inproc`."""

    endpoint: str
    transport: str
    bound: bool
    state: str
    """Bound: "listening", "paused" (no descriptors), "open". Connected: "resolving", "connecting",
    "retrying", "handshaking", "connected", "waiting" (inproc), "open". Either: "closing"."""
    error: int
    retry_in: float | None
    mechanism: str | None


class Wait(TypedDict):
    """Threads that wait in one kind of call."""

    call: str
    """ "receive", "send", "poll" or "subscribers"."""
    threads: int
    thread: int
    """The system's number of the thread that came last; 0: it has none."""
    seconds: float
    """For how long, without an end in between that was a success."""


class Watched(TypedDict):
    """What waits for a socket without a call on it."""

    poll_set: bool
    loop_receive: bool
    loop_send: bool


class Failure(TypedDict):
    """What went wrong with connections, in one way and at one endpoint."""

    kind: str
    """ "connect", "accept", "handshake", "protocol", "type", "authentication", "violation",
    "refused" or "lost"."""
    code: int
    """An errno (0: the peer closed the connection); of "protocol" and "violation" an
    `Event.PROTOCOL_ERROR_...`; of "authentication" a status of ZAP; of "type" a `SocketType`."""
    text: str | None
    """The code in words, where it is an errno or a type."""
    bound: bool
    endpoint: str
    address: str
    """Of the last such peer; "" where there was none."""
    count: int
    """In a row."""
    total: int
    since: float
    last: float
    over: float | None
    """When a connection of this endpoint worked after all; None: it has not since."""


class SocketView(Counters):
    """A socket."""

    id: int
    type: str
    internal: bool
    state: str
    """ "open", "closed" (it still sends) or "broken" (a descriptor of its was closed by others)."""
    created: float
    last_endpoint: str
    turn: str | None
    """REQ and REP: "send" or "receive", whatever has to come next."""
    endpoints: list[EndpointView]
    endpoints_left_off: int
    peers: list[PeerView]
    peers_left_off: int
    drops: dict[str, int]
    """Of `dropped`: "full" (no room at a limit), "replaced" (by a newer one), "gone" (the peer went
    for good), "unrouted" (no such peer), "rules" (a peer sent it against the rules of its type)."""
    send_waits: int
    peers_ready: int
    descriptors: int
    resent: int
    kept: int
    kept_bytes: int
    kept_given: int
    kept_dropped: int
    subscriptions: int | None
    topics: list[str]
    """What SUB, XSUB and DISH are subscribed to, the first ones."""
    reaches: int | None
    """PUB, XPUB, RADIO, with a topic asked for: how many peers such a message would reach."""
    wants: bool | None
    """SUB, DISH, with a topic asked for: whether such a message would be received."""
    waits: list[Wait]
    watched: Watched
    monitored: bool
    options: dict[str, int | bool | str]
    failures: list[Failure]


class ClosedSockets(Counters):
    """Sums over the sockets that a context had."""

    send_waits: int


class InprocName(TypedDict):
    """A name of inproc, and the id of the socket that is bound to it."""

    name: str
    socket: int


class ContextView(TypedDict):
    """A context."""

    id: int
    pool_bytes: int
    pool_spare: int
    queued_bytes: int | None
    max_queued_bytes: int | None
    shm_connections: int
    shm_connections_max: int
    shm_bytes: int
    arena_bytes: int
    arena_blocks: int
    arena_lent: int
    arena_fallbacks: int
    inproc: list[InprocName]
    inproc_left_off: int
    io_threads: int
    io_broken: bool
    ending: bool
    max_sockets: int
    descriptors: int
    closed_sockets: ClosedSockets
    sockets: list[SocketView]
    sockets_left_off: int


class Snapshot(TypedDict):
    """A process at one moment; docs/reference/inspect.md has every field."""

    form: int
    fastmq: str
    pid: int
    time: float
    contexts: list[ContextView]
    left_off: int
    engine_descriptors: int


class Process(NamedTuple):
    """A process that can be looked at."""

    pid: int
    command: str
    """Its command line; "" where the system does not tell."""


class Unavailable(OSError):
    """A process cannot be looked at; the text says why, and what helps."""


def serve() -> str:
    """Let programs of the same user look into this process, from now on: the path of its socket.

    A second call changes nothing. A thread of the engine answers, without Python: a program that is
    stuck can be looked at, too. After a fork the child has to call it again. ZMQError: EPERM when
    the directory belongs to others, too, EADDRINUSE, ENOTSUP, and other errors of the system.
    """
    return _core.inspect_serve()


def stop() -> None:
    """Nobody can look into this process any more."""
    _core.inspect_stop()


def serving() -> str | None:
    """The path of the socket on which this process is served; None: it is not."""
    return _core.inspect_path() or None


def snapshot(
    pid: int | None = None,
    *,
    topic: bytes | None = None,
    socket: int | None = None,
    peers: int | None = None,
    timeout: float = 5.0,
) -> Snapshot:
    """What a process knows of its contexts, sockets and peers now; pid None: this process.

    topic: fill in `reaches` and `wants` for messages of that topic (256 bytes at most). socket:
    only the socket of that id. peers: so many of each socket at most, and so many endpoints (256,
    up to 4096). timeout: seconds to wait for another process. Unavailable: it cannot be looked at.
    """
    query = "snapshot"
    if topic is not None:
        query += f" topic={topic.hex()}"
    if socket is not None:
        query += f" socket={socket}"
    if peers is not None:
        query += f" peers={peers}"
    text = _core.snapshot(query) if pid is None else _ask(pid, query, timeout)
    try:
        told = json.loads(text)
    except ValueError:
        raise Unavailable(f"process {pid} gave no whole answer") from None
    if "error" in told:
        raise ValueError(told["error"])
    if told.get("form") != FORM:
        raise Unavailable(
            f"process {pid} has fastmq {told.get('fastmq')}, whose snapshots this one cannot read"
        )
    if pid is not None:
        told["pid"] = pid  # in a container it has another number
    return cast(Snapshot, told)


def processes() -> list[Process]:
    """The processes of this user that can be looked at now, by number.

    What processes have left behind that are gone is removed.
    """
    found = {pid for path in _paths() if (pid := _server(path))}
    return [Process(pid, command(pid)) for pid in sorted(found)]


def command(pid: int) -> str:
    """The command line of a process; "" where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        if os.path.exists("/proc/self/cmdline"):
            return ""
        with suppress(OSError, subprocess.SubprocessError):
            told = subprocess.run(
                ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, timeout=5, check=False
            )
            return told.stdout.decode(errors="replace").strip()
        return ""
    return text.decode(errors="replace").strip()


def _folders() -> list[Path]:
    """The directories where processes of this user may be served, as os/place_posix.c has them."""
    if not hasattr(_socket, "AF_UNIX") or not hasattr(os, "geteuid"):
        return []
    user = os.geteuid()
    bases = [os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{user}"]
    named = [f"{base}/fastmq" for base in bases if base.startswith("/")]
    return [Path(name) for name in dict.fromkeys([*named, f"/tmp/fastmq-{user}"]) if _is_own(name)]


def _is_own(folder: str) -> bool:
    """Whether this user alone can have put something there."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    mine = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return mine and stat.S_ISDIR(found.st_mode)


def _paths() -> list[Path]:
    """All paths where processes of this user may be served."""
    found = []
    for folder in _folders():
        with suppress(OSError):
            found += [path for path in folder.iterdir() if path.name.isdecimal()]
    return found


def _connect(path: Path, timeout: float) -> _socket.socket:
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        link.settimeout(timeout)
        link.connect(os.fspath(path))
    except BaseException:
        link.close()
        raise
    return link


def _pid_of(link: _socket.socket, path: Path) -> int:
    """The number of the process that is at the other end, here; 0: it has none here.

    A process of a container that shares the directory has the name of its path from in there.
    """
    if not hasattr(_socket, "SO_PEERCRED"):
        return int(path.name)
    told = link.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    return int.from_bytes(told[:4], sys.byteorder)


def _server(path: Path) -> int:
    """The process that serves that path, or 0; if it is gone, the path is removed."""
    try:
        with _connect(path, 1.0) as link:
            return _pid_of(link, path)
    except ConnectionRefusedError:
        # One that has just made its path does not listen yet.
        try:
            os.kill(int(path.name), 0)
        except ProcessLookupError:
            with suppress(OSError):
                path.unlink()
        except (OSError, OverflowError):
            pass
    except OSError:
        pass
    return 0


def _ask(pid: int, query: str, timeout: float) -> bytes:
    """The answer of a process, or why there is none."""
    if pid <= 0:
        raise Unavailable(f"there is no process {pid}")
    deadline = time.monotonic() + timeout
    named = [folder / str(pid) for folder in _folders()]
    for path in itertools.chain(named, (path for path in _paths() if path not in named)):
        try:
            with _connect(path, timeout) as link:
                if _pid_of(link, path) == pid:
                    return _answer(link, query, deadline)
        except TimeoutError:
            if path not in named:
                continue
            raise Unavailable(
                f"process {pid} did not answer within {timeout:g} s: is it stopped?"
            ) from None
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                _server(path)
            elif path in named:
                raise Unavailable(f"process {pid}: {error.strerror}") from None
    raise Unavailable(_why_not(pid))


def _answer(link: _socket.socket, query: str, deadline: float) -> bytes:
    link.sendall(query.encode() + b"\n")
    parts: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        link.settimeout(left)
        part = link.recv(1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _why_not(pid: int) -> str:
    """In words, why a process is not served."""
    if not hasattr(_socket, "AF_UNIX") or not hasattr(os, "geteuid"):
        return "this system has no sockets that only one user may open"
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return f"there is no process {pid}"
    except PermissionError:
        return f"process {pid} belongs to another user: look as that user"
    with suppress(OSError):
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return f"process {pid} belongs to another user: look as that user"
    return f"process {pid} does not allow it: start it with FASTMQ_INSPECT=1"


__all__ = [
    "ContextView",
    "Counters",
    "EndpointView",
    "Failure",
    "PeerView",
    "Process",
    "Snapshot",
    "SocketView",
    "Unavailable",
    "Wait",
    "Watched",
    "processes",
    "serve",
    "serving",
    "snapshot",
    "stop",
]
