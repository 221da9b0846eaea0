# SPDX-License-Identifier: MIT
"""Messages that wait when a context is dropped or the interpreter ends."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import target
from helpers import WAIT_MS, free_port, recv, run_python
from target import MODULE, fastmq_only, zmq

COUNT = 20
# {linger}: an assignment, or nothing.
PROGRAM = """
import sys

def work(ctx):
    push = ctx.socket(zmq.PUSH)
    {linger}
    push.connect(sys.argv[1])
    for n in range(20):
        push.send(b"%d" % n)
    return push

{body}
"""
LOCAL = """
def main():
    ctx = zmq.Context()
    push = work(ctx)
    {close}

main()
"""
GLOBAL = """
ctx = {context}
push = work(ctx)
{close}
"""


def program(body, linger="", **fields):
    return PROGRAM.format(linger=linger and f"push.linger = {linger}", body=body.format(**fields))


def start(code, *args, options=()):
    support = str(Path(target.__file__).parent)
    text = f"import sys; sys.path.insert(0, {support!r})\nfrom target import zmq\n{code}"
    return subprocess.Popen(
        [sys.executable, *options, "-c", text, *args],
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ, FASTMQ_TEST_MODULE=MODULE),
    )


@pytest.mark.slow
@pytest.mark.parametrize("close", ["", "push.close()"], ids=["open", "closed"])
@pytest.mark.parametrize("linger", ["", "60_000"], ids=["default", "linger"])
def test_a_context_that_is_dropped_gives_its_messages_their_linger(make, close, linger):
    """A local of main(), to a peer that comes late: later than the second that exits may take."""
    address = f"tcp://127.0.0.1:{free_port()}"
    child = start(program(LOCAL, linger, close=close), address)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(2)
        pull = make(zmq.PULL)
        pull.bind(address)
        assert [recv(pull) for _ in range(COUNT)] == [b"%d" % n for n in range(COUNT)]
        _, err = child.communicate(timeout=WAIT_MS / 1000)
        assert child.returncode == 0 and not err, err
    finally:
        child.kill()
        child.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("close", ["", "push.close()"], ids=["open", "closed"])
def test_a_dropped_context_ends_when_linger_is_over(close):
    begin = time.monotonic()
    done = run_python(program(LOCAL, "300", close=close), f"tcp://127.0.0.1:{free_port()}")
    assert done.returncode == 0 and not done.stderr
    assert time.monotonic() - begin >= 0.3


@pytest.mark.slow
@pytest.mark.parametrize("context", ["zmq.Context()", "zmq.Context.instance()"])
@pytest.mark.parametrize("close", ["", "push.close()"], ids=["open", "closed"])
def test_a_global_context_does_not_hold_up_the_end_of_the_interpreter(context, close):
    """With pyzmq such a process ends at once, and its messages are lost in silence."""
    address = f"tcp://127.0.0.1:{free_port()}"
    done = run_python(program(GLOBAL, context=context, close=close), address, timeout=20)
    assert done.returncode == 0
    if MODULE == "fastmq":
        state = "closed " if close else ""
        expected = (
            f"RuntimeWarning: dropped at exit: 20 messages of a {state}PUSH socket at {address}"
        )
        assert done.stderr.count("Warning") == 1 and expected in done.stderr


@fastmq_only("pyzmq does not know the variable")
@pytest.mark.parametrize("value", ["abc", "", "-1", "nan", "1 s"])
def test_a_limit_that_is_no_number_of_ms_counts_as_not_set(monkeypatch, value):
    """Messages still have their second to go out, and what is lost is still told."""
    monkeypatch.setenv("FASTMQ_EXIT_LINGER", value)
    address = f"tcp://127.0.0.1:{free_port()}"
    code = """
import sys
push = zmq.Context.instance().socket(zmq.PUSH)
push.connect(sys.argv[1])
push.send(b"x")
"""
    start = time.monotonic()
    done = run_python(code, address)
    assert time.monotonic() - start >= 1
    assert f"1 message of a PUSH socket at {address}" in done.stderr


@fastmq_only("pyzmq warns of nothing at exit")
class TestOneWarningAtExit:
    def test_names_all_sockets(self):
        addresses = [f"tcp://127.0.0.1:{free_port()}" for _ in range(2)]
        code = """
