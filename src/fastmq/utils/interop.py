# SPDX-License-Identifier: MIT
"""Addresses of handles of other libraries."""

from __future__ import annotations

from typing import Any


def cast_int_addr(n: Any) -> int:
    """An address as int, given as int or as a pointer of cffi or ctypes. ValueError: neither."""
    if isinstance(n, int):
        return n
    try:
        import cffi  # whoever has a pointer of cffi has cffi
    except ImportError:
        pass
    else:
        ffi = cffi.FFI()
        if isinstance(n, ffi.CData):
            return int(ffi.cast("uintptr_t", n))
    value = getattr(n, "value", None)  # ctypes.c_void_p
    if isinstance(value, int):
        return value
    raise ValueError(f"Cannot cast {n!r} to int")


__all__ = ["cast_int_addr"]
