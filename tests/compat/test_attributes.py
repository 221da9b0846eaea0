# SPDX-License-Identifier: MIT
"""What a program may do with the attributes of pyzmq's classes it may do with fastmq's: read them,
give them values of its own, override them in subclasses."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from target import fastmq_only, zmq

pytestmark = fastmq_only("compares fastmq with pyzmq")

PYTHON = os.environ.get("FASTMQ_TEST_LIBZMQ_PYTHON", sys.executable)
SCRIPT = Path(__file__).with_name("attributes.py")

# "class.attribute: what": why not.
ALLOWED = {
    **{
        f"{cls}.closed: keep": "what the engine says of the context is not the program's to say"
        for cls in ("Context", "asyncio.Context")
    },
    **{f"Frame.{name}: set": "a method of an object without attributes" for name in ("get", "set")},
}
# Private names that programs are known to set.
PRIVATE = {"_socket_class", "_poller_class", "_instance", "_shadow_sock", "_sockets", "_shadow"}


def attributes(python: str, module: str) -> dict[str, dict[str, list[str]]]:
    done = subprocess.run(
        [python, str(SCRIPT), module], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, list[str]]] = json.loads(done.stdout)
    return found


def test_attributes_can_be_read_set_and_overridden_as_pyzmqs() -> None:
    if sys.executable == PYTHON and importlib.util.find_spec("zmq") is None:
        pytest.skip("pyzmq is not installed")
    expected, found = attributes(PYTHON, "zmq"), attributes(sys.executable, "fastmq")
    assert sum(map(len, expected.values())) > 500
    lacking, checked = [], 0
    for cls, names in expected.items():
        if cls == "ZMQStream" and cls not in found:
            continue
        for name, works in names.items():
            if name.startswith("_") and name not in PRIVATE:
                continue
            checked += len(works)
            have = found[cls].get(name, [])
            lacking += [f"{cls}.{name}: {what}" for what in works if what not in have]
    assert checked > 800
    assert sorted(set(lacking) - ALLOWED.keys()) == []


def test_the_context_of_a_socket_may_be_anything(make, ctx):
    """zmq-anyio gives its sockets a context of its own making."""
    sock = make(zmq.PAIR)
    assert sock.context is ctx
    other = object()
    sock.context = other
    assert sock.context is other
    sock.close()
    assert sock.closed


def test_a_socket_of_a_subclass_with_a_context_of_its_own_is_closed_with_its_context():
    class Own(zmq.Socket):
        context = "not one"

    ctx = zmq.Context()
    sock = Own(ctx, zmq.PAIR)
    assert sock.context == "not one"
    ctx.destroy()
    assert sock.closed
