# SPDX-License-Identifier: MIT
"""fastmq proxy, proxy-control, monitor, perf with a peer, completion."""

import contextlib
import importlib.util
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading

import pytest
import wire
from command import LIMIT_S, Command, environment, run
from helpers import eventually
from target import fastmq_only

import fastmq as zmq
from fastmq.cli import events, main, proxy, report, sockets
from fastmq.cli.terminal import Notes

# Several interpreters start in each test.
pytestmark = [fastmq_only("no such commands"), pytest.mark.deadline(120)]


@pytest.fixture
def at(tmp_path):
    return lambda name: f"ipc://{tmp_path}/{name}"


# ---- proxy ----


@pytest.fixture
def queue(at):
    """A proxy between "front" and "back", steered at "control"."""
    arguments = ["--frontend", at("front"), "--backend", at("back"), "--control", at("control")]
    with Command("proxy", "queue", *arguments, "--stats", 0.05, "--json") as running:
        yield running


def steer(at, word, *more):
    return run("proxy-control", at("control"), word, *more, "--timeout", LIMIT_S)[0]


def test_a_proxy_forwards_counts_and_ends_when_told(at, queue):
    with Command("rep", "-c", at("back")):
        assert run("req", "-c", at("front"), "abc")[0] == b"abc\n"
        counters = json.loads(steer(at, "statistics", "--json"))
    assert counters["frontend_messages_received"] == counters["frontend_messages_sent"] == 1
    assert counters["backend_messages_received"] == counters["backend_messages_sent"] == 1
    assert counters["frontend_bytes_received"] >= 3
    assert b"frontend messages received" in steer(at, "statistics")
    assert steer(at, "terminate") == b""
    lines = queue.end()[0].splitlines()
    last = json.loads(lines[-1])
    assert last["frontend"]["received"] == last["frontend"]["sent"] == 1
    assert last["backend"]["dropped"] == 0
    assert last["seconds"] > 0


def test_a_paused_proxy_forwards_when_it_is_resumed(at, queue):
    with Command("rep", "-c", at("back"), "-n", 1) as rep:
        steer(at, "pause")
        with Command("req", "-c", at("front"), "later") as req:

            def waiting():
                return json.loads(queue.line())["frontend"]["queued"] == 1

            eventually("the request at the proxy", waiting, LIMIT_S)
            assert json.loads(steer(at, "statistics", "--json"))["frontend_messages_sent"] == 0
            steer(at, "resume")
            assert req.end()[0] == b"later\n"
        rep.end()


def test_what_a_forwarder_forwards_is_captured(at):
    arguments = ["--frontend", at("front"), "--backend", at("back"), "--capture", at("capture")]
    with (
        Command("proxy", "forwarder", *arguments),
        Command("sub", "-c", at("capture"), "-n", 1, "-t", "t") as captured,
        # Stays until the capture was heard: without a subscription nothing is forwarded.
        Command("sub", "-c", at("back"), "-t", "t") as sub,
        # Until both subscriptions are there: what comes before is for nobody.
        Command("pub", "-c", at("front"), "--rate", 20, "-n", 10**6, "-t", "t", "x"),
    ):
        assert sub.line() == "t\tx"
        assert captured.end()[0] == b"t\tx\n"


def test_statistics_in_words_are_a_line_each_time_without_a_terminal(at):
    arguments = ["--frontend", at("front"), "--backend", at("back"), "--stats", 0.05]
    with Command("proxy", "streamer", *arguments) as proxy:
        assert proxy.line("stderr").startswith("frontend peers 0, in 0 (0/s), out 0 (0/s)")
        proxy.signal(signal.SIGINT)
        _, err = proxy.end(status=130)
        assert "\033" not in err


def test_a_proxy_that_is_not_there_is_status_124(at):
    _, err = run("proxy-control", at("control"), "pause", "--timeout", 0.1, status=124)
    assert "no proxy answered" in err


