#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Puts the published figures, bench/published.json, where they are told: tables and sentences of
README.md and docs/, and the plots of docs/img/.

    python tools/gen_figures.py                      writes them
    python tools/gen_figures.py --check              only tells, by its status, if they are fresh
    python tools/gen_figures.py --publish FILE...    puts the cases of bench/results/FILE... into
                                                     bench/published.json first
    python tools/gen_figures.py --anew FILE...       these cases and no others

Results have the form in which bench/run.py saves them; of several rounds the lowest value, the
median and the highest stand there. What another machine measured cannot stand beside: that needs
--anew.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from generated import write_or_check

from fastmq.cli import plots, report
from fastmq.cli.terminal import Problem

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
plot: Any = importlib.import_module("plot")

RESULTS = ROOT / "bench/published.json"
IMAGES = ROOT / "docs/img"

# A row of a table: what it says, and the scenario, case and metric that it is.
SUMMARY = (
    ("REQ/REP round trip, tcp 64 B, p50", "reqrep/tcp 64 B/p50"),
    ("the same, p99", "reqrep/tcp 64 B/p99"),
    ("the same over ipc, p50", "reqrep/ipc 64 B/p50"),
    ("the same over inproc, two threads, p50", "reqrep/inproc 64 B, two threads/p50"),
    ("the same with a Poller over 64 idle sockets, p50", "poller/tcp 64 B, 64 idle/p50"),
    ("a burst of 50 after 2 ms of quiet, tcp, p50", "burst/tcp 50 x 64 B after 2 ms/p50"),
    ("PUSH/PULL, tcp 64 B", "pushpull/tcp 64 B/rate"),
    ("PUSH/PULL, ipc 64 B", "pushpull/ipc 64 B/rate"),
    ("PUSH/PULL, inproc 64 B, one thread", "pushpull/inproc 64 B/rate"),
    ("`send_many`/`recv_many`, tcp 64 B, against plain loops", "batches/tcp 64 B/rate"),
    ("5 parts of 64 B, tcp", "multipart/tcp 5 x 64 B/rate"),
    ("PUSH/PULL, tcp 1 KiB", "pushpull/tcp 1 KiB/rate"),
    ("PUSH/PULL, tcp 64 KiB", "pushpull/tcp 64 KiB/rate"),
    ("PUSH/PULL, tcp 1 MiB", "pushpull/tcp 1 MiB/rate"),
    ("the same, copy=False", "pushpull/tcp 1 MiB copy=False/rate"),
    ("PUB to 16 SUBs, deliveries", "fanout/tcp 64 B, 16 SUB/rate"),
    ("SUB with 10,000 prefixes, published", "topics/tcp 64 B, 10,000 prefixes/rate"),
    ("ROUTER echo, 200 DEALERs, tcp", "router/tcp 64 B, 200 DEALER/rate"),
    ("connecting those 200, tcp", "connect/tcp 200 DEALER/rate"),
    ("memory a connected peer", "memory/tcp 2,000 peers/resident"),
    ("CPU a 64 B message, tcp, both ends", "pushpull/tcp 64 B/cpu"),
    ("CPU of an idle process with 50 pairs", "idle/tcp 50 pairs/cpu"),
    ("asyncio: REQ/REP, tcp, p50", "aio_reqrep/tcp 64 B/p50"),
    ("asyncio: PUSH/PULL, tcp 64 B", "aio_pushpull/tcp 64 B/rate"),
    ("asyncio: 1,000 sockets, inproc", "aio_many/inproc 64 B, a task each, both ends/rate"),
    ("asyncio: 1,000 sockets, tcp, a task each", "aio_many/tcp 64 B, a task each, both ends/rate"),
    ("CURVE PUSH/PULL, tcp 64 B", "curve/tcp 64 B/rate"),
    ("CURVE PUSH/PULL, tcp 64 KiB", "curve/tcp 64 KiB/rate"),
    ("PUSH/PULL, ipc 1 KiB", "pushpull/ipc 1 KiB/rate"),
    ("PUSH/PULL, ipc 64 KiB", "pushpull/ipc 64 KiB/rate"),
    ("PUSH/PULL, ipc 1 MiB", "pushpull/ipc 1 MiB/rate"),
    ("an array of 1 MiB there and back, ipc, no copy", "large/ipc 1 MiB/p50"),
    ("an array of 100 MiB there and back, ipc, no copy", "large/ipc 100 MiB/p50"),
    ("ROUTER echo, 200 DEALERs, ipc", "router/ipc 64 B, 200 DEALER/rate"),
    ("CLIENT/SERVER round trip (pyzmq: DEALER, ROUTER)", "client_server/tcp 64 B/p50"),
    ("SCATTER/GATHER (pyzmq: PUSH, PULL)", "scatter_gather/tcp 64 B/rate"),
)
README = (
    ("round trip, tcp 64 B", "reqrep/tcp 64 B/p50"),
    ("round trip, ipc 64 B", "reqrep/ipc 64 B/p50"),
    ("with a Poller over 65 sockets", "poller/tcp 64 B, 64 idle/p50"),
    ("PUSH/PULL, tcp 64 B", "pushpull/tcp 64 B/rate"),
    ("PUSH/PULL, ipc 64 B", "pushpull/ipc 64 B/rate"),
    ("`send_many`, `recv_many`", "batches/tcp 64 B/rate"),
    ("5 parts of 64 B, tcp", "multipart/tcp 5 x 64 B/rate"),
    ("tcp 1 KiB", "pushpull/tcp 1 KiB/rate"),
    ("tcp 1 MiB", "pushpull/tcp 1 MiB/rate"),
    ("PUB to 16 SUBs, deliveries", "fanout/tcp 64 B, 16 SUB/rate"),
    ("SUB, 10,000 prefixes", "topics/tcp 64 B, 10,000 prefixes/rate"),
    ("asyncio PUSH/PULL, tcp", "aio_pushpull/tcp 64 B/rate"),
    ("memory a connected peer", "memory/tcp 2,000 peers/resident"),
)
INDEX = tuple(
    row
    for row in README
    if row[1].split("/")[0] in ("reqrep", "aio_pushpull", "memory", "fanout")
    or row[1] == "pushpull/tcp 64 B/rate"
)

