# SPDX-License-Identifier: MIT
"""Measures messaging modules side by side: `fastmq perf` and bench/run.py stand on it.

A case of a scenario (see `scenarios`) runs once a round with each module, in fresh processes, and
the module that goes first changes from round to round, so that a machine that warms up or is
disturbed hits all alike. What counts is the median of the rounds.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from fastmq.cli import worker

Values = dict[str, float]
TOLD_S = 2.0  # for a role to write where it stands


class MeasureError(Exception):
    """A role failed or did not end in time; the text holds what it wrote to stderr."""


@dataclass(frozen=True)
class Scenario:
    """One scenario file."""

    path: Path
    module: ModuleType

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def title(self) -> str:
        return (self.module.__doc__ or self.name).strip().splitlines()[0].rstrip(".")

    @property
    def metrics(self) -> dict[str, tuple[str, str]]:
        """name -> (unit, "lower" or "higher": which is better)"""
        metrics: dict[str, tuple[str, str]] = self.module.METRICS
        return metrics

    @property
    def cases(self) -> dict[str, dict[str, Any]]:
        cases: dict[str, dict[str, Any]] = self.module.CASES
        return cases

    @property
    def sweep(self) -> str | None:
        """The parameter that grows from case to case, if that is what the scenario shows."""
        name: str | None = getattr(self.module, "SWEEP", None)
        return name


@dataclass
class Case:
    """One case, and what the rounds gave: label of a module -> metric -> a value a round."""

    scenario: Scenario
    name: str
    seen: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    done: bool = False
    """Whether all rounds were run."""

    def add(self, label: str, values: Values) -> None:
        for metric, value in values.items():
            self.seen.setdefault(label, {}).setdefault(metric, []).append(value)

    def ratio(self, metric: str, label: str, base: str) -> float | None:
        """How many times better `label` is than `base`, by their medians; None if unknown."""
        mine = self.seen.get(label, {}).get(metric)
        other = self.seen.get(base, {}).get(metric)
        if not mine or not other:
            return None
        a, b = statistics.median(mine), statistics.median(other)
        if self.scenario.metrics[metric][1] == "lower":
            a, b = b, a
        return a / b if b else None


def load(folder: Path | None = None) -> list[Scenario]:
    """The scenarios of a folder, by default those that come with the package."""
    paths = sorted(Path(folder or worker.SCENARIOS).glob("[!_]*.py"))
    return [Scenario(path, worker.load_scenario(str(path))) for path in paths]


def select(
    scenarios: Iterable[Scenario], wanted: Sequence[str], sweeps: bool = False
) -> list[Case]:
    """The cases whose "scenario/case" contains one of the wanted words; all when none is given.

    A word that is a whole name stands for that case alone. A sweep takes long: unless `sweeps`, the
    name of its scenario must begin with the word.
    """
    scenarios = list(scenarios)
    names = {f"{scenario.name}/{name}" for scenario in scenarios for name in scenario.cases}

    def chosen(scenario: Scenario, name: str) -> bool:
        quiet = scenario.sweep is None or sweeps
        if not wanted:
            return quiet
        whole = f"{scenario.name}/{name}"
        return any(
            (word == whole if word in names else word in whole)
            and (quiet or scenario.name.startswith(word.partition("/")[0]))
            for word in wanted
        )

    return [
        Case(scenario, name)
        for scenario in scenarios
        for name in scenario.cases
        if chosen(scenario, name)
    ]


def labels(modules: Sequence[str]) -> dict[str, str]:
    """label -> module: the module's name, numbered when it is measured against itself.

    A module may be the path of a file: its label is the file's name, in words.
    """
    found: dict[str, str] = {}
    for module in modules:
        name = Path(module).stem.replace("_", " ") if module.endswith(".py") else module
        label, n = name, 1
        while label in found:
            n += 1
            label = f"{name} ({n})"
        found[label] = module
    return found


def installed(module: str) -> bool:
    """Whether the module can be imported; a file is tried out."""
    if not module.endswith(".py"):
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    try:
        worker.load_module(module)
    except (ImportError, FileNotFoundError):
        return False
    return True


def can(module: str, case: Case) -> bool:
    """Whether the module can do the case at all: a file says so with its function `can`."""
    if not module.endswith(".py"):
        return True
    params = case.scenario.cases[case.name]
    return bool(_adapter(module).can(case.scenario.name, params))


@functools.cache
def _adapter(path: str) -> ModuleType:
    found: ModuleType = worker.load_module(path)
    return found


class _Role:
    """A worker process; its lines are handed on by a thread, its stderr goes to a file."""

    def __init__(self, scenario: Path, role: str, module: str, params: dict[str, Any]) -> None:
        self.role = role
        self.result: Values | None = None
        self.finished = False
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, worker.__file__, str(scenario), role, module, json.dumps(params)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    @property
    def stdin(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    def relay(self, other: _Role | None) -> None:
        """Hand every "tell" to the other role and keep the result, until the process ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            if "result" in message:
                self.result = message["result"]
                self.finished = True
            elif other is not None:
                try:
                    other.stdin.write(json.dumps(message["tell"]) + "\n")
                    other.stdin.flush()
                except (BrokenPipeError, ValueError):
                    pass  # the other has ended: its own exit code says why
        # Nothing more will come: a role that waits to hear must not wait for ever.
        if other is not None and not self.finished:
            other.process.kill()

    def failure(self) -> str | None:
        """What went wrong, once the process has ended."""
        if self.finished and self.process.returncode == 0:
            return None
        self._errors.seek(0)
        said = self._errors.read().strip()
        status = self.process.returncode
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited: {status}"
        return f"{self.role} {how}" + (f"\n{said}" if said else "")

    def ask_where(self) -> Callable[[], bool]:
        """Have a process that takes too long write where it stands; whether it has done so."""
        before = os.fstat(self._errors.fileno()).st_size
        self.process.send_signal(worker.WHERE)
        return lambda: (
            self.process.poll() is not None or os.fstat(self._errors.fileno()).st_size > before
        )

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


