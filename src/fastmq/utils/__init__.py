# SPDX-License-Identifier: MIT
"""Helpers around sockets."""
