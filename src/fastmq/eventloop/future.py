# SPDX-License-Identifier: MIT
"""Sockets whose verbs return tornado's Futures, which are asyncio's: as in fastmq.asyncio."""

from __future__ import annotations

import warnings
from asyncio import CancelledError
from typing import Any, ClassVar

from .. import asyncio as _asyncio
from .._extras import load as _load

_load("tornado", "tornado")


class Poller(_asyncio.Poller):
    """A Poller whose poll returns a Future."""


class Socket(_asyncio.Socket):
    """A socket whose verbs return Futures."""

    _poller_class = Poller


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
