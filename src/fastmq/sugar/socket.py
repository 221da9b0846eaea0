# SPDX-License-Identifier: MIT
"""pyzmq's path to fastmq.socket."""

from ..socket import Socket, _SocketContext

SyncSocket = Socket

__all__ = ["Socket", "SyncSocket", "_SocketContext"]
