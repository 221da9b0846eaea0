# SPDX-License-Identifier: MIT
"""pyzmq's path to fastmq.context."""

from ..context import Context

SyncContext = Context

__all__ = ["Context", "SyncContext"]
