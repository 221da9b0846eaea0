# SPDX-License-Identifier: MIT
"""When a call that waits in several steps has to end."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """The end of a timeout in ms that begins now; None or negative: there is none.

    clock: what tells the time, in seconds.
    """

    __slots__ = ("_clock", "at")

    at: float | None
    """The end by that clock."""

    def __init__(self, timeout: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.at = None if timeout is None or timeout < 0 else clock() + timeout / 1000

    def left(self) -> float | None:
        """The seconds that are left, 0 at the end; None without an end."""
        return None if self.at is None else max(0.0, self.at - self._clock())

    def left_ms(self) -> float | None:
        """The same as the timeout of a call."""
        left = self.left()
        return None if left is None else left * 1000

    def over(self) -> bool:
        """Whether the end has come."""
        return self.left() == 0
