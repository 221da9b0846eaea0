#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts the instructions that the engine spends on a message and compares with what is allowed.

    python bench/budget.py             compare with bench/budget.json
    python bench/budget.py --record    make what is counted now the budget

Each path of bench/c/budget.c runs under callgrind, which counts the instructions of the engine's
own functions (those of csrc/; neither libc's nor the kernel's). The count is the same in every
run, whatever else the machine does, so that a path that grew by a few per cent is seen when it is
made. It depends on the compiler: with another one than the budget's nothing is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BUDGET = HERE / "budget.json"
PROGRAM = HERE.parent / "build" / "bench" / "budget"
TOLERANCE = 0.03
ENGINE = "/csrc/"  # in the names of its files, however the compiler was called


class BudgetError(Exception):
    """The instructions cannot be counted; the text says why."""


def compiler() -> dict[str, Any]:
    """What the counts depend on besides the engine's source."""
    command = os.environ.get("CC", "cc").split()
    try:
        macros = subprocess.run(
            [*command, "-E", "-dM", "-x", "c", os.devnull],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BudgetError(f"{' '.join(command)} is no compiler: {error}") from None
    defined = dict(re.findall(r"^#define (\w+) (.*)$", macros, re.MULTILINE))
    name = "clang" if "__clang__" in defined else "gcc"
    major = defined["__clang_major__" if name == "clang" else "__GNUC__"]
    return {"name": name, "major": int(major), "machine": platform.machine()}


def self_cost(lines: Iterable[str], folder: str) -> int:
    """Instructions that callgrind's output puts into source files with a folder in their names.

    The cost of a call is in the lines of the callee; that after a "calls=" line is a sum and is
    left out. Written without compressed names: a file's name stands where it begins.
    """
    total = 0
    counts = skip = False
    for line in lines:
        if line.startswith(("fl=", "fi=", "fe=")):
            counts = folder in line
        elif line.startswith("calls="):
            skip = True
        elif line[:1].isdigit():
            if counts and not skip:
                total += int(line.split()[1])
            skip = False
    return total


def count(path: str) -> float:
    """Instructions a message on one path."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        done = subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                f"--callgrind-out-file={out}",
                "--toggle-collect=measured_*",
                "--zero-before=counting_begins",
                "--compress-strings=no",
                "--compress-pos=no",
                str(PROGRAM),
                path,
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise BudgetError(f"{path}: {done.stderr.strip().splitlines()[-1]}")
        with out.open(encoding="utf-8") as lines:
            spent = self_cost(lines, ENGINE)
    if not spent:
        raise BudgetError(f"{path}: callgrind counted nothing in {ENGINE}")
    return spent / int(done.stdout)


def count_all() -> dict[str, float]:
    if not shutil.which("valgrind"):
        raise BudgetError("there is no valgrind here (Debian's package: valgrind)")
    subprocess.run(
        ["make", "-s", f"-j{os.cpu_count()}", "-C", str(HERE / "c"), "budget"], check=True
    )
    listed = subprocess.run([str(PROGRAM)], check=True, capture_output=True, text=True).stdout
    paths = listed.splitlines()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {
            path: round(spent, 2) for path, spent in zip(paths, pool.map(count, paths), strict=True)
        }


@dataclass(frozen=True)
class Verdict:
    """How one path compares; `allowed` or `spent` is None where only the other side knows it."""

    path: str
    allowed: float | None
    spent: float | None

    @property
    def change(self) -> float:
        """The part by which the count grew: 0.1 is a tenth more."""
        return self.spent / self.allowed - 1 if self.spent and self.allowed else 0.0

    @property
    def word(self) -> str:
        if self.allowed is None:
            return "NEW: record it"
        if self.spent is None:
            return "GONE: record without it"
        if self.change > TOLERANCE:
            return "SLOWER"
        if self.change < -TOLERANCE:
            return "faster: record it, so that it stays"
        return "ok"

    @property
    def passes(self) -> bool:
        return self.word == "ok" or self.word.startswith("faster")


def compare(allowed: dict[str, float], spent: dict[str, float]) -> list[Verdict]:
    paths = dict.fromkeys([*spent, *allowed])
    return [Verdict(path, allowed.get(path), spent.get(path)) for path in paths]


def table(verdicts: list[Verdict]) -> str:
    def figure(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}"

    width = max(len(verdict.path) for verdict in verdicts)
    lines = [f"{'instructions a message':{width}}   budget      now  change"]
    lines += [
        f"{v.path:{width}} {figure(v.allowed):>8} {figure(v.spent):>8} {v.change:+7.1%}  {v.word}"
        for v in verdicts
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """0: within the budget, or nothing to compare with; 1: not; 2: it cannot be counted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--record", action="store_true", help=f"write {BUDGET.name}")
    options = parser.parse_args(arguments)
    try:
        with_compiler = compiler()
        if not options.record:
            budget = json.loads(BUDGET.read_text(encoding="utf-8"))
            if budget["compiler"] != with_compiler:
                print(
                    "skipped: the budget was recorded with {name} {major} on {machine}, ".format(
                        **budget["compiler"]
                    )
                    + "here is {name} {major} on {machine}".format(**with_compiler)
                )
                return 0
        spent = count_all()
    except (BudgetError, OSError, subprocess.SubprocessError) as error:
        print(f"budget: {error}", file=sys.stderr)
        return 2
    if options.record:
        BUDGET.write_text(
            json.dumps({"compiler": with_compiler, "instructions": spent}, indent=1) + "\n",
            encoding="utf-8",
        )
        print(f"recorded in {BUDGET}")
        return 0
    verdicts = compare(budget["instructions"], spent)
    print(table(verdicts))
    return 0 if all(verdict.passes for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
