# SPDX-License-Identifier: MIT
"""The direction of every arrow in csrc/: a room knows nothing of the rooms above it.

Checked are what files include, and what the linker sees: which symbols of which other rooms the
compiled files of a room use. Within a room, the arrows between files may form no circle.
"""

from __future__ import annotations

import fcntl
import importlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
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
# What of wire/: why a peer broke the rules, what a socket type is.
PATTERN_WIRE = {"wire/peer_state.h", "wire/types.h"}
PUBLIC = {"fastmq.h", "include/fastmq.h"}

# Headers that list what several files define, a line each.
LISTS = {"pattern/patterns.h", "os/poller_ops.h", "wire/mechanism.h", "transport/stream.h"}

FILES = sorted(p for p in CSRC.rglob("*.[ch]"))
# The first test that needs the object files makes them, on a busy machine in a minute.
compiles = pytest.mark.deadline(300)
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
            assert header in PATTERN_WIRE, f"{name} must not include {header}"
        if layer == "pattern" and target == "reactor":
            raise AssertionError(f"{name} must not include {header}: patterns use pipe/")


def test_every_room_has_its_place():
    rooms = {p.relative_to(CSRC).parts[0] for p in FILES}
    assert rooms == set(BELOW)


def test_the_picture_of_the_rooms_shows_these_arrows(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    drawn = importlib.import_module("gen_diagrams").ROOMS
    shown: dict[str, set[str]] = {}
    for room in reversed(drawn):  # the lowest first
        under = {other.name for other in drawn if room.stands_on(other)}
        shown[room.name] = under.union(*(shown[name] for name in under))
    assert shown.pop("_core") == set(BELOW) - {"include"}
    assert shown == {name: BELOW[name] - {"include"} for name in shown}
    assert set(shown) == set(BELOW) - {"include"}


C_TESTS = sorted((ROOT / "tests/c").glob("**/test_*.c"))


@pytest.mark.parametrize("path", C_TESTS, ids=lambda p: str(p.relative_to(ROOT / "tests/c")))
def test_a_c_test_links_its_own_room_and_those_below_it(path):
    room = path.relative_to(ROOT / "tests/c").parts[0]
    line = re.search(r"^// needs: (.*)$", path.read_text(), re.MULTILINE)
    assert line, f"{path.name} does not say which rooms it links"
    needs = set(line[1].split())
    if room == "sim":
        assert needs == {"sim"}
    elif room == "engine":  # rooms together
        assert needs <= {"engine", *BELOW} and len(needs) >= 1
    elif needs == {"engine"}:
        assert room == "socket", f"{path.name} links all rooms: it belongs into engine/"
    else:
        allowed = BELOW[room] | {room}
        assert needs <= allowed, f"{path.name} of {room} links {sorted(needs - allowed)}"


def test_no_two_c_tests_have_the_same_name():
    names = [path.name for path in C_TESTS]
    assert len(names) > 30 and len(set(names)) == len(names), sorted(names)


class Symbols(NamedTuple):
    """Names that an object file defines, and those that it uses without defining them."""

    defined: set[str]
    undefined: set[str]


def symbols(objects: list[Path]) -> dict[Path, Symbols]:
    """Of each of these files, by one call of nm for all of them."""
    out = subprocess.run(
        ["nm", "--format=posix", "--extern-only", "-A", *map(str, objects)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    found = {o: Symbols(set(), set()) for o in objects}
    for line in out.splitlines():
        file, _, rest = line.partition(": ")
        name, kind = rest.split()[:2]
        of = found[Path(file)]
        (of.undefined if kind in "Uvw" else of.defined).add(name)
    return found


Rooms = dict[str, dict[Path, Symbols]]


def union(room: dict[Path, Symbols], kind: str) -> set[str]:
    return {name for of in room.values() for name in getattr(of, kind)}


@pytest.fixture(scope="module")
def rooms() -> Rooms:
    """The object files of each room and their symbols, as the C tests link them: those that
    `make test` has made."""
    if not shutil.which("nm") or not shutil.which("make"):
        pytest.skip("there is no nm or no make")
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build/rooms.lock").open("w") as lock:  # other processes of the tests build, too
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(
            ["make", "-s", "-j2", "-C", str(ROOT / "tests/c"), "MODE=asan", "rooms"],
            check=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
    objects = [
        o
        for o in sorted((ROOT / "build/c-asan").glob("*/*.o"))
        # Those of files that were deleted or renamed may lie about.
        if (CSRC / o.parent.name / f"{o.stem}.c").exists()
    ]
    found: Rooms = {name: {} for name in set(BELOW) - {"include"}}
    for o, of in symbols(objects).items():
        found[o.parent.name][o] = of
    return found


@compiles
def test_no_room_uses_a_symbol_of_a_room_that_is_not_below_it(rooms):
    defined = {name: union(room, "defined") for name, room in rooms.items()}
    assert "reactor_wait_for" in defined["reactor"] and "pipe_write" in defined["pipe"]
    assert "pipe_write" in union(rooms["pattern"], "undefined")
    wrong = []
    for name, room in rooms.items():
        used = union(room, "undefined")
        for other in defined:
            if other != name and other not in BELOW[name]:
                wrong += [f"{name} -> {other}: {s}" for s in sorted(used & defined[other])]
    assert not wrong, "\n".join(wrong)


@compiles
def test_no_two_rooms_define_the_same_symbol(rooms):
    seen: dict[str, str] = {}
    for name, room in rooms.items():
        for symbol in union(room, "defined"):
            assert symbol not in seen, f"{symbol} is defined in {seen[symbol]} and in {name}"
            seen[symbol] = name


def declarations(text: str) -> set[str]:
    """Names of the functions and variables that a header declares and does not define."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    text = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.MULTILINE)
    inner = re.compile(r"\{[^{}]*\}")
    while inner.search(text):
        text = inner.sub(";", text)
    names = set()
    for statement in text.split(";"):
        flat = " ".join(statement.split())
        found = re.match(r"extern .*?\b(\w+)(?:\[.*\])?$", flat)
        if not found and not flat.startswith(("typedef", "static", "_Static_assert")):
            found = re.match(r"[\w *]+?\b(\w+) ?\(", flat)
        if found:
            names.add(found[1])
    return names


def test_declarations_are_found():
    text = """
    /* int comment(void); */
    #define MACRO(a) \\
        call(a)
    struct a { int (*entry)(int x); struct { int y; } z; };
    enum b { ONE, TWO };
    typedef int handler(struct a *x);
    int plain(struct a *x,
              int y) __attribute__((cold));
    extern const struct a table;
    static inline int inside(int x)
    {
        if (x) { return plain(0, x); }
        return 0;
    }
    struct a *pointer(void);
    """
    assert declarations(text) == {"plain", "table", "pointer"}


@compiles
@pytest.mark.parametrize("room", sorted(set(BELOW) - {"include"}))
def test_a_header_declares_what_its_own_file_defines_and_nothing_else(room, rooms):
    sources = {p.stem for p in FILES if p.parent == CSRC / room and p.suffix == ".c"}
    foreign = sources - {o.stem for o in rooms[room]}
    definer = {s: o.stem for o, of in rooms[room].items() for s in of.defined}
    wrong = []
    for header in sorted((CSRC / room).glob("*.h")):
        name = f"{room}/{header.name}"
        for symbol in sorted(declarations(header.read_text())):
            stem = definer.get(symbol)
            if stem is None:
                if not any(symbol in (CSRC / room / f"{f}.c").read_text() for f in foreign):
                    wrong.append(f"{name} declares {symbol}, which no file of {room}/ defines")
                continue
            own = stem == header.stem
            if room == "os":  # what a system provides: thread.h is of thread_posix.c
                own = own or stem.startswith(f"{header.stem}_")
            if not own and name not in LISTS:
                wrong.append(f"{name} declares {symbol}, which {room}/{stem}.c defines")
    assert not wrong, "\n".join(wrong)


def arrows_within(room: str, objects: dict[Path, Symbols]) -> dict[str, set[str]]:
    """File -> the files of its room that it includes or calls. A file is one with its header."""
    found: dict[str, set[str]] = {}
    for path in FILES:
        if path.relative_to(CSRC).parts[0] == room:
            targets = found.setdefault(path.stem, set())
            for header in includes(path):
                if header.startswith(f"{room}/"):
                    targets.add(Path(header).stem)
    definer = {s: o.stem for o, of in objects.items() for s in of.defined}
    for o, of in objects.items():
        for s in of.undefined & definer.keys():
            found[o.stem].add(definer[s])
    for stem, targets in found.items():
        targets.discard(stem)
    return found


def circles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Groups of more than one file in which every file reaches every other one."""

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for target in arrows.get(todo.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return seen

    reached = {stem: reach(stem) for stem in arrows}
    groups: list[set[str]] = []
    for stem in sorted(arrows):
        if stem in reached[stem] and not any(stem in group for group in groups):
            groups.append({stem} | {t for t in reached[stem] if stem in reached.get(t, ())})
    return groups


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"a", "c"}, "c": {"d"}, "d": {"c"}, "e": {"a"}}) == [
        {"a", "b"},
        {"c", "d"},
    ]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [{"a", "b", "c"}]


@compiles
@pytest.mark.parametrize("room", sorted(set(BELOW) - {"include"}))
def test_files_of_a_room_form_no_circle(room, rooms):
    arrows = arrows_within(room, rooms[room])
    assert any(arrows.values()) or room in {"msg", "base"}, f"no arrow found in {room}"
    for circle in circles(arrows):
        inner = sorted(f"{a} -> {b}" for a in circle for b in arrows[a] & circle)
        raise AssertionError(f"circle in {room}: {', '.join(inner)}")


def test_c_tests_use_no_flags_that_only_some_systems_have():
    flag = re.compile(r"\b(SOCK_NONBLOCK|SOCK_CLOEXEC|accept4|pipe2)\b")
    tests = (CSRC.parent / "tests" / "c").rglob("*.[ch]")
    assert [path.name for path in tests if flag.search(path.read_text(encoding="utf-8"))] == []


def test_platform_switches_stay_in_os():
    switch = re.compile(r"^\s*#\s*if.*\b(__linux__|__APPLE__|_WIN32|__FreeBSD__)\b", re.MULTILINE)
    found = [
        str(p.relative_to(CSRC))
        for p in FILES
        if not str(p.relative_to(CSRC)).startswith("os/") and switch.search(p.read_text())
    ]
    assert not found, f"platform #ifdefs outside os/: {found}"
