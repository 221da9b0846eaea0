# SPDX-License-Identifier: MIT
"""As fastmq.eventloop, for green programs."""

from ...eventloop import IOLoop

__all__ = ["IOLoop"]
