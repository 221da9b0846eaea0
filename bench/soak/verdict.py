# SPDX-License-Identifier: MIT
"""What the samples of a soak say: whether anything grows, and the curves.

python bench/soak/verdict.py SOAK.json [CURVES.svg]     of a run that is over
"""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Sample = dict[str, float]

WARM_UP = 0.25
"""The share of the time that is not judged: pools, arenas and caches fill."""
TEXT = "#7d8590"
COLOUR, FIT = "#3b82f6", "#e5534b"


@dataclass(frozen=True)
class Limit:
    """How much a quantity may grow from the end of the warm-up to the end, by the fitted line."""

    title: str
    unit: str
    amount: float
    share: float = 0.0

    def allowed(self, level: float) -> float:
        return max(self.amount, self.share * level)


LIMITS = {
    # How full the queues are is chance: it moves the fitted line by a MiB or two in twenty minutes.
    "rss": Limit("resident memory", "MiB", 3, 0.03),
    "fds": Limit("descriptors", "", 3),
    "threads": Limit("threads", "", 1),
    "objects": Limit("Python objects", "", 3000, 0.03),
    "blocks": Limit("engine's blocks", "", 100, 0.1),
}


def judged(samples: list[Sample]) -> list[Sample]:
    """Those after the warm-up."""
    if not samples:
        return []
    begin = samples[0]["t"] + WARM_UP * (samples[-1]["t"] - samples[0]["t"])
    return [s for s in samples if s["t"] >= begin]


def line(samples: list[Sample], name: str) -> tuple[float, float]:
    """Slope in units a second, and the value at t = 0, of the line that fits best."""
    fit = statistics.linear_regression([s["t"] for s in samples], [s[name] for s in samples])
    return fit.slope, fit.intercept


def growth(samples: list[Sample]) -> dict[str, dict[str, Any]]:
    """For each limited quantity: how much it grew, what is allowed, and whether that is flat."""
    late = judged(samples)
    found = {}
    for name, limit in LIMITS.items():
        slope, at_zero = line(late, name)
        span = late[-1]["t"] - late[0]["t"]
        level = at_zero + slope * late[0]["t"]
        found[name] = {
            "level": round(level, 2),
            "growth": round(slope * span, 2),
            "an_hour": round(slope * 3600, 2),
            "allowed": round(limit.allowed(level), 2),
            "flat": slope * span <= limit.allowed(level),
        }
    return found


def text(result: dict[str, Any]) -> str:
    """The verdict, for people."""
    lines = []
    for name, row in result["growth"].items():
        limit = LIMITS[name]
        lines.append(
            f"{limit.title:16} {row['level']:8.1f} {limit.unit:3} after the warm-up,"
            f" {row['growth']:+6.2f} until the end ({row['an_hour']:+.2f} an hour),"
            f" allowed {row['allowed']:.1f}: {'flat' if row['flat'] else 'GROWS'}"
        )
    lines += [f"{count:>12,} {what}" for what, count in sorted(result["counts"].items())]
    lines += [f"FAILED: {failure}" for failure in result["failures"]]
    lines.append("passed" if result["passed"] else "NOT PASSED")
    return "\n".join(lines)


def draw(result: dict[str, Any], path: Path) -> None:
    """The curves as an SVG; needs matplotlib, the extra `bench`."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    samples = result["samples"]
    minutes = [s["t"] / 60 for s in samples]
    late = judged(samples)
    rows = [
        ("rss", "resident memory, MiB"),
        ("fds", "descriptors"),
        ("threads", "threads"),
        ("cpu", "processor, %"),
    ]
    with plt.rc_context({"text.color": TEXT, "axes.labelcolor": TEXT, "svg.hashsalt": "soak"}):
        figure, axes = plt.subplots(len(rows), 1, sharex=True, figsize=(7.5, 7.5))
        for axis, (name, label) in zip(axes, rows, strict=True):
            axis.plot(minutes, [s[name] for s in samples], color=COLOUR, linewidth=1)
            if name in LIMITS:
                slope, at_zero = line(late, name)
                ends = [late[0]["t"], late[-1]["t"]]
                axis.plot(
                    [t / 60 for t in ends],
                    [at_zero + slope * t for t in ends],
                    color=FIT,
                    linewidth=1,
                )
            axis.set_ylabel(label)
            axis.set_ylim(bottom=0)
            axis.tick_params(colors=TEXT)
            axis.grid(color=TEXT, alpha=0.25)
            axis.patch.set_alpha(0)
            for side in axis.spines.values():
                side.set_color(TEXT)
        axes[-1].set_xlabel("minutes")
        figure.align_ylabels(axes)
        figure.tight_layout()
        figure.savefig(path, transparent=True, metadata={"Date": None})
        plt.close(figure)


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print("usage: verdict.py SOAK.json [CURVES.svg]", file=sys.stderr)
        return 2
    result = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    result["growth"] = growth(result["samples"])
    result["passed"] = not result["failures"] and all(r["flat"] for r in result["growth"].values())
    if len(sys.argv) == 3:
        draw(result, Path(sys.argv[2]))
    print(text(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
