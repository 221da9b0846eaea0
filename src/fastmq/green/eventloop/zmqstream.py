# SPDX-License-Identifier: MIT
"""As fastmq.eventloop.zmqstream."""

from ...eventloop.zmqstream import ZMQStream

__all__ = ["ZMQStream"]
