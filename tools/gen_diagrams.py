#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws the diagrams of docs/patterns/ and docs/architecture.md as SVG.

Without arguments it writes docs/img/pattern_NAME.svg and rooms.svg; --check only tells (by its exit
status) whether they are fresh.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from generated import write_or_check

IMAGES = Path(__file__).resolve().parent.parent / "docs/img"

BOX_W, BOX_H = 130, 46
GAP_X, GAP_Y = 150, 30
MARGIN = 16
INK, LINE, FILL, ACCENT = "#1f2933", "#52606d", "#eef2f7", "#2f6f9f"


@dataclass
class Box:
    """A socket: its column and row (rows may be fractions), its type, and what it is for."""

    column: int
    row: float
    title: str
    role: str = ""

    @property
    def x(self) -> float:
        return MARGIN + self.column * (BOX_W + GAP_X)

    @property
    def y(self) -> float:
        return MARGIN + self.row * (BOX_H + GAP_Y)


@dataclass
class Arrow:
    """Messages from one box to another; `back` those of the other direction."""

    start: int
    end: int
    there: str = ""
    back: str | None = None


@dataclass
class Diagram:
    """What one picture shows, and the words for those who do not see it."""

    text: str
    boxes: list[Box]
    arrows: list[Arrow] = field(default_factory=list)


DIAGRAMS = {
    "reqrep": Diagram(
        "A REQ sends requests 1 and 3 to one REP and request 2 to another; each answers in turn",
        [Box(0, 1, "REQ", "client"), Box(1, 0, "REP", "server"), Box(1, 2, "REP", "server")],
        [Arrow(0, 1, "1, 3", "replies"), Arrow(0, 2, "2", "reply")],
    ),
    "dealer_router": Diagram(
        "Clients reach a ROUTER, which passes requests through a DEALER to workers",
        [
            Box(0, 0, "REQ", "client"),
            Box(0, 1, "DEALER", "client"),
            Box(1, 0.5, "ROUTER", "frontend"),
            Box(2, 0.5, "DEALER", "backend"),
            Box(3, 0, "REP", "worker"),
            Box(3, 1, "REP", "worker"),
        ],
        [
            Arrow(0, 2, "", ""),
            Arrow(1, 2, "", ""),
            Arrow(2, 3, "id + request", "id + reply"),
            Arrow(3, 4, "in turn", ""),
            Arrow(3, 5, "in turn", ""),
        ],
    ),
    "pubsub": Diagram(
        "A PUB sends to each SUB the messages that begin with what it subscribed to",
        [
            Box(0, 1, "PUB", "prices"),
            Box(1, 0, "SUB", "EUR"),
            Box(1, 1, "SUB", "USD"),
            Box(1, 2, "SUB", "(all)"),
        ],
        [Arrow(0, 1, "EUR 1.08"), Arrow(0, 2, "USD 0.93"), Arrow(0, 3, "both")],
    ),
    "xpub_xsub": Diagram(
        "Publishers meet subscribers in the middle: messages go right, subscriptions left",
        [
            Box(0, 0, "PUB", "publisher"),
            Box(0, 1, "PUB", "publisher"),
            Box(1, 0.5, "XSUB", "frontend"),
            Box(2, 0.5, "XPUB", "backend"),
            Box(3, 0, "SUB", "subscriber"),
            Box(3, 1, "SUB", "subscriber"),
        ],
        [
            Arrow(0, 2, "", ""),
            Arrow(1, 2, "", ""),
            Arrow(2, 3, "messages", "subscriptions"),
            Arrow(3, 4, "", ""),
            Arrow(3, 5, "", ""),
        ],
    ),
    "pushpull": Diagram(
        "A PUSH deals tasks out to workers in turn; a PULL collects their results",
        [
            Box(0, 1, "PUSH", "ventilator"),
            Box(1, 0, "PULL, PUSH", "worker"),
            Box(1, 1, "PULL, PUSH", "worker"),
            Box(1, 2, "PULL, PUSH", "worker"),
            Box(2, 1, "PULL", "sink"),
        ],
        [
            Arrow(0, 1, "1, 4"),
            Arrow(0, 2, "2, 5"),
            Arrow(0, 3, "3, 6"),
            Arrow(1, 4, ""),
            Arrow(2, 4, "results"),
            Arrow(3, 4, ""),
        ],
    ),
    "pair": Diagram(
        "Two PAIR sockets exchange messages both ways",
        [Box(0, 0, "PAIR", "one thread"), Box(1, 0, "PAIR", "another")],
        [Arrow(0, 1, "any order", "any order")],
    ),
    "client_server": Diagram(
        "Clients reach a SERVER, which answers each by the number that its message came with",
        [
            Box(0, 0, "CLIENT"),
            Box(0, 1, "CLIENT"),
            Box(0, 2, "CLIENT"),
            Box(1, 1, "SERVER", "body + number"),
        ],
        [Arrow(0, 3, "", ""), Arrow(1, 3, "messages", "by number"), Arrow(2, 3, "", "")],
    ),
    "peer": Diagram(
        "PEERs connect to one another, and each knows the others by numbers of its own",
        [Box(0, 0.5, "PEER", "1, 2"), Box(1, 0, "PEER", "7"), Box(1, 1, "PEER", "4")],
        [Arrow(0, 1, "to 1", "to 7"), Arrow(0, 2, "to 2", "to 4")],
    ),
    "scatter_gather": Diagram(
        "A SCATTER deals messages out to workers in turn; a GATHER collects their results",
        [
            Box(0, 0.5, "SCATTER", "source"),
            Box(1, 0, "GATHER, SCATTER", "worker"),
            Box(1, 1, "GATHER, SCATTER", "worker"),
            Box(2, 0.5, "GATHER", "sink"),
        ],
        [Arrow(0, 1, "1, 3"), Arrow(0, 2, "2, 4"), Arrow(1, 3, "results"), Arrow(2, 3, "")],
    ),
    "channel": Diagram(
        "Two CHANNEL sockets exchange messages of one part both ways",
        [Box(0, 0, "CHANNEL"), Box(1, 0, "CHANNEL")],
        [Arrow(0, 1, "any order", "any order")],
    ),
    "radio_dish": Diagram(
        "A RADIO sends each DISH the messages of the groups that it joined",
        [
            Box(0, 1, "RADIO"),
            Box(1, 0, "DISH", "weather"),
            Box(1, 1, "DISH", "news"),
            Box(1, 2, "DISH", "weather, news"),
        ],
        [Arrow(0, 1, "weather"), Arrow(0, 2, "news"), Arrow(0, 3, "both")],
    ),
    "dgram": Diagram(
        "A DGRAM exchanges datagrams with any UDP programs, each by its address",
        [
            Box(0, 0.5, "DGRAM", "address + body"),
            Box(1, 0, "program", "UDP"),
            Box(1, 1, "program", "UDP"),
        ],
        [Arrow(0, 1, "body", "body"), Arrow(0, 2, "", "")],
    ),
    "stream": Diagram(
        "A STREAM exchanges pieces of bytes with programs that speak plain TCP",
        [
            Box(0, 1, "STREAM", "id + bytes"),
            Box(1, 0, "plain TCP", "telnet"),
            Box(1, 2, "plain TCP", "HTTP client"),
        ],
        [Arrow(0, 1, "bytes", "bytes"), Arrow(0, 2, "bytes", "bytes")],
    ),
}


