# SPDX-License-Identifier: MIT
"""The numbers of the constants, against those of pyzmq where it is installed."""

from __future__ import annotations

import enum
import importlib.util
import json
import pickle
import subprocess
import sys

import pytest

import fastmq
from fastmq import constants

DUMP = """
import enum, json, zmq, zmq.constants
enums = {}
for name in dir(zmq.constants):
    value = getattr(zmq.constants, name)
    if isinstance(value, type) and issubclass(value, enum.Enum) and name[0] != "_":
        if value.__module__ == "zmq.constants":
            enums[name] = {k: int(v) for k, v in value.__members__.items()}
names = {
    name: int(getattr(zmq, name)) for name in dir(zmq) if isinstance(getattr(zmq, name), enum.Enum)
}
print(json.dumps([enums, names]))
"""


@pytest.fixture(scope="module")
def theirs() -> list[dict[str, object]]:
    if importlib.util.find_spec("zmq") is None:
        pytest.skip("pyzmq is not installed")
    run = subprocess.run(
        [sys.executable, "-c", DUMP], capture_output=True, text=True, timeout=60, check=True
    )
    found: list[dict[str, object]] = json.loads(run.stdout)
    return found


def test_enums_have_the_members_and_values_of_pyzmq(theirs) -> None:
    for name, members in theirs[0].items():
        ours = getattr(constants, name).__members__
        assert {key: int(ours[key]) for key in members} == members, name


def test_top_level_names_have_the_values_of_pyzmq(theirs) -> None:
    assert {name: int(getattr(fastmq, name)) for name in theirs[1]} == theirs[1]


def test_every_constant_is_exported() -> None:
    for name in constants.__all__:
        assert getattr(fastmq, name) is getattr(constants, name)
        assert name in fastmq.__all__


def test_constants_survive_pickling() -> None:
    for value in (fastmq.REQ, fastmq.LINGER, fastmq.SUBSCRIBE, fastmq.SNDMORE, fastmq.EVENT_ALL):
        assert pickle.loads(pickle.dumps(value)) is value


def test_a_socket_option_knows_what_its_value_is() -> None:
    kinds = {option.name: option._opt_type.value for option in constants.SocketOption}
    assert kinds["LINGER"] == "int"
    assert kinds["SUBSCRIBE"] == "bytes"
    assert kinds["MAXMSGSIZE"] == "int64"
    assert kinds["FD"] == "fd"


def test_no_value_is_given_twice_by_mistake() -> None:
    aliases = {
        name: member.name
        for name, member in constants.SocketOption.__members__.items()
        if name != member.name
    }
    assert aliases == {
        "IDENTITY": "ROUTING_ID",
        "CONNECT_RID": "CONNECT_ROUTING_ID",
        "DELAY_ATTACH_ON_CONNECT": "IMMEDIATE",
        "FAIL_UNROUTABLE": "ROUTER_MANDATORY",
        "ROUTER_BEHAVIOR": "ROUTER_MANDATORY",
    }
    assert issubclass(constants.Flag, enum.IntFlag)


def test_the_earlier_name_of_a_protocol_violation_still_means_it():
    assert fastmq.EVENT_EXPELLED is fastmq.EVENT_PROTOCOL_VIOLATION is fastmq.Event.EXPELLED
    assert fastmq.Event(0x8000).name == "PROTOCOL_VIOLATION"
