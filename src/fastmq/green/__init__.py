# SPDX-License-Identifier: MIT
"""fastmq for gevent: `import fastmq.green as zmq`. What waits lets other greenlets run."""

from __future__ import annotations

import fastmq as _fastmq
from fastmq import *  # noqa: F403

from .core import Context as Context  # type: ignore[assignment]
from .core import Poller as Poller
from .core import Socket as Socket
from .core import proxy as proxy
from .core import zmq_poll as zmq_poll
from .device import device as device  # type: ignore[assignment]

__all__ = list(_fastmq.__all__)
