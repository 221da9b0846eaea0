# SPDX-License-Identifier: MIT
"""Pickled objects whose large buffers are sent as separate parts, without a copy.

pickle's protocol 5 (PEP 574) leaves the memory of numpy arrays, Arrow tables, `PickleBuffer` and
the like out of the pickle. These two functions are for `send_serialized` and `recv_serialized`:

    socket.send_serialized(obj, pickle5.dumps, copy=False)
    obj = socket.recv_serialized(pickle5.loads, copy=False)

With copy=False the kernel reads the arrays' own memory, and the received arrays are views of the
message: writable over tcp and ipc, read-only over inproc. The sender must not change an array
before it is sent: `send_serialized(..., track=True).wait()`.

A pickle can run any code: receive pickles only from trusted peers.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any


def dumps(obj: Any) -> list[Any]:
    """The parts of a message: the pickle, then its buffers."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(obj, protocol=5, buffer_callback=buffers.append)
    return [head, *(buffer.raw() for buffer in buffers)]


def loads(parts: Sequence[Any]) -> Any:
    """The object of such a message, whose parts are bytes or Frames.

    Raises pickle.UnpicklingError when there are not as many buffers as the pickle asks for.
    """
    head, *buffers = parts
    return pickle.loads(head, buffers=buffers)


__all__ = ["dumps", "loads"]
