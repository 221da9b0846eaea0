# SPDX-License-Identifier: MIT
"""What a quiet process may cost: turns of its loops, and CPU time of all its threads."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WINDOW = 0.04
"""Seconds that are looked at in one piece."""
TURNS = 6
"""Turns that a loop may make in a window: its own timer, and some afterpains."""
IN_A_ROW = 3
"""Quiet windows that are wanted: on a busy machine what burns may get no processor in one."""
CPU = 0.025
"""Part of a window that all threads together may compute. A thread that burns has much more of it,
however busy the machine."""
WINDOWS = 40
"""A loop that burns does so in all of them; what is still settling, in the first."""


@dataclass
class Idle:
    """Windows one after the other until several in a row are quiet."""

    counters: Sequence[Callable[[], int]]
    rows: list[tuple[list[int], float]] = field(default_factory=list)
    row: int = 0  # quiet ones, the last of which was the last
    _turns: list[int] = field(default_factory=list)
    _cpu: float = 0.0
    _start: float = 0.0

    def begin(self) -> None:
        self._turns = [count() for count in self.counters]
        self._cpu = time.process_time()
        self._start = time.monotonic()

    def quiet(self) -> bool:
        """Whether the window that ends now, and those before it, were."""
        wall = max(time.monotonic() - self._start, WINDOW)
        turns = [count() - before for count, before in zip(self.counters, self._turns, strict=True)]
        cpu = time.process_time() - self._cpu
        self.rows.append((turns, cpu))
        quiet = cpu <= CPU * wall and all(n <= TURNS * wall / WINDOW for n in turns)
        self.row = self.row + 1 if quiet else 0
        return self.row >= IN_A_ROW

    def complaint(self) -> str:
        rows = ", ".join(f"{turns} turns {cpu * 1000:.0f} ms" for turns, cpu in self.rows[-4:])
        return f"burns: not idle in {len(self.rows)} windows of {WINDOW * 1000:g} ms: {rows}"