@dataclass
class Room:
    """A folder of csrc/, in columns and rows of the picture; it stands on those that it uses."""

    name: str
    holds: str
    column: int
    row: int
    columns: int = 1
    rows: int = 1

    def stands_on(self, other: Room) -> bool:
        """Whether the other lies under it."""
        overlaps = (
            self.column < other.column + other.columns and other.column < self.column + self.columns
        )
        return overlaps and self.row + self.rows <= other.row


ROOMS = [
    Room("_core", "the Cython module; sees include/fastmq.h", 0, 0, columns=2),
    Room("socket", "the program's calls, options, context, monitor", 0, 1, columns=2),
    Room("transport", "tcp, ipc, inproc", 0, 2),
    Room("pattern", "a file a family of types", 1, 2, rows=2),
    Room("net", "connections, endpoints", 0, 3),
    Room("pipe", "the queues to and from one peer", 0, 4, columns=2),
    Room("reactor", "lock, poller, timers, mailbox, I/O threads, event loops", 0, 5, columns=2),
    Room("wire", "ZMTP without I/O", 0, 6),
    Room("os", "poller, network, threads, clock", 1, 6, rows=2),
    Room("msg", "frames, receive chunks", 0, 7),
    Room("base", "memory, lists, maps, error texts", 0, 8, columns=2),
]
ROOM_W, ROOM_H, ROOM_GAP = 270, 46, 8


