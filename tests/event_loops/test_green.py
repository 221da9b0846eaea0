# SPDX-License-Identifier: MIT
"""fastmq.green under gevent; in processes of their own, so that gevent's patches stay there."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from target import fastmq_only

pytestmark = [
    fastmq_only("its own gevent support is not under test"),
    pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is missing"),
]

CASES = Path(__file__).with_name("green_cases.py")
NAMES = [
    node.name
    for node in ast.parse(CASES.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and not node.args.args
]


@pytest.mark.parametrize("case", NAMES)
def test_under_gevent(case: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", str(CASES), case],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0 and done.stdout == "done\n", done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr


def test_the_names_of_pyzmq_are_there() -> None:
    code = (
        "import fastmq.green.core as c, fastmq.green.poll as p, fastmq.green.device as d;"
        "import fastmq.green as g;"
        "assert g.Context is c._Context and g.Socket is c._Socket and g.Poller is p._Poller;"
        "assert callable(g.device) and g.REQ == 3"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_all_that_zmq_exports_is_exported_by_green() -> None:
    asked = "import fastmq, fastmq.green as g; print(g.__all__ == fastmq.__all__)"
    asked += "; print([name for name in g.__all__ if not hasattr(g, name)])"
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["True", "[]"], done.stdout + done.stderr