# Of libraries side by side: what a column says, and the metric.
PEERS = (
    ("round trip, tcp", "reqrep/tcp 64 B/p50"),
    ("round trip, ipc", "reqrep/ipc 64 B/p50"),
    ("a second, tcp", "pushpull/tcp 64 B/rate"),
    ("a second, ipc", "pushpull/ipc 64 B/rate"),
)
# Of the types of single parts, which no wheel of pyzmq has.
SINGLE_PARTS = (
    ("CLIENT/SERVER round trip, tcp, p50", "client_server/tcp 64 B/p50"),
    ("the same over ipc", "client_server/ipc 64 B/p50"),
    ("100 of them under way, tcp", "client_server/tcp 64 B/rate"),
    ("SCATTER/GATHER, tcp", "scatter_gather/tcp 64 B/rate"),
    ("SCATTER/GATHER, ipc", "scatter_gather/ipc 64 B/rate"),
    ("RADIO to DISH, udp, heard", "datagrams/udp 64 B/heard"),
)
SINGLE_PARTS_SIDES = ("fastmq", "omq", "libzmq drafts")
GROWTH = ("ipc", "tcp")  # of round trips by size
# The other curves, by what they show.
CURVES = {
    "growth_trip": "round trip",
    "growth_peers": "throughput",
    "growth_fanout": "fan-out",
    "growth_poll": "poll",
    "growth_memory": "memory",
    "growth_links": "memory of peers that talk",
}
LITTLE = 1.5  # ratios below are listed apart

