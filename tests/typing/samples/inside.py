# SPDX-License-Identifier: MIT
"""What looking inside returns."""

from typing_extensions import reveal_type

import fastmq as zmq


def looking(s: zmq.Socket[bytes]) -> None:
    reveal_type(s.stats())  # SocketStats
    reveal_type(s.stats().subscriptions)  # int | None
    for peer in s.peers():
        reveal_type(peer)  # Peer
        reveal_type(peer.state)  # PeerState
        reveal_type(peer.type)  # SocketType | None
        reveal_type(peer.rtt)  # float | None
        reveal_type(peer.identity)  # bytes


def waiting(pub: zmq.Pub, xpub: zmq.XPub, anything: zmq.Socket[bytes]) -> None:
    reveal_type(pub.wait_for_subscribers())  # int
    reveal_type(xpub.wait_for_subscribers(2, "topic", timeout=10))  # int
    reveal_type(anything.wait_for_subscribers(topic=b""))  # int
