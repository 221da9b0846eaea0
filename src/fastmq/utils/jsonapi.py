# SPDX-License-Identifier: MIT
"""JSON to and from bytes in UTF-8."""

from __future__ import annotations

import json
from typing import Any

jsonmod = json


def dumps(o: object, **kwargs: Any) -> bytes:
    """An object as JSON. Keywords go to json.dumps."""
    return json.dumps(o, **kwargs).encode("utf-8")


def loads(s: bytes | str, **kwargs: Any) -> dict[str, Any] | list[Any] | str | float:
    """The object that JSON text represents. Keywords go to json.loads."""
    if isinstance(s, (bytes, bytearray, memoryview)):
        s = bytes(s).decode("utf-8")
    result: dict[str, Any] | list[Any] | str | float = json.loads(s, **kwargs)
    return result


__all__ = ["dumps", "jsonmod", "loads"]
