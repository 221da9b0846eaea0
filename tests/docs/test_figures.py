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


def a_run(generator, path, rounds, case=("reqrep", "tcp 64 B"), **changes):
    """What bench/run.py would save of one case: fastmq's p50, and half of it for pyzmq."""
    published = json.loads(generator.RESULTS.read_text())
    found = next(c for c in published["cases"] if (c["scenario"], c["case"]) == case)
    values = {"fastmq": rounds, "zmq": [2 * value for value in rounds]}
    by = {"unit": "us", "better": "lower", "values": values, "ratio": {"fastmq": 2.0}}
    result = {**published, "cases": [{**found, "metrics": {"p50": by}}], **changes}
    path.write_text(json.dumps(result))
    return path


@pytest.fixture
def published(generator, monkeypatch, tmp_path):
    """A copy of the published figures, which a test may change."""
    copy = tmp_path / "published.json"
    copy.write_text(generator.RESULTS.read_text())
    monkeypatch.setattr(generator, "RESULTS", copy)
    return copy


def values_of(path, case):
    cases = json.loads(path.read_text())["cases"]
    found = next(c for c in cases if (c["scenario"], c["case"]) == case)
    return found["metrics"]["p50"]["values"]["fastmq"]


def test_publishing_replaces_a_case_and_keeps_the_others(generator, published, tmp_path):
    other = values_of(published, ("reqrep", "ipc 64 B"))
    run = a_run(generator, tmp_path / "run.json", [5.0, 3.0, 9.0, 4.0, 8.0])
    generator.publish([run], anew=False)
    assert values_of(published, ("reqrep", "tcp 64 B")) == [3.0, 5.0, 9.0]
    assert values_of(published, ("reqrep", "ipc 64 B")) == other
    generator.publish([run], anew=True)
    assert len(json.loads(published.read_text())["cases"]) == 1


def test_figures_of_another_machine_are_not_published_beside(generator, published, tmp_path):
    machine = {**json.loads(published.read_text())["machine"], "system": "another"}
    run = a_run(generator, tmp_path / "run.json", [5.0], machine=machine)
    with pytest.raises(SystemExit, match="another machine"):
        generator.publish([run], anew=False)
    generator.publish([run], anew=True)
    assert json.loads(published.read_text())["machine"] == machine


def test_the_libraries_side_by_side_are_in_the_order_of_their_round_trips(generator):
    result = changed(generator, ("reqrep", "tcp 64 B", "p50"))
    by = next(c for c in result["cases"] if (c["scenario"], c["case"]) == ("reqrep", "tcp 64 B"))
    by["metrics"]["p50"]["values"]["nng"] = [0.001]
    lines = generator.beside(generator.Figures(result)).splitlines()
    assert lines[2].startswith("| pynng | 0.001 us | ")
    assert any(line.startswith("| **fastmq** | ") for line in lines[3:])
    first, trips = generator.plots.beside(result, generator.TRIPS, "p50")[0]
    assert (first, trips["tcp"]) == ("pynng", 0.001)


def side_of(result, key, metric, side, values):
    """The results with another side of a case."""
    case = next(c for c in result["cases"] if (c["scenario"], c["case"]) == key)
    case["metrics"][metric]["values"][side] = values
    return result


def test_what_carried_the_messages_is_told_as_it_was_measured(generator):
    result = generator.plot.load([generator.RESULTS])
    for case in result["cases"]:
        if case["scenario"] == "reqrep":
            case["metrics"]["p50"]["values"].pop("sockets only", None)
    old = generator.host(generator.Figures(result), "docs/performance.md")
    assert "before connections within a host moved into [shared memory](guide/same-host.md)" in old
    for transport, value in (("tcp", 9.5), ("ipc", 5.5)):
        side_of(result, ("reqrep", f"{transport} 64 B"), "p50", "sockets only", [value])
    new = generator.host(generator.Figures(result), "README.md")
    assert "[shared memory](docs/guide/same-host.md) by itself" in new
    assert "takes 9.5 us over tcp and 5.5 us over ipc" in new


