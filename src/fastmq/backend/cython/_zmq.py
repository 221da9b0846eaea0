# SPDX-License-Identifier: MIT
"""pyzmq's path to the compiled module; see fastmq.backend."""

from ...devices.monitoredqueue import monitored_queue
from ...frame import MessageTracker
from .. import *  # noqa: F403
from .. import __all__ as _names

__all__ = [*_names, "MessageTracker", "monitored_queue"]  # noqa: PLE0604
