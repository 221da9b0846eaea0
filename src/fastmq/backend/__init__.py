# SPDX-License-Identifier: MIT
"""pyzmq's import paths: its package `zmq.backend` holds what fastmq has in `fastmq._core`.

Context and Socket here are the bases of fastmq.Context and fastmq.Socket.
"""

from .._core import (
    Context,
    Frame,
    Socket,
    curve_keypair,
    curve_public,
    has,
    strerror,
    zmq_errno,
)
from .._version import zmq_version_info
from ..poll import zmq_poll
from ..proxy import proxy, proxy_steerable

Message = Frame
IPC_PATH_MAX_LEN = 107
PYZMQ_DRAFT_API = True

__all__ = [
    "IPC_PATH_MAX_LEN",
    "PYZMQ_DRAFT_API",
    "Context",
    "Frame",
    "Message",
    "Socket",
    "curve_keypair",
    "curve_public",
    "has",
    "proxy",
    "proxy_steerable",
    "strerror",
    "zmq_errno",
    "zmq_poll",
    "zmq_version_info",
]
