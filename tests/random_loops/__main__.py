# SPDX-License-Identifier: MIT
"""The command line: many seeds, or one again."""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from . import driver, faults, kinds, plan, world


def one(seed: int, stuck: Callable[[str], None], options: argparse.Namespace) -> dict[str, Any]:
    """Runs a seed: facts about it, with "broken" or "skipped" where that is so."""
    planted = None
    drawn = plan.draw(seed, options.kind)
    if options.plant:
        planted = faults.FAULTS[options.plant][0]()
        drawn = faults.program(options.kind or "asyncio")
        planted.plan(drawn)
    why = kinds.missing(drawn.kind, any(actor.way == plan.STREAM for actor in drawn.actors))
    if why:
        return {"kind": drawn.kind, "skipped": why}
    if options.verbose:
        print(drawn, flush=True)
    try:
        facts = world.run(drawn, stuck, options.module, options.verbose, planted)
        return {"kind": drawn.kind, **facts}
    except BaseException as e:
        return {"kind": drawn.kind, "broken": f"{''.join(traceback.format_exception(e))}\n{drawn}"}


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.random_loops", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one, in this process")
    parser.add_argument("--repeat", type=int, default=1, help="how often to run --seed")
    parser.add_argument("--verbose", action="store_true", help="tell every step of --seed")
    parser.add_argument("--seeds", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--kind", choices=plan.KINDS, help="this kind of loop for all seeds")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="processes")
    parser.add_argument("--plant", choices=faults.FAULTS, help="a fault that must be found")
    parser.add_argument("--module", default="fastmq", help=argparse.SUPPRESS)
    parser.add_argument("--most-broken", type=int, default=10, help="end after so many failures")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("numbers", nargs="*", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return driver.worker(options.numbers, lambda seed, stuck: one(seed, stuck, options))
    if options.seed is not None:
        return _single(options)
    return _many(options)


def _single(options: argparse.Namespace) -> int:
    def stuck(text: str) -> None:
        print(text, flush=True)
        os._exit(driver.EXIT_BROKEN)

    for _ in range(options.repeat):
        fact = one(options.seed, stuck, options)
        if "broken" in fact:
            print(fact["broken"])
            os._exit(1)
        print(fact)
    return 0


def _many(options: argparse.Namespace) -> int:
    start = time.monotonic()
    passed = ["--kind", options.kind] if options.kind else []
    passed += ["--plant", options.plant] if options.plant else []

    def each(fact: dict[str, Any]) -> None:
        if "broken" in fact:
            print(f"seed {fact['seed']} is broken:\n{fact['broken']}\n", flush=True)

    seeds = range(options.first, options.first + options.seeds)
    report = driver.run(passed, seeds, options.jobs, each, options.most_broken)
    took = time.monotonic() - start
    kinds_ran = ", ".join(f"{kind} {n}" for kind, n in sorted(report.ran.items()))
    print(
        f"{sum(report.ran.values())} programs ({kinds_ran}) with {sum(report.messages.values())} "
        f"messages in {took:.0f} s; {sum(report.skipped.values())} skipped"
    )
    for reason, n in report.skipped.items():
        print(f"skipped {n}: {reason}")
    for seed, kind, text in report.broken:
        print(f"broken: seed {seed} ({kind}): {_gist(text)}")
    return 1 if report.broken or not report.ran else 0


def _gist(text: str) -> str:
    """The line that says what does not hold."""
    lines = [line for line in text.splitlines() if line and line[0] != " "]
    found = [line for line in lines if "Broken: " in line or "Error" in line]
    return (found or lines or [text])[-1 if found else 0].split("Broken: ")[-1][:300]


if __name__ == "__main__":
    sys.exit(main())