# Sentences, by page. {KEY SIDE} is a figure, {KEY} a ratio, {KEY SIDE by SIDE} the ratio of others;
# in the page a number stands there.
PROSE = {
    "README.md": ("Medians of {rounds} alternating rounds",),
    "docs/performance.md": (
        "medians of {rounds} rounds of {seconds} s",
        "200 peers ({router/tcp 64 B, 200 DEALER/rate}x over tcp, "
        "{router/ipc 64 B, 200 DEALER/rate}x over ipc)",
        "(`bench/c/many.c`) makes {router/tcp 64 B, 200 DEALER/rate C many} round trips a second, "
        "{router/tcp 64 B, 200 DEALER/rate C many by zmq} times pyzmq",
        "200 clients ({connect/tcp 200 DEALER/rate}x over tcp, {connect/ipc 200 DEALER/rate}x "
        "over ipc)",
        "connects {connect/tcp 200 DEALER/rate C many} a second, "
        "{connect/tcp 200 DEALER/rate C many by zmq} times pyzmq",
        "one Python process reads ({fanout/tcp 64 B, 16 SUB/rate}x)",
        "The publisher spends {fanout/tcp 64 B, 16 SUB/publisher fastmq} us a delivery, pyzmq's "
        "{fanout/tcp 64 B, 16 SUB/publisher zmq}",
        "sockets over tcp ({aio_many/tcp 64 B, a task each, both ends/rate}x)",
        "fastmq {aio_many/tcp 64 B, a task each, both ends/rate fastmq}. Over inproc, where "
        "asyncio has less to do, it is {aio_many/inproc 64 B, a task each, both ends/rate}x",
        "p99 of a burst ({burst/tcp 50 x 64 B after 2 ms/p99}x over tcp, "
        "{burst/ipc 50 x 64 B after 2 ms/p99}x over ipc)",
        "The median is {burst/tcp 50 x 64 B after 2 ms/p50}x over tcp and "
        "{burst/ipc 50 x 64 B after 2 ms/p50}x over ipc",
    ),
    "docs/guide/tuning.md": (
        "| pyzmq, loops of `send` and `recv` | {pushpull/tcp 64 B/rate zmq} |",
        "| fastmq, the same loops | {pushpull/tcp 64 B/rate fastmq} |",
        "| fastmq, `send_many` and `recv_many` | {batches/tcp 64 B/rate fastmq} |",
        "{multipart/tcp 5 x 64 B/rate fastmq} a second with five parts of 64 bytes",
        "For 1 MiB over tcp: {pushpull/tcp 1 MiB/rate fastmq} a second with copies, "
        "{pushpull/tcp 1 MiB copy=False/rate fastmq} with `copy=False`",
        "a round trip takes {reqrep/tcp 64 B/p50 fastmq} us; with pyzmq, whose threads sleep, "
        "{reqrep/tcp 64 B/p50 zmq}",
        "({idle/tcp 50 pairs/cpu fastmq} ms of processor time a second with 50 connected pairs; "
        "pyzmq {idle/tcp 50 pairs/cpu zmq})",
        "takes {reqrep/tcp 64 B/p50 fastmq} us over tcp, {reqrep/ipc 64 B/p50 fastmq} us over "
        "ipc, {reqrep/inproc 64 B, two threads/p50 fastmq} us over inproc",
        "a thread with a blocking socket takes {reqrep/tcp 64 B/p50 fastmq} us",
        "what libsodium takes: {curve/tcp 64 B/rate fastmq} messages of 64 bytes a second, "
        "{curve/tcp 64 KiB/rate fastmq} of 64 KiB",
        "{aio_pushpull/tcp 64 B/rate fastmq} messages of 64 bytes a second through `await send` "
        "and `await recv`, {aio_pushpull/tcp 64 B, uvloop/rate fastmq} under uvloop; a round trip "
        "takes {aio_reqrep/tcp 64 B/p50 fastmq} us (uvloop {aio_reqrep/tcp 64 B, uvloop/p50 "
        "fastmq})",
    ),
    "docs/guide/transports.md": (
        "| `tcp://` | other hosts | {reqrep/tcp 64 B/p50 fastmq} us |",
        "processes of this host | {reqrep/ipc 64 B/p50 fastmq} us |",
        "threads of this process | {reqrep/inproc 64 B, two threads/p50 fastmq} us |",
    ),
    "docs/guide/faq.md": (
        "a round trip takes {reqrep/ipc 64 B/p50 fastmq} us over ipc and "
        "{reqrep/tcp 64 B/p50 fastmq} us over tcp",
    ),
}
NUMBER = r"\d(?:[\d.,]*\d)?(?: [kM])?"
SHARED_MEMORY = "docs/guide/same-host.md"


