# SPDX-License-Identifier: MIT
"""Deprecated: pyzmq's authenticator for tornado is the one for asyncio."""

from __future__ import annotations

import warnings
from typing import Any

from .._core import package_name
from ..context import Context
from .asyncio import AsyncioAuthenticator

warnings.warn(
    f"{package_name()}.auth.ioloop is deprecated: use {package_name()}.auth.asyncio",
    DeprecationWarning,
    stacklevel=2,
)


class IOLoopAuthenticator(AsyncioAuthenticator):
    """AsyncioAuthenticator under its old name. io_loop is deprecated: it has no effect."""

    def __init__(
        self,
        context: Context[Any] | None = None,
        encoding: str = "utf-8",
        log: Any = None,
        io_loop: Any = None,
    ) -> None:
        if io_loop is not None:
            warnings.warn(
                f"{type(self).__name__}(io_loop) is deprecated and has no effect",
                DeprecationWarning,
                stacklevel=2,
            )
        super().__init__(context, None, encoding, log)


__all__ = ["IOLoopAuthenticator"]
