# SPDX-License-Identifier: MIT
"""Z85 (ZeroMQ RFC 32): binary keys as text that survives config files and command lines."""

from __future__ import annotations

from .._core import z85_decode as decode
from .._core import z85_encode as encode

__all__ = ["decode", "encode"]
