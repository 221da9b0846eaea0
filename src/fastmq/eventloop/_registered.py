# SPDX-License-Identifier: MIT
"""Sockets in the table of an IOLoop, whose close(all_fds=True) closes what stands there."""

from __future__ import annotations

import itertools
from typing import Any

from ..socket import Socket

# tornado finds its handlers by descriptor. These are none: the IOLoop never waits for the sockets,
# and a descriptor's number may become somebody else's.
_numbers = itertools.count(-2, -1)


class Registered:
    """A socket's place in an IOLoop's table, until remove()."""

    def __init__(self, io_loop: Any, socket: Socket[Any]) -> None:
        self._io_loop = io_loop
        self._socket = socket
        self._number = next(_numbers)
        io_loop.add_handler(self, self._never, 0)

    def fileno(self) -> int:
        """The number that the table knows it by."""
        return self._number

    def close(self) -> None:
        """The IOLoop is being closed with all that is in it."""
        self._socket.close()

    def remove(self) -> None:
        """Takes the socket out of the table; it stays open. Harmless when it is out already."""
        self._io_loop.remove_handler(self)

    def _never(self, fd: Any, events: int) -> None:
        """Is called for no events, since none are waited for."""


__all__ = ["Registered"]
