#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures fastmq beside any pyzmq-compatible module, each side in fresh processes.

    python bench/run.py                           everything but the growth curves
    python bench/run.py --growth                  everything
    python bench/run.py reqrep 'pushpull/tcp'     cases whose name contains a word
    python bench/run.py --modules fastmq zmq      these two alone
    python bench/run.py --modules zmq zmq         how far two equal sides differ here

The scenarios are those of `python -m fastmq perf` and the files of bench/scenarios/; both are
described in src/fastmq/cli/scenarios/__init__.py, and bench/README.md says what each measures.
Where they can do the same job, the modules of bench/peers/ are measured too.

A case may name programs of bench/c/ and their arguments as "beside": they are built when needed
and run in the same rounds, for comparison with what the machine can do at all, and with what the
engine does without Python.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from fastmq.cli import measure, suite

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "bench"


def build(program: str) -> Path:
    """The program bench/c/<program>.c, made anew if it is older than its sources."""
    subprocess.run(["make", "-s", "-C", str(HERE / "c"), program], check=True, stdout=sys.stderr)
    return BUILD / program


def beside(case: measure.Case, seconds: float) -> dict[str, measure.Values]:
    """What the C programs of a case say: each a JSON object of the case's metrics."""
    found: dict[str, measure.Values] = {}
    for program, *arguments in case.scenario.cases[case.name].get("beside", []):
        label = f"C {program}"
        if label in case.errors:
            continue
        try:
            said = subprocess.run(
                [str(build(program)), *arguments, str(seconds)],
                check=True,
                capture_output=True,
                text=True,
                timeout=60,
            )
            found[label] = json.loads(said.stdout)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            case.errors[label] = str(error)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Figures count only on a machine that does nothing else meanwhile.",
    )
    suite.add_arguments(parser, runs=5, seconds=1.0)
    parser.add_argument("--growth", action="store_true", help="also the growth curves (minutes)")
    parser.add_argument("--no-save", action="store_true", help="write nothing to bench/results/")
    parser.add_argument(
        "--timeout",
        type=float,
        default=60,
        metavar="S",
        help="how long one run may take (60); one that takes longer has failed",
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON there instead")
    options = parser.parse_args()
    # Ended by `timeout`, it saves what it has, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return suite.run(
        options,
        scenarios=[*measure.load(), *measure.load(HERE / "scenarios")],
        beside=beside,
        peers=[str(path) for path in sorted((HERE / "peers").glob("[!_]*.py"))],
        sweeps=options.growth,
        save=None if options.no_save else options.save or HERE / "results" / f"{stamp}.json",
        timeout=options.timeout,
    )


if __name__ == "__main__":
    sys.exit(main())
