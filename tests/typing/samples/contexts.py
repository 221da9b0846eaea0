# SPDX-License-Identifier: MIT
"""What contexts are and make."""

from typing_extensions import reveal_type

import fastmq as zmq
from fastmq.decorators import context, socket


class Own(zmq.Socket[bytes]):
    pass


def contexts() -> None:
    reveal_type(zmq.Context())  # Context[Socket[bytes]]
    reveal_type(zmq.Context(2))  # Context[Socket[bytes]]
    reveal_type(zmq.Context.instance())  # Context[Socket[bytes]]
    reveal_type(zmq.SyncContext())  # Context[Socket[bytes]]
    reveal_type(zmq.Context.shadow(zmq.Context().underlying))  # Context[Socket[bytes]]
    with zmq.Context() as ctx:
        reveal_type(ctx)  # Context[Socket[bytes]]
        reveal_type(ctx.closed)  # bool
        reveal_type(ctx.stats())  # ContextStats
        reveal_type(ctx.stats().pool_bytes)  # int


def sockets(ctx: zmq.Context, sync: zmq.SyncContext, number: int) -> None:
    reveal_type(ctx.socket(zmq.PAIR))  # Pair
    reveal_type(ctx.socket(zmq.PUB))  # Pub
    reveal_type(ctx.socket(zmq.SUB))  # Sub
    reveal_type(ctx.socket(zmq.REQ))  # Req
    reveal_type(ctx.socket(zmq.REP))  # Rep
    reveal_type(ctx.socket(zmq.DEALER))  # Dealer
    reveal_type(ctx.socket(zmq.ROUTER))  # Router
    reveal_type(ctx.socket(zmq.PULL))  # Pull
    reveal_type(ctx.socket(zmq.PUSH))  # Push
    reveal_type(ctx.socket(zmq.XPUB))  # XPub
    reveal_type(ctx.socket(zmq.XSUB))  # XSub
    reveal_type(ctx.socket(zmq.STREAM))  # Stream
    reveal_type(ctx.socket(zmq.SERVER))  # Server
    reveal_type(ctx.socket(zmq.CLIENT))  # Client
    reveal_type(ctx.socket(zmq.GATHER))  # Gather
    reveal_type(ctx.socket(zmq.SCATTER))  # Scatter
    reveal_type(ctx.socket(zmq.PEER))  # PeerSocket
    reveal_type(ctx.socket(zmq.CHANNEL))  # Channel
    reveal_type(ctx.socket(zmq.XREQ))  # Dealer
    reveal_type(ctx.socket(zmq.XREP))  # Router
    reveal_type(ctx.socket(zmq.SocketType.REQ, linger=0))  # Req
    reveal_type(sync.socket(zmq.REQ))  # Req
    reveal_type(ctx.socket(number))  # Socket[bytes]
    reveal_type(ctx.socket(zmq.REQ, Own))  # Own
    reveal_type(ctx.socket(zmq.REQ, socket_class=zmq.Req))  # Req
    reveal_type(zmq.Pub(ctx))  # Pub
    reveal_type(zmq.Pub.shadow(number))  # Pub


def annotated(anything: zmq.Socket, sync: zmq.Socket[bytes], same: zmq.SyncSocket) -> None:
    reveal_type(anything)  # Socket[Any]
    reveal_type(sync)  # Socket[bytes]
    reveal_type(same)  # Socket[bytes]


def accepted(ctx: zmq.Context) -> None:
    # Every synchronous socket passes for one.
    rep = ctx.socket(zmq.REP)
    annotated(rep, rep, rep)


def with_statements(req: zmq.Req) -> None:
    with req as entered, req.connect("inproc://x") as connected:
        reveal_type(entered)  # Req
        reveal_type(connected)  # Req


@context()
@socket(zmq.PUSH)
def decorated(ctx: zmq.Context, push: zmq.Socket[bytes]) -> int:
    return push.linger


def decorators() -> None:
    reveal_type(decorated())  # int
