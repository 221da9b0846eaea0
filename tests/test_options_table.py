# SPDX-License-Identifier: MIT
"""One table of options: C, the enum and the attributes agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fastmq
from fastmq import _core
from fastmq.options import BytesOption, IntOption, SocketOptions

ROOT = Path(__file__).resolve().parent.parent


def test_options_py_is_what_the_generator_writes() -> None:
    generator = ROOT / "tools/gen_options.py"
    if not generator.exists():
        pytest.skip("not a source tree")
    run = subprocess.run([sys.executable, str(generator), "--check"], timeout=60, check=False)
    assert run.returncode == 0, "run tools/gen_options.py"


def test_every_option_of_the_engine_is_in_the_enum() -> None:
    members = fastmq.SocketOption.__members__
    assert {name: number for number, name, *_ in _core.option_table()} == {
        name: int(members[name]) for _, name, *_ in _core.option_table()
    }


def test_every_option_of_the_enum_is_known_to_the_engine() -> None:
    known = {number for number, *_ in _core.option_table()}
    # BLOCKY is an option of contexts.
    assert {int(option) for option in fastmq.SocketOption} - known == {70}


def test_attributes_have_the_kind_and_access_of_the_table() -> None:
    for number, name, is_bytes, readable, settable, _, _ in _core.option_table():
        if name in ("TYPE", "FD", "HWM", "SUBSCRIBE", "UNSUBSCRIBE"):
            continue
        for attribute in (name, name.lower()):
            option = SocketOptions.__dict__[attribute]
            assert isinstance(option, BytesOption if is_bytes else IntOption), name
            assert option.number == number
            assert option.access == "G" * readable + "S" * settable


def test_the_enum_tells_bytes_from_numbers_as_the_engine_does() -> None:
    for number, name, is_bytes, *_ in _core.option_table():
        kind = fastmq.SocketOption(number)._opt_type.value
        assert (kind == "bytes") == is_bytes, name
