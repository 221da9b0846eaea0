# SPDX-License-Identifier: MIT
"""Pictures of measurements: ratios as bars, growth as curves. Needs matplotlib."""

from __future__ import annotations

import hashlib
import json
import math
import re
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fastmq.cli import arguments
from fastmq.cli.terminal import USAGE, Problem

Case = dict[str, Any]

SUFFIXES = (".svg", ".png", ".pdf")
NAMES = {
    "zmq": "pyzmq",
    "nng": "pynng",
    "omq": "pyomq",
    "iceoryx": "iceoryx2",
    "eclipse zenoh": "zenoh",
    "multiprocessing connection": "multiprocessing",
    "raw socket": "Python's sockets",
    "stable types": "fastmq, stable types",
    "sockets only": "fastmq on sockets",
    "libzmq drafts": "libzmq with drafts",
    "C pingpong": "bare TCP in C",
    "C memory": "bare memory in C",
    "C engine": "fastmq's engine in C",
    "C many": "bare epoll in C",
    "C datagrams": "bare UDP in C",
}
"""Sides in words."""
# In the middle between black and white, so that they can be read on both.
TEXT = "#7d8590"
BETTER, WORSE = "#3b82f6", "#e5534b"
COLOURS = ("#3b82f6", "#d29922", "#2da44e", "#a371f7", "#e5534b", "#1b9aaa")


def name(label: str) -> str:
    return NAMES.get(label, label)


def subject(result: dict[str, Any]) -> str:
    """The side that is compared with the base: the first module."""
    return str(next(iter(result["modules"])))


def sides(cases: Iterable[Case], first: Sequence[str]) -> list[str]:
    """All labels that have values, the given ones first."""
    seen = dict.fromkeys(
        label for case in cases for by in case["metrics"].values() for label in by["values"]
    )
    return [label for label in dict.fromkeys([*first, *seen]) if label in seen]


def pyplot() -> Any:
    """matplotlib, set up for small files that are the same for the same figures."""
    try:
        import matplotlib
    except ImportError:
        raise Problem(
            "plots need matplotlib: pip install matplotlib (the extra [bench] brings it)"
        ) from None
    matplotlib.use("svg")
    matplotlib.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "fastmq",
            "font.family": "sans-serif",
            "font.size": 9,
            "text.color": TEXT,
            "axes.labelcolor": TEXT,
            "axes.edgecolor": TEXT,
            "axes.titlesize": 10,
            "xtick.color": TEXT,
            "ytick.color": TEXT,
            "grid.color": TEXT,
            "grid.alpha": 0.3,
            "grid.linewidth": 0.5,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    import matplotlib.pyplot as plt

    return plt


def check(path: Path) -> None:
    """Problem: nothing can be drawn there."""
    if path.suffix not in SUFFIXES:
        raise Problem(f"{path} should end in {arguments.choices(SUFFIXES)}", USAGE)
    pyplot()


def draw(result: dict[str, Any], path: Path) -> None:
    """One picture of a measurement: the curve of a sweep, else bars."""
    cases = result["cases"]
    made = curve(result, cases, path) if cases[0]["sweep"] else bars(result, path)
    if made is None:
        raise Problem("there is nothing to draw: no case gave values")


def digest(drawn: object) -> str:
    """What tells figures from others: an SVG file names those that it shows."""
    text = json.dumps(drawn, sort_keys=True).encode()
    return f"figures {hashlib.sha256(text).hexdigest()[:16]}"