class Figures:
    """The published results, by scenario, case and metric."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result
        self._by = {
            f"{case['scenario']}/{case['case']}/{metric}": by
            for case in result["cases"]
            for metric, by in case["metrics"].items()
        }

    def value(self, key: str, side: str) -> str:
        """A median, as "14.5 M"."""
        return report.number(self.middle(key, side))

    def has(self, key: str) -> bool:
        return key in self._by

    def sides(self, key: str) -> list[str]:
        """Those that have values, of what is published."""
        return list(self._by[key]["values"]) if self.has(key) else []

    def middle(self, key: str, side: str) -> float:
        values: list[float] = self._by[key]["values"][side]
        return statistics.median(values)

    def ratios(self, key: str) -> bool:
        """Whether there is a ratio: of a median of 0 there is none."""
        return bool(self._by[key]["ratio"].get("fastmq"))

    def ratio(self, key: str) -> str:
        return plots.times(self._by[key]["ratio"]["fastmq"])

    def ratio_of(self, key: str, side: str, base: str) -> str:
        """How many times better a side is than another, by their medians."""
        mine, other = self.middle(key, side), self.middle(key, base)
        return plots.times(mine / other if self._by[key]["better"] == "higher" else other / mine)

    def unit(self, key: str) -> str:
        """What stands behind the number in a table."""
        unit: str = self._by[key]["unit"]
        if unit.startswith("ms CPU"):
            return " ms/s"
        if unit.endswith("/s") or "/s " in unit:
            return "/s"
        return f" {unit.partition('/')[0].partition(' ')[0]}"

    def told(self, key: str, side: str) -> str:
        """A median with its unit: long times in ms or s."""
        unit, value = self.unit(key), self.middle(key, side)
        if unit == " us" and value >= 1e4:
            unit, value = (" s", value / 1e6) if value >= 1e6 else (" ms", value / 1e3)
        return report.number(value) + unit

    def named(self, name: str) -> str:
        """A figure of PROSE, or how often and how long was measured."""
        if name in ("rounds", "seconds"):
            return f"{self.result[name]:g}"
        before, _, rest = name.rpartition("/")
        metric, _, side = rest.partition(" ")
        side, _, base = side.partition(" by ")
        key = f"{before}/{metric}"
        try:
            if base:
                return self.ratio_of(key, side, base)
            return self.value(key, side) if side else self.ratio(key)
        except KeyError:
            raise SystemExit(f"gen_figures: nothing was measured of {name!r}") from None


def table(figures: Figures, rows: Iterable[tuple[str, str]], what: str = "measure") -> str:
    lines = [f"| {what} | pyzmq | fastmq | ratio |", "|---|---:|---:|---:|"]
    for text, key in rows:
        if not {"zmq", "fastmq"} <= {*figures.sides(key)}:
            continue
        sides = [figures.told(key, side) for side in ("zmq", "fastmq")]
        ratio = f"**{figures.ratio(key)}x**" if figures.ratios(key) else ""
        lines.append(f"| {text} | {' | '.join(sides)} | {ratio} |")
    return "\n".join(lines)


def wide_table(figures: Figures, what: str, columns: Sequence[str], rows: Iterable[Any]) -> str:
    """rows: words, and for each column a key and a side, or None."""
    lines = [f"| {' | '.join([what, *columns])} |", "|---|" + "---:|" * len(columns)]
    for words, cells in rows:
        if not any(cells):
            continue
        values = [figures.told(*cell) if cell else "" for cell in cells]
        lines.append(f"| {' | '.join([words, *values])} |")
    return "\n".join(lines)


def beside(figures: Figures) -> str:
    """The libraries side by side, the shortest round trip first."""
    keys = [key for _, key in PEERS]
    fastest: dict[str, float] = {}
    for key in keys[:2]:
        for side in figures.sides(key):
            if side != "C engine":
                time = figures.middle(key, side)
                fastest[side] = min(time, fastest.get(side, time))
    rows = [
        (
            plots.name(side) if side != "fastmq" else "**fastmq**",
            [(key, side) if side in figures.sides(key) else None for key in keys],
        )
        for side in sorted(fastest, key=lambda side: fastest[side])
    ]
    return wide_table(figures, "64 bytes", [words for words, _ in PEERS], rows)


def single_parts(figures: Figures) -> str:
    rows = [
        (words, [(key, s) if s in figures.sides(key) else None for s in SINGLE_PARTS_SIDES])
        for words, key in SINGLE_PARTS
    ]
    columns = [plots.name(side) for side in SINGLE_PARTS_SIDES]
    if not any(cell for _, cells in rows for cell in cells):
        return "Not measured yet."
    return wide_table(figures, "64 bytes", columns, rows)


def sizes(figures: Figures, result: dict[str, Any]) -> str:
    """Round trips by size: pyzmq and fastmq."""
    found = [case for case in result["cases"] if case["scenario"] == "growth_size"]
    by_size = dict.fromkeys(case["case"].partition(" ")[2] for case in found)
    columns = [f"{name}, {transport}" for transport in GROWTH for name in ("pyzmq", "fastmq")]
    rows = [
        (
            size,
            [
                (key, side) if side in figures.sides(key) else None
                for transport in GROWTH
                for key in [f"growth_size/{transport} {size}/p50"]
                for side in ("zmq", "fastmq")
            ],
        )
        for size in by_size
    ]
    if not rows:
        return "Not measured yet."
    pictures = [f"![{name}](img/growth_size_{name}.svg)" for name in GROWTH]
    drawn = f"| | |\n|---|---|\n| {' | '.join(pictures)} |"
    return f"{wide_table(figures, 'size', columns, rows)}\n\n{drawn}"


def link_to(target: str, page: str) -> str:
    """The relative address of a file of docs/ in a page of the same folder or in README.md."""
    return target if page == "README.md" else target.removeprefix("docs/")


def host(figures: Figures, page: str) -> str:
    """What carried the messages of the two processes."""
    memory = f"[shared memory]({link_to(SHARED_MEMORY, page)})"
    trips = [f"reqrep/{transport} 64 B/p50" for transport in ("tcp", "ipc")]
    if not all("sockets only" in figures.sides(key) for key in trips):
        return f"They were taken before connections within a host moved into {memory}."
    tcp, ipc = (figures.value(key, "sockets only") for key in trips)
    return (
        f"Both processes run on one host, so fastmq moves their connection into {memory} by "
        f"itself, over ipc and tcp alike;\non sockets alone (`SHM` 0) its round trip takes "
        f"{tcp} us over tcp and {ipc} us over ipc."
    )


def floor(figures: Figures) -> str:
    """What two processes in C take for the round trips of the first table."""
    tcp, ipc = (f"reqrep/{transport} 64 B/p50" for transport in ("tcp", "ipc"))
    spun = f"{figures.value(tcp, 'C pingpong')} us over loopback TCP"
    if "C memory" in figures.sides(ipc):
        spun += f" and {figures.value(ipc, 'C memory')} us through memory that they share"
    engine = [figures.value(key, "C engine") for key in (tcp, ipc)]
    return (
        f"In the same run, a round trip of two C processes that spin took {spun};\n"
        f"fastmq's engine without Python took {engine[0]} us over tcp and {engine[1]} us over ipc."
    )


# pyzmq's wheels have no datagrams and publish over tcp there, which does not compare.
STOOD_IN = {"datagrams"}


def least(figures: Figures, result: dict[str, Any]) -> str:
    """The measures of which fastmq is little better than pyzmq, or worse."""
    found = [
        (by["ratio"]["fastmq"], plots.label(case, metric), f"{name}/{metric}")
        for case in result["cases"]
        if not case["sweep"] and case["scenario"] not in STOOD_IN
        for name in [f"{case['scenario']}/{case['case']}"]
        for metric, by in case["metrics"].items()
        if by["ratio"].get("fastmq", LITTLE) < LITTLE and len(by["values"]) > 1
    ]
    if not found:
        return f"Every figure is at least {LITTLE:g} times as good as pyzmq's."
    rows = [(words, key) for _, words, key in sorted(found)]
    return (
        f"Less than {LITTLE:g} times as good as pyzmq, the least first:\n\n{table(figures, rows)}"
    )


def growth(result: dict[str, Any]) -> str:
    """The pictures of what was measured."""
    measured = {case["scenario"] for case in result["cases"] if case["sweep"]}
    pictures = [f"![{words}](img/{name}.svg)" for name, words in CURVES.items() if name in measured]
    pairs = zip(pictures[::2], [*pictures[1::2], ""], strict=False)
    return "\n".join(["| | |", "|---|---|", *(f"| {' | '.join(pair)} |" for pair in pairs)])


def block(text: str, name: str, content: str, page: str) -> str:
    """The page with what stands between the marks of that name replaced."""
    pattern = rf"(<!-- figures: {name} -->\n).*?(\n<!-- figures: end -->)"
    made, n = re.subn(pattern, lambda found: found[1] + content + found[2], text, flags=re.DOTALL)
    if n != 1:
        raise SystemExit(f"{page} has {n} whole blocks `<!-- figures: {name} -->`, not one")
    return made


def sentence(text: str, template: str, figures: Figures, page: str) -> str:
    """The page with the figures of one sentence replaced."""
    words = re.split(r"\{([^}]+)\}", template)

    def literal(part: str) -> str:
        return r"\s+".join(map(re.escape, re.split(r"\s+", part)))

    pattern = "".join(
        f"({literal(part)})" if at % 2 == 0 else f"(?:{NUMBER})" for at, part in enumerate(words)
    )
    values = [figures.named(" ".join(name.split())) for name in words[1::2]]

    def made(found: re.Match[str]) -> str:
        parts = found.groups()
        return parts[0] + "".join(
            value + part for value, part in zip(values, parts[1:], strict=True)
        )

    text, n = re.subn(pattern, made, text)
    if n != 1:
        raise SystemExit(f"{page} says {n} times, not once: {template}")
    return text


def pages(result: dict[str, Any]) -> dict[Path, str]:
    """Every page that tells figures, as it has to be."""
    figures = Figures(result)
    summaries = {"README.md": (README, ""), "docs/index.md": (INDEX, "")}
    made = {}
    for page in summaries.keys() | PROSE.keys():
        blocks: dict[str, Callable[[], str]] = {
            "summary": partial(table, figures, *summaries.get(page, (SUMMARY,))),
            "beside": partial(beside, figures),
            "single parts": partial(single_parts, figures),
            "sizes": partial(sizes, figures, result),
            "host": partial(host, figures, page),
            "floor": partial(floor, figures),
            "least": partial(least, figures, result),
            "growth": partial(growth, result),
            "all": partial(plot.tables, result),
        }
        text = (ROOT / page).read_text(encoding="utf-8")
        for name in re.findall(r"<!-- figures: (.*) -->", text):
            if name != "end":
                text = block(text, name, blocks[name]().rstrip("\n"), page)
        for template in PROSE.get(page, ()):
            text = sentence(text, template, figures, page)
        made[ROOT / page] = text
    return made


def drawn(result: dict[str, Any]) -> dict[str, str]:
    """Each plot, and what it says of the figures in it."""
    found = {
        "ratios.svg": plots.digest(plots.ratios(chosen(result))),
        "peers.svg": plots.digest(plots.beside(result, TRIPS, "p50")),
    }
    for scenario, cases in plot.scenarios(result):
        if cases[0]["sweep"]:
            found[f"{scenario}.svg"] = plots.digest(plots.points(result, cases))
    return found


TRIPS = {"tcp": ("reqrep", "tcp 64 B"), "ipc": ("reqrep", "ipc 64 B")}


def chosen(result: dict[str, Any]) -> dict[str, Any]:
    """The results with the cases of README's table alone, in its order."""
    cases = {f"{case['scenario']}/{case['case']}": case for case in result["cases"]}
    keys = dict.fromkeys(key.rpartition("/")[0] for _, key in README)
    return {**result, "cases": [cases[key] for key in keys if key in cases]}