def test_what_answers_unlike_a_proxy_is_told(at):
    with Command("rep", "-b", at("control")):
        _, err = run("proxy-control", at("control"), "statistics", status=1)
    assert "does not answer like a proxy" in err


# ---- monitor ----


def test_events_of_a_connection_are_lines_of_json_as_they_happen(at):
    with Command("monitor", "--json", "-c", at("rep")) as monitor:
        while json.loads(monitor.line())["event"] != "connect_retried":
            continue
        with Command("rep", "-b", at("rep")):
            while (happened := json.loads(monitor.line()))["event"] != "handshake_succeeded":
                continue
            assert happened["endpoint"] == at("rep")
            assert happened["time"][:2] == "20"
        while json.loads(monitor.line())["event"] != "disconnected":
            continue
        monitor.signal(signal.SIGINT)
        monitor.end(status=130)


def test_chosen_events_are_counted(at):
    out, _ = run("monitor", "--event", "listening", "-n", 1, "-b", at("x"))
    assert f"listening {at('x')} (descriptor " in out.decode()
    assert "\033" not in out.decode()


def test_why_connecting_fails_is_an_event_in_words(at):
    out, _ = run("monitor", "-c", at("x"), "--event", "CONNECT_RETRIED", "-n", 2)
    for line in out.decode().splitlines():
        assert f"connect retried {at('x')} (no such file or directory, again in " in line


def test_every_event_has_a_name_and_every_code_its_words():
    single = [1 << bit for bit in range(18) if events.SHOWN & (1 << bit)]
    known = {zmq.Event[name] for name in events.NAMES}
    assert known == set(single) - {zmq.EVENT_MONITOR_STOPPED}
    assert "EXPELLED" in events.NAMES
    codes = {
        name: code
        for name, code in zmq.Event.__members__.items()
        if name.startswith("PROTOCOL_ERROR_")
    }
    told = [
        events.Happened(zmq.Event.PROTOCOL_VIOLATION, code, "tcp://x:1").words
        for code in codes.values()
    ]
    assert len(set(told)) == len(codes) == len(events.REASONS)
    assert not [text for text in told if "protocol error" in text]


def test_a_peer_that_breaks_the_rules_is_an_event_with_its_reason():
    arguments = ["--type", "gather", "-b", "tcp://127.0.0.1:*", "--json"]
    with Command("monitor", *arguments, "-n", 50) as monitor:
        where = json.loads(monitor.line())["endpoint"]
        with wire.connect(where) as peer:
            peer.handshake("SCATTER")
            peer.send_message(b"a", b"b")
            while (found := json.loads(monitor.line()))["event"] != "protocol_violation":
                continue
    assert found["meaning"].startswith("the peer sent several parts where messages have one")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="shared memory of Linux")
def test_what_carries_a_connection_and_why_is_an_event(at, monkeypatch):
    monkeypatch.setenv("FASTMQ_SHM", "2")
    arguments = ["--event", "link", "--event", "disconnected", "--json"]
    with Command("monitor", "--type", "rep", "-b", at("x"), *arguments) as monitor:
        with Command("req", "-c", at("x"), "x", "--timeout", "30"):
            found = json.loads(monitor.line())
            assert found["event"] == "link"
            assert (found["endpoint"], found["meaning"]) == (at("x"), "shared memory")
        assert json.loads(monitor.line())["event"] == "disconnected"
        monkeypatch.setenv("FASTMQ_SHM", "0")
        with Command("req", "-c", at("x"), "x", "--timeout", "30"):
            assert json.loads(monitor.line())["meaning"] == "socket: the peer does not offer it"


def test_a_bound_monitor_and_a_proxy_say_where_they_wait_for_peers(at):
    with Command("monitor", "-b", at("x")) as monitor:
        assert monitor.every_line("stderr") == f"fastmq monitor: waiting for a peer at {at('x')}"
    with Command("proxy", "streamer", "--frontend", at("a"), "--backend", at("b")) as running:
        note = f"fastmq proxy: waiting for a peer at {at('a')} and {at('b')}"
        assert running.every_line("stderr") == note


