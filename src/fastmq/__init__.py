# SPDX-License-Identifier: MIT
"""ZeroMQ for Python, written from nothing: `import fastmq as zmq` runs code written for pyzmq."""

from __future__ import annotations

import os as _os
from typing import TYPE_CHECKING as _TYPE_CHECKING

from . import backend, constants, error, sugar, utils
from ._core import (
    COPY_THRESHOLD,
    curve_keypair,
    curve_public,
    has,
    live_blocks,
    open_fds,
    poller_name,
    strerror,
    zmq_errno,
)
from ._version import (
    __revision__,
    __version__,
    pyzmq_version,
    pyzmq_version_info,
    zmq_version,
    zmq_version_info,
)
from .constants import *  # noqa: F403
from .context import Context
from .error import (
    Again,
    BatchError,
    ContextTerminated,
    DraftFDWarning,
    InterruptedSystemCall,
    NotDone,
    TermTimeout,
    ZMQBaseError,
    ZMQBindError,
    ZMQError,
    ZMQVersionError,
)
from .frame import _FINISHED_TRACKER, Frame, Message, MessageTracker
from .poll import Poller, select, zmq_poll
from .proxy import device, proxy, proxy_steerable
from .socket import (
    Channel,
    Client,
    Dealer,
    Dgram,
    Dish,
    Gather,
    Pair,
    PeerSocket,
    Pub,
    Pull,
    Push,
    Radio,
    Rep,
    Req,
    Router,
    Scatter,
    Server,
    Socket,
    Stream,
    Sub,
    XPub,
    XSub,
)
from .stopwatch import Stopwatch

if _TYPE_CHECKING:
    from .stats import ContextStats, Peer, PeerState, SocketStats

DRAFT_API = True
PYZMQ_DRAFT_API = True
IPC_PATH_MAX_LEN = 107

SyncSocket = Socket[bytes]
SyncContext = Context[Socket[bytes]]


def get_includes() -> list[str]:
    """Directories of headers for extensions: the package's own, and that of its utils."""
    package = _os.path.dirname(__file__)
    return [package, _os.path.join(package, "utils")]


def get_library_dirs() -> list[str]:
    """Directories of libraries to link extensions with: the package's own."""
    return [_os.path.dirname(__file__)]


def __getattr__(name: str) -> object:
    """What Socket.peers() and the like return: their module is imported when it is first used."""
    if name in {"ContextStats", "Peer", "PeerState", "SocketStats", "inspect", "stats"}:
        import importlib

        module = name if name == "inspect" else "stats"
        found = importlib.import_module(f"{__name__}.{module}")
        return found if name == module else getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "COPY_THRESHOLD",
    "DRAFT_API",
    "IPC_PATH_MAX_LEN",
    "PYZMQ_DRAFT_API",
    "_FINISHED_TRACKER",
    "Again",
    "BatchError",
    "Context",
    "ContextStats",
    "ContextTerminated",
    "Dealer",
    "Dgram",
    "Dish",
    "DraftFDWarning",
    "Frame",
    "InterruptedSystemCall",
    "Message",
    "MessageTracker",
    "NotDone",
    "Pair",
    "Peer",
    "PeerState",
    "Poller",
    "Pub",
    "Pull",
    "Push",
    "Radio",
    "Rep",
    "Req",
    "Router",
    "Socket",
    "SocketStats",
    "Stopwatch",
    "Stream",
    "Sub",
    "SyncContext",
    "SyncSocket",
    "TermTimeout",
    "XPub",
    "XSub",
    "ZMQBaseError",
    "ZMQBindError",
    "ZMQError",
    "ZMQVersionError",
    "__revision__",
    "__version__",
    "backend",
    "constants",
    "curve_keypair",
    "curve_public",
    "device",
    "error",
    "get_includes",
    "get_library_dirs",
    "has",
    "live_blocks",
    "open_fds",
    "poller_name",
    "proxy",
    "proxy_steerable",
    "pyzmq_version",
    "pyzmq_version_info",
    "select",
    "strerror",
    "sugar",
    "utils",
    "zmq_errno",
    "zmq_poll",
    "zmq_version",
    "zmq_version_info",
    "Channel",
    "Client",
    "Gather",
    "PeerSocket",
    "Scatter",
    "Server",
]
__all__ += constants.__all__
