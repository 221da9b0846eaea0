# SPDX-License-Identifier: MIT
"""fastmq's own PUSH, PULL, DEALER and ROUTER in the place of its types of single parts."""

from __future__ import annotations

from typing import Any

from fastmq import DEALER, PULL, PUSH, ROUTER, Context, __version__

__all__ = ["DEALER", "DRAFT_API", "PULL", "PUSH", "ROUTER", "VERSION", "Context", "can"]

VERSION = f"fastmq {__version__}"
DRAFT_API = False  # so the scenarios take the stable types


def can(scenario: str, params: dict[str, Any]) -> bool:
    return scenario in ("scatter_gather", "client_server")
