# SPDX-License-Identifier: MIT
"""What kinds of interpreters fastmq is for: those without a GIL, and no subinterpreters."""

import subprocess
import sys
import sysconfig

import pytest
from helpers import WAIT_MS, at_once
from target import fastmq_only, zmq

pytestmark = fastmq_only("how fastmq's own module is built")

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

IN_ANOTHER = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
if {first}:
    import fastmq
kind = {kind!r}
if sys.version_info >= (3, 13):
    other = interpreters.create(kind)
else:
    other = interpreters.create(isolated=kind == "isolated")
run = getattr(interpreters, "exec", None) or interpreters.run_string
run(other, '''
try:
    import fastmq
except ImportError as e:
    print("ImportError:", e, flush=True)
else:
    print("imported", flush=True)
''')
interpreters.destroy(other)
if {first}:
    with fastmq.Context() as context, context.socket(fastmq.PAIR) as socket:
        socket.bind("inproc://still-here")
    print("alive", flush=True)
"""


def told(kind, first):
    """What a process prints in which an interpreter of a kind imports fastmq."""
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER.format(kind=kind, first=first)],
        capture_output=True,
        text=True,
        timeout=25,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters share one GIL before 3.12")
@pytest.mark.parametrize("first", [False, True])
def test_a_subinterpreter_with_its_own_gil_gets_an_import_error(first):
    line, *rest = told("isolated", first)
    assert line.startswith("ImportError: module fastmq._core does not support")
    assert rest == (["alive"] if first else [])


def test_a_subinterpreter_that_shares_the_gil_gets_an_import_error():
    line, *rest = told("legacy", True)
    assert line.startswith("ImportError: ") and "interpreter" in line
    assert rest == ["alive"]


@pytest.mark.skipif(not FREE_THREADED, reason="this interpreter has a GIL")
def test_importing_it_leaves_the_gil_off():
    script = "import sys, fastmq, fastmq.asyncio; print(sys._is_gil_enabled())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=25
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_threads_that_ask_a_frame_for_its_bytes_get_one_object(ctx):
    pull, push = ctx.socket(zmq.PULL), ctx.socket(zmq.PUSH)
    with pull, push:
        pull.bind("inproc://frames")
        push.connect("inproc://frames")
        for n in range(20):
            content = bytearray(b"%d" % (n % 10) * 2_000_000)  # no bytes object: the frame makes it
            push.send(content)
            frame = pull.recv(copy=False, timeout=WAIT_MS)
            got = []
            at_once(*[lambda f=frame, g=got: g.append(f.bytes)] * 4)
            assert len(got) == 4 and all(g is got[0] for g in got)
            assert got[0] == content


def test_threads_that_add_to_a_poll_set_at_once_are_all_told(ctx):
    sockets = [ctx.socket(zmq.PAIR) for _ in range(32)]
    peers = [ctx.socket(zmq.PAIR) for _ in range(32)]
    poll_set = zmq._core.PollSet()
    try:
        for n, (a, b) in enumerate(zip(sockets, peers, strict=True)):
            a.bind(f"inproc://set-{n}")
            b.connect(f"inproc://set-{n}")
            b.send(b"x")

        def add(mine):
            for socket in mine:
                poll_set.add(socket, zmq.POLLIN)

        at_once(*[lambda m=sockets[n::4]: add(m) for n in range(4)])
        ready = poll_set.wait(WAIT_MS)
        assert {id(socket) for socket, _ in ready} == {id(socket) for socket in sockets}
    finally:
        for socket in sockets:
            poll_set.remove(socket)
        for socket in (*sockets, *peers):
            socket.close(linger=0)


def test_loops_of_several_threads_share_a_socket(ctx):
    """Each message reaches one of them, and both are served."""
    import asyncio

    import fastmq.asyncio

    context = fastmq.asyncio.Context(ctx)
    total = 2000
    got = [[], []]
    push = ctx.socket(zmq.PUSH)
    pull = context.socket(zmq.PULL)
    push.bind("inproc://loops")
    pull.connect("inproc://loops")

    def receive(mine):
        async def main():
            while (message := await pull.recv(timeout=WAIT_MS)) != b"end":
                mine.append(int(message))

        asyncio.run(main())

    def send():
        for n in range(total):
            push.send(b"%d" % n, timeout=WAIT_MS)
        for _ in range(2):
            push.send(b"end", timeout=WAIT_MS)

    try:
        at_once(send, lambda: receive(got[0]), lambda: receive(got[1]))
    finally:
        push.close(linger=0)
        pull.close(linger=0)
    assert sorted(got[0] + got[1]) == list(range(total))
    for mine in got:
        assert mine == sorted(mine)
