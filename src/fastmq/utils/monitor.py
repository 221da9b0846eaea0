# SPDX-License-Identifier: MIT
"""Reading the events that a monitor socket receives."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, overload

from .._core import carrier_reason
from ..constants import PAIR, Event

if TYPE_CHECKING:
    from asyncio import Future

    from .. import socket as sockets  # by this name documentation finds one Socket, not six


class _Told(TypedDict):
    event: Event
    value: int
    endpoint: bytes


class _MonitorMessage(_Told, total=False):
    values: list[int]
    local: bytes
    remote: bytes
    link: str
    link_reason: str


def parse_monitor_message(msg: Sequence[Any]) -> _MonitorMessage:
    """One event from the parts of a message: {"event": Event, "value": int, "endpoint": bytes}.

    Of a monitor of version 2 also "values", all of them; "local" and "remote", the addresses of
    both ends, the latter, where there is one, being the endpoint; and for LINK, as in Peer, "link"
    ("shm", "ws" or "socket") and "link_reason" (why it is not "shm").
    RuntimeError: not the message of a monitor.
    """
    if len(msg) == 2 and len(msg[0]) == 6:
        number, value = struct.unpack("=HI", bytes(msg[0]))
        return {"event": Event(number), "value": value, "endpoint": bytes(msg[1])}
    head = [bytes(part) for part in msg[:-2]]
    if len(msg) < 5 or {len(part) for part in head} != {8}:
        raise RuntimeError(f"not a message of a monitor: {msg!r}")
    number, count, *values = (int.from_bytes(part, sys.byteorder) for part in head)
    if count != len(values):
        raise RuntimeError(f"not a message of a monitor: {msg!r}")
    local, remote = bytes(msg[-2]), bytes(msg[-1])
    told: _MonitorMessage = {
        "event": Event(number),
        "value": values[0],
        "endpoint": remote or local,
        "values": values,
        "local": local,
        "remote": remote,
    }
    if number == Event.LINK:
        carries = "ws" if (local + remote).startswith(b"ws://") else "socket"
        told["link"] = carries if values[0] else "shm"
        told["link_reason"] = link_reason(values[0])
    return told


def link_reason(value: int) -> str:
    """Why a connection is not in shared memory, in words, as Peer.link_reason: from the value of a
    LINK event. "" where it is."""
    why, error = value & 0xFFFFFFFF, value >> 32
    text = carrier_reason(why)
    if text is None:
        return f"reason {why}"
    return f"{text}: {os.strerror(error)}" if error else text


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


__all__ = ["link_reason", "parse_monitor_message", "recv_monitor_message"]
