# SPDX-License-Identifier: MIT
"""pyomq, an implementation of ZeroMQ in Rust that has the types of single parts."""

from __future__ import annotations

import importlib.metadata
import os
import tempfile
from typing import Any

import pyomq
from _peer import LARGEST
from pyomq import (
    DISH,
    GATHER,
    PULL,
    PUSH,
    RADIO,
    RCVTIMEO,
    REP,
    REQ,
    SCATTER,
    Again,
)

__all__ = [
    "DISH",
    "GATHER",
    "PULL",
    "PUSH",
    "RADIO",
    "RCVTIMEO",
    "REP",
    "REQ",
    "SCATTER",
    "VERSION",
    "Again",
    "Context",
    "can",
    "recv_of_group",
    "send_to_group",
]

VERSION = f"pyomq {importlib.metadata.version('pyomq')}"


ONE_WAY = ("pushpull", "scatter_gather")


class Context(pyomq.Context):  # type: ignore[misc]
    """Its sockets bind to "ipc://*", which pyomq does not know."""

    def socket(self, kind: int) -> Any:
        socket = super().socket(kind)
        bind = socket.bind

        def bind_anywhere(endpoint: str) -> None:
            if endpoint == "ipc://*":
                self._folder = tempfile.TemporaryDirectory()
                endpoint = f"ipc://{os.path.join(self._folder.name, 'peer')}"
            bind(endpoint)

        socket.bind = bind_anywhere
        return socket


def can(scenario: str, params: dict[str, Any]) -> bool:
    return scenario == "datagrams" or (
        # At times a CLIENT of 0.21 waits for ever, and a REQ over ipc.
        (scenario == "scatter_gather" or scenario in LARGEST)
        and params["size"] <= LARGEST.get(scenario, 1 << 20)
        and params["transport"] in (("tcp", "ipc") if scenario in ONE_WAY else ("tcp",))
        and params.get("copy", True)
    )


def send_to_group(radio: Any, body: bytes, group: str) -> None:
    """A group and a body are two parts there."""
    radio.send_multipart([group.encode(), body])


def recv_of_group(dish: Any) -> bytes:
    return bytes(dish.recv_multipart()[1])
