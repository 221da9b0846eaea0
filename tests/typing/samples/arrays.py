# SPDX-License-Identifier: MIT
"""numpy arrays that are sent or filled: before 3.12 their stubs have no buffer protocol."""

from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import reveal_type

import fastmq as zmq
import fastmq.asyncio as zmq_asyncio

Array = npt.NDArray[Any]


def blocking(s: zmq.Socket[bytes], array: Array, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    reveal_type(s.send(array, copy=False))  # MessageTracker | None
    reveal_type(s.send(array, 0, copy=False, track=True))  # MessageTracker
    reveal_type(s.send_multipart([b"head", array], 0, copy=False, track=True))  # MessageTracker
    reveal_type(s.send_many([array, array]))  # int
    reveal_type(s.recv_into(array))  # int
    reveal_type(zmq.Frame(array))  # Frame
    s.send(np.frombuffer(context.alloc(8), dtype=np.float32), copy=False)
    s.send(np.frombuffer(s.recv(copy=False).buffer, dtype=np.float32))


async def asynchronous(s: zmq_asyncio.Socket, array: Array) -> None:
    reveal_type(await s.send(array, copy=False))  # MessageTracker | None
    reveal_type(await s.send_multipart([array], copy=False, track=True))  # MessageTracker
    reveal_type(await s.recv_into(array))  # int
