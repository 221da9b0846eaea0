# SPDX-License-Identifier: MIT
"""The kinds of event loops that programs run in; each counts how often it wakes up."""

import asyncio
import functools
import importlib.util
import selectors
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any


class Counter:
    """How often a loop woke up."""

    def __init__(self) -> None:
        self.count = 0


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.counter = counter

    def select(self, timeout: float | None = None) -> Any:
        self.counter.count += 1
        return super().select(timeout)


def _uvloop(counter: Counter) -> asyncio.AbstractEventLoop:
    """uvloop does not tell of its turns, but of all that it is asked to call."""
    import uvloop

    class Loop(uvloop.Loop):  # type: ignore[misc]
        def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> Any:
            def call() -> None:
                counter.count += 1
                callback(*args)

            return super().add_reader(fd, call)

        def call_soon(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            counter.count += 1
            return super().call_soon(callback, *args, **kwargs)

        def call_soon_threadsafe(
            self, callback: Callable[..., Any], *args: Any, **kwargs: Any
        ) -> Any:
            counter.count += 1
            return super().call_soon_threadsafe(callback, *args, **kwargs)

    return Loop()


def missing(kind: str, streams: bool = False) -> str:
    """Why a kind, with ZMQStreams or not, cannot run here; empty if it can."""
    for module in ("uvloop", "tornado"):
        needed = kind == module or (streams and module == "tornado")
        if needed and importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    if kind == "asyncio-eager" and sys.version_info < (3, 12):
        return "Python before 3.12 has no eager tasks"
    return ""


def new_loop(kind: str) -> tuple[asyncio.AbstractEventLoop, Counter]:
    counter = Counter()
    loop: asyncio.AbstractEventLoop
    if kind == "uvloop":
        loop = _uvloop(counter)
    else:
        loop = asyncio.SelectorEventLoop(_Selector(counter))
    if kind == "asyncio-debug":
        loop.set_debug(True)
        loop.slow_callback_duration = 60
    if kind == "asyncio-eager":
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    return loop, counter


@functools.cache
def warm_up(kind: str) -> None:
    """The first loop of a kind opens what stays open; have it before anything is counted."""
    loop, _ = new_loop(kind)
    run(kind, loop, asyncio.sleep(0))


def run(kind: str, loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, Any]) -> Any:
    """Runs the coroutine in the loop, and closes that."""
    try:
        if kind == "tornado":
            return _run_tornado(loop, main)
        return loop.run_until_complete(main)
    finally:
        loop.close()
        if "tornado.ioloop" in sys.modules:
            # It keeps a loop that a stream was in until it meets another new one.
            sys.modules["tornado.ioloop"].IOLoop._ioloop_for_asyncio.pop(loop, None)


def _run_tornado(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, Any]) -> Any:
    """As a tornado program does: its IOLoop starts the loop, and stops it."""
    from tornado.ioloop import IOLoop

    made = IOLoop(make_current=False, asyncio_loop=loop)

    async def call() -> Any:
        return await main

    try:
        return made.run_sync(call)
    finally:
        made.close()


class LoopThread(threading.Thread):
    """A further loop, in a thread of its own."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.kind = kind
        self.loop, self.counter = new_loop(kind)
        self.stopped = self.loop.create_future()

    async def _main(self) -> None:
        await self.stopped

    def run(self) -> None:
        run(self.kind, self.loop, self._main())

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.stopped.set_result, None)
