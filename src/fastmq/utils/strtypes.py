# SPDX-License-Identifier: MIT
"""Deprecated: helpers from the time of Python 2."""

from __future__ import annotations

import warnings

from .._core import package_name

warnings.warn(
    f"{package_name()}.utils.strtypes is deprecated: use str and bytes themselves",
    DeprecationWarning,
    stacklevel=2,
)

bytes = bytes
unicode = str
basestring = (str,)


def cast_bytes(s: str | bytes, encoding: str = "utf8", errors: str = "strict") -> bytes:
    """bytes from str or bytes. TypeError: neither."""
    if isinstance(s, bytes):
        return s
    if isinstance(s, str):
        return s.encode(encoding, errors)
    raise TypeError(f"Expected unicode or bytes, got {s!r}")


def cast_unicode(s: str | bytes, encoding: str = "utf8", errors: str = "strict") -> str:
    """str from str or bytes. TypeError: neither."""
    if isinstance(s, bytes):
        return s.decode(encoding, errors)
    if isinstance(s, str):
        return s
    raise TypeError(f"Expected unicode or bytes, got {s!r}")


b = asbytes = cast_bytes
u = cast_unicode

__all__ = ["asbytes", "b", "basestring", "bytes", "cast_bytes", "cast_unicode", "u", "unicode"]
