# SPDX-License-Identifier: MIT
"""What does not pass. Both checkers complain of an ignore for nothing."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

import fastmq as zmq
import fastmq.asyncio as zmq_asyncio


def wants_sync(s: zmq.Socket[bytes]) -> None: ...


def refused(ctx: zmq.Context, later: zmq_asyncio.Socket, pub: zmq.Pub) -> None:
    wants_sync(later)  # type: ignore[arg-type]
    pub.send("text")  # type: ignore[call-overload]
    pub.send_multipart(b"text")  # type: ignore[arg-type]
    pub.wait_for_subscribers("two")  # type: ignore[arg-type]
    ctx.socket("PUB")  # type: ignore[call-overload]
