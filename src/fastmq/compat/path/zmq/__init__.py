# SPDX-License-Identifier: MIT
"""`import zmq` with fastmq.compat.PATH on PYTHONPATH: becomes fastmq.

An interpreter that has no fastmq (a child process of another environment) gets its own pyzmq.
"""

import importlib
import sys
import warnings
from pathlib import Path

try:
    import fastmq.compat
except ModuleNotFoundError as e:
    if e.name != "fastmq":
        raise
    here = str(Path(__file__).resolve().parent.parent)
    sys.path[:] = [entry for entry in sys.path if str(Path(entry).resolve()) != here]
    del sys.modules["zmq"]
    warnings.warn(
        f"fastmq is not installed for {sys.executable}: `import zmq` means pyzmq in this process",
        RuntimeWarning,
        stacklevel=2,
    )
    importlib.import_module("zmq")
else:
    fastmq.compat.install()
    importlib.import_module("zmq")
