# SPDX-License-Identifier: MIT
"""Sockets for asyncio: every method that may wait returns a Future::

    ctx = fastmq.asyncio.Context()
    async with ctx.socket(fastmq.REP) as rep:
        rep.bind("tcp://127.0.0.1:5555")
        async for parts in rep:
            await rep.send_multipart([b"re:", *parts])

Works with every loop that has add_reader: asyncio's selector loop, uvloop.
"""

from __future__ import annotations

import asyncio as _asyncio
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from . import _core, _future
from .context import Context as _Context
from .error import TermTimeout

if TYPE_CHECKING:
    from typing_extensions import Self

# How long a context that ends may hold up the loop; what takes longer is looked after at growing
# intervals, in seconds.
_TERM_AT_ONCE_MS = 20
_TERM_FIRST_S, _TERM_LAST_S = 0.001, 0.02


class ProactorSelectorThreadWarning(RuntimeWarning):
    """Exists for compatibility with pyzmq; never issued."""


class Poller(_future._AsyncPoller):
    """A Poller whose poll returns a Future."""


class Socket(_future._AsyncSocket):
    """A socket of any type whose methods return asyncio Futures.

    Usable in `async with`, which closes it, and in `async for`, which receives until it is closed
    or its context ends. One socket may be used from several loops.
    """

    _poller_class = Poller


Poller._socket_class = Socket


class Context(_Context[Socket]):
    """A Context whose sockets are asynchronous; also for `async with`."""

    _socket_class = Socket
    _instance: ClassVar[Any] = None  # not shared with fastmq.Context

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *args: object) -> None:
        """Closes the sockets and ends the context. Other tasks run while it waits for LINGER. If
        the task is cancelled, the wait ends, and the context sends the rest in the background."""
        pause = _TERM_FIRST_S
        try:
            self.destroy(timeout=_TERM_AT_ONCE_MS)
        except TermTimeout:
            try:
                while not self._term(0):
                    await _asyncio.sleep(pause)
                    pause = min(2 * pause, _TERM_LAST_S)
            except _asyncio.CancelledError:
                self._given_up = True
                raise


class ZMQEventLoop(_asyncio.SelectorEventLoop):
    """Deprecated: sockets work with every event loop."""

    def __init__(self, selector: Any = None) -> None:
        _deprecated("ZMQEventLoop")
        super().__init__(selector)


def install() -> None:
    """Deprecated: there is nothing to install."""
    _deprecated("install()")


def _deprecated(name: str) -> None:
    warnings.warn(
        f"{_core.package_name()}.asyncio.{name} is not needed: sockets work with every event loop",
        DeprecationWarning,
        stacklevel=3,
    )


__all__ = ["Context", "Poller", "Socket", "ZMQEventLoop", "install"]
