# SPDX-License-Identifier: MIT
"""Deprecated: tornado's own IOLoop is all that is needed."""

from __future__ import annotations

import warnings
from typing import Any

from .._core import package_name
from .._extras import load as _load

_tornado: Any = _load("tornado.ioloop", "tornado")


def _deprecated() -> None:
    warnings.warn(
        f"{package_name()}.eventloop.ioloop is deprecated: use tornado.ioloop",
        DeprecationWarning,
        stacklevel=3,
    )


_deprecated()

IOLoop: Any = _tornado.IOLoop
ZMQIOLoop: Any = _tornado.IOLoop
PeriodicCallback: Any = _tornado.PeriodicCallback


def install() -> None:
    """Deprecated: there is nothing to install."""
    _deprecated()


__all__ = ["IOLoop", "PeriodicCallback", "ZMQIOLoop", "install"]
