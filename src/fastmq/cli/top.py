# SPDX-License-Identifier: MIT
"""`fastmq top`: a live view of a running program."""

from __future__ import annotations

import argparse
import json
import select
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from fastmq import inspect
from fastmq.cli import arguments
from fastmq.cli.looking import (
    ALL_PEERS,
    NOBODY,
    clock,
    look,
    look_at_all,
    memory_of,
    name_of,
    places,
    same_endpoint,
    size,
    sockets,
    span,
    target,
    text_of,
    thread_name,
)
from fastmq.cli.report import number
from fastmq.cli.terminal import OK, Notes, Problem, colourful
from fastmq.inspect import Counters, PeerView, Snapshot, SocketView
from fastmq.utils.printable import printable, printable_json

SORTS = ("id", "type", "peers", "out", "in", "queued", "dropped")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show what a running program does: its sockets and peers, rates, queues, drops, waits and "
        "failures. The program runs as the same user on this host and was started with "
        "FASTMQ_INSPECT=1 (or calls fastmq.inspect.serve())."
    )
    arguments.examples(
        parser,
        "fastmq top                             # the only program, or a list of them",
        "fastmq top 4711 --sort queued",
        "fastmq top tcp://127.0.0.1:5555        # the program that is bound there",
        "fastmq top 4711 --socket 3             # one socket and its peers",
        "fastmq top 4711 --once --json",
        note="keys: q ends, s sorts by the next column, up and down and Enter show a socket",
    )
    parser.add_argument(
        "target",
        nargs="?",
        type=target,
        metavar="PID|ENDPOINT",
        help="a process, or the one that is bound (or connected) to an endpoint",
    )
    parser.add_argument("--once", action="store_true", help="show it once")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print snapshots, each a line of JSON (docs/reference/inspect.md has their form)",
    )
    parser.add_argument(
        "--interval",
        type=arguments.number_from(0.1, 3600),
        default=1.0,
        metavar="S",
        help="seconds between two looks (1)",
    )
    parser.add_argument("--sort", choices=SORTS, default="id", help="by which column (id)")
    parser.add_argument(
        "--socket",
        type=arguments.whole_from(1, 2**63 - 1),
        metavar="ID",
        help="one socket, with its endpoints, peers and failures",
    )


def run(options: argparse.Namespace) -> int:
    """Show it until q, Ctrl-C or the end of the process; 0."""
    pid = chosen(options.target)
    if pid is None:
        return list_processes(options.json)
    if options.json:
        return print_json(pid, options)
    view = View(pid, options.sort, options.socket)
    view.take()
    if options.once:
        time.sleep(min(options.interval, 0.5))
        view.take()
        print(*plain(view.lines(), shutil.get_terminal_size((100, 0)).columns), sep="\n")
        return OK
    live(view, options.interval)
    return OK


def chosen(text: str | None) -> int | None:
    """The process that is meant; None: there are several, and none was named."""
    if text is None:
        found = inspect.processes()
        if not found:
            raise Problem(NOBODY)
        return found[0].pid if len(found) == 1 else None
    if text.isdecimal():
        look(int(text))
        return int(text)
    everywhere = [
        p for s in look_at_all(peers=ALL_PEERS, notes=Notes("top")).values() for p in places(s)
    ]
    there = [p for p in everywhere if same_endpoint(p.endpoint, text)]
    if not there:
        raise Problem(f"no process that can be looked at is bound or connected to {text}")
    return min(there, key=lambda p: (not p.bound, p.pid)).pid


def list_processes(as_json: bool) -> int:
    """Which processes can be looked at; 0."""
    found = inspect.processes()
    if as_json:
        for process in found:
            print(printable_json(json.dumps(process._asdict())))
        return OK
    print("Several processes can be looked at; choose one: fastmq top PID\n")
    print(f"{'PID':>8}  COMMAND")
    for process in found:
        print(f"{process.pid:>8}  {printable(process.command)}")
    return OK


def print_json(pid: int, options: argparse.Namespace) -> int:
    """Snapshots as they are; 0."""
    while True:
        try:
            snapshot = inspect.snapshot(pid, socket=options.socket)
        except inspect.Unavailable as error:
            raise Problem(str(error)) from None
        if options.socket is not None and not any(sockets(snapshot)):
            raise Problem(f"process {pid} has no socket {options.socket}")
        print(printable_json(json.dumps(snapshot)), flush=True)
        if options.once:
            return OK
        time.sleep(options.interval)


