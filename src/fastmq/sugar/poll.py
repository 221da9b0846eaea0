# SPDX-License-Identifier: MIT
"""pyzmq's path to fastmq.poll."""

from ..poll import Poller, select

__all__ = ["Poller", "select"]
