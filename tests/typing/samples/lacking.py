# SPDX-License-Identifier: MIT
"""What the pattern of a socket lacks never returns. After such a call nothing is looked at, so each
stands alone."""

from typing_extensions import reveal_type

import fastmq as zmq


def pub_recv(s: zmq.Pub) -> None:
    reveal_type(s.recv())  # Never


def pub_recv_multipart(s: zmq.Pub) -> None:
    reveal_type(s.recv_multipart(copy=False))  # Never


def pub_recv_string(s: zmq.Pub) -> None:
    reveal_type(s.recv_string())  # Never


def pub_next(s: zmq.Pub) -> None:
    reveal_type(next(s))  # Never


def pub_subscribe(s: zmq.Pub) -> None:
    reveal_type(s.subscribe(b""))  # Never


def push_recv(s: zmq.Push) -> None:
    reveal_type(s.recv_many())  # Never


def push_wait(s: zmq.Push) -> None:
    reveal_type(s.wait_for_subscribers())  # Never


def sub_send(s: zmq.Sub) -> None:
    reveal_type(s.send(b""))  # Never


def sub_send_json(s: zmq.Sub) -> None:
    reveal_type(s.send_json({}))  # Never


def sub_wait(s: zmq.Sub) -> None:
    reveal_type(s.wait_for_subscribers())  # Never


def pull_send(s: zmq.Pull) -> None:
    reveal_type(s.send_multipart([b""]))  # Never


def pull_subscribe(s: zmq.Pull) -> None:
    reveal_type(s.subscribe(b""))  # Never


def pair_state(s: zmq.Pair) -> None:
    reveal_type(s.peer_state(b""))  # Never


def dealer_state(s: zmq.Dealer) -> None:
    reveal_type(s.peer_state(b""))  # Never


def join(s: zmq.Sub) -> None:
    reveal_type(s.join(b""))  # Never


def scatter_recv(s: zmq.Scatter) -> None:
    reveal_type(s.recv())  # Never


def gather_send(s: zmq.Gather) -> None:
    reveal_type(s.send(b""))  # Never


def server_join(s: zmq.Server) -> None:
    reveal_type(s.join("g"))  # Never


def server_connect_peer(s: zmq.Server) -> None:
    reveal_type(s.connect_peer("tcp://127.0.0.1:1"))  # Never


def client_disconnect_peer(s: zmq.Client) -> None:
    reveal_type(s.disconnect_peer(1))  # Never


def channel_connect_peer(s: zmq.Channel) -> None:
    reveal_type(s.connect_peer("tcp://127.0.0.1:1"))  # Never


def peer_leave(s: zmq.PeerSocket) -> None:
    reveal_type(s.leave("g"))  # Never


def router_connect_peer(s: zmq.Router) -> None:
    reveal_type(s.connect_peer("tcp://127.0.0.1:1"))  # Never


def numbered(server: zmq.Server, peer: zmq.PeerSocket) -> None:
    reveal_type(peer.connect_peer("tcp://127.0.0.1:1"))  # int
    reveal_type(server.recv(copy=False).routing_id)  # int
    server.disconnect_peer(1)
    peer.disconnect_peer(1)
    server.send(b"", routing_id=1)


def has(sub: zmq.Sub, xpub: zmq.XPub, router: zmq.Router) -> None:
    reveal_type(sub.recv())  # bytes
    reveal_type(xpub.recv())  # bytes
    reveal_type(router.peer_state(b""))  # int
    xpub.subscribe(b"")
    sub.subscribe(b"")
