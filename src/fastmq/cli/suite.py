# SPDX-License-Identifier: MIT
"""`fastmq perf suite`: the cases that fastmq's own figures come from, beside pyzmq when it is
installed. bench/run.py measures with it, too."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from fastmq.cli import arguments, measure, rounds
from fastmq.cli.terminal import USAGE, Problem

BELOW = ("suite", "lat", "thr")  # of `fastmq perf`
QUICK = ("reqrep/tcp 64 B", "reqrep/ipc 64 B", "pushpull/tcp 64 B", "pushpull/inproc 64 B")


def add_arguments(parser: argparse.ArgumentParser, runs: int = 3, seconds: float = 0.5) -> None:
    """The arguments of a measurement, with their defaults; bench/run.py has them too."""
    parser.add_argument(
        "cases", nargs="*", help='choose the cases whose name contains a word: reqrep, "tcp 64 B"'
    )
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    parser.add_argument(
        "--seconds",
        type=arguments.number_from(0.01, 20),
        default=seconds,
        metavar="S",
        help=f"how long one run measures ({seconds:g})",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round, of a few cases if none is named"
    )
    rounds.add_arguments(parser, runs, comparing=False)


def run(
    options: argparse.Namespace,
    scenarios: Sequence[measure.Scenario] | None = None,
    beside: Callable[[measure.Case, float], dict[str, measure.Values]] | None = None,
    peers: Sequence[str] = (),
    sweeps: bool = False,
    save: Path | None = None,
    timeout: float = 60,
) -> int:
    """Measure and print; 0, or 1 when a case failed. Problem(USAGE): there is nothing to measure.

    scenarios: those to choose from, by default those of the package
    beside: as `measure.compare` takes it
    peers: further modules to measure where none are named, if they are installed
    sweeps: whether scenarios that take long are measured without being named
    save: a file for the JSON
    timeout: seconds that a run may take
    """
    words = options.cases
    if options.quick:
        options.rounds, options.seconds = 1, min(options.seconds, 0.2)
        words = words or QUICK
    cases = measure.select(measure.load() if scenarios is None else scenarios, words, sweeps)
    if not cases:
        what = arguments.choices([repr(word) for word in words])
        near = "".join(arguments.meant(word, BELOW) for word in words[:1])
        known = {scenario.name: 0 for scenario in scenarios or measure.load()}
        raise Problem(
            f"there is no case with {what} in its name; there are cases of "
            f"{arguments.choices([*known], 'and')} (--list has them all), and the commands "
            f"{arguments.choices(BELOW, 'and')}{near}",
            USAGE,
        )
    if options.list:
        print("\n".join(f"{case.scenario.name}/{case.name}" for case in cases))
        return 0
    names = rounds.modules(options)
    if not names:
        names = [name for name in ("fastmq", *peers, "zmq") if measure.installed(name)]
        if "zmq" not in names and not options.quiet and not options.json:
            print("pyzmq is not installed here, so there is nothing to compare with\n")
    return rounds.run(options, cases, names, options.seconds, timeout, beside, save)
