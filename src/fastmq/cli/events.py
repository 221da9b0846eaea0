# SPDX-License-Identifier: MIT
"""Events of a monitor in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fastmq
from fastmq.constants import Event
from fastmq.utils.monitor import parse_monitor_message
from fastmq.utils.printable import printable

_DESCRIPTORS = (
    Event.CONNECTED | Event.LISTENING | Event.ACCEPTED | Event.CLOSED | Event.DISCONNECTED
)
_ERRORS = (
    Event.BIND_FAILED
    | Event.ACCEPT_FAILED
    | Event.CLOSE_FAILED
    | Event.CONNECT_DELAYED
    | Event.HANDSHAKE_FAILED_NO_DETAIL
)
_AUTH = {
    300: "the authenticator had a temporary problem (300)",
    400: "refused by the authenticator (400)",
    500: "the authenticator failed (500)",
}
NAMES = tuple(
    name
    for name, event in Event.__members__.items()
    if event <= 0x4000 and event != Event.MONITOR_STOPPED
)
"""What can happen to the connections of a socket."""


@dataclass(frozen=True)
class Happened:
    """One event of a socket's connections."""

    event: Event
    value: int
    endpoint: str

    @property
    def name(self) -> str:
        return str(self.event.name)

    @property
    def words(self) -> str:
        """What `value` means."""
        event, value = self.event, self.value
        if event & _DESCRIPTORS:
            return f"descriptor {value}"
        if event & _ERRORS:
            return os.strerror(value) if value else ""
        if event == Event.CONNECT_RETRIED:
            return f"again in {value} ms"
        if event == Event.HANDSHAKE_FAILED_AUTH:
            return _AUTH.get(value, f"status {value}")
        if event == Event.HANDSHAKE_FAILED_PROTOCOL:
            prefix = "PROTOCOL_ERROR_"
            for name, code in Event.__members__.items():
                if code == value and name.startswith(prefix):
                    return name.removeprefix(prefix).replace("_", " ").lower()
            return f"protocol error {value:#x}"
        return ""


def follow(monitor: Any, timeout: float | None = None) -> Iterator[Happened]:
    """Events as they happen, until the monitor is disabled, its context ends, or none happened for
    `timeout` seconds."""
    ms = None if timeout is None else timeout * 1000
    while True:
        try:
            message = parse_monitor_message(monitor.recv_multipart(timeout=ms))
        except fastmq.ZMQError:
            return
        if message["event"] == Event.MONITOR_STOPPED:
            return
        yield Happened(
            message["event"], message["value"], message["endpoint"].decode("utf-8", "replace")
        )


def colour(happened: Happened) -> str | None:
    """Green for what works, red for what does not."""
    if happened.event in (Event.CONNECTED, Event.ACCEPTED, Event.HANDSHAKE_SUCCEEDED):
        return "green"
    if happened.event in (Event.CLOSED, Event.DISCONNECTED, Event.CONNECT_RETRIED):
        return "yellow"
    return "red" if "FAILED" in happened.name else None


def line(happened: Happened) -> str:
    """An event as a line of text."""
    words = f" ({happened.words})" if happened.words else ""
    return printable(f"{happened.name.lower().replace('_', ' ')} {happened.endpoint}{words}")
