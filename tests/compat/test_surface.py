# SPDX-License-Identifier: MIT
"""Nothing that pyzmq makes public is missing: its modules, names, members and parameters."""

import importlib
import importlib.util
import inspect
import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from target import fastmq_only

pytestmark = fastmq_only("compares fastmq with pyzmq")

PYTHON = os.environ.get("FASTMQ_TEST_LIBZMQ_PYTHON", sys.executable)

# What fastmq has not, and why. A module, module.name or module.Class.member.
ALLOWED = {
    # How pyzmq is made, and of no use to a program.
    "zmq.sugar.attrsettr": "the base that turns options into attributes; fastmq writes them out",
    "zmq.utils.garbage.GarbageCollectorThread": "the engine needs no thread for it",
    "zmq.auth.thread.AuthenticationThread.poller": "how its thread waits",
    "zmq.eventloop.future.Context.io_loop": "always None",
    "zmq._typing": "an import of typing for old Pythons",
    # Imports that slipped out.
    **{
        f"{path}.{name}": ""
        for path in ("zmq", "zmq.green")
        for name in ("Enum", "IntEnum", "IntFlag")
    },
    "zmq.green.core.TIMEOS": "an alias of gevent's Timeout",
    # Calls the parameter key or opt here, and option in Socket itself.
    "zmq.asyncio.Socket.get": "",
    "zmq.eventloop.future.Socket.get": "",
    "zmq.green.Socket.get": "",
    "zmq.green.Socket.set": "",
    **{
        f"zmq.backend.{path}{name}": "has it in fastmq.Context or fastmq.Socket, the class below"
        for path in ("", "cython.", "cython._zmq.")
        for name in (
            "Context.term",
            "Socket.bind",
            "Socket.close",
            "Socket.connect",
            "Socket.join",
            "Socket.leave",
        )
    },
}


@pytest.fixture(scope="module")
def surface():
    if sys.executable == PYTHON and importlib.util.find_spec("zmq") is None:
        pytest.skip("pyzmq is not installed")
    script = Path(__file__).with_name("surface.py")
    done = subprocess.run([PYTHON, str(script)], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def own(name):
    return "fastmq" + name.removeprefix("zmq")


def is_allowed(name):
    return any(name == allowed or name.startswith(allowed + ".") for allowed in ALLOWED)


def module_of(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(own(name))


def test_every_module_and_name_of_pyzmq_is_there(surface):
    assert len(surface) > 40 and len(surface["zmq"]) > 250
    missing = []
    for name, names in surface.items():
        if names is None or is_allowed(name):
            continue
        try:
            module = module_of(name)
        except ImportError as e:
            missing.append(f"{name} ({e})")
            continue
        for attribute, about in names.items():
            full = f"{name}.{attribute}"
            if is_allowed(full):
                continue
            if not hasattr(module, attribute):
                missing.append(full)
                continue
            value = getattr(module, attribute)
            missing += [
                f"{full}.{member}"
                for member in about["members"]
                if not hasattr(value, member) and not is_allowed(f"{full}.{member}")
            ]
    assert not missing, "\n" + "\n".join(missing)


def refused(value, wanted):
    """The first parameter that a call written for pyzmq could give and `value` would not take."""
    try:
        have = list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError):
        return None
    have = [p for p in have if p.name not in ("self", "cls")]
    kinds = {p.kind for p in have}
    if inspect.Parameter.VAR_KEYWORD in kinds and inspect.Parameter.VAR_POSITIONAL in kinds:
        return None
    names = {p.name for p in have}
    positional = [p.name for p in have if "POSITIONAL" in p.kind.name and "VAR" not in p.kind.name]
    for place, (name, kind) in enumerate(wanted):
        if name.startswith("_") or kind.startswith("VAR"):
            continue
        by_place = "POSITIONAL" in kind and inspect.Parameter.VAR_POSITIONAL not in kinds
        if by_place and (place >= len(positional)):
            return f"{name} (by place)"
        if kind == "POSITIONAL_ONLY":
            continue
        if by_place and positional[place] != name:
            return f"{name} (is {positional[place]})"
        if name not in names and inspect.Parameter.VAR_KEYWORD not in kinds:
            return name
    return None


def test_every_function_takes_the_arguments_of_pyzmqs(surface):
    wrong, checked = [], 0
    for name, names in surface.items():
        if names is None or is_allowed(name):
            continue
        try:
            module = module_of(name)
        except ImportError:
            continue  # told of by the test of names
        for attribute, about in names.items():
            value = getattr(module, attribute, None)
            calls = {"": about["parameters"]} | about["members"]
            for member, wanted in calls.items():
                full = f"{name}.{attribute}" + f".{member}" * bool(member)
                function = getattr(value, member, None) if member else value
                if wanted is None or function is None or is_allowed(full):
                    continue
                checked += 1
                problem = refused(function, wanted)
                if problem:
                    wrong.append(f"{full}: {problem}")
    assert checked > 300
    assert not wrong, "\n" + "\n".join(wrong)


def test_importing_brings_in_no_module_that_few_programs_need() -> None:
    heavy = {"ast", "asyncio", "dataclasses", "inspect", "json", "pathlib", "pickle", "random"}
    code = (
        "import sys; before = set(sys.modules); import fastmq;"
        f"print(sorted(({heavy!r} & set(sys.modules)) - before))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.strip() == "[]"


def test_what_is_imported_late_is_there_from_the_start() -> None:
    import fastmq

    assert fastmq.Peer is fastmq.stats.Peer
    default = inspect.signature(fastmq.Socket.send_pyobj).parameters["protocol"].default
    assert default == pickle.DEFAULT_PROTOCOL
