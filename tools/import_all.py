# SPDX-License-Identifier: MIT
"""Imports every module of an installed fastmq; one that needs an extra may refuse, if it says so.

Run by tools/dist_check.py where no extra is installed, and on every wheel that is made.
"""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import version
from pathlib import Path

import fastmq

SOURCES = Path(__file__).resolve().parent.parent / "src"
ASKS = " is needed here: pip install "


def main() -> None:
    if SOURCES in Path(fastmq.__file__).parents:
        raise SystemExit(f"this is not an installed fastmq: {fastmq.__file__}")
    if version("fastmq") != fastmq.__version__:
        raise SystemExit(f"{version('fastmq')} is installed, {fastmq.__version__} is imported")
    refused = []
    for found in pkgutil.walk_packages(fastmq.__path__, "fastmq.", onerror=lambda name: None):
        if found.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(found.name)
        except ImportError as e:
            if ASKS not in str(e):
                raise
            refused.append(found.name)
    print(f"fastmq {fastmq.__version__} imported; refused for want of an extra:", *refused or "-")


if __name__ == "__main__":
    main()
