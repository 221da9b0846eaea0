#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Puts the published figures, bench/published.json, where they are told: tables and sentences of
README.md and docs/, and the plots of docs/img/.

Without arguments it writes them; --check only tells (by its exit status) whether they are fresh.
Results have the form in which bench/run.py saves them; of several rounds the lowest value, the
median and the highest stand there. To publish a new run, merge its file into this one.
"""

from __future__ import annotations

import importlib
import re
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from generated import write_or_check

from fastmq.cli import plots, report

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

# Sentences, by page. {KEY SIDE} is a figure, {KEY} a ratio; in the page a number stands there.
PROSE = {
    "README.md": ("spins took {reqrep/tcp 64 B/p50 C pingpong} us for the tcp round trip",),
    "docs/performance.md": (
        "spins took {reqrep/tcp 64 B/p50 C pingpong} us for the tcp round trip",
        "without Python {reqrep/tcp 64 B/p50 C engine} us",
        "200 peers over tcp ({router/tcp 64 B, 200 DEALER/rate}x)",
        "Over ipc it is {router/ipc 64 B, 200 DEALER/rate}x",
        "200 clients ({connect/tcp 200 DEALER/rate}x tcp, {connect/ipc 200 DEALER/rate}x ipc)",
        "one Python process reads ({fanout/tcp 64 B, 16 SUB/rate}x)",
        "sockets over tcp ({aio_many/tcp 64 B, a task each, both ends/rate}x)",
        "less to do, it is {aio_many/inproc 64 B, a task each, both ends/rate}x",
        "p99 of a burst ({burst/tcp 50 x 64 B after 2 ms/p99}x over tcp, "
        "{burst/ipc 50 x 64 B after 2 ms/p99}x over ipc)",
    ),
    "docs/guide/tuning.md": (
        "| pyzmq, loops of `send` and `recv` | {pushpull/tcp 64 B/rate zmq} |",
        "| fastmq, the same loops | {pushpull/tcp 64 B/rate fastmq} |",
        "| fastmq, `send_many` and `recv_many` | {batches/tcp 64 B/rate fastmq} |",
        "{multipart/tcp 5 x 64 B/rate fastmq} a second with five parts of 64 bytes",
        "For 1 MiB over tcp: {pushpull/tcp 1 MiB/rate fastmq} a second with copies, "
        "{pushpull/tcp 1 MiB copy=False/rate fastmq} with `copy=False`",
        "a round trip takes {reqrep/tcp 64 B/p50 fastmq} us instead of {reqrep/tcp 64 B/p50 zmq}",
        "({idle/tcp 50 pairs/cpu fastmq} ms of processor time",
        "takes {reqrep/tcp 64 B/p50 fastmq} us over tcp, {reqrep/ipc 64 B/p50 fastmq} us over "
        "ipc, {reqrep/inproc 64 B, two threads/p50 fastmq} us over inproc",
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
        "ipc: a round trip takes {reqrep/ipc 64 B/p50 fastmq} us there and "
        "{reqrep/tcp 64 B/p50 fastmq} us over tcp",
    ),
}
NUMBER = r"\d(?:[\d.,]*\d)?(?: [kM])?"


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
        return report.number(statistics.median(self._by[key]["values"][side]))

    def ratio(self, key: str) -> str:
        return f"{self._by[key]['ratio']['fastmq']:.2g}"

    def unit(self, key: str) -> str:
        """What stands behind the number in a table."""
        unit: str = self._by[key]["unit"]
        if unit.startswith("ms CPU"):
            return " ms/s"
        if unit.endswith("/s") or "/s " in unit:
            return "/s"
        return f" {unit.partition('/')[0].partition(' ')[0]}"

    def named(self, name: str) -> str:
        """A figure of PROSE."""
        key, _, rest = name.rpartition("/")
        metric, _, side = rest.partition(" ")
        return self.value(f"{key}/{metric}", side) if side else self.ratio(f"{key}/{metric}")


def table(figures: Figures, rows: Iterable[tuple[str, str]], what: str = "measure") -> str:
    lines = [f"| {what} | pyzmq | fastmq | ratio |", "|---|---:|---:|---:|"]
    for text, key in rows:
        unit = figures.unit(key)
        sides = [figures.value(key, side) + unit for side in ("zmq", "fastmq")]
        lines.append(f"| {text} | {' | '.join(sides)} | **{figures.ratio(key)}x** |")
    return "\n".join(lines)


def block(text: str, name: str, content: str, page: str) -> str:
    """The page with what stands between the marks of that name replaced."""
    pattern = rf"(<!-- figures: {name} -->\n).*?(\n<!-- figures: end -->)"
    made, n = re.subn(pattern, lambda found: found[1] + content + found[2], text, flags=re.DOTALL)
    if n != 1:
        raise SystemExit(f"{page} has {n} blocks `<!-- figures: {name} -->`, not one")
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
    blocks = {
        "README.md": {"summary": table(figures, README, "")},
        "docs/index.md": {"summary": table(figures, INDEX, "")},
        "docs/performance.md": {"summary": table(figures, SUMMARY), "all": plot.tables(result)},
    }
    made = {}
    for page in blocks.keys() | PROSE.keys():
        text = (ROOT / page).read_text(encoding="utf-8")
        for name, content in blocks.get(page, {}).items():
            text = block(text, name, content.rstrip("\n"), page)
        for template in PROSE.get(page, ()):
            text = sentence(text, template, figures, page)
        made[ROOT / page] = text
    return made


def drawn(result: dict[str, Any]) -> dict[str, str]:
    """Each plot, and what it says of the figures in it."""
    found = {"ratios.svg": plots.digest(plots.ratios(result))}
    for scenario, cases in plot.scenarios(result):
        if cases[0]["sweep"]:
            found[f"{scenario}.svg"] = plots.digest(plots.points(result, cases))
    return found


def main() -> int:
    result = plot.load([RESULTS])
    status = write_or_check(pages(result))
    stale = [
        name
        for name, says in drawn(result).items()
        if not (IMAGES / name).exists() or says not in (IMAGES / name).read_text(encoding="utf-8")
    ]
    if "--check" in sys.argv[1:]:
        return int(bool(status or stale))
    if stale:
        plot.draw(result, IMAGES)
    return status


if __name__ == "__main__":
    sys.exit(main())
