# SPDX-License-Identifier: MIT
"""The module that the suite tests.

FASTMQ_TEST_MODULE=zmq runs the same tests against pyzmq. What pyzmq lacks, or does differently on
purpose, is marked with `fastmq_only` and skipped there.
"""

import importlib
import os
from typing import Any

import pytest

MODULE = os.environ.get("FASTMQ_TEST_MODULE", "fastmq")
IS_FASTMQ = MODULE == "fastmq"
# Any, so that one suite fits both modules.
zmq: Any = importlib.import_module(MODULE)


def fastmq_only(reason: str) -> pytest.MarkDecorator:
    """Skips a test where another implementation is the target; `reason` says what differs."""
    return pytest.mark.skipif(not IS_FASTMQ, reason=f"{MODULE}: {reason}")


def submodule(name: str) -> Any:
    """A submodule of the module under test, such as `utils.monitor`."""
    return importlib.import_module(f"{MODULE}.{name}")


def open_engine_fds() -> int:
    """Descriptors that the engine holds, over all contexts; 0 where the module cannot tell."""
    return int(zmq._core.open_fds()) if IS_FASTMQ else 0