import os, sys
os.environ["FASTMQ_EXIT_LINGER"] = "0"
ctx = zmq.Context()
made = []
for address in sys.argv[1:]:
    made.append(ctx.socket(zmq.DEALER))
    made[-1].connect(address)
    made[-1].send(b"x")
made[0].send(b"y", zmq.SNDMORE)
"""
        done = run_python(code, *addresses)
        assert done.stderr.count("Warning") == 1
        for address in addresses:
            assert f"1 message of a DEALER socket at {address}" in done.stderr
        assert "1 message begun with SNDMORE and not finished of a DEALER socket" in done.stderr

    def test_is_not_given_where_nothing_is_lost_or_linger_is_0(self):
        code = """
import sys
ctx = zmq.Context()
a, b = ctx.socket(zmq.PAIR), ctx.socket(zmq.PAIR)
a.bind("inproc://unread")
b.connect("inproc://unread")
b.send(b"nobody receives this, which is the receiver's own business")
given_up = ctx.socket(zmq.PUSH)
given_up.linger = 0
given_up.connect(sys.argv[1])
given_up.send(b"x")
"""
        begin = time.monotonic()
        done = run_python(code, f"tcp://127.0.0.1:{free_port()}")
        assert done.returncode == 0 and not done.stderr
        assert time.monotonic() - begin < 10

    def test_as_an_error_is_shown_too(self):
        address = f"tcp://127.0.0.1:{free_port()}"
        code = program(GLOBAL, context="zmq.Context()", close="")
        child = start(code, address, options=("-W", "error::RuntimeWarning"))
        _, err = child.communicate(timeout=WAIT_MS / 1000)
        assert "RuntimeWarning: dropped at exit: 20 messages" in err


# ---- errors when the interpreter imports no more ----


@fastmq_only("looks at how errors are made")
def test_making_an_error_imports_nothing():
    code = """
import builtins, sys
import fastmq.asyncio
ctx = zmq.Context()
socks = [ctx.socket(kind) for kind in (zmq.PUSH, zmq.PULL, zmq.REP, zmq.SUB)]
push, pull, rep, sub = socks
closed = ctx.socket(zmq.PAIR)
closed.close()

def refuse(name, *args, **kwargs):
    raise ImportError("sys.meta_path is None, Python is likely shutting down")

def attempts():
    yield lambda: closed.send(b"x")
    yield lambda: closed.recv()
    yield lambda: closed.poll()
    yield lambda: push.send(b"x", zmq.DONTWAIT)
    yield lambda: pull.recv(zmq.DONTWAIT)
    yield lambda: push.recv()
    yield lambda: rep.send(b"x")
    yield lambda: push.send_many([b"x"], zmq.DONTWAIT)
    yield lambda: push.bind("tcp://nowhere.invalid:x")
    yield lambda: push.setsockopt(12345, 1)
    yield lambda: push.linger.nothing
    yield lambda: ctx.term(timeout=0)
    yield lambda: zmq.Frame(b"x", track=True).get("nothing")
    yield lambda: sub.subscribe(1)
    yield lambda: zmq.error._check_version("99.0")
    yield lambda: push.join("x")

builtins.__import__ = refuse
sys.meta_path = None
seen = []
for attempt in attempts():
    try:
        attempt()
        seen.append("no error")
    except ImportError as e:
        seen.append(f"ImportError: {e}")
    except Exception as e:
        seen.append(type(e).__name__)
push.send(b"x", zmq.SNDMORE) if False else None
for sock in socks:
    sock.close(0)
sys.stdout.write(" ".join(seen))
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"(\w+ ?)+", done.stdout) and "ImportError" not in done.stdout
    assert "no" not in done.stdout.split() and len(done.stdout.split()) == 16
