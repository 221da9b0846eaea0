# SPDX-License-Identifier: MIT
"""Sockets whose methods return tornado's Futures, which are asyncio's: as in fastmq.asyncio.

An IOLoop that is closed with all_fds=True closes the sockets that were used in it.
"""

from __future__ import annotations

import asyncio
import warnings
from asyncio import CancelledError
from typing import Any, ClassVar

from .. import asyncio as _asyncio
from .._extras import load as _load
from ._registered import Registered

_IOLoop: Any = _load("tornado.ioloop", "tornado").IOLoop


class Poller(_asyncio.Poller):
    """A Poller whose poll returns a Future."""


class Socket(_asyncio.Socket):
    """A socket whose methods return Futures."""

    _poller_class = Poller
    _registered: Registered | None = None
    _registered_in: Any = None

    def _first_use(self) -> None:
        """Gives the running IOLoop a hold of the socket."""
        io_loop = _IOLoop.current(instance=False) if _asyncio_running() else None
        if io_loop is None or io_loop is self._registered_in:
            return
        if self._registered is not None:
            self._registered.remove()
        self._registered = Registered(io_loop, self)
        self._registered_in = io_loop

    def _get_loop(self) -> asyncio.AbstractEventLoop:
        self._first_use()
        return super()._get_loop()

    def close(self, linger: int | None = None) -> None:
        """Closes the socket, see fastmq.Socket.close. Waiting Futures are cancelled."""
        if self._registered is not None:
            self._registered.remove()
        super().close(linger)


def _asyncio_running() -> bool:
    return asyncio._get_running_loop() is not None


Poller._socket_class = Socket


class Context(_asyncio.Context):
    """A Context whose sockets return Futures; also for `async with`. io_loop is deprecated: the
    running loop is used."""

    _socket_class = Socket
    _instance: ClassVar[Any] = None

    def __init__(self, *args: Any, io_loop: Any = None, **kwargs: Any) -> None:
        if io_loop is not None:
            warnings.warn(
                "Context(io_loop) is deprecated: the running loop is used",
                DeprecationWarning,
                stacklevel=2,
            )
        super().__init__(*args, **kwargs)


__all__ = ["CancelledError", "Context", "Poller", "Socket"]
