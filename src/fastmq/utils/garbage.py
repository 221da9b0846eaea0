# SPDX-License-Identifier: MIT
"""What keeps the memory of zero-copy messages until the engine is done with it.

pyzmq has a thread for it, fastmq's engine does it itself. This is the face of that thread, for
programs that start, stop or count with it.
"""

from __future__ import annotations

import itertools
import threading
from typing import Any, NamedTuple

from .. import _core
from ..context import Context


class gcref(NamedTuple):  # noqa: N801
    """An object that is kept, and an Event to set when it is let go."""

    obj: Any
    event: threading.Event | None


class GarbageCollector:
    """Keeps objects under numbers; messages need no such care in fastmq.

    context: kept for programs that ask for it.
    """

    url = "inproc://pyzmq.gc.01"
    refs: dict[int, gcref]

    def __init__(self, context: Context[Any] | None = None) -> None:
        self._context = context
        self._numbers = itertools.count(1)
        self.refs = {}
        self.pid: int | None = None

    @property
    def context(self) -> Context[Any]:
        """The context given, Context.instance() unless one was."""
        return Context.instance() if self._context is None else self._context

    @context.setter
    def context(self, context: Context[Any] | None) -> None:
        self._context = context

    def start(self) -> None:
        """Nothing has to be started."""

    def stop(self) -> None:
        """Lets go of what is kept here and of memory that the engine is done with."""
        for number in list(self.refs):
            self.release(number)
        _core.wait_released(0)

    def is_alive(self) -> bool:
        """Whether the engine does this work: always."""
        return True

    def store(self, obj: object, event: threading.Event | None = None) -> int:
        """Keeps an object until release() of the number returned."""
        number = next(self._numbers)
        self.refs[number] = gcref(obj, event)
        return number

    def release(self, number: int) -> None:
        """Lets an object go and sets its event. An unknown number is passed over."""
        found = self.refs.pop(number, None)
        if found is not None and found.event is not None:
            found.event.set()

    def __len__(self) -> int:
        return len(self.refs)


gc = GarbageCollector()

__all__ = ["GarbageCollector", "gc", "gcref"]
