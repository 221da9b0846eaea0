# SPDX-License-Identifier: MIT
"""The benchmarks: what is chosen and run, what reports say, and when the budget is exceeded."""

import argparse
import importlib.util
import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import budget
import figures
import plot
import pytest
from target import fastmq_only

from fastmq.cli import measure, plots, suite, worker

pytestmark = fastmq_only("no such tools")

BENCH = Path(__file__).resolve().parents[2] / "bench"
SCENARIOS = [*measure.load(), *measure.load(BENCH / "scenarios")]
NAMES = [scenario.name for scenario in SCENARIOS]
RAW_SOCKET = str(BENCH / "peers" / "raw_socket.py")


def scenario(name):
    return SCENARIOS[NAMES.index(name)]


# ---- what there is to measure ----


def test_every_scenario_is_described():
    text = (BENCH / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}`" not in text] == []
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("each", SCENARIOS, ids=NAMES)
def test_a_scenario_holds_what_the_runner_needs(each):
    assert each.cases
    for params in each.cases.values():
        roles = ["solo"] if params.get("solo") else ["server", "client"]
        assert all(callable(getattr(each.module, role)) for role in roles)
        assert each.sweep is None or params[each.sweep] > 0
    assert all(better in ("lower", "higher") for _, better in each.metrics.values())
    for program, *_ in (p for case in each.cases.values() for p in case.get("beside", [])):
        assert (BENCH / "c" / f"{program}.c").exists()


# Few of everything: what is tested is that it works, not how fast.
FEW = {
    "clients": 4,
    "peers": 5,
    "prefixes": 30,
    "pairs": 2,
    "subscribers": 2,
    "idle": 2,
    "idle_peers": 3,
    "sockets": 3,
    "size": 64,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_measures_all_it_promises(name, monkeypatch):
    each = scenario(name)
    first, params = next(iter(each.cases.items()))
    few = {key: FEW.get(key, value) for key, value in params.items()}
    monkeypatch.setitem(each.module.CASES, first, few)
    values = measure.run_once(measure.Case(each, first), "fastmq", 0.02, timeout=20)
    assert values.keys() == each.metrics.keys()
    assert all(value >= 0 for value in values.values())


def ways(each):
    """A case for each set of roles that the scenario has."""
    found = {}
    for case, params in each.cases.items():
        found.setdefault(bool(params.get("solo")), case)
    return list(found.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "case"), [(each.name, case) for each in SCENARIOS for case in ways(each)]
)
def test_a_run_moves_something_however_short_its_time(name, case, monkeypatch):
    """On a loaded machine a process may be away for longer than a whole run is to take."""
    each = scenario(name)
    few = {key: FEW.get(key, value) for key, value in each.cases[case].items()}
    monkeypatch.setitem(each.module.CASES, case, few)
    values = measure.run_once(measure.Case(each, case), "fastmq", 0, timeout=20)
    assert values.keys() == each.metrics.keys()
    assert values.get("rate", 1) > 0


def test_a_file_can_stand_in_for_a_module():
    assert measure.installed(RAW_SOCKET)
    case = measure.Case(scenario("reqrep"), "tcp 64 B")
    assert measure.can(RAW_SOCKET, case)
    assert measure.run_once(case, RAW_SOCKET, 0.02, timeout=20)["p50"] > 0


@pytest.mark.parametrize(
    ("name", "case"),
    [("reqrep", "inproc 64 B, two threads"), ("pushpull", "tcp 1 MiB"), ("idle", "tcp 50 pairs")],
)
def test_a_file_is_asked_only_for_what_it_can_do(name, case):
    assert not measure.can(RAW_SOCKET, measure.Case(scenario(name), case))
    assert measure.can("fastmq", measure.Case(scenario(name), case))


def test_a_file_that_cannot_be_imported_counts_as_not_installed(tmp_path):
    path = tmp_path / "peer.py"
    assert not measure.installed(str(path))
    path.write_text("import no_such_module_anywhere\n", encoding="utf-8")
    assert not measure.installed(str(path))


PEERS = sorted((BENCH / "peers").glob("[!_]*.py"))


def test_every_peer_is_described():
    text = (BENCH / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in PEERS if f"`{path.name}`" not in text] == []


def first_of_each_transport(peer):
    """The cases to try a peer with: of each scenario and transport the first that it can do."""
    found = {}
    for each in SCENARIOS:
        for name, params in each.cases.items():
            case = measure.Case(each, name)
            if each.sweep is None and measure.can(peer, case):
                found.setdefault((each.name, params["transport"]), case)
    return list(found.values())


PLAIN = [(s, t) for s in ("pushpull", "reqrep") for t in ("ipc", "tcp")]
NO_PARTS = [(s, t) for s in ("client_server", "scatter_gather") for t in ("ipc", "tcp")]
DATAGRAMS = ("datagrams", "udp")
# What each is to measure: a scenario and a transport.
DOES = {
    "eclipse_zenoh": PLAIN,
    "iceoryx": [("pushpull", "ipc"), ("reqrep", "ipc")],
    "libzmq_drafts": [*NO_PARTS, DATAGRAMS],
    "multiprocessing_connection": PLAIN,
    "nng": PLAIN,
    "omq": [
        *(("pushpull", "ipc"), ("pushpull", "tcp"), ("reqrep", "tcp")),
        *(("scatter_gather", "ipc"), ("scatter_gather", "tcp"), DATAGRAMS),
    ],
    "raw_socket": PLAIN,
    "sockets_only": PLAIN,
    "stable_types": NO_PARTS,
}
# Libraries of others: that they cannot, or do not answer, is no fault of ours.
FOREIGN = ("eclipse_zenoh", "iceoryx", "libzmq_drafts", "nng", "omq")
TRIAL_S = 10
TRIALS = 2


def path_of(peer):
    """The adapter's path, if what it adapts is installed."""
    path = str(BENCH / "peers" / f"{peer}.py")
    if not measure.installed(path):
        pytest.skip(f"what {peer}.py adapts is not installed")
    return path


@pytest.mark.parametrize("peer", PEERS, ids=lambda path: path.stem)
def test_a_peer_says_what_it_can_measure(peer):
    found = first_of_each_transport(path_of(peer.stem))
    does = [(case.scenario.name, case.scenario.cases[case.name]["transport"]) for case in found]
    assert sorted(does) == sorted(DOES[peer.stem])
    assert all(measure.versions([str(peer)]).values())


def in_library(error, peer):
    """Why a library is at fault for a failure, or None.

    It says so itself, or it crashed, or its roles did not end and stood in calls to it or waited
    for each other.
    """
    said = str(error)
    if f"{peer}.py" in said and "Unavailable: " in said:
        return said[said.index("Unavailable: ") :].partition("\n")[0]
    if crash := re.search(r"was killed by SIG(BUS|SEGV|ABRT|ILL)", said):
        return crash[0]
    late = re.match(r".* did not end in .*", said)
    stood = re.findall(r"\(most recent call first\):\n +File \"(.*)\", line", said)
    # That the scenarios end with what is ours, other tests show.
    theirs = (f"/{peer}.py", "-packages/", "/scenarios/", "/worker.py")
    if late and all(any(part in path for part in theirs) for path in stood):
        return late[0]
    return None


@pytest.mark.slow
@pytest.mark.deadline(2 * TRIALS * TRIAL_S + 20)
@pytest.mark.parametrize(
    ("peer", "name", "transport"), [(peer, *each) for peer in DOES for each in DOES[peer]]
)
def test_a_peer_measures_what_it_says_it_can(peer, name, transport):
    path = path_of(peer)
    each = scenario(name)
    case = next(
        case
        for case in (measure.Case(each, name) for name in each.cases)
        if each.cases[case.name]["transport"] == transport and measure.can(path, case)
    )
    for trial in range(1, TRIALS + 1):
        try:
            values = measure.run_once(case, path, 0.02, timeout=TRIAL_S)
            break
        except measure.MeasureError as error:
            if peer not in FOREIGN or not (why := in_library(error, peer)):
                raise
            if trial == TRIALS:
                pytest.skip(f"{peer}: {why}")
    assert values.keys() == each.metrics.keys()
    assert values[next(iter(values))] > 0


FAKE = """
import sys, time
sys.path.insert(0, {folder!r})
import _peer
from _peer import PULL, PUSH, REP, REQ

class Socket(_peer.Socket):
    def listen(self, tcp):
        {listen}
        return "somewhere"
    def connect(self, endpoint): {connect}
    def send(self, data): {send}
    def recv(self): {recv}

class Context(_peer.Context):
    kind = Socket
"""


def failure_of(tmp_path, **bodies):
    """What a run says of an adapter whose methods have these bodies, and whose fault that is."""
    path = tmp_path / "fake.py"
    bodies = {"listen": "pass", "connect": "pass", "send": "pass", "recv": "pass"} | bodies
    path.write_text(FAKE.format(folder=str(BENCH / "peers"), **bodies), encoding="utf-8")
    case = measure.Case(scenario("reqrep"), "tcp 64 B")
    with pytest.raises(measure.MeasureError) as caught:
        measure.run_once(case, str(path), 0.02, timeout=2)
    return str(caught.value), in_library(caught.value, "fake")


@pytest.mark.slow
def test_a_run_that_takes_too_long_says_where_both_roles_stood(tmp_path):
    said, why = failure_of(tmp_path, listen="time.sleep(60)")
    assert said.startswith("server and client did not end in 2 s")
    assert re.search(r'fake.py", line 9 in listen', said)
    assert re.search(r'worker.py", line \d+ in hear', said)
    assert why == "server and client did not end in 2 s"


@pytest.mark.slow
def test_a_hang_outside_the_library_is_not_its_fault(tmp_path):
    said, why = failure_of(tmp_path, listen="import threading; threading.Event().wait()")
    assert said.startswith("server and client did not end in 2 s")
    assert why is None


@pytest.mark.slow
def test_a_mistake_of_an_adapter_is_not_its_librarys_fault(tmp_path):
    said, why = failure_of(tmp_path, connect="self.path(5)")
    assert "TypeError" in said
    assert why is None


@pytest.mark.slow
def test_what_a_library_cannot_do_is_said_at_once(tmp_path):
    said, why = failure_of(tmp_path, listen="_peer.need_shared_memory(1 << 60)")
    assert "did not end" not in said
    assert why.startswith("Unavailable: 1125899906842624 KiB of shared memory are needed")


@pytest.mark.slow
def test_a_role_that_crashed_is_told_with_its_signal(tmp_path):
    said, why = failure_of(
        tmp_path, connect="import os, signal; os.kill(os.getpid(), signal.SIGBUS)"
    )
    assert "client was killed by SIGBUS" in said
    assert why == "was killed by SIGBUS"


def test_labels_on_an_axis_have_room():
    sizes = [1, 16, 256, 4 << 10, 64 << 10, 1 << 20, 16 << 20, 256 << 20, 1 << 30]
    assert plots.apart(sizes) == {*sizes} - {256 << 20}
    assert plots.apart([10, 30, 100, 300, 600]) == {10, 30, 100, 300, 600}
    assert plots.apart([5, 6]) == {5, 6}


def test_labels_tell_equal_modules_apart():
    assert measure.labels(["zmq", "zmq", "/some/raw_socket.py"]) == {
        "zmq": "zmq",
        "zmq (2)": "zmq",
        "raw socket": "/some/raw_socket.py",
    }


def chosen(*words, **options):
    return {case.scenario.name for case in measure.select(SCENARIOS, words, **options)}


def test_a_whole_name_chooses_one_case():
    def names(*words):
        return [(c.scenario.name, c.name) for c in measure.select(SCENARIOS, words)]

    assert names("reqrep/tcp 64 B") == [("reqrep", "tcp 64 B")]
    assert {("reqrep", "tcp 64 B"), ("aio_reqrep", "tcp 64 B")} < set(names("reqrep/tcp 64"))


def test_an_interrupted_run_reports_the_cases_that_were_done(monkeypatch, tmp_path, capsys):
    calls = []

    def run_once(case, module, seconds, timeout=60):
        calls.append(case.name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return {"p50": 1.0, "p99": 2.0}

    monkeypatch.setattr(measure, "run_once", run_once)
    parser = argparse.ArgumentParser()
    suite.add_arguments(parser, runs=2)
    options = parser.parse_args(["reqrep/tcp 64 B", "reqrep/ipc 64 B", "--modules", RAW_SOCKET])
    assert suite.run(options, save=tmp_path / "saved.json") == 0
    saved_cases = json.loads((tmp_path / "saved.json").read_text())["cases"]
    assert [case["case"] for case in saved_cases] == ["tcp 64 B"]
    assert "interrupted" in capsys.readouterr().err


def test_growth_is_measured_only_when_asked_for():
    growth = {each.name for each in SCENARIOS if each.sweep}
    assert growth
    assert chosen() == set(NAMES) - growth
    assert chosen(sweeps=True) == set(NAMES)
    assert not chosen("64 B") & growth
    assert chosen("64 B", sweeps=True) & growth
    assert chosen("growth_trip") == {"growth_trip"}
    assert chosen("growth") == growth
    assert chosen("memory") == {"memory"}


def test_too_many_files_are_refused_with_the_limit(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 1000))
    asked = []
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append(limits))
    worker.Task.allow_files(50)
    assert not asked
    worker.Task.allow_files(1000)
    assert asked == [(1000, 1000)]
    with pytest.raises(RuntimeError, match="1001 open files are needed; the limit here is 1000"):
        worker.Task.allow_files(1001)


# ---- what is published ----


def test_every_published_case_is_measured_anew():
    measured = {
        (case.scenario.name, case.name)
        for runs in figures.PARTS.values()
        for _, _, cases, _ in runs
        for case in measure.select(SCENARIOS, cases)
    }
    published = json.loads((BENCH / "published.json").read_text())["cases"]
    told = {(case["scenario"], case["case"]) for case in published}
    # Of these the pages tell other cases of the same kind.
    left_out = {
        ("aio_pushpull", "ipc 64 B"),
        ("aio_many", "tcp 64 B, gather"),
        ("aio_many", "tcp 64 B, gather, uvloop"),
        ("curve", "tcp 1 KiB"),
        ("curve", "tcp 1 MiB"),
    }
    assert told - measured - left_out == set()


def test_every_word_of_the_published_parts_chooses_a_case():
    for runs in figures.PARTS.values():
        for _, _, cases, beside in runs:
            for word in cases:
                assert measure.select(SCENARIOS, [word]), word
            assert all(Path(peer).exists() for peer in beside)


def test_every_growth_curve_is_published():
    swept = {each.name for each in SCENARIOS if each.sweep}
    measured = {
        case.scenario.name
        for runs in figures.PARTS.values()
        for _, _, cases, _ in runs
        for case in measure.select(SCENARIOS, cases)
    }
    assert swept <= measured


def test_a_part_that_is_not_there_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["figures.py", "77"])
    assert figures.main() == 2
    assert "no part 77" in capsys.readouterr().out


@pytest.mark.slow
def test_a_part_is_measured_and_saved(monkeypatch, tmp_path, capsys):
    run = (1, 0.02, ["reqrep/tcp 64 B"], [])
    monkeypatch.setattr(figures, "PARTS", {"9": [run]})
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["figures.py", "9"])
    assert figures.main() == 0
    saved_cases = json.loads((tmp_path / "figures-9-1.json").read_text())["cases"]
    assert [case["case"] for case in saved_cases] == ["tcp 64 B"]
    assert "part 9: others used" in capsys.readouterr().out


# ---- reports ----


def saved(path, values, case=("reqrep", "tcp 64 B"), **changes):
    """A result of bench/run.py: values is label -> metric -> a value a round."""
    measured = measure.Case(scenario(case[0]), case[1])
    for label, by in values.items():
        for metric, rounds in by.items():
            for value in rounds:
                measured.add(label, {metric: value})
    result = {
        "when": "2026-01-02T03:04:05+00:00",
        "machine": {**measure.machine(), "cpu": "a processor"},
        "versions": {"fastmq": "0.1", "zmq": "27"},
        "modules": {"fastmq": "fastmq", "zmq": "zmq"},
        "base": "zmq",
        "rounds": 3,
        "seconds": 1,
        "cases": measure.as_json([measured], "zmq"),
        **changes,
    }
    path.write_text(json.dumps(result), encoding="utf-8")
    return path


TRIPS = {
    "fastmq": {"p50": [9.0, 10.0, 12.0], "p99": [20.0]},
    "zmq": {"p50": [50.0, 40.0, 60.0], "p99": [10.0]},
    "C engine": {"p50": [8.0]},
}


def test_a_table_shows_medians_spread_and_the_ratio(tmp_path, capsys):
    path = saved(tmp_path / "one.json", TRIPS)
    assert plot.main([str(path)]) == 0
    text = capsys.readouterr().out
    assert "a processor" in text
    lines = text.splitlines()
    assert "| case | pyzmq | fastmq | ratio |" in lines
    assert "| tcp 64 B, p50, us | 50 (-20 .. +20%) | 10 (-10 .. +20%) | **5.00x** |" in lines
    assert "| tcp 64 B, p99, us | 10 | 20 | **0.50x** |" in lines
    assert "| tcp 64 B, p50, us | fastmq's engine in C | 8 |" in lines


def test_tables_fit_a_phone(tmp_path):
    """Four columns, however many sides were measured."""
    peers = {label: {"p50": [1.0]} for label in plots.NAMES}
    path = saved(tmp_path / "one.json", {**peers, **TRIPS})
    lines = [line for line in plot.tables(plot.load([path])).splitlines() if line[:1] == "|"]
    assert len(lines) > 10
    assert max(line.count("|") for line in lines) <= 5


def test_a_table_shows_what_failed(tmp_path):
    path = saved(tmp_path / "one.json", TRIPS)
    result = json.loads(path.read_text())
    result["cases"][0]["errors"] = {"zmq": "it broke"}
    path.write_text(json.dumps(result))
    assert "| tcp 64 B: pyzmq failed |" in plot.tables(plot.load([path]))


def test_one_side_alone_has_no_ratio(tmp_path):
    path = saved(
        tmp_path / "one.json",
        {"zmq": TRIPS["zmq"]},
        modules={"zmq": "zmq"},
        versions={"zmq": "27"},
    )
    assert "| case | pyzmq |" in plot.tables(plot.load([path])).splitlines()


def test_of_a_case_in_two_files_the_later_counts(tmp_path):
    old = saved(tmp_path / "old.json", TRIPS)
    new = saved(tmp_path / "new.json", {**TRIPS, "fastmq": {"p50": [5.0]}})
    other = saved(tmp_path / "other.json", TRIPS, case=("reqrep", "ipc 64 B"))
    text = plot.tables(plot.load([old, other, new]))
    assert "| tcp 64 B, p50, us | 50 (-20 .. +20%) | 5 |" in text
    assert "| ipc 64 B, p50, us | 50 (-20 .. +20%) | 10 " in text


@pytest.mark.parametrize(
    "changes",
    [
        {"base": "fastmq"},
        {"machine": {"cpu": "another", "system": "?"}},
        {"versions": {"zmq": "1"}},
    ],
    ids=["base", "machine", "version"],
)
def test_results_that_do_not_compare_are_refused(tmp_path, capsys, changes):
    one = saved(tmp_path / "one.json", TRIPS)
    two = saved(tmp_path / "two.json", TRIPS, **changes)
    assert plot.main([str(one), str(two)]) == 2
    assert "two.json" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", '{"cases": []}', "{}"])
def test_a_file_that_is_no_result_is_refused(tmp_path, capsys, text):
    path = tmp_path / "strange.json"
    path.write_text(text)
    assert plot.main([str(path)]) == 2
    assert "strange.json is no result" in capsys.readouterr().err


def test_ratios_are_of_the_first_metric_and_leave_out_sweeps(tmp_path):
    growth = next(iter(scenario("growth_trip").cases))
    files = [
        saved(tmp_path / "one.json", TRIPS),
        saved(tmp_path / "two.json", TRIPS, case=("growth_trip", growth)),
    ]
    assert plots.ratios(plot.load(files)) == [("round trip, tcp, 64 bytes", 5.0)]


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("matplotlib"), reason="needs the extra bench")
def test_plots_are_drawn(tmp_path):
    files = [saved(tmp_path / "one.json", TRIPS)]
    files += [
        saved(tmp_path / f"{number}.json", TRIPS, case=("growth_trip", case))
        for number, case in enumerate(scenario("growth_trip").cases)
    ]
    out = tmp_path / "img"
    subprocess.run(
        [sys.executable, str(BENCH / "plot.py"), *files, "--out", str(out)],
        check=True,
        timeout=60,
        capture_output=True,
    )
    assert {path.name for path in out.iterdir()} == {"ratios.svg", "growth_trip.svg"}
    for path in out.iterdir():
        texts = "".join(ElementTree.parse(path).getroot().itertext())
        assert "pyzmq" in texts
        assert path.stat().st_size < 50_000
    curve = "".join(ElementTree.parse(out / "growth_trip.svg").getroot().itertext())
    assert "p50, microseconds" in curve
    assert "idle peers" in curve
    for params in scenario("growth_trip").cases.values():
        assert f"{params['idle_peers']:,}" in curve  # a tick at each that was measured


def test_cases_have_labels_for_people():
    def case(scenario, name):
        return {"scenario": scenario, "case": name}

    assert plots.label(case("reqrep", "tcp 64 B"), "p50") == "round trip, tcp, 64 bytes"
    assert plots.label(case("lat", "ipc 1024 B x 10000"), "p50") == "round trip, ipc, 1024 bytes"
    assert plots.label(case("pushpull", "tcp 1 MiB"), "rate") == "one way, tcp, 1 MiB"
    assert [plots.bytes_in_words(n) for n in (64, 1000, 1024, 3 << 20)] == [
        "64 B",
        "1,000 B",
        "1 KiB",
        "3 MiB",
    ]
    assert {each.name for each in SCENARIOS if not each.sweep} <= plots.SCENARIOS.keys()


def test_without_matplotlib_the_extra_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path = saved(tmp_path / "one.json", TRIPS)
    assert plot.main([str(path), "--out", str(tmp_path / "img")]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err


def test_what_is_saved_can_be_reported(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    suite.add_arguments(parser, runs=1, seconds=0.02)
    options = parser.parse_args(["reqrep/tcp 64 B", "--modules", RAW_SOCKET])
    assert suite.run(options, save=tmp_path / "saved.json") == 0
    capsys.readouterr()
    assert plot.main([str(tmp_path / "saved.json")]) == 0
    assert "| tcp 64 B, p50, us |" in capsys.readouterr().out


# ---- the budget of instructions ----

CALLGRIND = """\
events: Ir

fl=/somewhere/bench/c/../../csrc/socket/api.c
fn=fmq_flush
10 7
cfi=/usr/lib/libc.c
cfn=memcpy
calls=3 1
11 1000
fi=/somewhere/csrc/base/list.h
20 5
fe=/usr/include/string.h
21 900
fe=/somewhere/bench/c/../../csrc/socket/api.c
12 30
fl=/usr/lib/libc.c
fn=memcpy
1 1000
"""


def test_only_the_engine_s_own_instructions_count():
    assert budget.self_cost(CALLGRIND.splitlines(keepends=True), "/csrc/") == 7 + 5 + 30


def test_the_budget_tells_slower_from_faster_and_the_paths_apart():
    allowed = {"a": 100.0, "b": 100.0, "c": 100.0, "gone": 1.0}
    spent = {"a": 102.0, "b": 110.0, "c": 90.0, "new": 1.0}
    verdicts = {verdict.path: verdict for verdict in budget.compare(allowed, spent)}
    assert {path: verdict.passes for path, verdict in verdicts.items()} == {
        "a": True,
        "b": False,
        "c": True,
        "new": False,
        "gone": False,
    }
    assert verdicts["b"].word == "SLOWER"
    assert verdicts["c"].word.startswith("faster: record")
    lines = budget.table(list(verdicts.values())).splitlines()
    assert any("110.0" in line and "+10.0%" in line and "SLOWER" in line for line in lines)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A budget of one path, and the compiler that it is for."""
    path = tmp_path / "budget.json"
    here = {"name": "gcc", "major": 12, "machine": "x86_64"}
    path.write_text(json.dumps({"compiler": here, "instructions": {"a": 100.0}}))
    monkeypatch.setattr(budget, "BUDGET", path)
    monkeypatch.setattr(budget, "compiler", lambda: here)
    return path


def test_a_path_beyond_its_budget_fails_the_check(recorded, monkeypatch, capsys):
    for spent, status in ((100.0, 0), (150.0, 1), (50.0, 0)):
        monkeypatch.setattr(budget, "count_all", lambda spent=spent: {"a": spent})
        assert budget.main([]) == status
    assert "SLOWER" in capsys.readouterr().out


def test_a_recorded_budget_is_the_one_compared_with(recorded, monkeypatch):
    monkeypatch.setattr(budget, "count_all", lambda: {"a": 150.0, "b": 1.0})
    assert budget.main([]) == 1
    assert budget.main(["--record"]) == 0
    assert budget.main([]) == 0


def test_another_compiler_is_not_compared(recorded, monkeypatch, capsys):
    monkeypatch.setattr(
        budget, "compiler", lambda: {"name": "gcc", "major": 14, "machine": "x86_64"}
    )
    monkeypatch.setattr(budget, "count_all", lambda: pytest.fail("nothing is to be counted"))
    assert budget.main([]) == 0
    assert "skipped" in (out := capsys.readouterr().out)
    assert "gcc 12" in out and "gcc 14" in out


def test_a_missing_valgrind_is_an_error(recorded, monkeypatch, capsys):
    monkeypatch.setattr(budget.shutil, "which", lambda program: None)
    assert budget.main([]) == 2
    assert "valgrind" in capsys.readouterr().err


def test_the_recorded_budget_is_of_the_paths_that_there_are():
    recorded = json.loads((BENCH / "budget.json").read_text())
    source = (BENCH / "c" / "budget.c").read_text()
    assert recorded["instructions"]
    for path in recorded["instructions"]:
        assert f'{{"{path}", ' in source
