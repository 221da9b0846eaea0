# SPDX-License-Identifier: MIT
"""A stopwatch of microseconds, kept for old programs."""

from __future__ import annotations

import time


class Stopwatch:
    """Deprecated: time.perf_counter does the same."""

    _begin: float | None = None

    def start(self) -> None:
        """Starts it. RuntimeError: it runs."""
        if self._begin is not None:
            raise RuntimeError("the stopwatch runs already")
        self._begin = time.perf_counter()

    def stop(self) -> int:
        """Stops it; microseconds since start. RuntimeError: it does not run."""
        if self._begin is None:
            raise RuntimeError("the stopwatch does not run")
        begin, self._begin = self._begin, None
        return int((time.perf_counter() - begin) * 1e6)

    def sleep(self, seconds: float) -> None:
        """Sleeps that many seconds."""
        time.sleep(seconds)


__all__ = ["Stopwatch"]
