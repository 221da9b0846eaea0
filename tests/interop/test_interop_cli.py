# SPDX-License-Identifier: MIT
"""The command line with a real libzmq on the other side."""

import json

import pytest
from command import Command, run


@pytest.fixture
def where(tmp_path):
    return f"ipc://{tmp_path}/socket"


def test_pull_prints_what_libzmq_pushes(libzmq, where):
    push = libzmq("PUSH")
    push.bind(where)
    with Command("pull", "-c", where, "-n", 2) as pull:
        push.send(b"one")
        push.send(b"two", b"parts")
        assert pull.end()[0] == b"one\ntwo\tparts\n"


def test_libzmq_receives_what_is_pushed(libzmq, where):
    pull = libzmq("PULL")
    pull.bind(where)
    run("push", "-c", where, "-m", "a", "b")
    assert pull.recv() == [b"a", b"b"]


def test_pub_waits_for_a_subscriber_of_libzmq(libzmq, where):
    with Command("pub", "-b", where, "-t", "north", "cold") as pub:
        sub = libzmq("SUB")
        sub.set("SUBSCRIBE", b"north")
        sub.connect(where)
        assert sub.recv() == [b"north", b"cold"]
        pub.end()


def test_requests_of_libzmq_are_answered(libzmq, where):
    with Command("rep", "-b", where, "-n", 1, "fine") as rep:
        req = libzmq("REQ")
        req.connect(where)
        req.send(b"how are you?")
        assert req.recv() == [b"fine"]
        assert rep.end()[0] == b"how are you?\n"


def test_lat_measures_a_peer_of_libzmq(libzmq, where):
    rep = libzmq("REP")
    rep.bind(where)
    with Command("perf", "lat", "remote", where, "--count", 3, "--json") as remote:
        for _ in range(3):
            (message,) = rep.recv()
            rep.send(message)
        found = json.loads(remote.end()[0])
    assert (found["size"], found["count"]) == (64, 3)
    assert found["p50"] > 0


def test_thr_measures_a_peer_of_libzmq(libzmq, where):
    with Command("perf", "thr", "local", where, "--count", 20, "--json") as local:
        push = libzmq("PUSH")
        push.connect(where)
        for _ in range(20):
            push.send(b"x" * 10)
        found = json.loads(local.end()[0])
    assert (found["size"], found["count"]) == (10, 20)
    assert found["rate"] > 0
