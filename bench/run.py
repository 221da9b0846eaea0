#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures fastmq beside any pyzmq-compatible module, each side in fresh processes.

    python bench/run.py                           everything, fastmq and zmq
    python bench/run.py reqrep 'pushpull/tcp'     cases whose name contains a word
    python bench/run.py --modules zmq zmq         how far two equal sides differ here

The scenarios are those of `python -m fastmq perf` and the files of bench/scenarios/; both are
described in src/fastmq/cli/scenarios/__init__.py. A case may name a program of bench/c/ and its
arguments as "beside": it is built when needed and runs in the same rounds, for comparison with
what the machine can do at all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from fastmq.cli import measure, perf

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "bench"


def build(program: str) -> Path:
    """The program bench/c/<program>.c, compiled if it is older than its source."""
    source, made = HERE / "c" / f"{program}.c", BUILD / program
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        made.parent.mkdir(parents=True, exist_ok=True)
        compiler = os.environ.get("CC", "cc").split()
        subprocess.run(
            [*compiler, "-std=gnu11", "-O2", "-o", str(made), str(source), "-pthread"], check=True
        )
    return made


def beside(case: measure.Case) -> dict[str, measure.Values]:
    """What the C program of a case says: a JSON object of the case's metrics."""
    command = case.scenario.cases[case.name].get("beside")
    if not command:
        return {}
    label = f"C {command[0]}"
    try:
        said = subprocess.run(
            [str(build(command[0])), *command[1:]],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        case.errors[label] = str(error)
        return {}
    values: measure.Values = json.loads(said.stdout)
    return {label: values}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Figures count only on a machine that does nothing else meanwhile.",
    )
    perf.add_arguments(parser, rounds=5, seconds=1.0)
    parser.add_argument("--no-save", action="store_true", help="write nothing to bench/results/")
    options = parser.parse_args()
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return perf.run(
        options,
        scenarios=[*measure.load(), *measure.load(HERE / "scenarios")],
        beside=beside,
        save=None if options.no_save else HERE / "results" / f"{stamp}.json",
    )


if __name__ == "__main__":
    sys.exit(main())
