# SPDX-License-Identifier: MIT
"""Tests that are coroutines: each runs in asyncio's loop and, where it is installed, in uvloop."""

import asyncio
import functools
import importlib.util
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None
KINDS = [
    "asyncio",
    pytest.param(
        "uvloop", marks=pytest.mark.skipif(not HAS_UVLOOP, reason="uvloop is not installed")
    ),
]
SOON = 8.0
"""How long a test waits for something that must come, in seconds."""


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.SelectorEventLoop()


def run(coroutine: Coroutine[Any, Any, Any], kind: str = "asyncio") -> Any:
    """Runs a coroutine in a new loop and closes that; errors in callbacks are errors."""
    loop = new_loop(kind)
    errors: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    try:
        return loop.run_until_complete(asyncio.wait_for(coroutine, 4 * SOON))
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        assert not errors, errors


def in_loops(test: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., None]:
    """Makes a test of a coroutine function, once a kind of loop."""

    @functools.wraps(test)
    def call(*, loop_kind: str, **fixtures: Any) -> None:
        run(test(**fixtures), loop_kind)

    signature = inspect.signature(test)
    extra = inspect.Parameter("loop_kind", inspect.Parameter.KEYWORD_ONLY)
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), extra]
    )
    return pytest.mark.parametrize("loop_kind", KINDS)(call)


async def turns(n: int = 3) -> None:
    """Lets the loop go round a few times."""
    for _ in range(n):
        await asyncio.sleep(0)


async def soon(awaitable: Awaitable[Any]) -> Any:
    """What it gives, which must come within SOON."""
    return await asyncio.wait_for(awaitable, SOON)


async def until(what: str, condition: Callable[[], bool]) -> None:
    """Waits until something is so."""
    deadline = asyncio.get_running_loop().time() + SOON
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"{what}: not so within {SOON:g} s")
        await asyncio.sleep(0.001)


if HAS_UVLOOP:
    new_loop("uvloop").close()  # its first loop opens descriptors that stay
