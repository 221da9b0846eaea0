# SPDX-License-Identifier: MIT
"""A proxy whose monitor receives each message with its direction."""

from __future__ import annotations

from .. import _core
from ..constants import SocketType
from ..socket import Socket


def monitored_queue(
    in_socket: Socket,
    out_socket: Socket,
    mon_socket: Socket,
    in_prefix: bytes = b"in",
    out_prefix: bytes = b"out",
) -> None:
    """Forwards whole messages between two sockets, both ways; a copy of each goes to mon_socket
    behind a first part: in_prefix for what came from in_socket, out_prefix for the other way.

    Between two ROUTERs the first part of a message names its receiver, and the two ids are
    exchanged. It does not return, but raises an error, as fastmq.proxy does.
    """
    for name, prefix in (("in_prefix", in_prefix), ("out_prefix", out_prefix)):
        if not isinstance(prefix, bytes):
            raise TypeError(f"{name} must be bytes, not {type(prefix).__name__}")
    if mon_socket is None:
        raise TypeError("mon_socket must be a Socket, not NoneType")
    ends: tuple[object, object] = (in_socket, out_socket)
    swap = all(isinstance(end, Socket) and end._number == SocketType.ROUTER for end in ends)
    _core.run_proxy(in_socket, out_socket, mon_socket, None, in_prefix, out_prefix, swap)


__all__ = ["monitored_queue"]
