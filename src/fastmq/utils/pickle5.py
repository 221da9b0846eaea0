# SPDX-License-Identifier: MIT
"""Pickled objects whose large buffers travel as parts of their own, without being copied.

pickle's protocol 5 (PEP 574) leaves the memory of numpy arrays, Arrow tables, `PickleBuffer` and
the like out of the pickle. These two functions are for `send_serialized` and `recv_serialized`:

    socket.send_serialized(obj, pickle5.dumps, copy=False)
    obj = socket.recv_serialized(pickle5.loads, copy=False)

With copy=False the kernel reads the arrays where they lie, and the arrays received are views of the
messages' memory: read-only, `array.copy()` gives one to write to. What was sent must not change
before it is out: `send_serialized(..., track=True).wait()`.

As with every pickle: receive only from peers you trust with your process.
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
