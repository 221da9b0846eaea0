#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the tests reach: the engine by its C tests (gcov), the Python layer by pytest (coverage).

`make coverage` runs the tests and then this. It prints lines and branches of each room of csrc/ and
each part of src/fastmq, and fails if a total is below the floor of .ci/coverage.json. `--record`
raises the floor to what was reached, less SLACK; it never lowers it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FLOOR = ROOT / ".ci/coverage.json"
# In per cent: what differs from run to run, since threads meet differently each time.
SLACK = 0.3
# A branch that only a bug of ours takes is no branch that a test can take.
ASSERTIONS = ("FMQ_ASSERT", "FMQ_UNREACHABLE")


@dataclass
class Tally:
    lines: int = 0
    lines_hit: int = 0
    branches: int = 0
    branches_hit: int = 0

    def add(self, other: Tally) -> None:
        self.lines += other.lines
        self.lines_hit += other.lines_hit
        self.branches += other.branches
        self.branches_hit += other.branches_hit

    def shares(self) -> dict[str, float]:
        """Lines and branches reached, in per cent."""
        return {
            "lines": 100 * self.lines_hit / max(1, self.lines),
            "branches": 100 * self.branches_hit / max(1, self.branches),
        }


def row(name: str, tally: Tally) -> str:
    share = tally.shares()
    return (
        f"{name:24} {share['lines']:6.1f} % of {tally.lines:5} lines "
        f"{share['branches']:6.1f} % of {tally.branches:5} branches"
    )


def gcov(objects: Path) -> dict[Path, tuple[dict[int, int], dict[tuple[int, int], int]]]:
    """Counts of each line and branch of each file of csrc, over all programs."""
    command = [os.environ.get("GCOV", "gcov"), "--json-format", "--stdout"]
    command += ["--branch-probabilities"]
    found: dict[Path, tuple[dict[int, int], dict[tuple[int, int], int]]] = {}
    counted = sorted(objects.rglob("*.gcda"))
    if not counted:
        raise SystemExit(f"tools/coverage.py: no counts in {objects}: did the C tests run?")
    for path in counted:
        done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
        for text in done.stdout.splitlines():
            for file in json.loads(text)["files"] if text.strip() else ():
                name = Path(file["file"])
                if ROOT / "csrc" not in name.parents:
                    continue
                lines, branches = found.setdefault(name, (defaultdict(int), defaultdict(int)))
                # An inline function is told of once a place that it was compiled into.
                seen: dict[int, int] = defaultdict(int)
                for line in file["lines"]:
                    number = line["line_number"]
                    lines[number] += line["count"]
                    for branch in line["branches"]:
                        branches[number, seen[number]] += branch["count"]
                        seen[number] += 1
    return found


def of_engine(objects: Path) -> dict[str, Tally]:
    rooms: dict[str, Tally] = defaultdict(Tally)
    for path, (lines, branches) in gcov(objects).items():
        text = path.read_text(encoding="utf-8").splitlines()
        asserted = {i for i, line in enumerate(text, 1) if any(a in line for a in ASSERTIONS)}
        tally = rooms[path.relative_to(ROOT / "csrc").parts[0]]
        tally.lines += len(lines)
        tally.lines_hit += sum(count > 0 for count in lines.values())
        possible = [count for (line, _), count in branches.items() if line not in asserted]
        tally.branches += len(possible)
        tally.branches_hit += sum(count > 0 for count in possible)
    return rooms


def of_python(report: Path) -> dict[str, Tally]:
    """From what `coverage json` wrote."""
    parts: dict[str, Tally] = defaultdict(Tally)
    files: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))["files"]
    for name, file in files.items():
        path = Path(name).parts
        inside = path[path.index("fastmq") + 1 :]
        summary = file["summary"]
        parts[inside[0]].add(
            Tally(
                summary["num_statements"],
                summary["covered_lines"],
                summary["num_branches"],
                summary["covered_branches"],
            )
        )
    return parts


def judge(reached: dict[str, Tally], floor: dict[str, dict[str, float]]) -> list[str]:
    """What is below the floor, a line each."""
    below = []
    for name, tally in reached.items():
        for what, share in tally.shares().items():
            wanted = floor.get(name, {}).get(what, 0.0)
            if share < wanted:
                below.append(f"{name}: {share:.2f} % of the {what}, the floor is {wanted} %")
    return below


def raised(
    reached: dict[str, Tally], floor: dict[str, dict[str, float]]
) -> dict[str, dict[str, float]]:
    """The floor after a run: to a tenth of a per cent, and nowhere lower than before."""
    return {
        name: {
            what: max(math.floor((share - SLACK) * 10) / 10, floor.get(name, {}).get(what, 0.0))
            for what, share in tally.shares().items()
        }
        for name, tally in reached.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="what the tests reach, against the floor")
    parser.add_argument("--objects", type=Path, default=ROOT / "build/c-cov")
    parser.add_argument("--python", type=Path, default=ROOT / "build/coverage/python.json")
    parser.add_argument("--only", choices=("engine", "python"), help="one of the two alone")
    parser.add_argument("--record", action="store_true", help="raise the floor")
    args = parser.parse_args()

    reached = {}
    measured = {}
    if args.only != "python":
        measured["engine"] = of_engine(args.objects)
    if args.only != "engine":
        measured["python"] = of_python(args.python)
    for title, parts in measured.items():
        total = Tally()
        for name, tally in sorted(parts.items()):
            print(row(f"{title} {name}", tally))
            total.add(tally)
        print(row(title, total))
        print()
        reached[title] = total
    floor = json.loads(FLOOR.read_text(encoding="utf-8")) if FLOOR.exists() else {}
    if args.record:
        text = json.dumps(floor | raised(reached, floor), indent=2)
        FLOOR.write_text(text + "\n", encoding="utf-8")
        print(f"the floor is {text}")
        return 0
    below = judge(reached, floor)
    print("\n".join(below) or "nothing is below the floor")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
