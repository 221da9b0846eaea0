# SPDX-License-Identifier: MIT
"""Names of fastmq.green under the module that has them in pyzmq."""

from .core import Poller, zmq_poll

_Poller = Poller
__all__ = ["Poller", "zmq_poll"]
