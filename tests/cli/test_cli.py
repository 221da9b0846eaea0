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
    assert "fastmq sub: error: unrecognized arguments: tcp://127.0.0.1:5556" in told
    assert "--bind or --connect" in told
    assert "--bind or --connect" not in run("proxy", "queue", "tcp://127.0.0.1:5556", status=2)
    assert "fastmq sub --help" in run("sub", "--conect", "x", status=2)


def test_a_missing_word_is_told_by_what_it_may_be():
    assert "required: {queue,forwarder,streamer}" in run("proxy", status=2)
