# SPDX-License-Identifier: MIT
"""fastmq whose connections stay on sockets: no shared memory (SHM 0)."""

from __future__ import annotations

from typing import Any

import _peer

import fastmq
from fastmq import DEALER, PULL, PUSH, REP, REQ, ROUTER, SHM

__all__ = ["DEALER", "PULL", "PUSH", "REP", "REQ", "ROUTER", "VERSION", "Context", "can"]

VERSION = f"fastmq {fastmq.__version__}"


class Context(fastmq.Context):
    def socket(self, *arguments: Any, **options: Any) -> Any:
        socket = super().socket(*arguments, **options)
        socket.setsockopt(SHM, 0)
        return socket


def can(scenario: str, params: dict[str, Any]) -> bool:
    return scenario == "growth_links" or _peer.can(scenario, params)
