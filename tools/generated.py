# SPDX-License-Identifier: MIT
"""What the generators share: files that are made are written, or compared with what is there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path


def write_or_check(made: Mapping[Path, str]) -> int:
    """Writes the files; with --check compares them. Returns the exit status."""
    if "--check" in sys.argv[1:]:
        return int(any(not path.exists() or path.read_text() != made[path] for path in made))
    for path, text in made.items():
        path.write_text(text)
    return 0
