# SPDX-License-Identifier: MIT
"""What `fastmq top` and `fastmq why` share: which processes are looked at, and words for what is
seen."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from fastmq import inspect
from fastmq.cli.terminal import Notes, Problem
from fastmq.inspect import EndpointView, Snapshot, SocketView
from fastmq.utils.printable import printable

NOBODY = "no process of yours can be looked at: start it with FASTMQ_INSPECT=1"


class Place(NamedTuple):
    """A socket, and an endpoint of its."""

    pid: int
    context: int
    socket: SocketView
    endpoint: str
    bound: bool
    view: EndpointView | None
    """None: a name of inproc that is bound."""


def target(text: str) -> str:
    """An argument type: the number of a process, or an endpoint."""
    transport, found, address = text.partition("://")
    if (found and transport and address) or (text.isdecimal() and int(text) > 0):
        return text
    host, colon, port = text.rpartition(":")
    meant = f"; did you mean tcp://{text}?" if colon and host and port.isdecimal() else ""
    raise argparse.ArgumentTypeError(
        f"{text!r} is neither the number of a process nor an endpoint such as tcp://HOST:PORT{meant}"
    )


def look(pid: int, topic: bytes | None = None, peers: int | None = None) -> Snapshot:
    """A snapshot of a process; Problem: why there is none."""
    try:
        return inspect.snapshot(pid, topic=topic, peers=peers)
    except inspect.Unavailable as error:
        raise Problem(str(error)) from None


def look_at_all(
    topic: bytes | None = None, peers: int | None = None, notes: Notes | None = None
) -> dict[int, Snapshot]:
    """Snapshots of all processes that can be looked at; at least one, or Problem.

    notes: is told which ones do not answer
    """
    found = {}
    silent = []
    for process in inspect.processes():
        if is_stopped(process.pid):
            silent.append(f"{name_of(process.pid)} is stopped, so it cannot be looked at")
            continue
        try:
            found[process.pid] = inspect.snapshot(process.pid, topic=topic, peers=peers)
        except inspect.Unavailable as error:
            if os.path.exists(f"/proc/{process.pid}"):  # else it has just ended
                silent.append(str(error))
    if not found:
        raise Problem("; ".join(silent) or NOBODY)
    if notes:
        for text in silent:
            notes.warn(text)
    return found


def sockets(snapshot: Snapshot) -> Iterator[SocketView]:
    """The program's sockets."""
    for context in snapshot["contexts"]:
        for socket in context["sockets"]:
            if not socket["internal"]:
                yield socket


def places(snapshot: Snapshot) -> Iterator[Place]:
    """Where the program's sockets are bound and connected."""
    pid = snapshot["pid"]
    for context in snapshot["contexts"]:
        by_id = {socket["id"]: socket for socket in context["sockets"]}
        for socket in by_id.values():
            for view in socket["endpoints"]:
                at = view["endpoint"]
                yield Place(pid, context["id"], socket, at, view["bound"], view)
        for name in context["inproc"]:
            if name["socket"] in by_id:
                at = f"inproc://{name['name']}"
                yield Place(pid, context["id"], by_id[name["socket"]], at, True, None)


ALL_PEERS = 4096
"""So many peers and endpoints of a socket does a snapshot list at most."""
_BY_PORT = ("tcp", "udp", "ws", "wss")
"""Transports whose addresses are HOST:PORT."""
_ANY = ("*", "0.0.0.0", "[::]", "::")
_LOCAL = ("localhost", "127.0.0.1", "[::1]")


def same_endpoint(one: str, other: str) -> bool:
    """Whether two endpoints may be the same place: a bound tcp://0.0.0.0:5 is tcp://localhost:5."""
    if one == other:
        return True
    transport, _, one = one.partition("://")
    others, _, other = other.partition("://")
    if transport != others or transport not in _BY_PORT:
        return False
    # What stands before a semicolon is the address to come from.
    host, _, port = one.rpartition(";")[2].rpartition(":")
    host2, _, port2 = other.rpartition(";")[2].rpartition(":")
    return port == port2 and (
        host == host2 or host in _ANY or host2 in _ANY or (host in _LOCAL and host2 in _LOCAL)
    )


def name_of(process: int) -> str:
    """A process for people: its number and the end of its command line."""
    words = inspect.command(process).split()
    short = " ".join(word if "://" in word else os.path.basename(word) or word for word in words)
    if len(short) > 80:
        short = short[:77] + "..."
    return printable(f"process {process}" + (f" ({short})" if short else ""))


def is_stopped(process: int) -> bool:
    """Whether a signal or a debugger has stopped it, where the system tells."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in ("T", "t")


def memory_of(process: int) -> int | None:
    """Resident memory in bytes, where the system tells."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def thread_name(process: int, thread: int) -> str:
    """A thread for people, by its name where the system tells."""
    try:
        name = Path(f"/proc/{process}/task/{thread}/comm").read_text().strip()
    except OSError:
        name = ""
    return printable(f"thread {thread}" + (f" ({name})" if name else ""))


def text_of(told: str) -> str:
    """Bytes of a snapshot for people: as UTF-8 where they are, escaped where they are not."""
    return printable(told.encode("latin-1"))


def clock(moment: float) -> str:
    """A time of day; with the date where that is not today's."""
    then = time.localtime(moment)
    today = time.localtime()[:3] == then[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", then)


def span(seconds: float) -> str:
    """A duration in its largest unit."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def size(number: float) -> str:
    """A number of bytes in its unit."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def messages(number: int, verb: str = "") -> str:
    """'1 message', '2 messages'; with a verb, '1 message waits', '2 messages wait'."""
    one = number == 1
    does = f" {verb}{'s' if one else ''}" if verb else ""
    return f"{number:,} message{'' if one else 's'}{does}"


def listed(words: Iterable[str], most: int = 5, left_off: int = 0) -> str:
    """'a', 'b' and 3 more."""
    all_words = list(words)
    shown = [f"'{text_of(word)}'" for word in all_words[:most]]
    more = len(all_words) - len(shown) + left_off
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")
