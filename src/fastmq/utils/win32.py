# SPDX-License-Identifier: MIT
"""Ctrl-C on Windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class allow_interrupt:  # noqa: N801
    """Does nothing but keep `action` out of the way: no wait of fastmq holds Ctrl-C back.

    A program written for pyzmq wraps blocking calls in it, so that Ctrl-C on Windows calls
    `action` to end them. Elsewhere pyzmq does nothing either.
    """

    def __init__(self, action: Callable[[], Any] | None = None) -> None:
        self.action = action

    def __enter__(self) -> allow_interrupt:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


__all__ = ["allow_interrupt"]