# ---- what is shown ----


@dataclass
class Table:
    """Columns with a head; numbers stand to the right."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    right: tuple[bool, ...] = ()
    styles: list[str] = field(default_factory=list)
    """Of each row: "", "red", "yellow", "reverse"."""

    def add(self, *cells: object, style: str = "") -> None:
        self.rows.append(tuple(str(cell) for cell in cells))
        self.styles.append(style)


@dataclass
class Line:
    """A line of text."""

    text: str
    style: str = ""


class View:
    """What is known of a process, and how it is to be shown."""

    def __init__(self, pid: int, sort: str, socket: int | None) -> None:
        self.pid = pid
        self.sort = sort
        self.detail = socket
        self.opened = False
        """The socket in detail was opened by a key, not named."""
        self.selected = 0
        self.command = name_of(pid)
        self.now: Snapshot | None = None
        self.before: Snapshot | None = None
        self.order: list[int] = []

    def take(self) -> None:
        """Look again; Problem: the process has ended, or cannot be looked at."""
        self.before = self.now
        self.now = look(self.pid)
        seen = {socket["id"] for socket in sockets(self.now)}
        if self.detail is not None and self.detail not in seen:
            if self.opened:
                self.detail = None  # it was closed
                return
            if self.before is not None:
                raise Problem(f"process {self.pid} has closed socket {self.detail}")
            ids = ", ".join(str(n) for n in sorted(seen)[:20]) or "none"
            raise Problem(f"process {self.pid} has no socket {self.detail}; it has {ids}")

    def rate(self, now: Counters, before: Counters | None, what: str) -> float | None:
        """How fast a counter goes up, a second; None: it was looked at only once."""
        if self.now is None or self.before is None or before is None:
            return None
        took = self.now["time"] - self.before["time"]
        more: int = now[what] - before[what]  # type: ignore[literal-required]
        return max(more, 0) / took if took > 0 else None

    def lines(self) -> list[Line | Table]:
        assert self.now is not None
        return self.one(self.detail) if self.detail is not None else self.all()

    def earlier(self) -> dict[int, SocketView]:
        return {s["id"]: s for s in sockets(self.before)} if self.before else {}

    def summary(self) -> list[Line | Table]:
        """The head: the process as a whole."""
        assert self.now is not None
        all_ = list(sockets(self.now))
        contexts = self.now["contexts"]
        was = self.earlier()
        out = sum(self.rate(s, was.get(s["id"]), "messages_sent") or 0 for s in all_)
        come = sum(self.rate(s, was.get(s["id"]), "messages_received") or 0 for s in all_)
        memory = memory_of(self.pid)
        buffers = sum(c["pool_bytes"] + c["shm_bytes"] + c["arena_bytes"] for c in contexts)
        left_off = self.now["left_off"]
        return [
            Line(
                f"{self.command}   fastmq {self.now['fastmq']}   {clock(self.now['time'])}", "bold"
            ),
            Line(
                f"contexts {len(contexts)}   sockets {len(all_) + left_off}   "
                f"peers {sum(s['peers_ready'] for s in all_):,}   "
                f"out {number(out)}/s   in {number(come)}/s   "
                f"queued {sum(s['queued_out'] for s in all_):,} out, "
                f"{sum(s['queued_in'] for s in all_):,} in   "
                f"dropped {sum(s['dropped'] for s in all_):,}"
            ),
            Line(
                f"memory {size(memory) if memory else '?'}, buffers {size(buffers)}   "
                f"descriptors {self.now['engine_descriptors']}"
                + (f"   {left_off} sockets not shown" if left_off else "")
            ),
            Line(""),
        ]

    def all(self) -> list[Line | Table]:
        """A line for each socket."""
        assert self.now is not None
        was = self.earlier()
        rows = [(s, was.get(s["id"])) for s in sockets(self.now)]

        def key(pair: tuple[SocketView, SocketView | None]) -> tuple[str, float, int]:
            s, b = pair
            most = {
                "peers": s["peers_ready"],
                "out": self.rate(s, b, "messages_sent") or 0,
                "in": self.rate(s, b, "messages_received") or 0,
                "queued": s["queued_in"] + s["queued_out"],
                "dropped": s["dropped"],
            }.get(self.sort, 0)
            return s["type"] if self.sort == "type" else "", -most, s["id"]

        rows.sort(key=key)
        self.order = [s["id"] for s, _ in rows]
        contexts = self.now["contexts"]
        of = {s["id"]: c["id"] for c in contexts for s in c["sockets"]}
        several = len(contexts) > 1  # which context a socket is of matters only then
        table = Table(
            (
                "ID",
                *(["CONTEXT"] if several else []),
                *("TYPE", "ENDPOINT", "PEERS", "OUT/s", "IN/s", "QUEUED", "DROPPED", "STATE"),
            ),
            right=(
                True,
                *([True] if several else []),
                *(False, False, True, True, True, True, True, False),
            ),
        )
        self.selected = min(self.selected, max(len(rows) - 1, 0))
        for at, (s, b) in enumerate(rows):
            state, style = condition(s)
            table.add(
                s["id"],
                *([of[s["id"]]] if several else []),
                s["type"],
                where(s),
                f"{s['peers_ready']:,}",
                shown(self.rate(s, b, "messages_sent")),
                shown(self.rate(s, b, "messages_received")),
                f"{s['queued_out']:,}/{s['queued_in']:,}",
                f"{s['dropped']:,}",
                state,
                style="reverse" if at == self.selected and len(rows) > 1 else style,
            )
        return [*self.summary(), table]

    def one(self, wanted: int | None) -> list[Line | Table]:
        """A socket, with its endpoints, peers and failures."""
        assert self.now is not None
        was = self.earlier().get(wanted or 0)
        (s,) = [s for s in sockets(self.now) if s["id"] == wanted]
        state, style = condition(s)
        options = s["options"]
        set_ = ", ".join(
            f"{name} {int(value) if isinstance(value, bool) else value}"
            for name, value in options.items()
            if name in ("SNDHWM", "RCVHWM", "LINGER", "HEARTBEAT_IVL", "MECHANISM")
            or (value and name in ("CONFLATE", "IMMEDIATE", "SERVER"))
        )
        drops = ", ".join(f"{n:,} {why}" for why, n in s["drops"].items() if n)
        lines: list[Line | Table] = [
            Line(f"{s['type']} socket {s['id']} of {self.command}", "bold"),
            Line(f"{state}   since {clock(s['created'])}", style),
            Line(
                f"sent {s['messages_sent']:,} ({shown(self.rate(s, was, 'messages_sent'))}/s, "
                f"{shown_size(self.rate(s, was, 'bytes_sent'))}/s)   "
                f"received {s['messages_received']:,} "
                f"({shown(self.rate(s, was, 'messages_received'))}/s, "
                f"{shown_size(self.rate(s, was, 'bytes_received'))}/s)"
            ),
            Line(
                f"queued {s['queued_out']:,} out ({size(s['queued_out_bytes'])}), "
                f"{s['queued_in']:,} in ({size(s['queued_in_bytes'])})   "
                f"dropped {s['dropped']:,}{f' ({drops})' if drops else ''}   "
                f"waited to send {s['send_waits']:,}   descriptors {s['descriptors']}"
            ),
            Line(set_),
        ]
        if s["subscriptions"] is not None:
            topics = ", ".join(repr(text_of(t)) for t in s["topics"][:12])
            lines.append(Line(f"subscriptions {s['subscriptions']:,}   {topics}".rstrip()))
        for wait in s["waits"]:
            who = thread_name(self.pid, wait["thread"])
            lines.append(Line(f"{who} waits to {wait['call']} for {span(wait['seconds'])}"))
        ends = Table(("ENDPOINT", "", "STATE", "SECURITY", ""))
        for e in s["endpoints"]:
            retry = f"again in {span(e['retry_in'])}" if e["retry_in"] else ""
            side = "bound" if e["bound"] else "connected"
            ends.add(
                text_of(e["endpoint"]),
                side,
                e["state"],
                e["mechanism"] or "",
                retry,
                style="red" if e["state"] in ("retrying", "paused") else "",
            )
        lines += [Line(""), ends, Line(""), self.peers(s, was)]
        failures = Table(("COUNT", "SINCE", "UNTIL", "FAILURE"), right=(True, False, False, False))
        from fastmq.cli.why import cause

        for f in sorted(s["failures"], key=lambda f: -f["last"]):
            failures.add(
                f"{f['count']:,}",
                clock(f["since"]),
                clock(f["last"]),
                cause(f, s["type"]) + (f"; worked at {clock(f['over'])}" if f["over"] else ""),
                style="" if f["over"] else "red",
            )
        if failures.rows:
            lines += [Line(""), failures]
        return lines

    def peers(self, s: SocketView, was: SocketView | None) -> Table:
        table = Table(
            (
                "PEER",
                "TYPE",
                "STATE",
                "LINK",
                "RTT",
                "OUT/s",
                "IN/s",
                "QUEUED",
                "DROPPED",
                "TOPICS",
            ),
            right=(False, False, False, False, True, True, True, True, True, False),
        )
        old = {same_peer(p): p for p in was["peers"]} if was else {}
        for p in sorted(s["peers"], key=lambda p: -(p["queued_in"] + p["queued_out"])):
            b: PeerView | None = old.get(same_peer(p))
            name = text_of(p["address"] or p["endpoint"])
            if p["identity"]:
                name += f" {text_of(p['identity'])!r}"
            state = "full" if p["full"] else "not read" if p["paused"] else p["state"]
            table.add(
                name,
                p["type"] or "",
                state,
                p["link"] or ("inproc" if p["endpoint"].startswith("inproc:") else ""),
                f"{p['round_trip'] * 1000:.2f} ms" if p["round_trip"] else "",
                shown(self.rate(p, b, "messages_sent")),
                shown(self.rate(p, b, "messages_received")),
                f"{p['queued_out']:,}/{p['queued_in']:,}",
                f"{p['dropped']:,}",
                "" if p["subscriptions"] is None else f"{p['subscriptions']:,}",
                style="red" if p["full"] or p["paused"] or p["state"] == "connecting" else "",
            )
        if s["peers_left_off"]:
            table.add(f"{s['peers_left_off']:,} more", *[""] * 9)
        return table


def same_peer(p: PeerView) -> tuple[object, ...]:
    """What tells a peer from others between two looks; those of inproc have one address."""
    return p["address"], p["endpoint"], p["since"], p["identity"]


def shown(rate: float | None) -> str:
    """A rate; "-" while there is none."""
    return "-" if rate is None else number(rate)


def shown_size(rate: float | None) -> str:
    return "-" if rate is None else size(rate)


def where(s: SocketView) -> str:
    """The endpoints of a socket, briefly."""
    names = [text_of(e["endpoint"]) for e in s["endpoints"]]
    if not names:
        return text_of(s["last_endpoint"]) or "-"
    return names[0] + (f" +{len(names) - 1}" if len(names) > 1 else "")


def condition(s: SocketView) -> tuple[str, str]:
    """In few words, how a socket is, and in which colour that is shown."""
    if s["state"] != "open":
        return s["state"], "red"
    full = sum(p["full"] for p in s["peers"])
    unread = sum(p["paused"] for p in s["peers"])
    trying = [e for e in s["endpoints"] if e["state"] in ("retrying", "connecting", "resolving")]
    current = [f for f in s["failures"] if not f["over"] and time.time() - f["last"] < 60]
    if full:
        return f"full: {full} at HWM", "red"
    if unread:
        return "not received: queue full", "red"
    if current:
        last = max(current, key=lambda f: f["last"])
        words = {
            "type": f"refused: a {last['text']}",
            "authentication": "authentication failed",
            "protocol": "handshake failed",
            "handshake": "handshake failed",
        }
        return words.get(last["kind"], (last["text"] or last["kind"]).lower()), "red"
    if trying:
        return trying[0]["state"], "yellow"
    for wait in s["waits"]:
        return f"{wait['call']} {span(wait['seconds'])}", ""
    return "no peer" if not s["peers_ready"] else "", ""


# ---- the screen ----


def plain(blocks: list[Line | Table], width: int) -> list[str]:
    """As lines of text, no longer than the terminal is wide."""
    lines: list[str] = []
    for block in blocks:
        if isinstance(block, Line):
            lines.append(painted(block.text[:width], block.style))
            continue
        widths = [
            max(len(row[i]) for row in [block.head, *block.rows]) for i in range(len(block.head))
        ]
        right = block.right or (False,) * len(block.head)

        def laid(
            row: tuple[str, ...], right: tuple[bool, ...] = right, widths: list[int] = widths
        ) -> str:
            cells = [
                cell.rjust(w) if r else cell.ljust(w)
                for cell, w, r in zip(row, widths, right, strict=True)
            ]
            return "  ".join(cells).rstrip()[:width]

        lines.append(painted(laid(block.head), "grey"))
        for row, style in zip(block.rows, block.styles, strict=True):
            lines.append(painted(laid(row), style))
    return lines


_STYLES = {"bold": 1, "red": 31, "yellow": 33, "grey": 90, "reverse": 7}


def painted(text: str, style: str) -> str:
    """In a style, where the terminal has them."""
    if not style or not colourful(sys.stdout):
        return text
    return f"\033[{_STYLES[style]}m{text}\033[0m"


def live(view: View, interval: float) -> None:
    """The screen, until q, Ctrl-C or the end of the process."""
    if not sys.stdout.isatty():
        while True:
            time.sleep(interval)
            view.take()
            print(*plain(view.lines(), 200), "", sep="\n", flush=True)
    with screen(), keys() as pressed:
        due = 0.0
        while True:
            columns, rows = shutil.get_terminal_size((100, 30))
            text = plain(view.lines(), columns)[: rows - 1]
            foot = "q ends   s sorts" + (
                "   Esc shows all sockets"
                if view.detail is not None
                else f" (by {view.sort})   up, down, Enter show a socket"
            )
            text += [""] * (rows - 1 - len(text)) + [painted(foot[:columns], "grey")]
            sys.stdout.write("\033[H" + "\033[K\r\n".join(text) + "\033[K\033[J")
            sys.stdout.flush()
            due = due if due > time.monotonic() else time.monotonic() + interval
            key = pressed(due - time.monotonic())
            if key == "q":
                return
            if key:
                act(view, key)
            else:
                view.take()


def act(view: View, key: str) -> None:
    """What a key does."""
    if key == "s" and view.detail is None:
        view.sort = SORTS[(SORTS.index(view.sort) + 1) % len(SORTS)]
    elif key in ("down", "j"):
        view.selected = min(view.selected + 1, max(len(view.order) - 1, 0))
    elif key in ("up", "k"):
        view.selected = max(view.selected - 1, 0)
    elif key == "enter" and view.detail is None and view.order:
        view.detail = view.order[view.selected]
        view.opened = True
    elif key in ("escape", "enter"):
        view.detail = None


@contextmanager
def screen() -> Iterator[None]:
    """The terminal's other screen, without a cursor; what stood there comes back."""
    sys.stdout.write("\033[?1049h\033[?25l")
    try:
        yield
    finally:
        sys.stdout.write("\033[?25h\033[?1049l")
        sys.stdout.flush()


_KEYS = {"\x1b[A": "up", "\x1b[B": "down", "\r": "enter", "\n": "enter", "\x1b": "escape"}


class Pressed:
    """Waits for a key."""

    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal
        self.more = ""
        """What was pressed and not acted on."""

    def __call__(self, timeout: float) -> str:
        """The key that is pressed within so many seconds; "" if none is."""
        import os

        if not self.terminal:
            time.sleep(max(timeout, 0))
            return ""
        if not self.more:
            if not select.select([sys.stdin], [], [], max(timeout, 0))[0]:
                return ""
            self.more = os.read(sys.stdin.fileno(), 64).decode(errors="replace")
            if not self.more:
                self.terminal = False  # the input has ended
        known = next((text for text in _KEYS if self.more.startswith(text)), self.more[:1])
        self.more = self.more[len(known) :]
        return _KEYS.get(known, known)


@contextmanager
def keys() -> Iterator[Pressed]:
    """Keys as they are pressed, where the input is a terminal."""
    if not sys.stdin.isatty():
        yield Pressed(False)
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield Pressed(True)
    finally:
        with suppress(termios.error):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