def save(figure: Any, path: Path, drawn: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    svg = path.suffix == ".svg"
    metadata = {"Date": None, "Description": digest(drawn)} if svg else None
    figure.savefig(path, transparent=True, bbox_inches="tight", dpi=150, metadata=metadata)
    pyplot().close(figure)
    return path


def plain_numbers(axis: Any) -> None:
    """1,000 and not 10 to the power of 3 on a logarithmic axis, and enough of them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    if high / low < 200:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def measured(axis: Any, values: Sequence[float], bytes_: bool) -> None:
    """Ticks at what was measured, and nowhere else."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    at = [value for value in values if value > 0]
    write = bytes_in_words if bytes_ else "{:,.10g}".format
    axis.set_major_locator(FixedLocator(at))
    axis.set_minor_locator(NullLocator())
    shown = apart(at)
    axis.set_major_formatter(FixedFormatter([write(v) if v in shown else "" for v in at]))


def apart(values: Sequence[float], least: float = 0.08) -> set[float]:
    """Those that have room for a label on a logarithmic axis: the ends, and of the others those
    that are `least` of its length away from the next one that has."""
    ordered = sorted(values)
    if len(ordered) < 3:
        return set(ordered)
    length = math.log(ordered[-1] / ordered[0])
    shown = [ordered[0], ordered[-1]]
    for value in reversed(ordered[1:-1]):
        if all(abs(math.log(value / other)) >= least * length for other in shown):
            shown.append(value)
    return set(shown)


UNITS = {
    "us": "microseconds",
    "msg/s": "messages a second",
    "MB/s": "megabytes a second",
    "KB/peer": "kilobytes a peer",
    "us CPU/delivery, PUB's process": "microseconds of CPU a delivery",
}
AXES = {"size": "size of a message"}
SCENARIOS = {
    "reqrep": "round trip",
    "lat": "round trip",
    "pushpull": "one way",
    "thr": "one way",
    "batches": "in batches",
    "multipart": "parts",
    "poller": "poller",
    "burst": "burst",
    "fanout": "fan-out",
    "topics": "topics",
    "router": "router echo",
    "connect": "connecting",
    "hwm": "full queues",
    "memory": "memory",
    "idle": "idle",
    "curve": "CURVE, one way",
    "aio_reqrep": "asyncio, round trip",
    "aio_pushpull": "asyncio, one way",
    "aio_many": "asyncio, many sockets",
    "datagrams": "datagrams",
    "client_server": "CLIENT and SERVER",
    "scatter_gather": "SCATTER and GATHER",
    "aio_gap": "asyncio, a ticker's delay",
    "large": "array there and back",
}
"""Scenarios in words."""


def times(ratio: float) -> str:
    """A ratio in two figures: 0.98, 12, 120."""
    return f"{ratio:.2g}" if ratio < 99.5 else f"{float(f'{ratio:.2g}'):.0f}"


def bytes_in_words(size: float) -> str:
    """64 B, 1 KiB, 1 MiB, 1 GiB."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size / unit:,.10g} {name}"
    return f"{size:,.10g} B"


def label(case: Case, metric: str) -> str:
    """A case for people: "round trip, tcp, 64 bytes"."""
    what = SCENARIOS.get(case["scenario"], case["scenario"].replace("_", " "))
    how = re.sub(r"^(tcp|ipc|inproc) (?=\d)", r"\1, ", case["case"])
    how = re.sub(r"(\d) B\b", r"\1 bytes", how)
    how = re.sub(r" x \d+$", "", how)
    extra = "" if metric in ("p50", "rate") else f", {metric}"
    return f"{what}, {how}{extra}"


def ratios(result: dict[str, Any]) -> list[tuple[str, float]]:
    """The ratio of each case's first metric that has one; sweeps have their own plots."""
    mine = subject(result)
    found = []
    for case in result["cases"]:
        if case.get("sweep"):
            continue
        for metric, by in case["metrics"].items():
            ratio = by["ratio"].get(mine)
            if ratio:
                found.append((label(case, metric), ratio))
                break
    return found


# So narrow that a phone shows the letters in their size; so a bar's label stands above it.
WIDTH_IN, ROW_IN = 4.4, 0.42


def above(axes: Any, x: float, y: float, text: str) -> None:
    """The words of a bar, a little to the right of the line where it begins."""
    axes.annotate(text, (x, y), xytext=(4, 3), textcoords="offset points", annotation_clip=False)


def bars(result: dict[str, Any], path: Path) -> Path | None:
    """One bar a case, from 1 (as good as the base) on a logarithmic axis."""
    found = ratios(result)
    if not found:
        return None
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(WIDTH_IN, 0.6 + ROW_IN * len(found)))
    names, values = zip(*found, strict=True)
    axes.set_xscale("log")
    drawn = axes.barh(
        range(len(found)),
        [value - 1 for value in values],
        left=1,
        height=0.32,
        color=[BETTER if value >= 1 else WORSE for value in values],
    )
    axes.bar_label(drawn, [f"{times(value)}x" for value in values], padding=3, fontsize=8)
    low = 1.0 if min(values) >= 1 else min(values) / 1.5  # there the label of a bar has its place
    for row, text in enumerate(names):
        above(axes, 1, row - 0.16, text)
    axes.axvline(1, color=TEXT, linewidth=1)
    axes.set_ylim(len(found) - 0.5, -0.9)
    axes.set_xlim(low, max(2, *values) * 1.6)
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    plain_numbers(axes.xaxis)
    base = name(result["base"])
    axes.set_xlabel(f"{name(subject(result))}: how many times as good as {base}")
    return save(figure, path, found)


