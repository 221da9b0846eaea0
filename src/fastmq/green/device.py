# SPDX-License-Identifier: MIT
"""Names of fastmq.green under the module that has them in pyzmq."""

from .core import device

__all__ = ["device"]
