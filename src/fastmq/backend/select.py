# SPDX-License-Identifier: MIT
"""Backends by name; fastmq has one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

public_api = [
    "Context",
    "Socket",
    "Frame",
    "Message",
    "proxy",
    "proxy_steerable",
    "zmq_poll",
    "strerror",
    "zmq_errno",
    "has",
    "curve_keypair",
    "curve_public",
    "zmq_version_info",
    "IPC_PATH_MAX_LEN",
    "PYZMQ_DRAFT_API",
]


def select_backend(name: str) -> dict[str, Any]:
    """The public names of the module `name`. ImportError: it is none, or lacks one of them."""
    module = import_module(name)
    missing = [attribute for attribute in public_api if not hasattr(module, attribute)]
    if missing:
        raise ImportError(f"{name} is no backend: it lacks {', '.join(missing)}")
    return {attribute: getattr(module, attribute) for attribute in public_api}


__all__ = ["public_api", "select_backend"]
