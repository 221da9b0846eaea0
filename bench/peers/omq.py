# SPDX-License-Identifier: MIT
"""pyomq, an implementation of ZeroMQ in Rust that has the types of single parts."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from pyomq import (
    CLIENT,
    DISH,
    GATHER,
    PULL,
    PUSH,
    RADIO,
    RCVTIMEO,
    REP,
    REQ,
    SCATTER,
    SERVER,
    Again,
    Context,
)

__all__ = [
    "CLIENT",
    "DISH",
    "GATHER",
    "PULL",
    "PUSH",
    "RADIO",
    "RCVTIMEO",
    "REP",
    "REQ",
    "SCATTER",
    "SERVER",
    "VERSION",
    "Again",
    "Context",
    "can",
    "recv_of_group",
    "send_to_group",
]

VERSION = f"pyomq {importlib.metadata.version('pyomq')}"


def can(scenario: str, params: dict[str, Any]) -> bool:
    """It knows no ipc://*."""
    return scenario == "datagrams" or (
        scenario in ("scatter_gather", "client_server", "pushpull", "reqrep")
        and params["transport"] == "tcp"
        and params.get("copy", True)
    )


def send_to_group(radio: Any, body: bytes, group: str) -> None:
    """A group and a body are two parts there."""
    radio.send_multipart([group.encode(), body])


def recv_of_group(dish: Any) -> bytes:
    return bytes(dish.recv_multipart()[1])
