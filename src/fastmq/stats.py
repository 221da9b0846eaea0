# SPDX-License-Identifier: MIT
"""What sockets and contexts tell of themselves: Socket.peers, Socket.stats, Context.stats."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .constants import SocketType


class PeerState(Enum):
    """How far the link to a peer has come."""

    CONNECTING = "connecting"
    """No connection: it is being made, waited for, or was lost and is tried again."""
    HANDSHAKING = "handshaking"
    """Connected; the peer has not said yet who it is."""
    READY = "ready"
    """Messages flow."""
    CLOSING = "closing"
    """The peer is gone or was disconnected; what is queued is still sent or received."""


_STATES = tuple(PeerState)
_LINKS = ("", "socket", "shm")


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer of a socket at one moment, connected or not.

    Counters begin with the peer's first connection and go on over reconnections where the socket is
    the one that connects; a peer that connects to the socket is a new one each time.
    """

    endpoint: str
    """The socket's own endpoint that led to it, as bound or connected; "" once that is gone."""
    address: str
    """Where the peer is ("tcp://127.0.0.1:40312"); "" while there is no connection."""
    accepted: bool
    """It connected to this socket; False: this socket connects to it."""
    state: PeerState
    type: SocketType | None
    """Its socket type; None: not known, as before the handshake or with STREAM."""
    identity: bytes
    """Its routing id; on ROUTER and STREAM the one to send to, given by the peer or not."""
    since: float | None
    """When the present connection was made, in seconds of Unix time; None: there is none."""
    rtt: float | None
    """Last round trip of a heartbeat in ms (needs HEARTBEAT_IVL); None: none was measured."""
    subscriptions: int | None
    """On PUB and XPUB: to how many topics it is subscribed; None on other types."""
    messages_sent: int
    """Whole messages handed to the system, or taken by an inproc peer."""
    messages_received: int
    """Whole messages that arrived, whether or not recv has returned them."""
    bytes_sent: int
    """With all framing, handshakes and heartbeats; over inproc the bytes of message parts."""
    bytes_received: int
    dropped: int
    """Messages thrown away: no room at the HWM, replaced under CONFLATE, queued when the peer was
    lost for good, or sent by it against the rules of its type."""
    queued_out: int
    """Messages not sent yet, now."""
    queued_in: int
    """Messages not received by the program yet, now."""
    queued_out_bytes: int
    """Bytes of the parts of what is counted in queued_out, without framing."""
    queued_in_bytes: int
    """The same of queued_in, and of the parts of a message that has not arrived whole."""
    reconnections: int
    """How often the connection was made again."""
    packets_lost: int
    """Packets of multicast sources that could not be had any more, and with them the messages that
    they held."""
    routing_id: int | None = None
    """On SERVER and PEER: the number of the messages to and from it; None on other types, and once
    it has gone."""
    connect_error: int | None = None
    """Why the last attempt to connect to it failed, an errno (os.strerror has its words); None: it
    did not fail."""
    link: str = ""
    """What carries the connection: "shm" (memory shared with the peer's process), "socket", or ""
    where there is no connection, and over inproc."""
    link_reason: str = ""
    """Why link is not "shm"; else ""."""


@dataclass(frozen=True, slots=True)
class SocketStats:
    """Sums over all peers that a socket has or had, at one moment. Fields as in Peer."""

    messages_sent: int
    messages_received: int
    bytes_sent: int
    bytes_received: int
    dropped: int
    """Also counts messages for which there was no peer: an unknown routing id, a requester that is
    gone."""
    queued_out: int
    queued_in: int
    queued_out_bytes: int
    queued_in_bytes: int
    reconnections: int
    packets_lost: int
    send_waits: int
    """How many sends had to wait for room or for a peer."""
    peers: int
    """Peers that are connected now, their handshake done."""
    subscriptions: int | None
    """SUB, XSUB: topics subscribed to. PUB, XPUB: topics that some peer is subscribed to. None on
    other types."""
    descriptors: int
    """Descriptors that the socket holds."""
    resent: int
    """REQ with REQ_RESEND_IVL: how often a request was sent again."""
    kept: int
    """PUB and XPUB with PUB_KEEP_LAST: topics whose last message is kept now."""
    kept_bytes: int
    """The bytes of these messages."""
    kept_given: int
    """How many kept messages were sent to subscribers that came late."""
    kept_dropped: int
    """Topics that were pushed out by PUB_KEEP_LAST or PUB_KEEP_LAST_BYTES."""


@dataclass(frozen=True, slots=True)
class ContextStats:
    """Sums over all sockets that a context has or had, at one moment. Fields as in SocketStats."""

    messages_sent: int
    messages_received: int
    bytes_sent: int
    bytes_received: int
    dropped: int
    queued_out: int
    queued_in: int
    queued_out_bytes: int
    queued_in_bytes: int
    reconnections: int
    packets_lost: int
    send_waits: int
    sockets: int
    """Sockets that have not ended: open, or closed and still sending. A monitor counts as one."""
    peers: int
    descriptors: int
    """Descriptors that the sockets and the I/O threads hold."""
    pool_bytes: int
    """Memory of the buffers for sending and receiving, in use and spare."""
    pool_spare: int
    """What of it waits for use."""
    queued_bytes: int | None
    """What counts against MAX_QUEUED_BYTES, where a message over inproc counts once; None: that
    option was never set."""
    shm_connections: int
    """Connections in memory shared with another process, or on their way there."""
    shm_bytes: int
    """The most that this memory may take; the system gives it as it is used."""
    arena_bytes: int
    """Memory of the arena's blocks in use: of alloc() and of large messages within the host."""
    arena_blocks: int
    """How many blocks these are."""
    arena_lent: int
    """Messages in blocks that peers have not released yet."""
    arena_fallbacks: int
    """Large messages that found no room in the arena and were copied as smaller ones are."""


def make_peer(fields: tuple[Any, ...]) -> Peer:
    """A Peer of what the engine tells."""
    endpoint, address, accepted, state, kind, *rest, carrier, why, error = fields
    known = None if kind < 0 else SocketType(kind)
    reason = f"{why}: {os.strerror(-error)}" if error else why
    rest += [_LINKS[carrier], reason]
    return Peer(endpoint, address, accepted, _STATES[state], known, *rest)


__all__ = ["ContextStats", "Peer", "PeerState", "SocketStats"]
