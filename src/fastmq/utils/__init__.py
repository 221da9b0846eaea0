# SPDX-License-Identifier: MIT
"""Helpers around sockets."""

from . import interop, jsonapi, z85

__all__ = ["interop", "jsonapi", "z85"]
