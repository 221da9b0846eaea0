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

BOX_H, GAP_Y = 46, 34
MARGIN = 14
BETWEEN = 12  # the two lines of an arrow and its answer
INK, LINE, FILL, ACCENT = "#1f2933", "#52606d", "#eef2f7", "#2f6f9f"


def title_width(text: str) -> float:
    """About how wide bold letters of 14 px are; those of sockets' types are capitals."""
    return 10.2 * len(text)


def text_width(text: str) -> float:
    """About how wide letters of 12 px are."""
    return 6.8 * len(text)


@dataclass
class Box:
    """A socket: its column and row (rows may be fractions), its type, and what it is for."""

    column: int
    row: float
    title: str
    role: str = ""

    @property
    def width(self) -> float:
        return max(80, title_width(self.title) + 16, text_width(self.role) + 16)


@dataclass
class Arrow:
    """Messages from one box to another; `back` those of the other direction."""

    start: int
    end: int
    there: str = ""
    back: str | None = None

    @property
    def width(self) -> float:
        return max(text_width(self.there), text_width(self.back or ""))


@dataclass
class Diagram:
    """What one picture shows, and the words for those who do not see it."""

    text: str
    boxes: list[Box]
    arrows: list[Arrow] = field(default_factory=list)

    def columns(self) -> list[tuple[float, float]]:
        """Where each column begins, and how wide its boxes are."""
        found: list[tuple[float, float]] = []
        x = float(MARGIN)
        for column in range(max(box.column for box in self.boxes) + 1):
            width = max(box.width for box in self.boxes if box.column == column)
            found.append((x, width))
            words = [a.width for a in self.arrows if self.boxes[a.start].column == column]
            # Room for the words along a line that slopes, its head, and an end of the line.
            x += width + max(60, *(1.12 * each + 44 for each in words), 0)
        return found


Name = tuple[str, str]  # the type of a socket, and what it is for


def rows(count: int, step: float = 1) -> list[float]:
    """As many rows, and after them the one in their middle."""
    return [step * row for row in range(count)] + [step * (count - 1) / 2]


def fan(text: str, left: Name, right: list[tuple[Name, str, str | None]], step: float) -> Diagram:
    """One socket and its peers on the right, with the messages to and from each."""
    *outer, middle = rows(len(right), step)
    boxes = [Box(0, middle, *left)]
    boxes += [Box(1, row, *each) for row, (each, _, _) in zip(outer, right, strict=True)]
    arrows = [Arrow(0, number, there, back) for number, (_, there, back) in enumerate(right, 1)]
    return Diagram(text, boxes, arrows)


def pair(text: str, left: Name, right: Name) -> Diagram:
    return fan(text, left, [(right, "any order", "any order")], 1)


def pipeline(text: str, source: Name, workers: Name, sink: Name, dealt: list[str]) -> Diagram:
    """What a source deals out to workers in turn, and their results."""
    count = len(dealt)
    *outer, middle = rows(count)
    boxes = [Box(0, middle, *source)]
    boxes += [Box(1, row, *workers) for row in outer]
    boxes += [Box(2, middle, *sink)]
    arrows = [Arrow(0, number, words) for number, words in enumerate(dealt, 1)]
    arrows += [
        Arrow(number, count + 1, "results" if number == 1 else "") for number in range(1, count + 1)
    ]
    return Diagram(text, boxes, arrows)


def broker(
    text: str, left: list[Name], middle: tuple[Name, Name], words: Name, right: list[Name]
) -> Diagram:
    """Two groups of sockets that meet in a pair between them."""
    *sides, centre = rows(2)
    boxes = [Box(0, row, *each) for row, each in zip(sides, left, strict=True)]
    boxes += [Box(column, centre, *each) for column, each in enumerate(middle, 1)]
    boxes += [Box(3, row, *each) for row, each in zip(sides, right, strict=True)]
    arrows = [Arrow(0, 2, "", ""), Arrow(1, 2, "", ""), Arrow(2, 3, *words)]
    return Diagram(text, boxes, [*arrows, Arrow(3, 4, "", ""), Arrow(3, 5, "", "")])


