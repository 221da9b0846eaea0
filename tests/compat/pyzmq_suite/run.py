# SPDX-License-Identifier: MIT
"""Runs the tests of pyzmq's source distribution with fastmq in place of zmq, beside pyzmq itself.

    python tests/compat/pyzmq_suite/run.py [-v] [file ...]   # files as test_socket, all by default

Each file is run twice, a process each: with pyzmq's wheel, and with `import zmq` being fastmq
through fastmq.compat. What passes with pyzmq has to pass with fastmq, but for left_out.txt, and so
have the tests of draft types, which pyzmq's wheel skips. A test
that does not is run up to three times more, alone, before it counts: most of these tests sleep and
hope. The
exit status is 0 if all passed, 77 if the package index is out of reach (1 with
FASTMQ_TEST_INDEX=required).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "support"))

import environments

HERE = Path(__file__).resolve().parent
PACKAGES = ["pytest>=8", "pytest-asyncio>=1", "tornado>=6.4", "gevent>=24", "numpy>=1.26"]
SIDES = ("pyzmq", "fastmq")
# Seconds: of one file, and (as the suite's own variable) of one of its tests.
FILE_LIMIT = 150
TEST_LIMIT = 30
MOST_LEFT_OUT = 6
RETRIES = 3
SKIPPED = 77

Outcomes = dict[str, str]  # of the tests of one run: passed, failed, skipped


def left_out() -> dict[str, str]:
    """The tests that may fail, each with the reason."""
    rows = {}
    for line in (HERE / "left_out.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            test, _, reason = line.partition(": ")
            if not reason:
                raise SystemExit(f"left_out.txt gives no reason for {test}")
            rows[test] = reason
    if len(rows) > MOST_LEFT_OUT:
        raise SystemExit(f"left_out.txt has {len(rows)} tests, {MOST_LEFT_OUT} is the most")
    return rows


class Suite:
    """The suite in a directory of its own, where pyzmq's package does not lie beside it."""

    def __init__(self, python: Path, tests: Path) -> None:
        self.python = python
        self.home = environments.BUILD / "pyzmq-suite"
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(tests / "tests", self.home / "tests")
        shutil.copy(tests / "pytest.ini", self.home)
        self.files = sorted(path.stem for path in self.home.glob("tests/test_*.py"))

    def run(self, side: str, file: str, only: str | None = None) -> Outcomes:
        """Runs one file, or the test `only` of it; what became of its tests."""
        name = f"{side}-{file}{'' if only is None else '-again'}"
        report = self.home / f"{name}.xml"
        report.unlink(missing_ok=True)
        env = environments.with_fastmq() if side == "fastmq" else environments.plain()
        target = f"tests/{file}.py"
        if only is not None:
            target += only.removeprefix(file).replace(".", "::", 1)
        command = [self.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", target]
        command += [f"--junitxml={report}", "-o", f"faulthandler_timeout={TEST_LIMIT * 2}"]
        with open(self.home / f"{name}.txt", "w") as said:
            try:
                subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    cwd=self.home,
                    env=env,
                    timeout=FILE_LIMIT,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                pass
        return outcomes(report)


def outcomes(report: Path) -> Outcomes:
    """What a report says of each test; nothing where the process did not live to write it."""
    if not report.exists():
        return {}
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        place = case.get("classname", "").removeprefix("tests.")
        name = f"{place}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            found[name] = "failed"
        elif case.find("skipped") is not None:
            found.setdefault(name, "skipped")
        else:
            found.setdefault(name, "passed")
    return found


def compare(suite: Suite, file: str) -> tuple[dict[str, Outcomes], list[str]]:
    """Both runs of a file, and the tests that only had to be run again."""
    found = {side: suite.run(side, file) for side in SIDES}
    again = []
    for test, outcome in list(found["pyzmq"].items()):
        if outcome == "failed":
            found["pyzmq"].update(suite.run("pyzmq", file, test))
    for test in needed(found):
        tries = RETRIES if test in found["fastmq"] and test not in left_out() else 0
        if any(suite.run("fastmq", file, test).get(test) == "passed" for _ in range(tries)):
            found["fastmq"][test] = "passed"
            again.append(test)
    return found, again


def wanted(found: dict[str, Outcomes]) -> list[str]:
    """What passes with pyzmq, or would with a libzmq that has drafts."""
    return [
        test
        for test, outcome in found["pyzmq"].items()
        if outcome == "passed" or (outcome == "skipped" and "draft" in test)
    ]


def needed(found: dict[str, Outcomes]) -> list[str]:
    """What is wanted and does not pass with fastmq."""
    return [test for test in wanted(found) if found["fastmq"].get(test) != "passed"]


def count(all_of: Outcomes) -> str:
    kinds = ("passed", "failed", "skipped")
    return ", ".join(f"{list(all_of.values()).count(kind)} {kind}" for kind in kinds)


def main() -> int:
    parser = argparse.ArgumentParser(description="pyzmq's own tests on fastmq")
    parser.add_argument("files", nargs="*", metavar="file")
    parser.add_argument("-v", "--verbose", action="store_true", help="each test's outcomes")
    options = parser.parse_args()
    started = time.monotonic()
    try:
        python = environments.environment("pyzmq-suite", PACKAGES)
        tests = environments.source(environments.PYZMQ)
    except environments.Unavailable as e:
        print(f"pyzmq's tests were not run: {e}")
        return 1 if environments.required() else SKIPPED
    suite = Suite(python, tests)
    files = [Path(name).stem for name in options.files] or suite.files
    total: dict[str, Outcomes] = {side: {} for side in SIDES}
    repeated = []
    # Two at a time: these tests mostly sleep, and fail where they do not get to run.
    with ThreadPoolExecutor(2) as pool:
        for found, again in pool.map(lambda file: compare(suite, file), files):
            repeated += again
            for side in SIDES:
                total[side].update(found[side])
    if options.verbose:
        for test in sorted(total["pyzmq"] | total["fastmq"]):
            print(f"{test}: {', '.join(f'{s} {total[s].get(test)}' for s in SIDES)}")
    for side in SIDES:
        print(f"{side}: {count(total[side])}")
    allowed = left_out()
    missing = needed(total)
    for test in repeated:
        print(f"passed when it was run again: {test}")
    for test, reason in allowed.items():
        if test in missing:
            print(f"left out: {test}: {reason}")
        elif total["pyzmq"].get(test) == "passed":
            print(f"passes, and may go from left_out.txt: {test}")
    failed = [test for test in missing if test not in allowed]
    for test in failed:
        print(
            f"FAILED: {test}, see {suite.home.name}/fastmq-{test.split('.')[0].split(':')[0]}.txt"
        )
    done = len(wanted(total))
    if not done:
        print("FAILED: nothing passed with pyzmq, so nothing was compared")
        return 1
    print(
        f"of {done} tests that pass with pyzmq or need drafts, {done - len(missing)} pass here, "
        f"{len(missing) - len(failed)} are left out, {len(failed)} failed "
        f"({time.monotonic() - started:.0f} s)"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
