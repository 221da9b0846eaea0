# SPDX-License-Identifier: MIT
"""Helpers around sockets."""

from typing import TYPE_CHECKING

from . import interop, z85

if TYPE_CHECKING:
    from . import jsonapi


def __getattr__(name: str) -> object:
    if name == "jsonapi":  # it imports json
        import importlib

        return importlib.import_module(f"{__name__}.jsonapi")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["interop", "jsonapi", "z85"]
