# SPDX-License-Identifier: MIT
"""Z85 (ZeroMQ RFC 32): binary keys as text for configuration files and command lines."""

from __future__ import annotations

from .._core import z85_decode as decode
from .._core import z85_encode as encode

Z85CHARS = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
"""The characters, each at the place of its value."""
Z85MAP = {character: value for value, character in enumerate(Z85CHARS)}
"""The value of each character."""

__all__ = ["Z85CHARS", "Z85MAP", "decode", "encode"]
