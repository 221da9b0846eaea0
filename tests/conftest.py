# SPDX-License-Identifier: MIT
"""Deadlines, contexts that must end, endpoints of every transport, and leak accounting.

Every test runs under a deadline (`@pytest.mark.deadline(seconds)` changes it). When it passes, the
test fails with a traceback of where it stood; if not even that works because a call holds the
interpreter, the stacks of all threads are printed and the run is killed.

After every test the process must be as it was before: no descriptor, no engine descriptor and no
open socket more.
"""

import faulthandler
import gc
import os
import signal
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import Endpoint, Events, eventually, unique
from security import Answer, Handler, ok
from target import IS_FASTMQ, MODULE, open_engine_fds, zmq

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a shell: the processes that tests interrupt would ignore it, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

DEADLINE = 30.0
KILL_AFTER = 10.0
TERM_MS = 6000

_report_fd = 2


def pytest_configure(config: pytest.Config) -> None:
    global _report_fd
    # Output is not captured at this moment; later the descriptor 2 is pytest's.
    _report_fd = os.dup(2)
    config.addinivalue_line("markers", "deadline(seconds): how long the test may take")
    config.addinivalue_line("filterwarnings", "error::ResourceWarning")
    config.addinivalue_line("filterwarnings", "error::pytest.PytestUnraisableExceptionWarning")
    config.addinivalue_line("filterwarnings", "error::pytest.PytestUnhandledThreadExceptionWarning")
    if not IS_FASTMQ:
        _warm_up()


def pytest_report_header() -> str:
    poller = os.environ.get("FASTMQ_POLLER", "default")
    return f"module under test: {MODULE}, poller: {poller}"


def pytest_collection_finish() -> None:
    # What exists now stays: the collections that the leak accounting makes need not look at it.
    gc.collect()
    gc.freeze()


def _warm_up() -> None:
    """pyzmq's thread for zero-copy sends keeps descriptors; have them before any counting."""
    with zmq.Context() as ctx, ctx.socket(zmq.PUSH) as push, ctx.socket(zmq.PULL) as pull:
        pull.bind("inproc://warm-up")
        push.connect("inproc://warm-up")
        push.send(b"x" * 100_000, copy=False)
        pull.recv()


class DeadlineExceeded(BaseException):
    """Not an Exception, so that no `except Exception` under test swallows it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    mark = item.get_closest_marker("deadline")
    limit = float(mark.args[0]) if mark else DEADLINE

    def expired(_signum: int, frame: types.FrameType | None) -> None:
        # Teardown gets time of its own after a test was stopped.
        signal.setitimer(signal.ITIMER_REAL, KILL_AFTER / 2)
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "?"
        raise DeadlineExceeded(f"{item.nodeid}: not done within {limit:g} s, stood at {where}")

    old = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, limit)
    faulthandler.dump_traceback_later(limit + KILL_AFTER, exit=True, file=_report_fd)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def _fds() -> dict[int, str]:
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    found = {}
    for name in os.listdir(folder):
        try:
            os.fstat(int(name))
        except OSError:
            continue  # the descriptor of the listing itself
        try:
            found[int(name)] = os.readlink(f"{folder}/{name}")
        except OSError:
            found[int(name)] = "?"
    return found


@pytest.fixture(autouse=True)
def accounting() -> Iterator[None]:
    """Set up first and torn down last: nothing may be left of a test."""
    gc.collect()
    before = _fds()
    engine_before = open_engine_fds()
    threads_before = set(threading.enumerate())
    yield
    gc.collect()

    def leaked() -> dict[int, str]:
        return {n: f for n, f in _fds().items() if before.get(n) is None}

    try:
        eventually("descriptors closed", lambda: not leaked(), 3)
        eventually("engine descriptors back", lambda: open_engine_fds() <= engine_before, 3)
    except pytest.fail.Exception as e:
        pytest.fail(
            f"{e}; left over: {leaked()}, engine: {engine_before} before, {open_engine_fds()} now"
        )

    def running() -> list[str]:
        return [t.name for t in set(threading.enumerate()) - threads_before if t.is_alive()]

    try:
        eventually("threads ended", lambda: not running(), 3)
    except pytest.fail.Exception as e:
        pytest.fail(f"{e}; left running: {running()}")


@pytest.fixture
def ctx(accounting: None) -> Iterator[Any]:
    """A context that has to terminate in time at the end of the test."""
    context = zmq.Context()
    yield context
    if context.closed:
        return
    if not IS_FASTMQ:
        context.term()
        return
    try:
        context.term(timeout=TERM_MS)
    except zmq.TermTimeout as e:
        rows = [
            f"type {p.type}, {'open' if p.open else 'closed'}, {p.messages} to send, {p.endpoint!r}"
            for p in e.pending
        ]
        context.destroy(linger=0)
        pytest.fail(f"the context did not end within {TERM_MS} ms; pending: {rows}")


Make = Callable[..., Any]


@pytest.fixture
def make(ctx: Any) -> Iterator[Make]:
    """Sockets with LINGER 0 and bounded waits, closed at the end: make(zmq.PUSH, sndhwm=5)."""
    made: list[Any] = []

    def new(kind: int, **options: Any) -> Any:
        sock = ctx.socket(kind)
        made.append(sock)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.SNDTIMEO, 10_000)
        sock.setsockopt(zmq.RCVTIMEO, 10_000)
        for name, value in options.items():
            if name == "hwm":
                sock.set_hwm(value)
            else:
                sock.setsockopt(getattr(zmq, name.upper()), value)
        return sock

    yield new
    for sock in reversed(made):
        sock.close()


@pytest.fixture
def watch(ctx: Any) -> Iterator[Callable[..., Events]]:
    """The monitor of a socket: watch(sock).wait(zmq.EVENT_CONNECTED)."""
    made: list[Events] = []

    def new(sock: Any, mask: int | None = None) -> Events:
        made.append(Events(sock, mask))
        return made[-1]

    yield new
    for events in made:
        events.close()


@pytest.fixture
def handler(ctx: Any) -> Iterator[Callable[..., Handler]]:
    """Handlers of the test's context: handler(answer). Closed at the end."""
    made: list[Handler] = []

    def new(answer: Answer = ok) -> Handler:
        made.append(Handler(ctx, answer))
        return made[-1]

    yield new
    for one in made:
        one.close()


@pytest.fixture(params=Endpoint.KINDS)
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Endpoint:
    return Endpoint(request.param, tmp_path)


@pytest.fixture
def pair_of(make: Make, endpoint: Endpoint) -> Callable[..., tuple[Any, Any]]:
    """pair_of(zmq.PUSH, zmq.PULL): the first is bound, the second connected to it."""

    def new(
        bound: int,
        connected: int,
        bound_options: dict[str, Any] | None = None,
        connected_options: dict[str, Any] | None = None,
    ) -> tuple[Any, Any]:
        a = make(bound, **(bound_options or {}))
        b = make(connected, **(connected_options or {}))
        endpoint.connect(b, endpoint.bind(a))
        return a, b

    return new


@pytest.fixture
def tcp_address() -> str:
    return "tcp://127.0.0.1:*"


@pytest.fixture
def name() -> Callable[[], str]:
    """Fresh inproc addresses."""
    return lambda: f"inproc://{unique('t')}"
