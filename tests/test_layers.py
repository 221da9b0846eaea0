# SPDX-License-Identifier: MIT
"""The direction of every arrow in csrc/: a room knows nothing of the rooms above it.

Checked are what files include, and what the linker sees: which symbols of which other rooms the
compiled files of a room use.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CSRC = ROOT / "csrc"

# room -> the rooms below it (its own is always allowed)
BELOW: dict[str, set[str]] = {
    "base": set(),
    "os": {"base"},
    "msg": {"base"},
    "include": {"base", "msg"},
    "wire": {"base", "msg", "include"},  # include: the numbers of the socket types
}
BELOW["reactor"] = {"base", "os", "msg", "wire", "include"}
BELOW["pipe"] = BELOW["reactor"] | {"reactor"}
BELOW["net"] = BELOW["pipe"] | {"pipe"}
BELOW["pattern"] = BELOW["pipe"] | {"pipe"}
BELOW["transport"] = BELOW["net"] | {"net"}
BELOW["socket"] = BELOW["transport"] | {"transport", "pattern"}
# The patterns are named in one file only.
REGISTRY = "socket/registry.c"
# What of os/ a pattern may include: no descriptors, no threads.
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
        assert target in BELOW[layer], f"{name} ({layer}) must not include {header}"
        if target == "pattern":
            assert name == REGISTRY, f"only {REGISTRY} names patterns, not {name}"
        if layer == "pattern" and target == "os":
            assert header in PATTERN_OS, f"{name}: patterns know no descriptors or threads"
        if layer == "pattern" and target == "wire":
            assert header == "wire/peer.h", f"{name} must not include {header}"
        if layer == "pattern" and target == "reactor":
            raise AssertionError(f"{name} must not include {header}: patterns use pipe/")


def test_every_room_has_its_place():
    rooms = {p.relative_to(CSRC).parts[0] for p in FILES}
    assert rooms == set(BELOW)


def symbols(objects: list[Path], kind: str) -> set[str]:
    """Names that the object files define (kind "defined") or use without defining ("undefined")."""
    option = {"defined": "--defined-only", "undefined": "--undefined-only"}[kind]
    out = subprocess.run(
        ["nm", "--format=posix", "--extern-only", option, *map(str, objects)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    return {line.split()[0] for line in out.splitlines() if len(line.split()) > 1}


@pytest.fixture(scope="module")
def rooms() -> dict[str, list[Path]]:
    """The object files of each room, as the C tests link them."""
    if not shutil.which("nm") or not shutil.which("make"):
        pytest.skip("there is no nm or no make")
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build/rooms.lock").open("w") as lock:  # other processes of the tests build, too
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(
            ["make", "-s", "-C", str(ROOT / "tests/c"), "MODE=plain", "rooms"],
            check=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
    names = set(BELOW) - {"include"}
    found = {name: sorted((ROOT / "build/c-plain" / name).glob("*.o")) for name in names}
    # Objects of files that were deleted or renamed may lie about.
    return {
        name: [o for o in objects if (CSRC / name / f"{o.stem}.c").exists()]
        for name, objects in found.items()
    }


def test_no_room_uses_a_symbol_of_a_room_that_is_not_below_it(rooms):
    defined = {name: symbols(objects, "defined") for name, objects in rooms.items()}
    assert "reactor_wait" in defined["reactor"] and "pipe_write" in defined["pipe"]
    wrong = []
    for name, objects in rooms.items():
        used = symbols(objects, "undefined")
        for other in defined:
            if other != name and other not in BELOW[name]:
                wrong += [f"{name} -> {other}: {s}" for s in sorted(used & defined[other])]
    assert not wrong, "\n".join(wrong)


def test_no_two_rooms_define_the_same_symbol(rooms):
    seen: dict[str, str] = {}
    for name, objects in rooms.items():
        for symbol in symbols(objects, "defined"):
            assert symbol not in seen, f"{symbol} is defined in {seen[symbol]} and in {name}"
            seen[symbol] = name


def test_platform_switches_stay_in_os():
    switch = re.compile(r"^\s*#\s*if.*\b(__linux__|__APPLE__|_WIN32|__FreeBSD__)\b", re.MULTILINE)
    found = [
        str(p.relative_to(CSRC))
        for p in FILES
        if not str(p.relative_to(CSRC)).startswith("os/") and switch.search(p.read_text())
    ]
    assert not found, f"platform #ifdefs outside os/: {found}"
