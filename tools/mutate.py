#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mutation testing of the engine: which small faults do its C tests let pass?

Each file of the chosen rooms is parsed with libclang and written anew, into a copy of the tree
under build/mutate, with all of its mutants in it at once: `a < b` becomes an expression that is
`a <= b` when mutant 17 is chosen and `a < b` otherwise. So the tests are compiled once. A first run
of each test records which mutants its program reaches. Then each mutant runs those tests that reach
it, the quickest first, until one fails or takes far longer than without the mutant.

A mutant survives when no test fails. docs/mutation.md says what was concluded from those.

    tools/mutate.py                          every mutant of csrc/wire and csrc/pipe
    tools/mutate.py --sample 200 --seed 1    a sample
    tools/mutate.py --list                   what there is, without running anything
    tools/mutate.py --only 17,18             these again

Mutants are numbered in the order of files and of places in them: a number holds until the source
changes.

Left alone: what comes out of a macro (assertions, above all), constant expressions, and
declarations outside of functions.
"""

from __future__ import annotations

import argparse
import bisect
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build/mutate"
MODE = "asan"

OTHER = {
    "<": ["<=", ">="],
    "<=": ["<", ">"],
    ">": [">=", "<="],
    ">=": [">", "<"],
    "==": ["!="],
    "!=": ["=="],
    "+": ["-"],
    "-": ["+"],
    "<<": [">>"],
    ">>": ["<<"],
    "&": ["|"],
    "|": ["&"],
    "^": ["&"],
    "+=": ["-="],
    "-=": ["+="],
    "|=": ["&="],
    "&=": ["|="],
}

# Included before each file. The choice comes from the environment, and so does the file in which
# a run marks what it reached: it is mapped, so that nothing has to be written when a program ends.
RUNTIME = """\
#ifndef MUTANT_RUNTIME
#define MUTANT_RUNTIME
#ifndef __ASSEMBLER__
extern int mutant_chosen;
extern unsigned char *mutant_reached;
static inline int mutant_is(int n)
{
    if (__builtin_expect(mutant_reached != (void *)0, 0))
        mutant_reached[n] = 1;
    return __builtin_expect(mutant_chosen == n, 0);
}
#define MUTANT(n) mutant_is(n)
#endif
#endif
"""

RUNTIME_SOURCE = """\
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
int mutant_chosen;
unsigned char *mutant_reached;
__attribute__((constructor)) static void mutant_start(void)
{
    const char *chosen = getenv("MUTANT"), *path = getenv("MUTANT_REACHED");
    mutant_chosen = chosen ? atoi(chosen) : 0;
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, COUNT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    mutant_reached = map == MAP_FAILED ? NULL : map;
    close(fd);
}
"""


@dataclass
class Mutant:
    number: int
    file: str
    line: int
    function: str
    before: str
    after: str
    verdict: str = "not run"
    by: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line} {self.function}"
        return f"{self.number:5} {where}: {self.before} -> {self.after}"


@dataclass
class Edit:
    """A stretch of a file that is written anew, with the edits that lie within it."""

    start: int
    end: int
    kind: str
    numbers: list[int] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    operator: tuple[int, int] = (0, 0)


class Source:
    """One file: its mutants and its text with all of them."""

    def __init__(self, path: Path, first: int, clang: Any) -> None:
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()
        self.text = path.read_bytes()
        self.mutants: list[Mutant] = []
        self.edits: list[Edit] = []
        self.next = first
        self.clang = clang
        self.kinds = clang.CursorKind
        options = clang.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD
        arguments = ["-xc", "-std=gnu11", "-D_GNU_SOURCE", "-DFMQ_DEBUG", f"-I{ROOT}/csrc"]
        # The compiler's own headers, which the package of libclang has not.
        include = subprocess.run(
            ["clang", "-print-resource-dir"], capture_output=True, text=True, check=True
        ).stdout.strip()
        arguments += [f"-I{ROOT}/csrc/include", f"-isystem{include}/include"]
        unit = clang.Index.create().parse(str(path), arguments, options=options)
        errors = [d for d in unit.diagnostics if d.severity >= clang.Diagnostic.Error]
        if errors:
            raise SystemExit(f"{self.name}: {errors[0]}")
        self.macros = sorted(
            (c.extent.start.offset, c.extent.end.offset)
            for c in unit.cursor.get_children()
            if c.kind == self.kinds.MACRO_INSTANTIATION and self.is_here(c)
        )
        for cursor in unit.cursor.get_children():
            if cursor.kind != self.kinds.FUNCTION_DECL or not cursor.is_definition():
                continue
            if self.is_here(cursor):
                self.function = cursor.spelling
                for child in cursor.get_children():
                    if child.kind == self.kinds.COMPOUND_STMT:
                        self.statement(child)

    def is_here(self, cursor: Any) -> bool:
        where = cursor.extent.start.file
        return where is not None and Path(where.name).resolve() == self.path

    def in_macro(self, start: int, end: int) -> bool:
        """Whether the stretch begins or ends in what a macro makes, or is empty."""
        if start >= end:
            return True
        i = bisect.bisect_right(self.macros, (start, 1 << 40)) - 1
        # A macro without arguments may stand at an end: `x == EINVAL`. It may not be all.
        for first, last in self.macros[max(0, i - 3) : i + 1]:
            if first <= start < last and end <= last:
                return True
            if first < start < last:
                return True
        return False

    def span(self, cursor: Any) -> tuple[int, int]:
        return cursor.extent.start.offset, cursor.extent.end.offset

    def get(self, start: int, end: int) -> str:
        return self.text[start:end].decode()

    def add(
        self,
        start: int,
        end: int,
        kind: str,
        changes: list[tuple[str, str]],
        operator: tuple[int, int] = (0, 0),
    ) -> None:
        edit = Edit(start, end, kind, operator=operator)
        line = self.text.count(b"\n", 0, operator[0] or start) + 1
        before = " ".join(self.get(start, end).split())
        for change, says in changes:
            self.mutants.append(Mutant(self.next, self.name, line, self.function, before, says))
            edit.numbers.append(self.next)
            edit.changes.append(change)
            self.next += 1
        self.edits.append(edit)

    # ---- which places are changed ----

    def statement(self, cursor: Any) -> None:
        """The children of a compound statement, or the one body of an if or a loop."""
        for child in cursor.get_children():
            self.visit(child, statement=True)

    def visit(self, cursor: Any, statement: bool = False, condition: bool = False) -> None:
        k = self.kinds
        kind = cursor.kind
        children = list(cursor.get_children())
        start, end = self.span(cursor)
        if kind == k.COMPOUND_STMT:
            self.statement(cursor)
            return
        if kind in (k.IF_STMT, k.WHILE_STMT):
            self.visit(children[0], condition=True)
            for child in children[1:]:
                self.visit(child, statement=True)
            return
        if kind == k.FOR_STMT:
            for child in children[:-1]:
                self.visit(child)
            self.visit(children[-1], statement=True)
            return
        if kind == k.DO_STMT:
            self.visit(children[0], statement=True)
            self.visit(children[1], condition=True)
            return
        if kind == k.CASE_STMT:
            self.visit(children[-1], statement=True)
            return
        if kind in (k.DEFAULT_STMT, k.LABEL_STMT):
            self.visit(children[-1], statement=True)
            return
        if kind in (k.CXX_UNARY_EXPR, k.STATIC_ASSERT):  # sizeof, above all
            return
        if kind == k.VAR_DECL:
            if cursor.storage_class == self.clang.StorageClass.STATIC:
                return
            if cursor.type.kind in (
                self.clang.TypeKind.CONSTANTARRAY,
                self.clang.TypeKind.INCOMPLETEARRAY,
            ):
                return
        if self.in_macro(start, end):
            return
        if statement and kind in (
            k.CALL_EXPR,
            k.BINARY_OPERATOR,
            k.COMPOUND_ASSIGNMENT_OPERATOR,
            k.UNARY_OPERATOR,
        ):
            self.add(start, end, "delete", [("", "(nothing)")])
        if condition and kind not in (k.BINARY_OPERATOR, k.INTEGER_LITERAL):
            self.add(start, end, "negate", [("", "its contrary")])
        if kind in (k.BINARY_OPERATOR, k.COMPOUND_ASSIGNMENT_OPERATOR) and len(children) == 2:
            self.binary(cursor, children, start, end)
        if kind == k.RETURN_STMT and children:
            first, last = self.span(children[0])
            if not self.in_macro(first, last) and children[0].kind != k.INTEGER_LITERAL:
                numeric = children[0].type.get_canonical().kind in (
                    self.clang.TypeKind.INT,
                    self.clang.TypeKind.BOOL,
                    self.clang.TypeKind.UINT,
                    self.clang.TypeKind.LONG,
                    self.clang.TypeKind.ULONG,
                    self.clang.TypeKind.UCHAR,
                )
                if numeric:
                    self.add(first, last, "zero", [("", "0")])
        if kind == k.INTEGER_LITERAL:
            self.add(start, end, "more", [("", f"{self.get(start, end)} + 1")])
        for child in children:
            self.visit(child)

    def binary(self, cursor: Any, children: list[Any], start: int, end: int) -> None:
        left, right = children
        begin, finish = self.span(left)[1], self.span(right)[0]
        between = re.sub(rb"/\*.*?\*/", lambda m: b" " * len(m[0]), self.text[begin:finish])
        found = re.search(rb"[-+*/%<>=!&|^]+", between)
        if not found:
            return
        operator = found[0].decode()
        where = (begin + found.start(), begin + found.end())
        pointers = [
            c.type.get_canonical().kind
            in (self.clang.TypeKind.POINTER, self.clang.TypeKind.CONSTANTARRAY)
            for c in children
        ]
        if operator in ("&&", "||"):
            other = "||" if operator == "&&" else "&&"
            self.add(start, end, operator, [(other, other)], where)
        elif operator in OTHER:
            if operator == "-" and any(pointers) and all(pointers):
                return
            if operator == "+" and pointers[1]:
                return
            kind = "assign" if cursor.kind == self.kinds.COMPOUND_ASSIGNMENT_OPERATOR else "binary"
            self.add(start, end, kind, [(new, new) for new in OTHER[operator]], where)

    # ---- the text with all of them ----

    def mutated(self) -> str:
        # An outer edit comes first; of two at one place, the one added first is the outer.
        order = sorted(enumerate(self.edits), key=lambda e: (e[1].start, -e[1].end, e[0]))
        self.queue = [edit for _, edit in order]
        self.at = 0
        return self.render(0, len(self.text))

    def render(self, start: int, end: int) -> str:
        """The text from start to end, its edits applied."""
        parts = []
        here = start
        while self.at < len(self.queue):
            edit = self.queue[self.at]
            if edit.start >= end or edit.end > end:
                break
            self.at += 1
            parts.append(self.get(here, edit.start))
            parts.append(self.apply(edit))
            here = edit.end
        parts.append(self.get(here, end))
        return "".join(parts)

    def apply(self, edit: Edit) -> str:
        n = edit.numbers[0]
        if edit.kind == "delete":
            inner = self.render(edit.start, edit.end)
            return f"(MUTANT({n}) ? (void)0 : (void)({inner}))"
        if edit.kind == "negate":
            inner = self.render(edit.start, edit.end)
            return f"(MUTANT({n}) != !!({inner}))"
        if edit.kind == "zero":
            inner = self.render(edit.start, edit.end)
            return f"(MUTANT({n}) ? 0 : ({inner}))"
        if edit.kind == "more":
            return f"({self.get(edit.start, edit.end)} + MUTANT({n}))"
        left = self.render(edit.start, edit.operator[0])
        right = self.render(edit.operator[1], edit.end)
        operator = self.get(*edit.operator)
        if edit.kind in ("&&", "||"):
            wanted = f"m_{n} == MUTANT({n})" if edit.kind == "||" else f"m_{n} != MUTANT({n})"
            return f"({{ _Bool m_{n} = ({left}); {wanted} ? (_Bool)({right}) : m_{n}; }})"
        if edit.kind == "assign":
            return (
                f"(MUTANT({n}) ? ({left} {edit.changes[0]} {right}) : ({left} {operator} {right}))"
            )
        # A value of its type and no place: neither a bit-field nor an array. What is compared may
        # be pointers, also to types that are not known here, to which nothing can be added.
        value = "(0, ({}))" if operator in ("==", "!=") else "({}) + 0"
        text = f"({{ __auto_type l_{n} = {value.format(left)}; "
        text += f"__auto_type r_{n} = {value.format(right)}; "
        for number, change in zip(edit.numbers, edit.changes, strict=True):
            text += f"MUTANT({number}) ? l_{n} {change} r_{n} : "
        return text + f"l_{n} {operator} r_{n}; }})"


def sources(rooms: list[str]) -> list[Source]:
    try:
        from clang import cindex
    except ImportError:
        raise SystemExit("tools/mutate.py needs libclang: pip install libclang") from None
    made: list[Source] = []
    first = 1
    for room in rooms:
        for path in sorted((ROOT / "csrc" / room).glob("*.[ch]")):
            made.append(Source(path, first, cindex))
            first = made[-1].next
    return made


@dataclass
class Program:
    path: Path
    seconds: float = 0.0
    reached: bytes = b""


def copy_tree(made: list[Source], count: int) -> None:
    for folder in ("csrc", "tests/c"):
        shutil.rmtree(OUT / folder, ignore_errors=True)
        shutil.copytree(ROOT / folder, OUT / folder)
    for source in made:
        (OUT / source.name).write_text(source.mutated(), encoding="utf-8")
    (OUT / "mutant.h").write_text(RUNTIME, encoding="utf-8")
    (OUT / "csrc/base/mutant_runtime.c").write_text(
        RUNTIME_SOURCE.replace("COUNT", str(count)), encoding="utf-8"
    )


def build(tests: list[str], jobs: int) -> list[Program]:
    makefile = OUT / "tests/c"
    command = ["make", "--no-print-directory", "-s", f"-j{jobs}", "-C", str(makefile)]
    command += ["-k", f"MODE={MODE}", "WARNINGS=-w", "build", f"TESTS={' '.join(tests)}"]
    environment = {**os.environ, "CPPFLAGS": f"-include {OUT}/mutant.h", "MAKEFLAGS": ""}
    subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL)
    programs = []
    for test in tests:
        path = OUT / f"build/c-{MODE}" / Path(test).stem
        if path.exists():
            programs.append(Program(path))
        else:
            print(f"{test} did not build")
    return programs


def run(program: Program, limit: float, **variables: str) -> tuple[bool, str]:
    """Whether the program passes, and otherwise how it failed."""
    environment = {
        **os.environ,
        "CHECK_SEED": "1",
        "SEEDS": "20",
        "CHECK_DEADLINE": str(int(limit) + 1),
        "ASAN_OPTIONS": "abort_on_error=0",
        **variables,
    }
    cpu = int(limit) + 1

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    with subprocess.Popen(
        [str(program.path)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=limits,
    ) as process:
        try:
            # A busy machine may take several times the processor's time.
            output = process.communicate(timeout=limit * 4)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return False, "time"
    if process.returncode == 0:
        return True, ""
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL, 124):
        return False, "time"
    failed = re.findall(r"^FAIL (\S+)", output.decode(errors="replace"), re.MULTILINE)
    return False, failed[0] if failed else f"status {process.returncode}"


def measure(programs: list[Program], count: int) -> list[Program]:
    """Each once without a mutant: what it reaches and how long it takes."""
    fit = []
    for program in programs:
        marks = OUT / f"reached-{program.path.name}"
        marks.write_bytes(bytes(count))
        start = os.times()
        passed, how = run(program, 60, MUTANT_REACHED=str(marks))
        end = os.times()
        program.seconds = (end.children_user + end.children_system) - (
            start.children_user + start.children_system
        )
        program.reached = marks.read_bytes()
        if not passed:
            print(f"{program.path.name} fails without any mutant ({how}): left out")
            continue
        reached = sum(program.reached)
        print(
            f"{program.path.name}: {program.seconds:.1f} s, reaches {reached} mutants", flush=True
        )
        fit.append(program)
    return sorted(fit, key=lambda p: p.seconds)


def judge(mutant: Mutant, programs: list[Program]) -> None:
    covering = [p for p in programs if p.reached[mutant.number]]
    mutant.verdict = "survived" if covering else "not reached"
    for program in covering:
        passed, how = run(program, 2 + 4 * program.seconds, MUTANT=str(mutant.number))
        if not passed:
            mutant.verdict = "time" if how == "time" else "killed"
            mutant.by = f"{program.path.name} {how}"
            return


def needs(test: Path) -> list[str]:
    head = "".join(test.read_text(encoding="utf-8").splitlines(keepends=True)[:5])
    found = re.search(r"^// needs:(.*)$", head, re.MULTILINE)
    return found[1].split() if found else []


def tests_of(rooms: list[str]) -> Iterator[str]:
    """The tests that link a room, without those that take threads or faults by the thousand."""
    for test in sorted((ROOT / "tests/c").rglob("test_*.c")):
        if test.stem.endswith("_threads") or test.stem in ("test_faults", "test_steps"):
            continue
        if any(room in rooms or room in ("engine", "sim") for room in needs(test)):
            yield test.relative_to(ROOT / "tests/c").as_posix()


def main() -> int:
    parser = argparse.ArgumentParser(description="mutation testing of the engine's C")
    parser.add_argument("--rooms", default="wire,pipe", help="folders of csrc (wire,pipe)")
    parser.add_argument("--tests", help="the C tests to run (all that link a room)")
    parser.add_argument("--sample", type=int, help="this many, chosen by --seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="these numbers")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="the mutants, and run nothing")
    parser.add_argument("--report", type=Path, default=OUT / "report.json")
    args = parser.parse_args()

    rooms = args.rooms.split(",")
    made = sources(rooms)
    mutants = [mutant for source in made for mutant in source.mutants]
    if args.list:
        print("\n".join(map(str, mutants)))
        return 0
    count = len(mutants) + 1
    OUT.mkdir(parents=True, exist_ok=True)
    copy_tree(made, count)
    tests = args.tests.split(",") if args.tests else list(tests_of(rooms))
    programs = measure(build(tests, args.jobs), count)
    if not programs:
        raise SystemExit("no test passes without a mutant")

    chosen = mutants
    if args.only:
        wanted = {int(n) for n in args.only.split(",")}
        chosen = [m for m in mutants if m.number in wanted]
    elif args.sample:
        chosen = random.Random(args.seed).sample(mutants, min(args.sample, len(mutants)))
    end = time.monotonic() + args.minutes * 60
    for i, mutant in enumerate(chosen):
        if time.monotonic() > end:
            break
        judge(mutant, programs)
        if mutant.verdict in ("survived", "not reached"):
            print(f"[{i + 1}/{len(chosen)}] {mutant.verdict}: {mutant}", flush=True)
        elif i % 50 == 0:
            print(f"[{i + 1}/{len(chosen)}]", flush=True)
    ran = [m for m in chosen if m.verdict != "not run"]
    args.report.write_text(json.dumps([m.__dict__ for m in ran], indent=1), encoding="utf-8")
    tally = {v: sum(m.verdict == v for m in ran) for v in sorted({m.verdict for m in ran})}
    print(
        f"{len(ran)} of {len(mutants)} mutants: " + ", ".join(f"{n} {v}" for v, n in tally.items())
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