def beside(
    result: dict[str, Any], keys: dict[str, tuple[str, str]], metric: str
) -> list[tuple[str, dict[str, float]]]:
    """The medians of a metric by side, the best of the first case that it has first.

    keys: how a case is named -> its scenario and its name
    """
    medians: dict[str, dict[str, float]] = {}
    for word, key in keys.items():
        for case in result["cases"]:
            if (case["scenario"], case["case"]) == key:
                for side, values in case["metrics"][metric]["values"].items():
                    medians.setdefault(name(side), {})[word] = statistics.median(values)
    return sorted(medians.items(), key=lambda each: min(each[1].values()))


def compared(
    drawn: list[tuple[str, dict[str, float]]], unit: str, title: str, path: Path
) -> Path | None:
    """A bar for each side and case of `beside`, on a logarithmic axis."""
    if not drawn:
        return None
    plt = pyplot()
    words = list(dict.fromkeys(word for _, by in drawn for word in by))
    height = 0.62 / len(words)
    figure, axes = plt.subplots(figsize=(WIDTH_IN, 0.9 + (ROW_IN + 0.1) * len(drawn)))
    axes.set_xscale("log")
    values = [value for _, by in drawn for value in by.values()]
    low = min(values) / 2
    for word, colour in zip(words, COLOURS, strict=False):
        rows = [
            (row + 0.02 + [*by].index(word) * height, by[word])
            for row, (_, by) in enumerate(drawn)
            if word in by
        ]
        made = axes.barh(
            [at for at, _ in rows],
            [value - low for _, value in rows],
            left=low,
            height=height * 0.9,
            color=colour,
            label=word,
        )
        axes.bar_label(made, [f"{value:.3g}" for _, value in rows], padding=3, fontsize=8)
    for row, (text, _) in enumerate(drawn):
        above(axes, low, row + 0.02 - height / 2, text)
    axes.set_ylim(len(drawn) - 0.3, -0.6)
    axes.set_xlim(low, max(values) * 2)
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    plain_numbers(axes.xaxis)
    axes.set_xlabel(UNITS.get(unit, unit))
    axes.set_title(title, loc="left", pad=18)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=len(words), borderpad=0)
    return save(figure, path, drawn)


def points(result: dict[str, Any], cases: list[Case]) -> dict[str, list[tuple[float, list[float]]]]:
    """Of each side what a curve shows: the parameter of a sweep, and its first metric's values."""
    sweep = cases[0]["sweep"]
    metric = next(iter(cases[0]["metrics"]))
    found = {}
    for label in sides(cases, (subject(result), result["base"])):
        found[label] = sorted(
            (case["params"][sweep], values)
            for case in cases
            # Neither a parameter nor a value of 0 has a place on a logarithmic axis.
            if (values := case["metrics"][metric]["values"].get(label))
            and case["params"][sweep] > 0
            and min(values) > 0
        )
    return {label: at for label, at in found.items() if at}


def curve(result: dict[str, Any], cases: list[Case], path: Path) -> Path | None:
    """The first metric of a sweep against its parameter, with the range of the rounds."""
    sweep = cases[0]["sweep"]
    metric, first = next(iter(cases[0]["metrics"].items()))
    drawn = points(result, cases)
    if not drawn:
        return None
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(WIDTH_IN, 3))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for (label, found), colour in zip(drawn.items(), COLOURS * len(drawn), strict=False):
        x = [at for at, _ in found]
        y = [statistics.median(values) for _, values in found]
        axes.plot(x, y, marker="o", markersize=3.5, color=colour, label=name(label))
        low, high = [min(v) for _, v in found], [max(v) for _, v in found]
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    low, high = axes.get_ylim()
    if high / low < 10:  # or else a flat line would look like a mountain range
        middle = (low * high) ** 0.5
        axes.set_ylim(middle / 10**0.5, middle * 10**0.5)
    plain_numbers(axes.yaxis)
    measured(axes.xaxis, sorted({case["params"][sweep] for case in cases}), sweep == "size")
    axes.grid(which="major")
    axes.set_xlabel(AXES.get(sweep, sweep.replace("_", " ")))
    unit = UNITS.get(first["unit"], first["unit"])
    axes.set_ylabel(
        f"{metric}, {unit}" if metric.startswith("p") and metric[1:].isdigit() else unit
    )
    # Above the lines, where it touches none.
    key = axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.03, 1),
        ncols=3,
        borderpad=0,
        handlelength=1.5,
        columnspacing=1,
        fontsize=8,
    )
    rows = -(-len(key.get_texts()) // 3)
    axes.set_title("\n".join(textwrap.wrap(cases[0]["title"], 52)), loc="left", pad=6 + 12 * rows)
    return save(figure, path, drawn)
