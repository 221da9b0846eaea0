# SPDX-License-Identifier: MIT
"""Deprecated, as fastmq.eventloop.ioloop."""

from ...eventloop.ioloop import IOLoop, PeriodicCallback, ZMQIOLoop, install

__all__ = ["IOLoop", "PeriodicCallback", "ZMQIOLoop", "install"]
