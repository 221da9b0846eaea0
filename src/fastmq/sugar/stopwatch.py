# SPDX-License-Identifier: MIT
"""pyzmq's path to fastmq.stopwatch."""

from ..stopwatch import Stopwatch

__all__ = ["Stopwatch"]
