# SPDX-License-Identifier: MIT
"""Published figures: every page and plot tells those of bench/published.json."""

import importlib
import json
import statistics
import sys
from pathlib import Path

import pytest
from target import fastmq_only

pytestmark = fastmq_only("of the repository")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def generator(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module("gen_figures")


def test_pages_and_plots_tell_the_published_figures(generator, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gen_figures.py", "--check"])
    assert generator.main() == 0, "run tools/gen_figures.py"


def changed(generator, key):
    """The results with another figure of fastmq."""
    scenario, case, metric = key
    result = generator.plot.load([generator.RESULTS])
    for found in result["cases"]:
        if (found["scenario"], found["case"]) == (scenario, case):
            values = found["metrics"][metric]["values"]
            values["fastmq"] = [value * 3 for value in values["fastmq"]]
    return result


@pytest.mark.parametrize(
    ("key", "pages"),
    [
        (
            ("fanout", "tcp 64 B, 16 SUB", "rate"),
            {"README.md", "docs/index.md", "docs/performance.md"},
        ),
        (
            ("reqrep", "ipc 64 B", "p50"),
            {
                "README.md",
                "docs/index.md",
                "docs/performance.md",
                "docs/guide/faq.md",
                "docs/guide/transports.md",
                "docs/guide/tuning.md",
            },
        ),
        (
            ("aio_reqrep", "tcp 64 B, uvloop", "p50"),
            {"docs/performance.md", "docs/guide/tuning.md"},
        ),
    ],
    ids=["fan-out", "ipc", "uvloop"],
)
def test_another_figure_changes_every_page_that_tells_it(generator, key, pages):
    made = generator.pages(changed(generator, key))
    differ = {str(path.relative_to(ROOT)) for path in made if path.read_text() != made[path]}
    assert differ == pages


def test_another_figure_changes_its_plot(generator):
    before = generator.drawn(generator.plot.load([generator.RESULTS]))
    after = generator.drawn(changed(generator, ("growth_trip", "tcp 64 B, 10 idle peers", "p50")))
    assert {name for name in before if before[name] != after[name]} == {"growth_trip.svg"}


def test_the_ratios_are_those_of_the_medians():
    for case in json.loads((ROOT / "bench/published.json").read_text())["cases"]:
        for by in case["metrics"].values():
            if "zmq" not in by["values"]:
                continue
            mine, base = (statistics.median(by["values"][side]) for side in ("fastmq", "zmq"))
            better = mine / base if by["better"] == "higher" else base / mine
            # They were taken before the medians were rounded to three figures.
            assert by["ratio"]["fastmq"] == pytest.approx(better, rel=0.015), case["case"]
