# SPDX-License-Identifier: MIT
"""Libraries that fastmq works with and does not require."""

from __future__ import annotations

import importlib
from typing import Any


def load(module: str, extra: str) -> Any:
    """Imports a module of an optional library; the ImportError names it, and the extra with it."""
    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise missing(module.partition(".")[0], extra, e) from e


def missing(package: str, extra: str, error: ImportError) -> ImportError:
    """What to raise where an optional library cannot be imported."""
    return ImportError(
        f"{package} is needed here: pip install {package} (the extra [{extra}] brings it): {error}",
        name=error.name,
    )