def draw(result: dict[str, Any]) -> None:
    plot.draw({**result, "cases": [case for case in result["cases"] if case["sweep"]]}, IMAGES)
    plots.bars(chosen(result), IMAGES / "ratios.svg")
    trips = plots.beside(result, TRIPS, "p50")
    plots.compared(trips, "us", "Round trip of 64 bytes", IMAGES / "peers.svg")


# ---- publishing ----


def short(case: dict[str, Any]) -> dict[str, Any]:
    """A case with the lowest value, the median and the highest of its rounds."""
    metrics = {
        metric: {
            "unit": by["unit"],
            "better": by["better"],
            "values": {
                side: [
                    float(f"{value:.5g}")
                    for value in (
                        [min(values), statistics.median(values), max(values)]
                        if len(values) > 1
                        else values
                    )
                ]
                for side, values in by["values"].items()
            },
            "ratio": {
                side: float(f"{ratio:.4g}")
                for side, ratio in by["ratio"].items()
                if ratio is not None
            },
        }
        for metric, by in case["metrics"].items()
    }
    kept = {key: case[key] for key in ("scenario", "case", "title", "sweep", "params", "errors")}
    return {**kept, "metrics": metrics}


def publish(paths: Sequence[Path], anew: bool) -> None:
    """The cases of the files in the place of those of the same name, others as they are."""
    result = plot.load(paths)
    old = {} if anew else json.loads(RESULTS.read_text(encoding="utf-8"))
    machine = {k: v for k, v in result["machine"].items() if k != "load before"}
    if old and old["machine"] != machine:
        raise SystemExit("gen_figures: they are of another machine than what is published: --anew")
    cases = {(case["scenario"], case["case"]): case for case in old.get("cases", [])}
    cases.update({(case["scenario"], case["case"]): short(case) for case in result["cases"]})
    result.pop("key")
    made = {
        **result,
        "machine": machine,
        "versions": {**old.get("versions", {}), **result["versions"]},
        "modules": {
            name: Path(module).name
            for name, module in {**old.get("modules", {}), **result["modules"]}.items()
        },
        "cases": list(cases.values()),
    }
    text = json.dumps(made, indent=1)
    # A line for the values of a side.
    text = re.sub(r"\[\s+([-\d.e+,\s]+?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    RESULTS.write_text(text + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--publish", nargs="+", type=Path, default=[], metavar="FILE")
    parser.add_argument("--anew", nargs="+", type=Path, default=[], metavar="FILE")
    options = parser.parse_args()
    if options.publish or options.anew:
        try:
            publish(options.anew or options.publish, bool(options.anew))
        except Problem as error:
            raise SystemExit(f"gen_figures: {error}") from None
    result = plot.load([RESULTS])
    status = write_or_check(pages(result))
    stale = [
        name
        for name, says in drawn(result).items()
        if not (IMAGES / name).exists() or says not in (IMAGES / name).read_text(encoding="utf-8")
    ]
    if options.check:
        return int(bool(status or stale))
    if stale:
        draw(result)
    return status


if __name__ == "__main__":
    sys.exit(main())