DIAGRAMS = {
    "reqrep": fan(
        "A REQ sends requests 1 and 3 to one REP and request 2 to another; each answers in turn",
        ("REQ", "client"),
        [(("REP", "server"), "1, 3", "replies"), (("REP", "server"), "2", "reply")],
        1.6,
    ),
    "dealer_router": broker(
        "Clients reach a ROUTER, which passes requests through a DEALER to workers in turn",
        [("REQ", "client"), ("DEALER", "client")],
        (("ROUTER", "frontend"), ("DEALER", "backend")),
        ("id + request", "id + reply"),
        [("REP", "worker"), ("REP", "worker")],
    ),
    "pubsub": fan(
        "A PUB sends to each SUB the messages that begin with what it subscribed to",
        ("PUB", "prices"),
        [
            (("SUB", "EUR"), "EUR 1.08", None),
            (("SUB", "USD"), "USD 0.93", None),
            (("SUB", "(all)"), "both", None),
        ],
        1,
    ),
    "xpub_xsub": broker(
        "Publishers meet subscribers in the middle: messages go right, subscriptions left",
        [("PUB", "publisher"), ("PUB", "publisher")],
        (("XSUB", "frontend"), ("XPUB", "backend")),
        ("messages", "subscriptions"),
        [("SUB", "subscriber"), ("SUB", "subscriber")],
    ),
    "pushpull": pipeline(
        "A PUSH deals tasks out to workers in turn; a PULL collects their results",
        ("PUSH", "ventilator"),
        ("PULL, PUSH", "worker"),
        ("PULL", "sink"),
        ["1, 4", "2, 5", "3, 6"],
    ),
    "pair": pair(
        "Two PAIR sockets exchange messages both ways", ("PAIR", "one thread"), ("PAIR", "another")
    ),
    "client_server": Diagram(
        "Clients reach a SERVER, which answers each by the number that its message came with",
        [
            Box(0, 0, "CLIENT"),
            Box(0, 1, "CLIENT"),
            Box(0, 2, "CLIENT"),
            Box(1, 1, "SERVER", "body + number"),
        ],
        [Arrow(0, 3, "messages", ""), Arrow(1, 3, "", ""), Arrow(2, 3, "", "by number")],
    ),
    "peer": fan(
        "PEERs connect to one another, and each knows the others by numbers of its own",
        ("PEER", "1, 2"),
        [(("PEER", "7"), "to 1", "to 7"), (("PEER", "4"), "to 2", "to 4")],
        1.6,
    ),
    "scatter_gather": pipeline(
        "A SCATTER deals messages out to workers in turn; a GATHER collects their results",
        ("SCATTER", "source"),
        ("GATHER, SCATTER", "worker"),
        ("GATHER", "sink"),
        ["1, 3", "2, 4"],
    ),
    "channel": pair(
        "Two CHANNEL sockets exchange messages of one part both ways",
        ("CHANNEL", ""),
        ("CHANNEL", ""),
    ),
    "radio_dish": fan(
        "A RADIO sends each DISH the messages of the groups that it joined",
        ("RADIO", ""),
        [
            (("DISH", "weather"), "weather", None),
            (("DISH", "news"), "news", None),
            (("DISH", "weather, news"), "both", None),
        ],
        1,
    ),
    "dgram": fan(
        "A DGRAM exchanges datagrams with any UDP programs, each by its address",
        ("DGRAM", "address + body"),
        [(("program", "UDP"), "body", "body"), (("program", "UDP"), "body", "body")],
        1.6,
    ),
    "stream": fan(
        "A STREAM exchanges pieces of bytes with programs that speak plain TCP",
        ("STREAM", "id + bytes"),
        [
            (("plain TCP", "telnet"), "bytes", "bytes"),
            (("plain TCP", "HTTP client"), "bytes", "bytes"),
        ],
        1.6,
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


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    """A line with a head at its end."""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'  <line {ends} stroke="{LINE}" stroke-width="1.5" marker-end="url(#head)"/>\n'


def _label(x: float, y: float, degrees: float, text: str) -> str:
    """Words along an arrow; x and y are the middle of their base line."""
    turned = f' transform="rotate({degrees:.1f} {x:.1f} {y:.1f})"' if degrees else ""
    return (
        f'  <text x="{x:.1f}" y="{y:.1f}" fill="{ACCENT}" font-size="12" text-anchor="middle"'
        f"{turned}>{escape(text)}</text>\n"
    )


def _box(x: float, y: float, width: float, height: float, title: str, role: str) -> str:
    """A rectangle with a name in bold and a line under that."""
    middle, centre = x + width / 2, y + height / 2
    name_y = centre - 3 if role else centre + 5
    shape = (
        f'  <rect x="{x:.1f}" y="{y:.1f}" width="{width:g}" height="{height:g}" rx="6" '
        f'fill="{FILL}" stroke="{LINE}"/>\n'
        f'  <text x="{middle:.1f}" y="{name_y:.1f}" fill="{INK}" font-size="14" '
        f'font-weight="bold" text-anchor="middle">{escape(title)}</text>\n'
    )
    if role:
        shape += (
            f'  <text x="{middle:.1f}" y="{centre + 13:.1f}" fill="{LINE}" font-size="12" '
            f'text-anchor="middle">{escape(role)}</text>\n'
        )
    return shape


def _picture(width: float, height: float, title: str, content: str, defs: str = "") -> str:
    """The SVG text around the content, on white."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="sans-serif" role="img">\n'
        f"  <title>{escape(title)}</title>\n{defs}"
        f'  <rect width="{width:g}" height="{height:g}" rx="8" fill="#ffffff"/>\n'
        f"{content}</svg>\n"
    )


def ends(arrows: list[Arrow], boxes: list[Box], at: str, other: str) -> dict[int, float]:
    """For each arrow how far from a box's middle it begins (or ends), so that those of one box lie
    apart and do not cross: in the order of the boxes at their other ends."""
    found = {}
    for box in {getattr(arrow, at) for arrow in arrows}:
        mine = [n for n, arrow in enumerate(arrows) if getattr(arrow, at) == box]
        mine.sort(key=lambda n: boxes[getattr(arrows[n], other)].row)
        step = BOX_H / len(mine)
        for place, number in enumerate(mine):
            found[number] = (place - (len(mine) - 1) / 2) * step
    return found


def draw(diagram: Diagram) -> str:
    """The SVG text of boxes and arrows."""
    boxes, arrows, columns = diagram.boxes, diagram.arrows, diagram.columns()
    width = sum(columns[-1]) + MARGIN
    height = MARGIN * 2 + BOX_H + max(box.row for box in boxes) * (BOX_H + GAP_Y)

    def top(box: Box) -> float:
        return MARGIN + box.row * (BOX_H + GAP_Y)

    leaves = ends(arrows, boxes, "start", "end")
    comes = ends(arrows, boxes, "end", "start")
    lines, labels = [], []
    for number, arrow in enumerate(arrows):
        a, b = boxes[arrow.start], boxes[arrow.end]
        x1, x2 = sum(columns[a.column]) + 3, columns[b.column][0] - 3
        y1 = top(a) + BOX_H / 2 + leaves[number]
        y2 = top(b) + BOX_H / 2 + comes[number]
        both = BETWEEN / 2 if arrow.back is not None else 0
        degrees = math.degrees(math.atan2(y2 - y1, x2 - x1))
        # Up is across the line; the distance of two parallel lines is measured across, too.
        up_x, up_y = math.sin(math.radians(degrees)), -math.cos(math.radians(degrees))
        apart = both / -up_y
        lines.append(_line(x1, y1 - apart, x2, y2 - apart))
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        if arrow.there:
            away = both + 6
            labels.append(_label(x + up_x * away, y + up_y * away, degrees, arrow.there))
        if arrow.back is not None:
            lines.append(_line(x2, y2 + apart, x1, y1 + apart))
            if arrow.back:
                away = -(both + 15)
                labels.append(_label(x + up_x * away, y + up_y * away, degrees, arrow.back))
    shapes = [
        _box(columns[b.column][0], top(b), columns[b.column][1], BOX_H, b.title, b.role)
        for b in boxes
    ]
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
