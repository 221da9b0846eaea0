# SPDX-License-Identifier: MIT
"""The same scripts with fastmq and with pyzmq, each in a process of its own: outcomes must agree.

python -m tests.random_loops.differential --seeds 200
python -m tests.random_loops.differential --seed 17
"""

import argparse
import itertools
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from . import script
from .driver import ROOT

MODULES = ("fastmq", "zmq")
ROUNDS = 5
"""How often a script is played before its difference counts."""


def outcomes(module: str, seeds: list[int], timeout: float = 300) -> dict[int, list[str]]:
    """What comes of each seed's script."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.random_loops.differential", "--play", module,
         *map(str, seeds)],
        cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return {int(seed): rows for seed, rows in json.loads(done.stdout.splitlines()[-1]).items()}


def first_difference(ours: list[str], theirs: list[str]) -> tuple[int, str, str] | None:
    """The number of the outcome that differs, and what it was. Where pyzmq hangs ends what is
    defined."""
    for n, (mine, other) in enumerate(itertools.zip_longest(ours, theirs, fillvalue="nothing")):
        if other.endswith(script.HANGS):
            return None
        if mine != other:
            return n, mine, other
    return None


def compare(seeds: list[int]) -> list[str]:
    """Where the two differ. A difference must come every time: the machine may have been busy."""
    differ = seeds
    for _ in range(ROUNDS):
        if not differ:
            return []
        with ThreadPoolExecutor() as pool:
            ours, theirs = pool.map(outcomes, MODULES, [differ, differ])
        differ = [seed for seed in differ if first_difference(ours[seed], theirs[seed])]
    found = []
    for seed in differ:
        n, mine, other = first_difference(ours[seed], theirs[seed]) or (0, "", "")
        found.append(f"{script.draw(seed)}\n{n}: fastmq: {mine}\n{n}: pyzmq: {other}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.random_loops.differential")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--play", choices=MODULES, help=argparse.SUPPRESS)
    parser.add_argument("numbers", nargs="*", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.play:
        print(json.dumps(script.play(options.numbers, options.play)))
        return 0
    if options.seed is not None:
        seeds = [options.seed]
        for module in MODULES:
            print(module, *outcomes(module, seeds)[options.seed], sep="\n  ")
    else:
        seeds = list(range(options.first, options.first + options.seeds))
    found = compare(seeds)
    print("\n".join([*found, f"{len(seeds)} scripts, {len(found)} with different outcomes"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
