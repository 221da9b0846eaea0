# SPDX-License-Identifier: MIT
"""Frames, and trackers of their memory."""

from __future__ import annotations

import time
from threading import Event

from . import _core
from ._core import Frame
from .error import NotDone

Message = Frame


class MessageTracker:
    """Reports when the memory of sent messages may be used again.

    towatch: threading Events, tracked Frames or other trackers. Without any it is done.
    """

    events: set[Event]
    peers: set[MessageTracker]

    def __init__(self, *towatch: MessageTracker | Event | Frame) -> None:
        self.events = set()
        self.peers = set()
        for item in towatch:
            if isinstance(item, Event):
                self.events.add(item)
            elif isinstance(item, MessageTracker):
                self.peers.add(item)
            elif isinstance(item, Frame):
                if item.tracker is None:
                    raise ValueError("Not a tracked message")
                self.peers.add(item.tracker)
            else:
                raise TypeError(
                    f"towatch must be Events, Frames or MessageTrackers, not {type(item).__name__}"
                )

    def _finished(self) -> bool:
        return all(event.is_set() for event in self.events) and all(
            peer._finished() for peer in self.peers
        )

    @property
    def done(self) -> bool:
        """Whether all watched memory may be used again."""
        if not self._finished():
            _core.wait_released(0)
        return self._finished()

    def wait(self, timeout: float | None = -1) -> None:
        """Waits until done; timeout in seconds, None or negative: for ever. NotDone: timed out."""
        forever = timeout is None or timeout < 0
        deadline = 0.0 if timeout is None else time.monotonic() + timeout
        while not self.done:
            left = 1.0 if forever else deadline - time.monotonic()
            if left <= 0:
                raise NotDone
            # Another thread may take what this one waits for: look again now and then.
            _core.wait_released(max(1, int(min(left, 0.05) * 1000)))


_FINISHED_TRACKER = MessageTracker()
_core.set_trackers(MessageTracker, _FINISHED_TRACKER)

__all__ = ["Frame", "Message", "MessageTracker"]
