# SPDX-License-Identifier: MIT
"""pyzmq's path to fastmq.frame."""

from ..frame import Frame, Message

__all__ = ["Frame", "Message"]
