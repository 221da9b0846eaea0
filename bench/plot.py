#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns what bench/run.py saved into Markdown tables and plots.

    python bench/plot.py RESULTS.json [MORE.json...] --out docs/img
        ratios.svg: how many times better than the base; <scenario>.svg: a curve for each sweep
        (<scenario>_<transport>.svg where it was measured over several)
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
from fastmq.cli.plots import Case, bars, curve, name, sides, subject
from fastmq.cli.terminal import Problem

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
            raise Problem(f"{path} is no result of bench/run.py: {error!r}") from None
        if not merged:
            merged = {**result, "key": key}
        if merged["key"] != key:
            raise Problem(f"{path} is of another machine or has another base than {paths[0]}")
        for module, version in result["versions"].items():
            if merged["versions"].setdefault(module, version) != version:
                raise Problem(f"{path} is of another version of {module} than {paths[0]}")
        cases.update(found)
    merged["cases"] = list(cases.values())
    return merged


def scenarios(result: dict[str, Any]) -> Iterator[tuple[str, list[Case]]]:
    """The cases of each scenario, in the order in which they were measured; of a sweep over several
    transports, those of each transport: growth_size_ipc."""
    by: dict[str, list[Case]] = {}
    for case in result["cases"]:
        by.setdefault(case["scenario"], []).append(case)
    for scenario, cases in by.items():
        transports = dict.fromkeys(case["params"].get("transport", "") for case in cases)
        if not cases[0]["sweep"] or len(transports) == 1:
            yield scenario, cases
            continue
        for transport in transports:
            mine = [case for case in cases if case["params"].get("transport") == transport]
            title = f"{cases[0]['title']}, {transport}"
            yield f"{scenario}_{transport}", [{**case, "title": title} for case in mine]


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
    """A table for each scenario, and one for what was measured beside: both narrow enough for a
    phone. A ratio above 1 says how many times better the first side is."""
    base, mine = result["base"], subject(result)
    parts = [heading(result)]
    for _, cases in scenarios(result):
        parts.append(f"### {cases[0]['title']}")
        parts += [
            made for made in (main_table(cases, mine, base), others(cases, mine, base)) if made
        ]
    return "\n\n".join(parts) + "\n"


def measures(cases: Iterable[Case]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each metric that has values, and words for it."""
    for case in cases:
        for metric, by in case["metrics"].items():
            if by["values"]:
                yield f"{case['case']}, {metric}, {by['unit']}", by


def main_table(cases: list[Case], mine: str, base: str) -> str:
    """The side that is compared and the base."""
    labels = [label for label in dict.fromkeys([base, mine]) if label in sides(cases, [])]
    if not labels:
        return ""
    ratio = len(labels) == 2
    head = ["case", *map(name, labels)] + ["ratio"] * ratio
    lines = [row(head), row(["---"] + ["---:"] * (len(head) - 1))]
    for words, by in measures(cases):
        values = [cell(by["values"].get(label)) for label in labels]
        if any(values):
            times = by["ratio"].get(mine)
            values += ["" if times is None else f"**{times:.2f}x**"] * ratio
            lines.append(row([words, *values]))
    for case in cases:
        for label in case["errors"]:
            cells = [f"{case['case']}: {name(label)} failed"] + [""] * (len(head) - 1)
            lines.append(row(cells))
    return "\n".join(lines)


def others(cases: list[Case], mine: str, base: str) -> str:
    """All other sides, a line each."""
    lines = [row(["case", "beside", "median"]), row(["---", "---", "---:"])]
    for words, by in measures(cases):
        for label, values in by["values"].items():
            if label not in (mine, base):
                lines.append(row([words, name(label), cell(values)]))
                words = ""
    return "\n".join(lines) if len(lines) > 2 else ""


# ---- plots ----


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
    except Problem as error:
        print(f"plot: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