def test_what_gains_little_is_listed_with_the_least_first(generator):
    result = generator.plot.load([generator.RESULTS])
    for case in result["cases"]:
        for by in case["metrics"].values():
            by["ratio"]["fastmq"] = 2.0
    figures = generator.Figures(result)
    assert (
        generator.least(figures, result) == "Every figure is at least 1.5 times as good as pyzmq's."
    )
    for name, ratio in (("tcp 64 B", 1.2), ("ipc 64 B", 0.4)):
        case = next(c for c in result["cases"] if (c["scenario"], c["case"]) == ("reqrep", name))
        case["metrics"]["p50"]["ratio"]["fastmq"] = ratio
    rows = generator.least(figures, result).splitlines()[4:]
    assert [row.split("**")[1] for row in rows] == ["0.4x", "1.2x"]
    assert rows[0].startswith("| round trip, ipc, 64 bytes |")


def test_a_ratio_to_another_side_is_better_above_one(generator):
    result = generator.plot.load([generator.RESULTS])
    side_of(result, ("reqrep", "tcp 64 B"), "p50", "zmq", [100.0])
    side_of(result, ("reqrep", "tcp 64 B"), "p50", "C pingpong", [8.0])
    named = generator.Figures(result).named
    assert named("reqrep/tcp 64 B/p50 C pingpong by zmq") == "12"
    side_of(result, ("pushpull", "tcp 64 B"), "rate", "zmq", [2.0])
    side_of(result, ("pushpull", "tcp 64 B"), "rate", "C engine", [500.0])
    assert named("pushpull/tcp 64 B/rate C engine by zmq") == "250"


def test_a_figure_that_was_not_measured_is_named(generator):
    figures = generator.Figures(generator.plot.load([generator.RESULTS]))
    for name in ("reqrep/tcp 65 B/p50 fastmq", "reqrep/tcp 64 B/p50 nobody"):
        with pytest.raises(SystemExit, match=f"nothing was measured of '{name}'"):
            figures.named(name)


def test_a_size_that_was_not_measured_leaves_its_cell_empty(generator):
    by = {"unit": "us", "better": "lower", "values": {"fastmq": [5.0]}, "ratio": {}}
    case = {"scenario": "growth_size", "case": "ipc 1 GiB", "sweep": "size", "metrics": {"p50": by}}
    result = {"cases": [case]}
    rows = generator.sizes(generator.Figures(result), result).splitlines()
    assert rows[2] == "| 1 GiB |  | 5 us |  |  |"
    for value, words in ((9999.0, "9999 us"), (144e3, "144 ms"), (1.67e6, "1.67 s")):
        by["values"]["fastmq"] = [value]
        rows = generator.sizes(generator.Figures(result), result).splitlines()
        assert rows[2] == f"| 1 GiB |  | {words} |  |  |"
    by["values"] = {"fastmq": [5.0]}
    assert (
        generator.table(generator.Figures(result), [("x", "growth_size/ipc 1 GiB/p50")]).count("\n")
        == 1
    )


def test_the_page_shows_the_curves_that_were_measured(generator):
    result = generator.plot.load([generator.RESULTS])
    swept = {c["scenario"] for c in result["cases"] if c["sweep"]} - {"growth_size"}
    assert swept <= generator.CURVES.keys()
    assert {name for name in generator.CURVES if name in generator.growth(result)} == swept
    result["cases"] = [c for c in result["cases"] if c["scenario"] in ("growth_trip", "reqrep")]
    assert generator.growth(result).splitlines()[2:] == [
        "| ![round trip](img/growth_trip.svg) |  |"
    ]


def test_the_ratios_are_those_of_the_medians():
    for case in json.loads((ROOT / "bench/published.json").read_text())["cases"]:
        for by in case["metrics"].values():
            if "zmq" not in by["values"]:
                continue
            if "fastmq" not in by["values"]:
                continue
            mine, base = (statistics.median(by["values"][side]) for side in ("fastmq", "zmq"))
            if not mine or not base:
                assert not by["ratio"].get("fastmq")
                continue
            better = mine / base if by["better"] == "higher" else base / mine
            # They were taken before the medians were rounded to three figures.
            assert by["ratio"]["fastmq"] == pytest.approx(better, rel=0.015), case["case"]
