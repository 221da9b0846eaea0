# SPDX-License-Identifier: MIT
"""Contexts and sockets of asyncio."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers import sockets_of
from target import submodule


@pytest.fixture
def actx(accounting: None) -> Iterator[Any]:
    """An asynchronous context that has to end in time."""
    context = submodule("asyncio").Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def amake(actx: Any) -> Iterator[Callable[..., Any]]:
    """Asynchronous sockets with LINGER 0, closed at the end: amake(zmq.PUSH, sndhwm=5)."""
    with sockets_of(actx) as new:
        yield new
