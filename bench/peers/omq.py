# SPDX-License-Identifier: MIT
"""pyomq, an implementation of ZeroMQ in Rust that has the types of single parts."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from pyomq import CLIENT, GATHER, PULL, PUSH, REP, REQ, SCATTER, SERVER, Context

__all__ = [
    "CLIENT",
    "GATHER",
    "PULL",
    "PUSH",
    "REP",
    "REQ",
    "SCATTER",
    "SERVER",
    "VERSION",
    "Context",
    "can",
]

VERSION = f"pyomq {importlib.metadata.version('pyomq')}"


def can(scenario: str, params: dict[str, Any]) -> bool:
    """It knows no ipc://*."""
    return (
        scenario in ("scatter_gather", "client_server", "pushpull", "reqrep")
        and params["transport"] == "tcp"
        and params.get("copy", True)
    )
