# SPDX-License-Identifier: MIT
"""Deprecated names that lay here in pyzmq."""

from __future__ import annotations

from typing import Any

from .._extras import load as _load
from ..poll import Poller as ZMQPoller

_tornado: Any = _load("tornado.ioloop", "tornado")

ZMQIOLoop: Any = _tornado.IOLoop


class DelayedCallback(_tornado.PeriodicCallback):  # type: ignore[misc]
    """Calls once, callback_time ms after start()."""

    def __init__(self, callback: Any, callback_time: float, io_loop: Any = None) -> None:
        def once() -> Any:
            self.stop()
            return callback()

        super().__init__(once, callback_time)


def install() -> None:
    """There is nothing to install."""


__all__ = ["DelayedCallback", "ZMQIOLoop", "ZMQPoller", "install"]
