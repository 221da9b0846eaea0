# SPDX-License-Identifier: MIT
"""Sockets in tornado programs: `zmqstream` calls back, `future` is for coroutines."""

from .._extras import load as _load

IOLoop = _load("tornado.ioloop", "tornado").IOLoop

__all__ = ["IOLoop"]
