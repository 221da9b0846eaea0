# SPDX-License-Identifier: MIT
"""Deprecated: pyzmq's authenticator for tornado is the one for asyncio."""

from __future__ import annotations

import warnings
from typing import Any

from ..context import Context
from .asyncio import AsyncioAuthenticator

warnings.warn(
    "fastmq.auth.ioloop is deprecated: use fastmq.auth.asyncio", DeprecationWarning, stacklevel=2
)


class IOLoopAuthenticator(AsyncioAuthenticator):
    """AsyncioAuthenticator under its old name."""

    def __init__(
        self,
        context: Context[Any] | None = None,
        encoding: str = "utf-8",
        log: Any = None,
        io_loop: Any = None,
    ) -> None:
        super().__init__(context, None, encoding, log)


__all__ = ["IOLoopAuthenticator"]