def _line(x1: float, y1: float, x2: float, y2: float, shift: float) -> str:
    """A line with a head at its end, moved sideways by shift."""
    length = math.hypot(x2 - x1, y2 - y1)
    dx, dy = -(y2 - y1) / length * shift, (x2 - x1) / length * shift
    ends = f'x1="{x1 + dx:.1f}" y1="{y1 + dy:.1f}" x2="{x2 + dx:.1f}" y2="{y2 + dy:.1f}"'
    return f'  <line {ends} stroke="{LINE}" stroke-width="1.5" marker-end="url(#head)"/>\n'


def _label(x: float, y: float, text: str) -> str:
    """Words in the middle of an arrow, on a ground that keeps lines away from them."""
    return (
        f'  <text x="{x:.1f}" y="{y:.1f}" fill="{ACCENT}" font-size="12" text-anchor="middle" '
        f'stroke="#ffffff" stroke-width="4" paint-order="stroke">{escape(text)}</text>\n'
    )


def _box(x: float, y: float, width: float, height: float, title: str, role: str) -> str:
    """A rectangle with a name in bold and a line under that."""
    middle, centre = x + width / 2, y + height / 2
    return (
        f'  <rect x="{x:.1f}" y="{y:.1f}" width="{width:g}" height="{height:g}" rx="6" '
        f'fill="{FILL}" stroke="{LINE}"/>\n'
        f'  <text x="{middle:.1f}" y="{centre - 3:.1f}" fill="{INK}" font-size="14" '
        f'font-weight="bold" text-anchor="middle">{escape(title)}</text>\n'
        f'  <text x="{middle:.1f}" y="{centre + 13:.1f}" fill="{LINE}" font-size="12" '
        f'text-anchor="middle">{escape(role)}</text>\n'
    )


def _picture(width: float, height: float, title: str, content: str, defs: str = "") -> str:
    """The SVG text around the content, on white."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="sans-serif" role="img">\n'
        f"  <title>{escape(title)}</title>\n{defs}"
        f'  <rect width="{width:g}" height="{height:g}" rx="8" fill="#ffffff"/>\n'
        f"{content}</svg>\n"
    )


def draw(diagram: Diagram) -> str:
    """The SVG text of boxes and arrows."""
    boxes = diagram.boxes
    width = max(box.x for box in boxes) + BOX_W + MARGIN
    height = max(box.y for box in boxes) + BOX_H + MARGIN
    lines, labels = [], []
    for arrow in diagram.arrows:
        a, b = boxes[arrow.start], boxes[arrow.end]
        x1, y1, x2, y2 = a.x + BOX_W + 3, a.y + BOX_H / 2, b.x - 3, b.y + BOX_H / 2
        both = arrow.back is not None
        lines.append(_line(x1, y1, x2, y2, -5 if both else 0))
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        if arrow.there:
            labels.append(_label(x, y - (12 if both else 6), arrow.there))
        if both:
            lines.append(_line(x2, y2, x1, y1, -5))
            if arrow.back:
                labels.append(_label(x, y + 20, arrow.back))
    shapes = [_box(box.x, box.y, BOX_W, BOX_H, box.title, box.role) for box in boxes]
    head = (
        '  <defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" '
        f'fill="{LINE}"/></marker></defs>\n'
    )
    return _picture(width, height, diagram.text, "".join(lines + shapes + labels), head)


def draw_rooms() -> str:
    """The SVG text of the rooms, each upon those that it uses."""

    def along(count: int, size: int) -> int:
        return count * (size + ROOM_GAP)

    shapes = [
        _box(
            MARGIN + along(room.column, ROOM_W),
            MARGIN + along(room.row, ROOM_H),
            along(room.columns, ROOM_W) - ROOM_GAP,
            along(room.rows, ROOM_H) - ROOM_GAP,
            room.name,
            room.holds,
        )
        for room in ROOMS
    ]
    width = along(max(room.column + room.columns for room in ROOMS), ROOM_W) - ROOM_GAP
    height = along(max(room.row + room.rows for room in ROOMS), ROOM_H) - ROOM_GAP
    text = "The rooms of csrc/: each stands on those that it may use"
    return _picture(width + 2 * MARGIN, height + 2 * MARGIN, text, "".join(shapes))


def main() -> int:
    """Writes or checks; returns the exit status."""
    pictures = {IMAGES / f"pattern_{name}.svg": draw(diagram) for name, diagram in DIAGRAMS.items()}
    pictures[IMAGES / "rooms.svg"] = draw_rooms()
    return write_or_check(pictures)


if __name__ == "__main__":
    sys.exit(main())
