# SPDX-License-Identifier: MIT
"""What must be as it was before a program: descriptors, threads, objects, memory."""

import collections
import enum
import gc
import os
import threading
import time
from typing import Any

from .ledger import Broken

SETTLE = float(os.environ.get("FASTMQ_RANDOM_SETTLE", "5"))
"""Seconds within which all must be back."""


KEPT = {"plain", "_Begun"}
"""Made once for a class of sockets, or for a thread."""


def descriptors() -> collections.Counter[str]:
    """What is open, by kind."""
    found: collections.Counter[str] = collections.Counter()
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    for name in os.listdir(folder):
        try:
            os.fstat(int(name))
        except OSError:
            continue  # the descriptor of the listing itself
        try:
            found[os.readlink(f"{folder}/{name}").split(":[")[0]] += 1
        except OSError:
            found["?"] += 1
    return found


def objects(module: Any) -> collections.Counter[str]:
    """Objects of the module under test that are alive and of a kind that a program makes."""
    kinds = collections.Counter(type(o) for o in gc.get_objects())
    return collections.Counter(
        {
            kind.__name__: n
            for kind, n in kinds.items()
            if isinstance(kind.__module__, str)
            and kind.__module__.split(".")[0] == module.__name__
            and not issubclass(kind, enum.Enum)  # combined flags are made once, and stay
            and kind.__name__ not in KEPT
        }
    )


class Level:
    """How things stand before a program."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.now = self.measure()

    def measure(self) -> dict[str, Any]:
        gc.collect()
        core = getattr(self.module, "_core", None)
        live = getattr(core, "live_blocks", int)
        open_fds = getattr(core, "open_fds", int)
        return {
            "descriptors": descriptors(),
            "engine's descriptors": collections.Counter(all=open_fds()),
            "threads": collections.Counter(t.name for t in threading.enumerate()),
            "objects": objects(self.module),
            "engine's allocations": collections.Counter(all=live()),
        }

    def check(self) -> None:
        """Broken: something is still there after SETTLE seconds."""
        deadline = time.monotonic() + SETTLE
        while True:
            now = self.measure()
            more = {
                what: dict(extra)
                for what, count in now.items()
                if (extra := count - self.now[what])
            }
            if not more:
                return
            if time.monotonic() > deadline:
                raise Broken(f"level: left over after the program: {more}")
            time.sleep(0.01)