@pytest.mark.parametrize(
    ("arguments", "told", "status"),
    [
        (["-b", "ipc://*", "--event", "arrived"], "there is no event 'arrived'", 2),
        (["-b", "ipc://*", "--event", "accepted", "--timeout", "0.1"], "no event within", 124),
        ([], "--bind or --connect", 2),
    ],
    ids=["event", "timeout", "endpoint"],
)
def test_what_cannot_be_monitored_is_told(arguments, told, status):
    assert told in run("monitor", *arguments, status=status)[1]


# ---- perf ----


def test_the_two_roles_of_lat_meet(at):
    with Command("perf", "lat", "local", at("lat"), "--count", 50) as local:
        out, _ = run("perf", "lat", "remote", at("lat"), "--count", 50, "--size", "1K", "--json")
        assert b"50 messages of 64 B answered" in local.end()[0]
    found = json.loads(out)
    assert (found["role"], found["size"], found["count"]) == ("remote", 1024, 50)
    assert 0 < found["p50"] <= found["p99"]
    assert found["mean"] > 0


def test_the_two_roles_of_thr_meet(at):
    with Command("perf", "thr", "local", at("thr"), "--count", 500, "--json") as local:
        out, _ = run("perf", "thr", "remote", at("thr"), "--count", 500, "--size", 100)
        found = json.loads(local.end()[0])
    assert b"500 messages of 100 B sent" in out
    assert (found["size"], found["count"]) == (100, 500)
    assert found["bytes"] == pytest.approx(found["rate"] * 100 / 1e6)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["tcp", "ipc", "inproc"])
@pytest.mark.parametrize("measure", ["lat", "thr"])
def test_both_ends_are_started(measure, transport):
    arguments = ["--count", 50, "--size", "64,2K", "--transport", transport, "--rounds", 2]
    found = json.loads(run("perf", measure, *arguments, "--json")[0])
    assert [case["params"]["size"] for case in found["cases"]] == [64, 2048]
    for case in found["cases"]:
        assert not case["errors"]
        for metric in case["metrics"].values():
            assert len(metric["values"]["fastmq"]) == 2
            assert min(metric["values"]["fastmq"]) > 0


@pytest.mark.slow
def test_a_comparison_has_ratios_and_a_picture(tmp_path):
    pytest.importorskip("zmq")
    pytest.importorskip("matplotlib")
    path = tmp_path / "lat.svg"
    arguments = ["--compare", "pyzmq", "--count", 20, "--rounds", 1, "--size", "64,128"]
    out, err = run("perf", "lat", *arguments, "--plot", path)
    assert "fastmq" in out.decode()
    assert "ratio" in out.decode()
    assert "pyzmq" in path.read_text()
    assert f"saved as {path}" in err


