# SPDX-License-Identifier: MIT
"""What asynchronous contexts make, and what their sockets' verbs return."""

from typing_extensions import reveal_type

import fastmq as zmq
import fastmq.asyncio as zmq_asyncio


async def made(number: int) -> None:
    ctx = zmq_asyncio.Context()
    reveal_type(ctx)  # Context
    reveal_type(zmq_asyncio.Context.instance())  # Context
    reveal_type(ctx.socket(zmq.REQ))  # Socket
    reveal_type(ctx.socket(number))  # Socket
    reveal_type(ctx.socket(zmq.REQ, zmq.Req))  # Req
    async with zmq_asyncio.Context() as entered, entered.socket(zmq.PULL) as pull:
        reveal_type(entered)  # Context
        reveal_type(pull)  # Socket
        async for parts in pull:
            reveal_type(parts)  # list[bytes]


async def verbs(s: zmq_asyncio.Socket) -> None:
    reveal_type(s.recv())  # Future[bytes]
    reveal_type(await s.recv())  # bytes
    reveal_type(await s.recv(copy=False))  # Frame
    reveal_type(await s.recv_multipart())  # list[bytes]
    reveal_type(await s.recv_multipart(copy=False))  # list[Frame]
    reveal_type(await s.recv_string())  # str
    reveal_type(await s.recv_into(bytearray(1)))  # int
    reveal_type(await s.send(b""))  # MessageTracker | None
    reveal_type(await s.send(b"", copy=False, track=True))  # MessageTracker
    reveal_type(await s.send_multipart([b""]))  # MessageTracker | None
    reveal_type(await s.poll())  # int
    reveal_type(await s.wait_for_subscribers(2, b"topic", timeout=10))  # int
    reveal_type(s.peers())  # list[Peer]
    reveal_type(s.stats())  # SocketStats


def any_socket(s: zmq.Socket) -> None: ...


def passes(s: zmq_asyncio.Socket) -> None:
    any_socket(s)
