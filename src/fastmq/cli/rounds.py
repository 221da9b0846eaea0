# SPDX-License-Identifier: MIT
"""A measurement in rounds, from its arguments to what is printed: what all of `fastmq perf` has in
common."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fastmq.cli import arguments, measure, plots, report
from fastmq.cli.terminal import FAILURE, OK, USAGE, Problem

MODULES = {"pyzmq": "zmq"}  # where a package and its module have different names


def add_arguments(parser: argparse.ArgumentParser, runs: int, comparing: bool) -> None:
    """The arguments. comparing: nothing is compared unless it is asked for."""
    parser.add_argument(
        "--rounds",
        type=arguments.whole_from(1, 1000),
        default=runs,
        metavar="N",
        help=f"runs of each case with each module ({runs})",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--compare",
        metavar="PACKAGE",
        help="also measure this module, in alternating rounds, and print ratios: pyzmq"
        + ("" if comparing else " (the default if it is installed)"),
    )
    group.add_argument(
        "--modules",
        nargs="+",
        metavar="MODULE",
        help="pyzmq-compatible modules to measure, by name or as .py files; ratios compare the "
        "others with the last",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw a picture, .svg, .png or .pdf"
    )
    arguments.add_quiet(parser, "do not report progress")


def modules(options: argparse.Namespace) -> list[str]:
    """The modules that the arguments ask for; none: they do not ask."""
    if not options.compare:
        return list(options.modules or [])
    package: str = options.compare
    module = MODULES.get(package, package)
    if not measure.installed(module):
        known = package in MODULES  # of another name nobody can say what pip would bring
        how = f"pip install {package}" if known else f"what is compared is {', '.join(MODULES)}"
        raise Problem(f"{package} is not installed here: {how}")
    return ["fastmq", module]


def run(
    options: argparse.Namespace,
    cases: Sequence[measure.Case],
    names: Sequence[str],
    seconds: float,
    timeout: float = 60,
    beside: Callable[[measure.Case, float], dict[str, measure.Values]] | None = None,
    save: Path | None = None,
) -> int:
    """Measure the cases with the modules, print what came of it, and draw it if --plot says so; 0,
    or 1 when a case failed.

    seconds, timeout, beside: as for measure.compare. save: a file for the JSON.
    """
    for name in names:
        if not measure.installed(name):
            raise Problem(f"there is no module {name!r} here", USAGE)
    if options.plot:
        if not cases[0].scenario.sweep and len(names) < 2:
            raise Problem("a plot of ratios needs two modules to compare: --compare pyzmq")
        plots.check(options.plot)
    by_label = measure.labels(names)
    base = list(by_label)[-1]
    result: dict[str, Any] = {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": measure.machine(),
        "versions": measure.versions(names),
        "modules": by_label,
        "base": base,
        "rounds": options.rounds,
        "seconds": seconds,
    }
    if not options.json:
        print(report.heading(result), flush=True)
    runs = sum(measure.can(module, case) for case in cases for module in by_label.values())
    with report.Progress(runs * options.rounds, options.quiet) as progress:
        try:
            measure.compare(
                cases, by_label, options.rounds, seconds, beside, progress.step, timeout
            )
        except KeyboardInterrupt:
            cases = [case for case in cases if case.done]
            if not cases:
                raise
            print("interrupted: these cases were done", file=sys.stderr)
    result["cases"] = measure.as_json(cases, base)
    if save:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1) if options.json else report.table(cases, base))
    if options.plot:
        plots.draw(result, options.plot)
    for path in (save, options.plot):
        if path:
            print(f"\nsaved as {path}", file=sys.stderr)

    failed = [(case, label, text) for case in cases for label, text in case.errors.items()]
    for case, label, text in failed:
        print(f"\n{case.scenario.name} {case.name} with {label}: {text}", file=sys.stderr)
    return FAILURE if failed else OK
