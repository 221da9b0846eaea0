# SPDX-License-Identifier: MIT
"""One table of options: C, the enum and the attributes agree."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastmq
from fastmq import _core
from fastmq.options import BytesOption, IntOption, SocketOptions

ROOT = Path(__file__).resolve().parents[2]


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


def homes() -> dict[str, dict[str, str]]:
    """What the table says of where values live: home -> name of the option -> its field."""
    found: dict[str, dict[str, str]] = {}
    table = ROOT / "csrc/pipe/options.def"
    if not table.exists():  # not a source tree
        return found
    for name, home, field in re.findall(
        r"^OPT\(\d+,\s*(\w+),.*?(\w+),\s*(\w+)\)$", table.read_text(), re.MULTILINE
    ):
        found.setdefault(home, {})[name] = field
    return found


def test_what_the_engine_stores_and_never_reads_is_what_the_page_says_has_no_effect() -> None:
    where = homes()
    if not where:
        pytest.skip("not a source tree")
    sources = [p.read_text() for p in (ROOT / "csrc").rglob("*.[ch]")]
    read = {f for text in sources for f in re.findall(r"(?:\.|->)(\w+)\b", text)}
    assert set(where) >= {"FIELD", "IGNORED", "SOCKET", "PATTERN"}
    assert [name for name, field in where["FIELD"].items() if field not in read] == []
    ignored = where["IGNORED"]
    # The table's own macro names the struct, and nothing else does.
    used = [m for text in sources for m in re.findall(r"\bignored(?:\.|->)(\w+)", text)]
    assert set(used) == {"field"}
    page = (ROOT / "docs/reference/options.md").read_text()
    section = page.partition("\n## Accepted, without effect\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(ignored)


@pytest.mark.parametrize("name", homes().get("IGNORED", {}))
def test_an_option_without_effect_is_read_back_as_it_was_set(name: str) -> None:
    with fastmq.Context() as ctx, ctx.socket(fastmq.PUSH) as sock:
        number = fastmq.SocketOption[name]
        before = sock.get(number)
        flag = name in ("MULTICAST_LOOP", "LOOPBACK_FASTPATH")
        value = 1 - before if flag else before + 1
        sock.set(number, value)
        assert sock.get(number) == value
