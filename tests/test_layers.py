# SPDX-License-Identifier: MIT
"""The direction of every #include in csrc/: lower layers know nothing of higher ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSRC = Path(__file__).parent.parent / "csrc"

# folder -> folders whose headers it may include (its own is always allowed)
ALLOWED = {
    "base": set(),
    "os": {"base"},
    "msg": {"base"},
    "wire": {"base", "msg", "include"},  # include: the numbers of the socket types
    "include": {"base", "msg"},
    "core": {"base", "os", "msg", "wire", "include", "pattern", "transport"},
    "pattern": {"base", "os", "msg", "wire", "core", "include"},
    "transport": {"base", "os", "msg", "wire", "core", "include"},
}
# core names patterns and transports in one file only.
REGISTRY = "core/registry.c"
# What of os/ a pattern may use: no descriptors, no threads.
PATTERN_OS = {"os/random.h"}
PUBLIC = {"fastmq.h", "include/fastmq.h"}

FILES = sorted(p for p in CSRC.rglob("*.[ch]"))
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def includes(path: Path) -> list[str]:
    return INCLUDE.findall(path.read_text())


def test_there_are_sources_to_check():
    assert len(FILES) > 50


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CSRC)))
def test_a_file_includes_only_its_own_layer_and_those_below(path):
    name = str(path.relative_to(CSRC))
    layer = name.split("/")[0]
    for header in includes(path):
        if header in PUBLIC:
            target = "include"
        else:
            assert (CSRC / header).exists(), f"{name} includes {header}, not written from csrc/"
            target = header.split("/")[0]
        if target == layer:
            continue
        assert target in ALLOWED[layer], f"{name} ({layer}) must not include {header}"
        if layer == "core" and target in {"pattern", "transport"}:
            assert name == REGISTRY, f"only {REGISTRY} names patterns and transports, not {name}"
        if layer == "pattern" and target == "os":
            assert header in PATTERN_OS, f"{name}: patterns know no descriptors or threads"
        if layer == "pattern" and target == "wire":
            assert header == "wire/peer.h", f"{name} must not include {header}"


def test_platform_switches_stay_in_os():
    switch = re.compile(r"^\s*#\s*if.*\b(__linux__|__APPLE__|_WIN32|__FreeBSD__)\b", re.MULTILINE)
    found = [
        str(p.relative_to(CSRC))
        for p in FILES
        if not str(p.relative_to(CSRC)).startswith("os/") and switch.search(p.read_text())
    ]
    assert not found, f"platform #ifdefs outside os/: {found}"
