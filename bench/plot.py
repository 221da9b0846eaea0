#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns what bench/run.py saved into Markdown tables and plots.

    python bench/plot.py RESULTS.json [MORE.json...] --out docs/img
        ratios.svg: how many times better than the base; <scenario>.svg: a curve for each sweep
    python bench/plot.py RESULTS.json [MORE.json...] --tables docs/tables.md
        the tables; `-` prints them

Of a case that is in several files the last one counts. Plots need matplotlib: the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fastmq.cli import report

Case = dict[str, Any]

NAMES = {"zmq": "pyzmq"}
# In the middle between black and white, so that they can be read on both.
TEXT = "#7d8590"
BETTER, WORSE = "#3b82f6", "#e5534b"
COLOURS = ("#3b82f6", "#d29922", "#2da44e", "#a371f7", "#e5534b", "#1b9aaa")


class PlotError(Exception):
    """The files or the machine do not allow it; the text says why."""


def name(label: str) -> str:
    return NAMES.get(label, label)


# ---- what was saved ----


def load(paths: Sequence[Path]) -> dict[str, Any]:
    """The results of several runs as one. They must be of one machine and have one base."""
    merged: dict[str, Any] = {}
    cases: dict[tuple[str, str], Case] = {}
    for path in paths:
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            key = (result["machine"]["cpu"], result["machine"]["system"], result["base"])
            found = {(case["scenario"], case["case"]): case for case in result["cases"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PlotError(f"{path} is no result of bench/run.py: {error!r}") from None
        if not merged:
            merged = {**result, "key": key}
        if merged["key"] != key:
            raise PlotError(f"{path} is of another machine or has another base than {paths[0]}")
        for module, version in result["versions"].items():
            if merged["versions"].setdefault(module, version) != version:
                raise PlotError(f"{path} is of another version of {module} than {paths[0]}")
        cases.update(found)
    merged["cases"] = list(cases.values())
    return merged


def scenarios(result: dict[str, Any]) -> Iterator[tuple[str, list[Case]]]:
    """The cases of each scenario, in the order in which they were measured."""
    by: dict[str, list[Case]] = {}
    for case in result["cases"]:
        by.setdefault(case["scenario"], []).append(case)
    yield from by.items()


def subject(result: dict[str, Any]) -> str:
    """The side that is compared with the base: the first module."""
    return str(next(iter(result["modules"])))


def sides(cases: Iterable[Case], first: Sequence[str]) -> list[str]:
    """All labels that have values, the given ones first."""
    seen = dict.fromkeys(
        label for case in cases for by in case["metrics"].values() for label in by["values"]
    )
    return [label for label in dict.fromkeys([*first, *seen]) if label in seen]


# ---- tables ----


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cell(values: list[float] | None) -> str:
    if not values:
        return ""
    around = report.spread(values).replace("..", " .. ")
    middle = report.number(statistics.median(values))
    return f"{middle} ({around})" if around else middle


def heading(result: dict[str, Any]) -> str:
    """Where and how it was measured, as a list."""
    machine = result["machine"]
    versions = ", ".join(f"{name(module)} {v}" for module, v in result["versions"].items())
    return "\n".join(
        [
            f"* {machine['cpu']}, {machine['processors']} processors, {machine['system']}, "
            f"{machine['libc']}, {machine['python']}",
            f"* {versions}",
            f"* {result['rounds']} rounds of {result['seconds']:g} s a side, alternating, each in "
            f"fresh processes; medians, in brackets how far the rounds lie around them; "
            f"{result['when']}",
        ]
    )


def tables(result: dict[str, Any]) -> str:
    """A table for each scenario; a ratio above 1 says how many times better the first side is."""
    base, mine = result["base"], subject(result)
    parts = [heading(result)]
    for _, cases in scenarios(result):
        labels = sides(cases, (mine, base))
        compared = mine != base and mine in labels and base in labels
        head = ["case", "measure", *map(name, labels)]
        if compared:
            head.insert(4, "ratio")
        lines = [row(head), row(["---", "---"] + ["---:"] * (len(head) - 2))]
        for case in cases:
            for metric, by in case["metrics"].items():
                if not by["values"]:
                    continue
                cells = [case["case"], f"{metric}, {by['unit']}"]
                cells += [cell(by["values"].get(label)) for label in labels]
                if compared:
                    ratio = by["ratio"].get(mine)
                    cells.insert(4, "" if ratio is None else f"**{ratio:.2f}x**")
                lines.append(row(cells))
            for label in case["errors"]:
                lines.append(row([case["case"], f"{name(label)} failed"] + [""] * (len(head) - 2)))
        parts.append(f"### {cases[0]['title']}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


# ---- plots ----


def pyplot() -> Any:
    """matplotlib, set up for small files that are the same for the same figures."""
    try:
        import matplotlib
    except ImportError:
        raise PlotError(
            "plots need matplotlib: pip install 'fastmq[bench]', or make bench"
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


def save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
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
                found.append((f"{case['scenario']} {case['case']}, {metric}", ratio))
                break
    return found


def bars(result: dict[str, Any], path: Path) -> Path | None:
    """One bar a case, from 1 (as good as the base) on a logarithmic axis."""
    found = ratios(result)
    if not found:
        return None
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(7, 0.6 + 0.24 * len(found)))
    names, values = zip(*found, strict=True)
    axes.set_xscale("log")
    drawn = axes.barh(
        names,
        [value - 1 for value in values],
        left=1,
        height=0.7,
        color=[BETTER if value >= 1 else WORSE for value in values],
    )
    axes.bar_label(drawn, [f"{value:.2g}x" for value in values], padding=3)
    axes.axvline(1, color=TEXT, linewidth=1)
    axes.invert_yaxis()
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(min(0.8, *values) / 1.3, max(2, *values) * 1.4)
    axes.grid(axis="x", which="major")
    axes.tick_params(axis="y", length=0)
    plain_numbers(axes.xaxis)
    base = name(result["base"])
    axes.set_xlabel(f"{name(subject(result))}: how many times as good as {base}")
    return save(figure, path)


def curve(result: dict[str, Any], cases: list[Case], path: Path) -> Path | None:
    """The first metric of a sweep against its parameter, with the range of the rounds."""
    sweep = cases[0]["sweep"]
    metric, first = next(iter(cases[0]["metrics"].items()))
    labels = sides(cases, (subject(result), result["base"]))
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(6, 3.2))
    axes.set_xscale("log")
    axes.set_yscale("log")
    drawn = False
    for label, colour in zip(labels, COLOURS * len(labels), strict=False):
        points = sorted(
            (case["params"][sweep], values)
            for case in cases
            # Neither a parameter nor a value of 0 has a place on a logarithmic axis.
            if (values := case["metrics"][metric]["values"].get(label))
            and case["params"][sweep] > 0
            and min(values) > 0
        )
        if not points:
            continue
        drawn = True
        x = [at for at, _ in points]
        y = [statistics.median(values) for _, values in points]
        axes.plot(x, y, marker="o", markersize=3.5, color=colour, label=name(label))
        low, high = [min(v) for _, v in points], [max(v) for _, v in points]
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    if not drawn:
        plt.close(figure)
        return None
    low, high = axes.get_ylim()
    if high / low < 10:  # or else a flat line would look like a mountain range
        middle = (low * high) ** 0.5
        axes.set_ylim(middle / 10**0.5, middle * 10**0.5)
    for axis in (axes.xaxis, axes.yaxis):
        plain_numbers(axis)
    axes.grid(which="major")
    axes.set_xlabel(sweep.replace("_", " "))
    axes.set_ylabel(f"{metric}\n{first['unit']}")
    axes.set_title(cases[0]["title"], loc="left")
    axes.legend()
    return save(figure, path)


def draw(result: dict[str, Any], folder: Path) -> list[Path]:
    """All plots that the results allow; the files made."""
    made = [bars(result, folder / "ratios.svg")]
    made += [
        curve(result, cases, folder / f"{scenario}.svg")
        for scenario, cases in scenarios(result)
        if cases[0].get("sweep")
    ]
    return [path for path in made if path]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="With neither --out nor --tables the tables are printed.",
    )
    parser.add_argument("results", nargs="+", type=Path, help="files of bench/results/")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="draw the plots there")
    parser.add_argument("--tables", metavar="FILE", help="write the tables there, - for stdout")
    options = parser.parse_args(arguments)
    try:
        result = load(options.results)
        if options.out:
            print("\n".join(map(str, draw(result, options.out))), file=sys.stderr)
        if options.tables and options.tables != "-":
            Path(options.tables).write_text(tables(result), encoding="utf-8")
        elif options.tables or not options.out:
            print(tables(result), end="")
    except PlotError as error:
        print(f"plot: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
