# SPDX-License-Identifier: MIT
"""Versions: fastmq's own, and those of ZeroMQ and pyzmq whose behaviour it has."""

from __future__ import annotations

import re

from . import _core

__version__ = _core.__version__
__revision__ = ""

ZMQ_VERSION = "4.3.5"
PYZMQ_VERSION = "27.3.0"


def _numbers(version: str) -> tuple[int, int, int]:
    found = [int(part) for part in re.findall(r"\d+", version)[:3]]
    return found[0], found[1], found[2]


def zmq_version() -> str:
    """The level of libzmq that fastmq matches."""
    return ZMQ_VERSION


def zmq_version_info() -> tuple[int, int, int]:
    """zmq_version() as numbers, to be compared."""
    return _numbers(ZMQ_VERSION)


def pyzmq_version() -> str:
    """The version of pyzmq whose API fastmq has."""
    return PYZMQ_VERSION


def pyzmq_version_info() -> tuple[int, int, int]:
    """pyzmq_version() as numbers, to be compared."""
    return _numbers(PYZMQ_VERSION)
