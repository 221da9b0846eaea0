# SPDX-License-Identifier: MIT
"""Which attributes of sockets and contexts are a program's own."""

from __future__ import annotations

import sys
from typing import Any


def _annotations(cls: type) -> dict[str, Any]:
    """What the body of this class annotates, whether or not the types can be evaluated."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    import inspect

    return inspect.get_annotations(cls)


def is_annotated(cls: type, name: str) -> bool:
    """Whether a class or one of its bases declares an attribute by annotating it."""
    return any(name in _annotations(base) for base in cls.__mro__)