@pytest.mark.parametrize(
    ("arguments", "told", "status"),
    [
        (["lat", "--compare", "no_such_module"], "no_such_module is not installed", 1),
        (["thr", "--modules", "no_such_module"], "there is no module 'no_such_module'", 2),
        (["lat", "--plot", "x.gif"], "x.gif should end in .svg, .png or .pdf", 2),
        (["thr", "--size", "1G"], "'1G' is no size", 2),
        (["thr", "--count", "1"], "1 is not between 2", 2),
        (["lat", "local"], "no endpoint for local", 2),
        (["lat", "remote", "ipc://x", "--size", "1,2"], "one --size", 2),
        (["lat", "remote", "ipc://x", "--transport", "tcp"], "--transport is for both ends", 2),
        (["lat", "--option", "linger=1"], "are for a role", 2),
        (["lat", "remote", "ipc://x", "--timeout", "0.1"], "within 0.1 s", 124),
        (["suite", "--quick", "--modules", "fastmq", "--plot", "x.svg"], "two modules", 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_measured_is_told(arguments, told, status):
    assert told in run("perf", *arguments, status=status)[1]


def test_a_package_that_pip_should_not_be_asked_for_is_not_named_to_pip():
    _, err = run("perf", "lat", "--compare", "no_such_package", status=1)
    assert "no_such_package is not installed here: what is compared is pyzmq" in err


def test_without_pyzmq_the_package_to_install_is_named(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'zmq' else find(name, *a)\n"
    )
    env = {"PYTHONPATH": str(tmp_path)}
    _, err = run("perf", "lat", "--compare", "pyzmq", status=1, env=env)
    assert "pyzmq is not installed here: pip install pyzmq" in err


# ---- the terminal ----


def on_terminal(*arguments, status=0, env=None):
    """What a command prints on stderr when that is a terminal."""
    leader, follower = pty.openpty()
    try:
        with Command(*arguments, stderr=follower, env={"TERM": "xterm", **(env or {})}) as started:
            os.close(follower)
            shown = b""
            with contextlib.suppress(OSError):  # EIO: the other end was closed
                while chunk := os.read(leader, 4096):
                    shown += chunk
            started.end(status=status)
    finally:
        os.close(leader)
    return shown.decode()


def test_without_rich_the_progress_is_a_line_that_changes(tmp_path):
    (tmp_path / "rich.py").write_text("raise ImportError")
    env = {"PYTHONPATH": str(tmp_path)}
    shown = on_terminal("perf", "lat", "--count", 20, "--rounds", 1, env=env)
    assert "\r\033[K[1/1] lat tcp 64 B x 20: fastmq" in shown
    assert shown.endswith("\r\033[K")


def test_the_rounds_are_said_in_words_and_the_progress_counts_from_one(capsys):
    result = {"machine": {}, "versions": {}, "modules": {"fastmq": "fastmq"}, "seconds": 0.2}
    assert report.heading({**result, "rounds": 1}) == "1 round of 0.2 s\n"
    result["modules"] = {"fastmq": "fastmq", "pyzmq": "zmq"}
    assert report.heading({**result, "rounds": 3}) == "3 rounds of 0.2 s, sides alternating\n"
    with report.Progress(2) as progress:
        progress.step("one")
        progress.step("two")
    assert capsys.readouterr().err == "[1/2] one\n[2/2] two\n"


@pytest.mark.skipif(not importlib.util.find_spec("rich"), reason="needs the extra cli")
def test_with_rich_the_progress_is_a_bar():
    shown = on_terminal("perf", "lat", "--count", 20, "--rounds", 1)
    assert "lat tcp 64 B x 20: fastmq" in shown
    assert "0/1" in shown and "[0/1]" not in shown
    assert on_terminal("perf", "lat", "--count", 20, "--rounds", 1, "--quiet") == ""


@pytest.mark.parametrize(
    ("env", "colours"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_are_for_terminals_that_want_them(tmp_path, env, colours):
    arguments = ("push", "-c", f"ipc://{tmp_path}/x", "--linger", 0, "lost")
    shown = on_terminal(*arguments, status=124, env=env)
    assert "1 message(s) not sent" in shown
    assert ("\033[31m" in shown) is colours
    assert "\033" not in run(*arguments, status=124)[1]


# ---- all commands ----


@pytest.mark.parametrize("name", main.COMMANDS)
def test_help_of_every_command_has_examples(name):
    out = run(name, "--help")[0].decode()
    assert out.startswith(f"usage: fastmq {name} ")
    if name != "demo":
        assert f"\n  fastmq {name}" in out or f"(fastmq {name}" in out


def test_nothing_to_do_shows_what_there_is():
    out, err = run(status=2)
    assert out == b""
    for name in main.COMMANDS:
        assert name in err


def test_version_imports_no_more_than_it_needs():
    code = (
        "import sys; from fastmq.cli.main import main; main(['version', '--json'])\n"
        "print(*[m for m in sys.modules if m.startswith('fastmq.cli.')], file=sys.stderr)\n"
        "print(*{'rich', 'matplotlib', 'asyncio', 'msgpack'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=environment(),
        check=True,
    )
    assert json.loads(done.stdout)["fastmq"]
    ours, others = done.stderr.splitlines()
    assert {m.rpartition(".")[2] for m in ours.split()} == {
        "main",
        "terminal",
        "version",
        "arguments",
    }
    assert not others


# ---- completion ----


def offered_by_bash(tmp_path, line):
    """What bash offers at the end of a line."""
    script = tmp_path / "fastmq.bash"
    script.write_bytes(run("completion", "bash")[0])
    words = line.split(" ")
    program = (
        f'source "{script}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fastmq; '
        'printf "%s\\n" "${COMPREPLY[@]}"; complete -p fastmq >&2'
    )
    done = subprocess.run(
        ["bash", "-c", program, "bash", *words], capture_output=True, text=True, check=True
    )
    assert "-F _fastmq fastmq" in done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("fastmq pu", ["pub", "push", "pull"]),
        ("fastmq pub --form", ["--format"]),
        ("fastmq pub -f m", ["msgpack"]),
        ("fastmq sub --bind x --format ", ["raw", "json", "hex", "msgpack"]),
        ("fastmq perf ", ["suite", "lat", "thr"]),
        ("fastmq perf lat --tr", ["--transport"]),
        ("fastmq perf lat --transport i", ["ipc", "inproc"]),
        ("fastmq proxy ", ["queue", "forwarder", "streamer"]),
        ("fastmq completion z", ["zsh"]),
        ("fastmq monitor --event pro", ["protocol_violation"]),
        ("fastmq monitor --event e", ["expelled"]),
        ("fastmq pub --file x", []),
        ("fastmq version --", ["--help", "--json"]),
    ],
)
def test_bash_completes(tmp_path, line, offered):
    assert sorted(offered_by_bash(tmp_path, line)) == sorted(offered)


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish")
def test_fish_completes(tmp_path):
    script = tmp_path / "fastmq.fish"
    script.write_bytes(run("completion", "fish")[0])
    for line, word in (
        ("fastmq pul", "pull"),
        ("fastmq perf la", "lat"),
        ("fastmq pub --form", "--format"),
        ("fastmq pub --format m", "msgpack"),
    ):
        done = subprocess.run(
            ["fish", "--no-config", "-c", f'source {script}; complete -C "{line}"'],
            capture_output=True,
            text=True,
            check=True,
        )
        assert [found.split("\t")[0] for found in done.stdout.splitlines()] == [word]


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh")
def test_zsh_takes_the_script(tmp_path):
    script = tmp_path / "fastmq.zsh"
    script.write_bytes(run("completion", "zsh")[0])
    program = (
        f"autoload -Uz compinit; compinit -u -D; source {script}; print $_comps[fastmq]; "
        # Without its line editor zsh cannot complete: stand-ins tell what it would be offered.
        "_describe() { print described ${(P)@[-1]}; }; compadd() { print added $@; }; "
        "words=(fastmq perf lat --transport ''); CURRENT=5; PREFIX=; _fastmq; "
        "words=(fastmq pu); CURRENT=2; PREFIX=pu; _fastmq"
    )
    done = subprocess.run(["zsh", "-f", "-c", program], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["_fastmq", "added tcp ipc inproc"]
    assert lines[2].startswith("described pub:publish")


# ---- threads that help ----


def test_notes_end_in_silence_when_their_socket_is_gone(ctx, monkeypatch, capsys):
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    socket = ctx.socket(zmq.PULL)
    notes = []

    def listening():
        notes.append(capsys.readouterr().err)
        return "listening tcp://127.0.0.1:" in "".join(notes)

    with sockets.told(socket, Notes("pull"), True, True):
        socket.bind("tcp://127.0.0.1:*")
        eventually("a note", listening)
        ctx.destroy(linger=0)
    assert told == []


def test_statistics_end_in_silence_when_their_sockets_are_gone(ctx, monkeypatch, capsys):
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    ends = {end: ctx.socket(zmq.PAIR) for end in proxy.ENDS}
    with proxy.reported(ends, 0.05, True, False):
        ctx.destroy(linger=0)
    assert told == []
