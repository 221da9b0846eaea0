# SPDX-License-Identifier: MIT
"""The helpers of monitor sockets, under a shorter name than fastmq.utils.monitor."""

from .utils.monitor import link_reason, parse_monitor_message, recv_monitor_message

__all__ = ["link_reason", "parse_monitor_message", "recv_monitor_message"]
