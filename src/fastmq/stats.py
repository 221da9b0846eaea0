# SPDX-License-Identifier: MIT
"""What sockets and contexts report: Socket.peers, Socket.stats, Context.stats."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .constants import SocketType


class PeerState(Enum):
    """The state of the connection to a peer."""

    CONNECTING = "connecting"
    """There is no connection: it is being made, or is lost and tried again."""
    HANDSHAKING = "handshaking"
    """Connected; the handshake is not done."""
    READY = "ready"
    """The handshake is done: messages can be exchanged."""
    CLOSING = "closing"
    """The peer has disconnected or was disconnected; queued messages are still sent or received."""


_STATES = tuple(PeerState)
_LINKS = ("", "socket", "shm", "ws")


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer of a socket at one moment, connected or not.

    If the socket connects to the peer, its counters continue over reconnections. A peer that
    connects to the socket is a new one each time.
    """

    endpoint: str
    """The socket's own endpoint of this peer, as bound or connected; "" after that is removed."""
    address: str
    """The peer's address ("tcp://127.0.0.1:40312"); "" while there is no connection."""
    accepted: bool
    """True: the peer connected to this socket; False: this socket connects to the peer."""
    state: PeerState
    type: SocketType | None
    """Its socket type; None: unknown, as before the handshake or with STREAM."""
    identity: bytes
    """Its routing id; on ROUTER and STREAM the id of messages to it, chosen by the peer or not."""
    since: float | None
    """When the current connection was made, in seconds of Unix time; None: there is none."""
    rtt: float | None
    """The last round trip of a heartbeat in ms (needs HEARTBEAT_IVL); None: none was measured."""
    subscriptions: int | None
    """On PUB and XPUB: the number of topics it is subscribed to; None on other types."""
    messages_sent: int
    """Whole messages passed to the system, or to an inproc peer."""
    messages_received: int
    """Whole messages that arrived, whether or not recv has returned them."""
    bytes_sent: int
    """Including framing, handshakes and heartbeats; over inproc the bytes of message parts."""
    bytes_received: int
    dropped: int
    """Messages dropped: at the HWM, replaced under CONFLATE, queued when the peer was permanently
    lost, or sent by the peer in violation of its type's protocol."""
    queued_out: int
    """Messages not sent yet."""
    queued_in: int
    """Messages not received by the program yet."""
    queued_out_bytes: int
    """The bytes of the parts of these messages to send, without framing."""
    queued_in_bytes: int
    """The bytes of the parts of these received messages, and of a message still arriving."""
    reconnections: int
    """How often the connection was made again."""
    packets_lost: int
    """Packets of multicast sources that could not be recovered; their messages are lost."""
    routing_id: int | None = None
    """On SERVER and PEER: its number; None on other types, and after it has disconnected."""
    connect_error: int | None = None
    """The errno of the last failed attempt to connect to it (see os.strerror); None: that did not
    fail."""
    link: str = ""
    """What carries the connection: "shm" (memory shared with the peer's process), "socket", "ws"
    (a WebSocket), or "" without a connection, and over inproc."""
    link_reason: str = ""
    """Why link is not "shm"; else ""."""


@dataclass(frozen=True, slots=True)
class SocketStats:
    """Sums over all current and former peers of a socket, at one moment. Fields as in Peer."""

    messages_sent: int
    messages_received: int
    bytes_sent: int
    bytes_received: int
    dropped: int
    """Includes messages without a peer: to an unknown routing id, to a requester that has
    disconnected."""
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
    """SUB, XSUB: topics subscribed to. PUB, XPUB: topics that any peer is subscribed to. None on
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
    """How many kept messages were sent to late subscribers."""
    kept_dropped: int
    """Topics removed because of PUB_KEEP_LAST or PUB_KEEP_LAST_BYTES."""


@dataclass(frozen=True, slots=True)
class ContextStats:
    """Sums over all current and former sockets of a context, at one moment. Fields as in
    SocketStats."""

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
    """Memory of the send and receive buffers, used and unused."""
    pool_spare: int
    """The unused part of it."""
    queued_bytes: int | None
    """What counts against MAX_QUEUED_BYTES, where a message over inproc counts once; None: that
    option was never set."""
    shm_connections: int
    """Connections that use shared memory, or are about to."""
    shm_bytes: int
    """The size of this memory; the system allocates it as it is used."""
    arena_bytes: int
    """The bytes of the arena's blocks in use: alloc() and large messages within the host."""
    arena_blocks: int
    """The number of these blocks."""
    arena_lent: int
    """Messages in blocks that peers have not released yet."""
    arena_fallbacks: int
    """Large messages that did not fit into the arena and were copied as smaller ones are."""


def make_peer(fields: tuple[Any, ...]) -> Peer:
    """A Peer made of the engine's values."""
    endpoint, address, accepted, state, kind, *rest, carrier, why, error = fields
    known = None if kind < 0 else SocketType(kind)
    reason = f"{why}: {os.strerror(-error)}" if error else why
    rest += [_LINKS[carrier], reason]
    return Peer(endpoint, address, accepted, _STATES[state], known, *rest)


__all__ = ["ContextStats", "Peer", "PeerState", "SocketStats"]
