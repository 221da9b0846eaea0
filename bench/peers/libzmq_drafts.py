# SPDX-License-Identifier: MIT
"""pyzmq over a libzmq built with drafts: FASTMQ_DRAFT_PEER names a Python that has it.

It has to be of this Python's version, as its packages are imported here.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from typing import Any

_python = os.environ.get("FASTMQ_DRAFT_PEER")
if not _python:
    raise ImportError("FASTMQ_DRAFT_PEER names no Python")
_found = subprocess.run(
    [_python, "-c", "import pathlib, zmq; print(pathlib.Path(zmq.__file__).parents[1])"],
    check=True,
    capture_output=True,
    text=True,
)
sys.path.insert(0, _found.stdout.strip())
try:
    _zmq: Any = importlib.import_module("zmq")
finally:
    del sys.path[0]

CLIENT, SERVER, GATHER, SCATTER = _zmq.CLIENT, _zmq.SERVER, _zmq.GATHER, _zmq.SCATTER
RADIO, DISH, RCVTIMEO, Again = _zmq.RADIO, _zmq.DISH, _zmq.RCVTIMEO, _zmq.Again
Context = _zmq.Context
VERSION = f"pyzmq {_zmq.pyzmq_version()} (libzmq {_zmq.zmq_version()}, drafts)"


def can(scenario: str, params: dict[str, Any]) -> bool:
    return scenario in ("scatter_gather", "client_server", "datagrams")
