# SPDX-License-Identifier: MIT
"""Events of a monitor in words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import fastmq
from fastmq.constants import Event
from fastmq.utils.monitor import link_reason, parse_monitor_message
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
SHOWN = Event.ALL | Event.LINK
NAMES = tuple(
    name
    for name, event in Event.__members__.items()
    if event.bit_count() == 1 and event & SHOWN and event != Event.MONITOR_STOPPED
)
"""What can happen to the connections of a socket, earlier names of events included."""

REASONS = {
    "WS_UNSPECIFIED": "no WebSocket of this kind (another path or mechanism?)",
    "ZMTP_UNSPECIFIED": "the peer violated the protocol ZMTP",
    "ZMTP_UNEXPECTED_COMMAND": "the peer sent a command that does not belong there",
    "ZMTP_INVALID_SEQUENCE": "an encrypted message came twice or out of order",
    "ZMTP_KEY_EXCHANGE": "the exchange of keys failed (is the key of the server right?)",
    "ZMTP_MALFORMED_COMMAND_UNSPECIFIED": "the peer sent a malformed command",
    "ZMTP_MALFORMED_COMMAND_MESSAGE": "the peer sent a message that is malformed or above a limit",
    "ZMTP_MALFORMED_COMMAND_HELLO": "the peer sent a malformed HELLO",
    "ZMTP_MALFORMED_COMMAND_INITIATE": "the peer sent a malformed INITIATE",
    "ZMTP_MALFORMED_COMMAND_ERROR": "the peer sent a malformed ERROR",
    "ZMTP_MALFORMED_COMMAND_READY": "the peer sent a malformed READY",
    "ZMTP_MALFORMED_COMMAND_WELCOME": "the peer sent a malformed WELCOME",
    "ZMTP_INVALID_METADATA": "invalid metadata (do the socket types match?)",
    "ZMTP_CRYPTOGRAPHIC": "data from the peer could not be decrypted (are the keys right?)",
    "ZMTP_MECHANISM_MISMATCH": "mechanism mismatch (is one side secured and the other not?)",
    "ZAP_UNSPECIFIED": "the authenticator violated the protocol ZAP",
    "ZAP_MALFORMED_REPLY": "the authenticator sent a malformed reply",
    "ZAP_BAD_REQUEST_ID": "the authenticator replied to another request",
    "ZAP_BAD_VERSION": "the authenticator replied in another version of ZAP",
    "ZAP_INVALID_STATUS_CODE": "the authenticator replied with an unknown status",
    "ZAP_INVALID_METADATA": "the authenticator replied with invalid metadata",
    "TOO_MANY_SUBSCRIPTIONS": "the peer has more subscriptions than MAX_SUBSCRIPTIONS",
    "WRONG_PARTS": "the peer sent several parts where messages have one; they are dropped",
    "PACKETS_LOST": "packets of a multicast source could not be recovered; messages are lost",
}
"""The codes PROTOCOL_ERROR_... in words."""


def protocol_words(value: int) -> str:
    """A code PROTOCOL_ERROR_... in words."""
    prefix = "PROTOCOL_ERROR_"
    for name, code in Event.__members__.items():
        if code == value and name.startswith(prefix):
            return REASONS[name.removeprefix(prefix)]
    return f"protocol error {value:#x}"


@dataclass(frozen=True)
class Happened:
    """One event of a socket's connections."""

    event: Event
    value: int
    endpoint: str
    error: int = 0
    """CONNECT_RETRIED: why the attempt failed, an errno; 0: it is not known, or none was made."""

    @property
    def name(self) -> str:
        return str(self.event.name)

    @property
    def words(self) -> str:
        """What `value` means, and why it happened."""
        event, value = self.event, self.value
        if event & _DESCRIPTORS:
            return f"descriptor {value}"
        if event == Event.HANDSHAKE_FAILED_NO_DETAIL and value == errno.EPIPE:
            return "the peer closed the connection (is the key of the server right?)"
        if event & _ERRORS:
            return os.strerror(value) if value else ""
        if event == Event.CONNECT_RETRIED:
            return f"{self.because}again in {value} ms"
        if event == Event.LINK:
            reason = link_reason(value)
            return f"socket: {reason}" if reason else "shared memory"
        if event == Event.HANDSHAKE_FAILED_AUTH:
            return _AUTH.get(value, f"status {value}")
        if event in (Event.HANDSHAKE_FAILED_PROTOCOL, Event.PROTOCOL_VIOLATION):
            return protocol_words(value)
        return ""

    @property
    def because(self) -> str:
        """Its error at the beginning of a sentence that goes on: "connection refused, "; "" where
        there is none."""
        if not self.error:
            return ""
        unresolved = self.error == errno.ENOENT and not self.endpoint.startswith("ipc:")
        text = "host not found" if unresolved else os.strerror(self.error)
        return f"{text[0].lower()}{text[1:]}, "


def explained(happened: Happened, socket: Any) -> Happened:
    """The event with its error, which the socket knows. As it is where that is closed."""
    if happened.event != Event.CONNECT_RETRIED:
        return happened
    with suppress(fastmq.ZMQError):
        for peer in socket.peers():
            if peer.endpoint == happened.endpoint and peer.connect_error:
                return replace(happened, error=peer.connect_error)
    return happened


def follow(monitor: Any, timeout: float | None = None) -> Iterator[Happened]:
    """Events as they happen, until the monitor is disabled, its context ends, or none happened for
    `timeout` seconds.

    One of version 2 has to tell of LISTENING, too: an event of a connection that was accepted there
    has that endpoint, as in version 1."""
    bound: set[bytes] = set()
    ms = None if timeout is None else timeout * 1000
    while True:
        try:
            message = parse_monitor_message(monitor.recv_multipart(timeout=ms))
        except fastmq.ZMQError:
            return
        if message["event"] == Event.MONITOR_STOPPED:
            return
        endpoint, local = message["endpoint"], message.get("local")
        if local is not None:
            if message["event"] == Event.LISTENING:
                bound.add(local)
            endpoint = local if local in bound else endpoint
        yield Happened(message["event"], message["value"], endpoint.decode("utf-8", "replace"))


def colour(happened: Happened) -> str | None:
    """Green for what works, red for what does not."""
    if happened.event in (Event.CONNECTED, Event.ACCEPTED, Event.HANDSHAKE_SUCCEEDED, Event.LINK):
        return "green"
    if happened.event in (Event.CLOSED, Event.DISCONNECTED, Event.CONNECT_RETRIED):
        return "yellow"
    failed = "FAILED" in happened.name or happened.event == Event.PROTOCOL_VIOLATION
    return "red" if failed else None


def line(happened: Happened, descriptors: bool = True) -> str:
    """An event as a line of text, with the numbers of descriptors or without."""
    has_words = happened.words and (descriptors or not happened.event & _DESCRIPTORS)
    words = f" ({happened.words})" if has_words else ""
    return printable(f"{happened.name.lower().replace('_', ' ')} {happened.endpoint}{words}")
