# SPDX-License-Identifier: MIT
"""Libraries that fastmq works with and does not require."""

from __future__ import annotations

import importlib
from typing import Any


def load(module: str, extra: str) -> Any:
    """Imports a module of an optional library; the ImportError names the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise ImportError(
            f"{module.partition('.')[0]} is needed here: pip install 'fastmq[{extra}]' ({e})",
            name=e.name,
        ) from e
