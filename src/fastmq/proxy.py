# SPDX-License-Identifier: MIT
"""Proxies: messages forwarded between two sockets by the engine, without the interpreter."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from . import _core

if TYPE_CHECKING:
    from .socket import Socket


def proxy(frontend: Socket, backend: Socket, capture: Socket | None = None) -> None:
    """Forwards whole messages between two sockets, both ways; a copy of each goes to capture.

    It does not return, but raises ContextTerminated, or ZMQError(ENOTSOCK) when a socket is closed.
    """
    _core.run_proxy(frontend, backend, capture, None)


def proxy_steerable(
    frontend: Socket,
    backend: Socket,
    capture: Socket | None = None,
    control: Socket | None = None,
) -> None:
    """A proxy that is controlled by messages on control: PAUSE, RESUME, TERMINATE (it returns),
    STATISTICS (it replies with eight 64-bit counters)."""
    _core.run_proxy(frontend, backend, capture, control)


def device(device_type: int, frontend: Socket, backend: Socket) -> None:
    """Deprecated name of proxy; the type has no effect."""
    warnings.warn("device() is now proxy()", DeprecationWarning, stacklevel=2)
    _core.run_proxy(frontend, backend, None, None)


__all__ = ["device", "proxy", "proxy_steerable"]
