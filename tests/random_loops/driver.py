# SPDX-License-Identifier: MIT
"""Shares seeds out among processes. A program that crashes or hangs ends its process alone."""

import collections
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHUNK = 40
"""Programs in one process: enough that what they leave behind would add up."""
SILENT = 60.0
"""Seconds after which a worker that says nothing is given up."""
ROOT = Path(__file__).parents[2]


@dataclass
class Report:
    """What a run of many seeds brought."""

    ran: collections.Counter[str] = field(default_factory=collections.Counter)
    messages: collections.Counter[str] = field(default_factory=collections.Counter)
    skipped: collections.Counter[str] = field(default_factory=collections.Counter)
    broken: list[tuple[int, str, str]] = field(default_factory=list)  # seed, kind, text


def work(
    options: list[str],
    seeds: Iterable[int],
    tell: Callable[[dict[str, Any]], None],
    go_on: Callable[[], bool] = lambda: True,
) -> None:
    """Has workers run the seeds, one process after the other."""
    left = collections.deque(seeds)
    while left and go_on():
        chunk = [left.popleft() for _ in range(min(CHUNK, len(left)))]
        done = _chunk(options, chunk, tell)
        left.extendleft(reversed(chunk[done:]))


def _chunk(options: list[str], chunk: list[int], tell: Callable[[dict[str, Any]], None]) -> int:
    """Runs a worker for some seeds; how many were dealt with, one at least."""
    command = [sys.executable, "-u", "-X", "faulthandler", "-m", "tests.random_loops", "--worker"]
    worker = subprocess.Popen(
        [*command, *options, *map(str, chunk)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: queue.Queue[str | None] = queue.Queue()
    errors: collections.deque[str] = collections.deque(maxlen=200)

    def read() -> None:
        assert worker.stdout is not None
        for line in worker.stdout:
            lines.put(line)
        lines.put(None)

    def read_errors() -> None:
        assert worker.stderr is not None
        errors.extend(worker.stderr)

    readers = [threading.Thread(target=f, daemon=True) for f in (read, read_errors)]
    for reader in readers:
        reader.start()
    done = 0
    why = ""
    while True:
        try:
            line = lines.get(timeout=SILENT)
        except queue.Empty:
            why = f"hangs: the process said nothing for {SILENT:g} s"
            worker.send_signal(signal.SIGABRT)  # faulthandler tells where its threads stand
            try:
                worker.wait(10)
            except subprocess.TimeoutExpired:
                worker.kill()
            break
        if line is None:
            break
        try:
            fact = json.loads(line)
        except ValueError:
            continue
        tell(fact)
        done += 1
    status = worker.wait()
    for reader in readers:
        reader.join()
    if worker.stdout and worker.stderr:
        worker.stdout.close()
        worker.stderr.close()
    if done < len(chunk) and status != EXIT_BROKEN:
        text = why or f"crash: the process ended with {status}"
        tell({"seed": chunk[done], "kind": "?", "broken": text + "\n" + "".join(errors)})
        done += 1
    return done


EXIT_BROKEN = 70
"""Status of a worker that had to end after it had reported a seed."""


def run(
    options: list[str],
    seeds: Iterable[int],
    jobs: int,
    each: Callable[[dict[str, Any]], None] = lambda fact: None,
    most_broken: int = 10,
) -> Report:
    """Runs the seeds in several processes at once."""
    report = Report()
    lock = threading.Lock()
    shared = iter(seeds)

    def go_on() -> bool:
        return len(report.broken) < most_broken

    def some() -> list[int]:
        with lock:
            if not go_on():
                return []
            return list(itertools.islice(shared, CHUNK))

    def tell(fact: dict[str, Any]) -> None:
        with lock:
            if "broken" in fact:
                report.broken.append((fact["seed"], fact["kind"], fact["broken"]))
            elif "skipped" in fact:
                report.skipped[fact["skipped"]] += 1
            else:
                report.ran[fact["kind"]] += 1
                report.messages[fact["kind"]] += fact["messages"]
            each(fact)

    def job() -> None:
        while chunk := some():
            work(options, chunk, tell, go_on)

    threads = [threading.Thread(target=job) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return report


def worker(
    seeds: Iterable[int], one: Callable[[int, Callable[[str], None]], dict[str, Any]]
) -> int:
    """In a worker: runs seeds and writes a line of JSON for each."""
    for seed in seeds:
        start = time.monotonic()

        def stuck(text: str, seed: int = seed) -> None:
            print(json.dumps({"seed": seed, "kind": "?", "broken": text}), flush=True)
            os._exit(EXIT_BROKEN)

        fact = one(seed, stuck)
        print(json.dumps({"seed": seed, "took": time.monotonic() - start, **fact}), flush=True)
        if "broken" in fact:
            os._exit(EXIT_BROKEN)  # what it left behind would disturb the next
    return 0
