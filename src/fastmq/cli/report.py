# SPDX-License-Identifier: MIT
"""Tables and progress of measurements: with rich when it is installed and this is a terminal."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from fastmq.cli.measure import Case


def number(value: float) -> str:
    """Three figures that count, or the whole number up to 10,000; then with k or M."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:.3g} k"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """How far the rounds lie around the median, as a percentage either way."""
    middle = statistics.median(values)
    if len(values) < 2 or not middle:
        return ""
    return f"{(min(values) / middle - 1) * 100:+.0f}..{(max(values) / middle - 1) * 100:+.0f}%"


def table(cases: Sequence[Case], base: str) -> str:
    """A line a case, metric and module; ratios say how many times better than `base`."""
    header = ("case", "metric", "side", "median", "", "spread", "ratio")
    rows: list[tuple[str, ...]] = []
    for case in cases:
        first = f"{case.scenario.name} {case.name}"
        for metric, (unit, _) in case.scenario.metrics.items():
            second = metric
            for label, by in case.seen.items():
                if metric not in by:
                    continue
                ratio = case.ratio(metric, label, base) if label != base else None
                rows.append(
                    (
                        first,
                        second,
                        label,
                        number(statistics.median(by[metric])),
                        unit,
                        spread(by[metric]),
                        f"{ratio:.2f}x" if ratio is not None else "",
                    )
                )
                first = second = ""
        for label in case.errors:
            rows.append((first, "", label, "failed", "", "", ""))
            first = ""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    right = (3, 6)
    lines = [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def heading(result: dict[str, Any]) -> str:
    """What was measured and where, for above the table."""
    lines = [f"{name}: {value}" for name, value in result["machine"].items() if value is not None]
    lines += [f"{name}: {version}" for name, version in result["versions"].items()]
    of = f" of {result['seconds']:g} s" if result["seconds"] else ""
    rounds = f"{result['rounds']} round{'' if result['rounds'] == 1 else 's'}"
    alternating = ", sides alternating" if len(result["modules"]) > 1 else ""
    lines.append(rounds + of + alternating)
    return "\n".join(lines) + "\n"


class Progress:
    """Says on stderr how far a measurement is: a bar with rich, a line that changes without it, and
    where that is no terminal a line for each new title. Nothing when quiet."""

    def __init__(self, total: int, quiet: bool = False) -> None:
        self._total = total
        self._done = 0
        self._quiet = quiet
        self._screen = sys.stderr.isatty()
        self._title: str | None = None
        self._bar: Any = None
        self._task: Any = None
        if quiet or not self._screen:
            return
        try:
            import rich.console
            import rich.progress
        except ImportError:
            return
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeRemainingColumn(),
            console=rich.console.Console(stderr=True),
            transient=True,
        )

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=self._total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._screen and not self._quiet:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def step(self, title: str, done: int | None = None) -> None:
        """What begins now, and how much is done; without `done` one more each time."""
        at = self._done if done is None else done
        self._done = at + 1
        now = at + 1 if done is None else at  # a line counts what begins, a bar what has ended
        if self._bar is not None:
            self._bar.update(self._task, description=title, completed=at)
        elif self._quiet:
            return
        elif self._screen:
            print(f"\r\033[K[{now}/{self._total}] {title}", end="", file=sys.stderr, flush=True)
        elif title != self._title:
            self._title = title
            print(f"[{now}/{self._total}] {title}", file=sys.stderr, flush=True)
