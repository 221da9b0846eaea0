# SPDX-License-Identifier: MIT
"""The command line: what each command prints, and its exit status."""

import json
import subprocess
import sys

import pytest
from target import fastmq_only, zmq

pytestmark = fastmq_only("no such commands")


def run(*arguments, status=0):
    """What a command prints; it has to end with the given status."""
    done = subprocess.run(
        [sys.executable, "-m", "fastmq", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


def test_version_names_what_a_bug_report_needs():
    text = run("version")
    assert f"fastmq {zmq.__version__}" in text
    assert zmq.zmq_version() in text
    assert "Python 3." in text


def test_the_demonstration_succeeds():
    assert run("demo")


def test_perf_lists_its_cases():
    cases = run("perf", "--list").splitlines()
    assert "reqrep/tcp 64 B" in cases
    assert len(cases) == len(set(cases))
    assert [case for case in cases if "64 B" in case] == run("perf", "--list", "64 B").splitlines()


@pytest.mark.slow
def test_perf_measures_and_prints_json():
    cases = ["reqrep/tcp 64 B", "pushpull/inproc 64 B"]
    found = json.loads(
        run("perf", *cases, "--quick", "--json", "--modules", "fastmq", "--seconds", "0.05")
    )
    assert found["rounds"] == 1
    assert len(found["cases"]) == len(cases)


@pytest.mark.parametrize(
    "arguments",
    [("perf", "no such case"), ("perf", "--list", "--modules"), ("frobnicate",), ()],
    ids=["case", "argument", "command", "nothing"],
)
def test_what_cannot_be_done_is_refused(arguments):
    assert run(*arguments, status=2)


def test_an_endpoint_that_stands_alone_is_told_where_it_belongs():
    told = run("sub", "tcp://127.0.0.1:5556", status=2)
    assert "fastmq sub: 'tcp://127.0.0.1:5556' is one word too many" in told
    assert "--bind or --connect" in told
    assert "--bind or --connect" not in run("proxy", "queue", "tcp://127.0.0.1:5556", status=2)


@pytest.mark.parametrize(
    ("arguments", "named", "allowed", "meant"),
    [
        (("pubb",), "'pubb'", "pub, sub, req", "pub"),
        (("sub", "--conect", "x"), "'--conect'", "fastmq sub --help", "--connect"),
        (("pub", "-f", "jsn"), "'jsn'", "raw, json, hex and msgpack", "json"),
        (("perf", "reqrpe"), "'reqrpe'", "pushpull and reqrep", None),
        (("perf", "latt"), "'latt'", "suite, lat and thr", "lat"),
        (("perf", "latt", "--transport", "tcp"), "'latt'", "", "lat"),
        (("perf", "lat", "--modules"), "--modules", "a value is missing", None),
        (("perf", "lat", "--transport", "tpc"), "'tpc'", "tcp, ipc and inproc", "tcp"),
        (("proxy", "quue"), "'quue'", "queue, forwarder and streamer", "queue"),
        (("monitor", "--event", "acepted"), "'acepted'", "protocol_violation", "accepted"),
        (("completion", "tcsh"), "'tcsh'", "bash, zsh and fish", None),
        (("pub", "--count", "x"), "'x'", "between 1 and", None),
        (("pub", "--rate", "x"), "'x'", "between 0.0001 and", None),
        (("pub", "--rate"), "--rate", "a value is missing", None),
        (("rep", "--file", "x", "--exec", "y"), "--exec", "does not go with --file", None),
        (("pub", "-c", "x"), "'x'", "tcp://HOST:PORT", None),
        (("pub", "-c", "tpc://x:1", "m"), "'tpc'", "use tcp, ipc", None),
        (("pub", "-b", "ipc://*", "--option", "lingr=1"), "'lingr'", "", "linger"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_error_is_one_line_with_the_word_and_what_is_allowed(arguments, named, allowed, meant):
    status = 1 if arguments[2:3] == ("tpc://x:1",) else 2
    (line,) = run(*arguments, status=status).splitlines()
    assert line.startswith("fastmq")
    assert named in line
    assert allowed in line
    assert (f"do you mean {meant}?" in line) if meant else ("do you mean" not in line)


def test_a_missing_word_is_told_by_what_it_may_be():
    (line,) = run("proxy", status=2).splitlines()
    assert line == "fastmq proxy: queue, forwarder or streamer is missing"