def run_once(case: Case, module: str, seconds: float, timeout: float = 60) -> Values:
    """Run a case with one module in fresh processes; raise MeasureError if it does not work."""
    params = {"seconds": seconds, "timeout": timeout, **case.scenario.cases[case.name]}
    names = ["solo"] if params.get("solo") else ["server", "client"]
    roles: list[_Role] = []
    try:
        for name in names:
            roles.append(_Role(case.scenario.path, name, module, params))
        others: list[_Role | None] = [None, *roles] if len(roles) == 1 else [*reversed(roles)]
        threads = [
            threading.Thread(target=role.relay, args=(other,), daemon=True)
            for role, other in zip(roles, others, strict=False)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + timeout
        failures = []
        try:
            for role in roles:
                role.process.wait(max(0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            late = [role for role in roles if role.process.poll() is None]
            those = " and ".join(role.role for role in late)
            failures = [f"{those} did not end in {timeout:g} s"] if late else []
            # All are asked before one is ended, as this ends the others.
            answers = [role.ask_where() for role in late]
            end = time.monotonic() + TOLD_S
            while not all(answered() for answered in answers) and time.monotonic() < end:
                time.sleep(TOLD_S / 200)
            time.sleep(TOLD_S / 20)  # for the rest of what they write
            for role in late:
                role.process.kill()
        for thread in threads:
            thread.join()
        for role in roles:
            role.process.wait()
            if failure := role.failure():
                failures.append(failure)
        if failures:
            raise MeasureError("\n".join(failures))
        result = roles[-1].result
        if result is None:
            raise MeasureError("the scenario gave no values")
        return result
    finally:
        for role in roles:
            role.close()


def compare(
    cases: Sequence[Case],
    modules: dict[str, str],
    rounds: int,
    seconds: float,
    beside: Callable[[Case, float], dict[str, Values]] | None = None,
    step: Callable[[str], None] | None = None,
    timeout: float = 60,
) -> None:
    """Fill the cases: `rounds` times each with each module, given as label -> module.

    beside: measures what is no module (a C program, say) once a round, for so many seconds:
        label -> values
    step: called before each run with words for the case and the module
    timeout: seconds that a run may take
    """
    for case in cases:
        for number in range(rounds):
            order = list(modules)
            if number % 2:
                order.reverse()
            for label in order:
                if label in case.errors or not can(modules[label], case):
                    continue
                if step:
                    step(f"{case.scenario.name} {case.name}: {label}")
                try:
                    case.add(label, run_once(case, modules[label], seconds, timeout))
                except MeasureError as error:
                    case.errors[label] = str(error)
            if beside:
                for label, values in beside(case, seconds).items():
                    case.add(label, values)
        case.done = True


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": model,
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load before": None if load_average is None else round(load_average, 2),
    }


def versions(modules: Iterable[str]) -> dict[str, str]:
    """The version of each module, and of the library under it where it names one."""
    names = {"zmq": "pyzmq"}
    found = {}
    for module in dict.fromkeys(modules):
        if module.endswith(".py"):
            found[next(iter(labels([module])))] = worker.load_module(module).VERSION
            continue
        top = module.partition(".")[0]
        try:
            version = importlib.metadata.version(names.get(top, top))
        except importlib.metadata.PackageNotFoundError:
            version = "?"
        if top == "zmq":
            probe = "import zmq; print(zmq.zmq_version())"
            below = subprocess.run(
                [sys.executable, "-c", probe], capture_output=True, text=True, check=False
            ).stdout.strip()
            version += f" (libzmq {below})" if below else ""
        found[module] = version
    return found


def as_json(cases: Sequence[Case], base: str) -> list[dict[str, Any]]:
    """The cases as plain data: every value, the medians, the ratios to `base`."""
    return [
        {
            "scenario": case.scenario.name,
            "case": case.name,
            "title": case.scenario.title,
            "params": case.scenario.cases[case.name],
            "sweep": case.scenario.sweep,
            "errors": case.errors,
            "metrics": {
                metric: {
                    "unit": unit,
                    "better": better,
                    "values": {
                        label: by[metric] for label, by in case.seen.items() if metric in by
                    },
                    "median": {
                        label: statistics.median(by[metric])
                        for label, by in case.seen.items()
                        if metric in by
                    },
                    "ratio": {
                        label: case.ratio(metric, label, base)
                        for label in case.seen
                        if label != base
                    },
                }
                for metric, (unit, better) in case.scenario.metrics.items()
            },
        }
        for case in cases
    ]
