# SPDX-License-Identifier: MIT
"""`python -m fastmq perf`: latency and throughput here, beside pyzmq when it is installed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from fastmq.cli import measure, report

QUICK = ("reqrep/tcp 64 B", "reqrep/ipc 64 B", "pushpull/tcp 64 B", "pushpull/inproc 64 B")


def number_from(low: float, high: float) -> Callable[[str], float]:
    """An argument type: a number between two bounds."""

    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
        return value

    parse.__name__ = "number"
    return parse


def add_arguments(parser: argparse.ArgumentParser, rounds: int, seconds: float) -> None:
    """The arguments of a measurement, with their defaults; bench/run.py has them too."""
    parser.add_argument(
        "cases", nargs="*", help='choose the cases whose name contains a word: reqrep, "tcp 64 B"'
    )
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    parser.add_argument(
        "--rounds",
        type=number_from(1, 1000),
        default=rounds,
        metavar="N",
        help=f"runs of each case with each module ({rounds})",
    )
    parser.add_argument(
        "--seconds",
        type=number_from(0.01, 20),
        default=seconds,
        metavar="S",
        help=f"how long one run measures ({seconds:g})",
    )
    parser.add_argument(
        "--modules",
        nargs="+",
        metavar="MODULE",
        help="pyzmq-compatible modules to measure, by name or as .py files; ratios compare the "
        "others with the last (fastmq, and zmq when it is installed)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round, of a few cases if none is named"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(
    options: argparse.Namespace,
    scenarios: Sequence[measure.Scenario] | None = None,
    beside: Callable[[measure.Case, float], dict[str, measure.Values]] | None = None,
    peers: Sequence[str] = (),
    sweeps: bool = False,
    save: Path | None = None,
) -> int:
    """Measure and print; 0, or 1 when a case failed, or 2 when there is nothing to measure.

    scenarios: those to choose from, by default those of the package
    beside: as `measure.compare` takes it
    peers: further modules to measure where none are named, if they are installed
    sweeps: whether scenarios that take long are measured without being named
    save: a file for the JSON
    """
    rounds, seconds = int(options.rounds), options.seconds
    words = options.cases
    if options.quick:
        rounds, seconds, words = 1, min(seconds, 0.2), words or QUICK
    cases = measure.select(measure.load() if scenarios is None else scenarios, words, sweeps)
    if not cases:
        return refuse("no case has such a name; --list prints them")
    if options.list:
        print("\n".join(f"{case.scenario.name}/{case.name}" for case in cases))
        return 0
    names = options.modules or [
        name for name in ("fastmq", *peers, "zmq") if measure.installed(name)
    ]
    for name in names:
        if not measure.installed(name):
            return refuse(f"there is no module {name!r} here")
    modules = measure.labels(names)
    base = list(modules)[-1]

    result = {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": measure.machine(),
        "versions": measure.versions(names),
        "modules": modules,
        "base": base,
        "rounds": rounds,
        "seconds": seconds,
    }
    if not options.json:
        print(report.heading(result), flush=True)
    runs = sum(measure.can(module, case) for case in cases for module in modules.values())
    with report.Progress(runs * rounds) as progress:
        measure.compare(cases, modules, rounds, seconds, beside=beside, step=progress.step)
    result["cases"] = measure.as_json(cases, base)
    if save:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1) if options.json else report.table(cases, base))
    if save:
        print(f"\nsaved as {save}", file=sys.stderr)

    failed = [(case, label, text) for case in cases for label, text in case.errors.items()]
    for case, label, text in failed:
        print(f"\n{case.scenario.name} {case.name} with {label}: {text}", file=sys.stderr)
    return 1 if failed else 0


def refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return 2
