# SPDX-License-Identifier: MIT
"""Reading the events that a monitor socket receives."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, overload

from ..constants import PAIR, Event

if TYPE_CHECKING:
    from asyncio import Future

    from .. import socket as sockets  # by this name documentation finds one Socket, not six


class _MonitorMessage(TypedDict):
    event: Event
    value: int
    endpoint: bytes


def parse_monitor_message(msg: Sequence[Any]) -> _MonitorMessage:
    """One event from the two parts of a message: {"event": Event, "value": int, "endpoint": bytes}.

    RuntimeError: not the message of a monitor.
    """
    if len(msg) != 2 or len(msg[0]) != 6:
        raise RuntimeError(f"not a message of a monitor: {msg!r}")
    number, value = struct.unpack("=HI", bytes(msg[0]))
    return {"event": Event(number), "value": value, "endpoint": bytes(msg[1])}


async def _parse_awaited(msg: Awaitable[Sequence[Any]]) -> _MonitorMessage:
    return parse_monitor_message(await msg)


@overload
def recv_monitor_message(socket: sockets.Socket[bytes], flags: int = 0) -> _MonitorMessage: ...
@overload
def recv_monitor_message(
    socket: sockets.Socket[Future[Any]], flags: int = 0
) -> Awaitable[_MonitorMessage]: ...
def recv_monitor_message(
    socket: sockets.Socket[Any], flags: int = 0
) -> _MonitorMessage | Awaitable[_MonitorMessage]:
    """Receives and parses one event; of an asynchronous socket, an awaitable of it.

    socket: what Socket.get_monitor_socket returned. flags: as for recv.
    """
    if socket.type != PAIR:
        raise TypeError(f"socket must be a PAIR from get_monitor_socket(), not {socket!r}")
    received: Any = socket.recv_multipart(flags)
    if isinstance(received, list):
        return parse_monitor_message(received)
    return _parse_awaited(received)


__all__ = ["parse_monitor_message", "recv_monitor_message"]
