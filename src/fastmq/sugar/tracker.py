# SPDX-License-Identifier: MIT
"""pyzmq's path to what fastmq.frame has for tracking."""

from ..frame import _FINISHED_TRACKER, MessageTracker

__all__ = ["_FINISHED_TRACKER", "MessageTracker"]
