# SPDX-License-Identifier: MIT
"""What the documentation says is so: programs run and print what it shows, links lead somewhere.

Every Python block of README.md and of the pages in docs/ is run. The blocks of a page follow one
another in one fresh process, as a reader would type them, and a block that is followed by one of
the kind `output` must print exactly that ("..." stands for anything). Comments, which no reader
sees, say what is to be done otherwise:

    <!-- example: NAME -->           a new process begins here
    <!-- program: NAME.py -->        the next block is a file of its own; the programs of an example
                                     run side by side
    <!-- program: NAME.py, stays --> the same, but interrupted (Ctrl-C) when the others have ended
    <!-- setup                       what the example needs and the reader knows, run before
    CODE -->                         what follows
    <!-- not run: REASON -->         the next block cannot be run here

Ports and paths in /tmp are exchanged for free ones, so that pages may show simple ones.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from helpers import free_port
from target import IS_FASTMQ, zmq

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

pytestmark = [
    pytest.mark.skipif(not IS_FASTMQ, reason="fastmq's own documentation"),
    pytest.mark.skipif(not (DOCS / "index.md").exists(), reason="not a source tree"),
    pytest.mark.deadline(90),
]

LIMIT_S = 30
# What a page may need beside fastmq. A block that imports one which is not installed is not run.
OPTIONAL = {
    "anyio",
    "gevent",
    "msgspec",
    "nacl",
    "numpy",
    "orjson",
    "prometheus_client",
    "torch",
    "tornado",
    "trio",
    "uvloop",
    "zmq",
}
# How many blocks may be left out, over all pages: each has its reason beside it.
NOT_RUN_AT_MOST = 6

BLOCK = re.compile(
    r"^<!-- (?P<word>example|program|setup|not run)"
    r"(?::[ ](?P<told>[^\n]*?))?(?:\n(?P<code>.*?))?[ \n]-->$"
    r"|^```(?P<kind>[\w-]+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass
class Block:
    """A piece of Python in a page, and what it has to print."""

    line: int
    text: str
    output: str | None = None


@dataclass
class Program:
    """What one process runs."""

    name: str
    blocks: list[Block] = field(default_factory=list)
    stays: bool = False


@dataclass
class Example:
    """Programs that run side by side."""

    page: Path
    name: str
    programs: list[Program] = field(default_factory=list)

    @property
    def blocks(self) -> list[Block]:
        return [block for program in self.programs for block in program.blocks]


def pages() -> list[Path]:
    found = [p for p in DOCS.rglob("*.md") if "_build" not in p.parts]
    return [ROOT / "README.md", *sorted(found)] if found else []


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def read(page: Path) -> tuple[list[Example], list[str]]:
    """The examples of a page, and the reasons for which blocks are left out."""
    text = page.read_text(encoding="utf-8")
    examples = [Example(page, "")]
    left_out: list[str] = []
    program: Program | None = None  # the one that the next block belongs to, if it is named
    skip = False
    last: Block | None = None
    for found in BLOCK.finditer(text):
        word, told, kind = found["word"], found["told"] or "", found["kind"]
        if word == "example":
            examples.append(Example(page, told))
        elif word == "program":
            name, _, stays = told.partition(", ")
            program = Program(name, stays=stays == "stays")
        elif word == "not run":
            assert len(told) > 10, f"{name_of(page)}: a block is left out without a reason"
            left_out.append(told)
            skip = True
        elif kind == "output" and last:
            last.output = found["text"]
        if word == "setup" or kind == "python":
            if skip:
                skip, last = False, None
                continue
            start = found.start("code" if word else "text")
            last = Block(text.count("\n", 0, start), found["code" if word else "text"])
            example = examples[-1]
            if program:
                example.programs.append(program)
            elif not example.programs:
                example.programs.append(Program("blocks"))
            (program or example.programs[-1]).blocks.append(last)
            program = None
        elif kind:
            last = None
    return [example for example in examples if example.blocks], left_out


EXAMPLES = [example for page in pages() for example in read(page)[0]]

RUNNER = """
import ast, asyncio, inspect, json, sys
blocks = json.loads(sys.stdin.readline())
names = {"__name__": "__main__"}
loop = None
for line, text, page in blocks:
    # Lines count as in the page, so that a traceback tells where.
    code = compile("\\n" * line + text, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if inspect.iscoroutine(result):
        loop = loop or asyncio.new_event_loop()
        loop.run_until_complete(result)
    print("\\0", flush=True)
if loop:
    loop.close()
"""


class Stage:
    """One example, played: its processes, and the addresses that they really use."""

    def __init__(self, example: Example, folder: Path) -> None:
        self.example = example
        self.folder = folder
        self.ports: dict[str, str] = {}
        self.running: list[tuple[Program, subprocess.Popen[str]]] = []

    def localize(self, text: str) -> str:
        """The text with free ports and paths of its own."""

        def port(found: re.Match[str]) -> str:
            if int(found[2]) > 65535:
                return found[0]  # shown because it is wrong
            return found[1] + self.ports.setdefault(found[2], str(free_port()))

        text = re.sub(r"(tcp://[^\s\"'`:]+:)(\d{4,5})\b", port, text)
        return text.replace("ipc:///tmp/", f"ipc://{self.folder}/")

    def start(self, program: Program) -> None:
        page = name_of(self.example.page)
        rows = [(b.line, self.localize(b.text), page) for b in program.blocks]
        child = subprocess.Popen(
            [sys.executable, "-W", "default", "-c", RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=dict(os.environ, PYTHONUNBUFFERED="1"),
        )
        self.running.append((program, child))
        assert child.stdin
        child.stdin.write(json.dumps(rows) + "\n")
        child.stdin.flush()

    def play(self, attack: Callable[[Stage, Program], None] | None = None) -> None:
        """Runs the programs side by side; attack is called when those that stay have begun."""
        try:
            for program in sorted(self.example.programs, key=lambda p: not p.stays):
                self.start(program)
                if attack and program.stays:
                    attack(self, program)
            for program, child in sorted(self.running, key=lambda row: row[0].stays):
                if program.stays:
                    self.interrupt(child)
                self.judge(program, child)
        finally:
            for _, child in self.running:
                child.kill()
                child.communicate()

    def interrupt(self, child: subprocess.Popen[str]) -> None:
        """Ctrl-C; and again, as a reader would, when that has not ended it in a while."""
        for _ in range(5):
            child.send_signal(signal.SIGINT)
            try:
                child.wait(LIMIT_S / 5)
                return
            except subprocess.TimeoutExpired:
                continue

    def judge(self, program: Program, child: subprocess.Popen[str]) -> None:
        where = f"{name_of(self.example.page)}: {program.name}"
        try:
            out, err = child.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
            pytest.fail(f"{where} did not end within {LIMIT_S} s\n{out}\n{err}")
        if program.stays:
            assert "KeyboardInterrupt" in err or child.returncode == 0, f"{where}\n{err}"
        else:
            assert child.returncode == 0, f"{where}\n{out}\n{err}"
        assert "Warning" not in err, f"{where}\n{err}"
        pieces = out.split("\0\n")
        for block, piece in zip(program.blocks, pieces, strict=False):
            if block.output is not None:
                self.compare(f"{where}, line {block.line + 1}", piece, block.output)

    def compare(self, where: str, printed: str, shown: str) -> None:
        pattern = re.escape(self.localize(shown).strip()).replace(r"\.\.\.", ".*")
        assert re.fullmatch(pattern, printed.strip(), re.DOTALL), (
            f"{where} prints\n{printed}\nand not, as the page shows,\n{shown}"
        )


def missing(example: Example) -> list[str]:
    """Modules that the example imports and that are not installed, of those that may be missing."""
    found = set()
    for block in example.blocks:
        tree = compile(
            block.text, "block", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
                if node.module.startswith("fastmq.eventloop"):
                    found.add("tornado")
        if "curve" in block.text:
            found.add("nacl")
    return sorted(name for name in found & OPTIONAL if importlib.util.find_spec(name) is None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda e: f"{name_of(e.page)}{':' * bool(e.name)}{e.name}"
)
def test_an_example_runs_and_prints_what_the_page_shows(example: Example, tmp_path: Path) -> None:
    absent = missing(example)
    if absent:
        pytest.skip(f"needs {', '.join(absent)}")
    Stage(example, tmp_path).play()


# -- what type checkers say of it --


def source(program: Program) -> str:
    """The blocks of a program as one file, with the lines where they are in the page. The top-level
    `await` that a notebook allows gets a function around it."""
    text = ""
    for block in program.blocks:
        text += "\n" * max(0, block.line - text.count("\n")) + block.text
    try:
        compile(text, "page", "exec")
    except SyntaxError:
        text = f"async def main() -> None:\n{textwrap.indent(text.lstrip(), '    ')}"
    return text


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A file for each program of README and docs whose imports are installed."""
    folder = tmp_path_factory.mktemp("programs")
    written = []
    for example in EXAMPLES:
        if missing(example):
            continue
        for program in example.programs:
            name = re.sub(r"\W", "_", f"{name_of(example.page)}_{example.name}_{program.name}")
            path = folder / f"{name}.py"
            path.write_text(source(program), encoding="utf-8")
            written.append(path)
    assert len(written) > 25
    return written


# 3.12: for earlier versions numpy's stubs do not say that arrays have the buffer protocol.
CHECKED_FOR = "3.12"


def start_checker(*command: str) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: extra dev")
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=dict(os.environ, MYPYPATH=str(ROOT / "src")),
        capture_output=True,
        text=True,
        timeout=160,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.deadline(180)
def test_every_program_passes_mypy_strict(sources: list[Path], tmp_path: Path) -> None:
    result = start_checker(
        "mypy",
        "--strict",
        "--config-file=",
        "--ignore-missing-imports",
        "--explicit-package-bases",
        f"--python-version={CHECKED_FOR}",
        f"--cache-dir={tmp_path / 'cache'}",
        *map(str, sources),
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.deadline(180)
def test_every_program_passes_pyright(sources: list[Path], tmp_path: Path) -> None:
    # It is a program for node.js, which the Python package fetches when it is first started.
    if start_checker("pyright", "--version").returncode:
        pytest.skip("pyright cannot be started here")
    project = {
        "include": [str(path) for path in sources],
        "extraPaths": [str(ROOT / "src")],
        "pythonVersion": CHECKED_FOR,
        "reportMissingImports": False,
    }
    config = tmp_path / "pyrightconfig.json"
    config.write_text(json.dumps(project), encoding="utf-8")
    result = start_checker("pyright", "-p", str(config), "--pythonpath", sys.executable)
    assert result.returncode == 0, result.stdout + result.stderr


# -- what a peer may send --

SOCKET = re.compile(r"\.socket\(fastmq\.(\w+)\) as (\w+)")
WAY = re.compile(r"^\s*(\w+)\.(bind|connect)\(\"(tcp://[^\"]+)\"\)", re.MULTILINE)
PEERS = {"REP": "REQ", "PULL": "PUSH", "ROUTER": "DEALER", "PAIR": "PAIR"}
SURPRISES = [
    [b""],
    [b"several", b"parts"],
    [b"\xff\xfe undecodable \x80"],
    [b"not a number"],
    [b"", b"", b""],
    [b"9" * 5000],  # more digits than int() reads
    [b"9" * 4000],  # whose square has more than it prints
    [b"x" * 1000] * 3,  # less than the pipe takes in that nobody reads meanwhile
]


def receivers(program: Program) -> list[tuple[str, str, str]]:
    """(type, bind or connect, address) of its sockets that take messages from others."""
    text = "".join(block.text for block in program.blocks)
    types = {name: kind for kind, name in SOCKET.findall(text)}
    return [
        (types[name], way, address)
        for name, way, address in WAY.findall(text)
        if types.get(name) in PEERS
    ]


SERVICES = [
    example
    for example in EXAMPLES
    if any(program.stays and receivers(program) for program in example.programs)
]


def surprise(context: Any, kind: str, way: str, address: str) -> None:
    """Sends all that one would not expect to a socket, and waits until it has gone."""
    with context.socket(getattr(zmq, PEERS[kind])) as peer:
        peer.linger = 10_000
        if way == "bind":
            peer.connect(address)
        else:
            peer.bind(address)
        for parts in SURPRISES:
            peer.send_multipart(parts, timeout=10_000)
            if kind == "REP":
                assert peer.poll(10_000), f"no reply to {parts!r:.40}"
                peer.recv_multipart()


@pytest.mark.slow
@pytest.mark.parametrize("example", SERVICES, ids=lambda e: f"{name_of(e.page)}:{e.name}")
def test_a_program_that_serves_survives_what_a_peer_may_send(
    example: Example, tmp_path: Path
) -> None:
    """It stays, and serves those that come after as the page shows."""

    def attack(stage: Stage, program: Program) -> None:
        context = zmq.Context()
        for kind, way, address in receivers(program):
            surprise(context, kind, way, stage.localize(address))
        context.term(timeout=20_000)

    assert len(SERVICES) >= 3
    Stage(example, tmp_path).play(attack)


def test_few_blocks_are_left_out() -> None:
    left_out = [f"{name_of(page)}: {reason}" for page in pages() for reason in read(page)[1]]
    assert len(left_out) <= NOT_RUN_AT_MOST, "\n".join(left_out)


def test_every_python_block_belongs_to_an_example() -> None:
    for page in pages():
        examples, left_out = read(page)
        shown = [b for e in examples for b in e.blocks]
        text = page.read_text(encoding="utf-8")
        fences = len(re.findall(r"^ *```python\b", text, re.MULTILINE))
        setups = text.count("<!-- setup\n")
        assert fences + setups == len(shown) + len(left_out), name_of(page)
        # A comment that is spelt a little otherwise would be passed over.
        notes = re.findall(r"^<!-- (?:example|program|setup|not run)", text, re.MULTILINE)
        assert len(notes) == sum(1 for b in BLOCK.finditer(text) if b["word"]), name_of(page)


# -- what is to be typed into a shell --

CONSOLE = re.compile(r"^```(?:console|sh|shell|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Commands of the system, and programs of other projects, that pages show beside ours.
OTHERS = {"cd", "cat", "mkdir", "ssh", "ss", "kill", "export", "ulimit"}


def commands() -> list[Any]:
    found = []
    for page in [*pages(), ROOT / "CONTRIBUTING.md"]:
        for block in CONSOLE.findall(page.read_text(encoding="utf-8")):
            for line in block.splitlines():
                if line.startswith("$ "):
                    text = line[2:].split("  #")[0].strip()
                    found.append(pytest.param(text, id=f"{name_of(page)}: {text}"))
    return found


def usage(*words: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", *words, "--help"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert run.returncode == 0, f"{' '.join(words)} --help\n{run.stderr}"
    return run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_documentation_exists_with_its_options(command: str) -> None:
    words = command.split()
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)
    program = Path(words[0]).name
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for goal in (word for word in words[1:] if re.fullmatch(r"[a-z-]+", word)):
            assert re.search(rf"^{goal}:", makefile, re.MULTILINE), f"make knows no {goal}"
    elif program == "pip":
        extras = re.search(r"fastmq\[([\w,]+)\]", command)
        told = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        for extra in extras[1].split(",") if extras else ():
            assert re.search(rf"^{extra} = \[", told, re.MULTILINE), f"no extra {extra}"
        assert "fastmq" in command or command.endswith(" ."), command
    elif program == "fastmq" or (program.startswith("python") and words[1:2] == ["-m"]):
        module = words[1:] if program == "fastmq" else words[2:]
        module = ["fastmq", *module] if program == "fastmq" else module
        if module[0] in ("venv", "pip", "fastmq.compat"):
            return  # compat hands everything to the program that it starts
        assert module[0].startswith("fastmq"), command
        called = [module[0]]
        if module[0] == "fastmq" and module[1:] and not module[1].startswith("-"):
            called.append(module[1])
        text = usage(*called)
        for option in (word.partition("=")[0] for word in module[1:] if word.startswith("--")):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), (
                f"{called}: {option}"
            )
    elif program.startswith("python"):
        script = next(word for word in words[1:] if not word.startswith("-"))
        known = (ROOT / script).exists() or any(
            f"<!-- program: {script}" in page.read_text(encoding="utf-8") for page in pages()
        )
        assert known, f"{script}: neither in the tree nor shown by a page"
    else:
        assert program in OTHERS, f"what is {program}?"


# -- links --


def slug(title: str) -> str:
    """The anchor that code hosts and MyST give a heading."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title.strip()).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slug(title) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def test_links_lead_to_files_and_headings_that_exist() -> None:
    wrong = []
    beside = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
    for page in [*pages(), *beside]:
        for target in re.findall(
            r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))
        ):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            path = (page.parent / name).resolve() if name else page
            if not path.exists():
                wrong.append(f"{name_of(page)}: {target}: there is no such file")
            elif anchor and path.suffix == ".md" and anchor not in anchors(path):
                wrong.append(f"{name_of(page)}: {target}: there is no such heading")
    assert not wrong, "\n".join(wrong)


def test_every_promise_of_security_names_tests_that_exist() -> None:
    page = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    held = page[page.index("\n## Which test holds which promise\n") :]
    rows = [line for line in held.splitlines() if re.match(r"\| (?!promise)[^-]", line)]
    assert len(rows) > 40
    for row in rows:
        named = re.findall(r"`([\w/]+\.(?:py|c))::(\w+)`", row)
        assert named and row.count("`") % 2 == 0, row
        assert row.count("::") == len(named), row
        for file, name in named:
            text = (ROOT / "tests" / file).read_text(encoding="utf-8")
            exists = rf"^TEST\({name}\)" if file.endswith(".c") else rf"^ *(async )?def {name}\("
            assert re.search(exists, text, re.MULTILINE), f"there is no {file}::{name}"


def test_the_diagrams_are_what_the_generator_draws() -> None:
    generator = ROOT / "tools/gen_diagrams.py"
    if not generator.exists():
        pytest.skip("not a source tree")
    run = subprocess.run([sys.executable, str(generator), "--check"], timeout=60, check=False)
    assert run.returncode == 0, "run tools/gen_diagrams.py"
    drawn = {p.name for p in (DOCS / "img").glob("pattern_*.svg")} | {"rooms.svg"}
    shown = {
        m
        for page in pages()
        for m in re.findall(r"pattern_\w+\.svg|rooms\.svg", page.read_text("utf-8"))
    }
    assert drawn == shown


INSIDE = ["architecture.md", "adding-a-pattern.md", "adding-a-transport.md", "glossary.md"]


def names_of_sources() -> tuple[set[str], set[str]]:
    """The files of the tree, and the words of its sources."""
    files = {path.name for path in ROOT.glob("*.*")}
    words: set[str] = set()
    for folder in ("csrc", "src", "tests", "tools", "fuzz", "bench", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".c", ".h", ".py", ".pyx", ".pxi", ".pxd", ".def", ".in", ".md"}:
                files.add(path.relative_to(ROOT).as_posix())
                if folder not in {"docs", "bench"} and path.suffix != ".md":
                    words |= set(re.findall(r"\w+", path.read_text("utf-8")))
    return files, words


@pytest.mark.parametrize("name", INSIDE)
def test_files_and_names_of_the_inside_are_what_the_sources_have(name: str) -> None:
    if not (ROOT / "csrc").exists():
        pytest.skip("not a source tree")
    files, words = names_of_sources()
    wrong = []
    for quoted in re.findall(r"`([^`\n]+)`", (DOCS / name).read_text(encoding="utf-8")):
        if "NAME" in quoted or re.search(r"\*|://|^__", quoted):
            continue
        if re.fullmatch(r"[\w./-]+/", quoted):
            known = any(f"/{file}".find(f"/{quoted}") >= 0 for file in files)
        elif re.fullmatch(r"[\w./-]+\.(c|h|py|pyx|pxi|pxd|def|md|md\.in)", quoted):
            known = any(f"/{file}".endswith(f"/{quoted}") for file in files)
        elif re.fullmatch(r"[\w.]+(->\w+)*", quoted):
            known = set(re.findall(r"\w+", quoted)) <= words
        else:
            continue
        if not known:
            wrong.append(quoted)
    assert not wrong, f"{name} names what is not there: {wrong}"


def test_every_page_is_in_the_contents() -> None:
    """As Sphinx would warn, for those who do not build the pages."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = {
        page
        for line in re.findall(r"^[\w/*.-]+$", index, re.MULTILINE)
        for page in DOCS.glob(f"{line}.md")
    }
    assert not {p for p in pages() if DOCS in p.parents} - listed - {DOCS / "index.md"}


def test_the_docstrings_of_what_is_public_are_there() -> None:
    """The reference is made of them."""
    program = textwrap.dedent(
        """
        import fastmq, inspect
        for name in fastmq.__all__:
            value = getattr(fastmq, name)
            told = inspect.isclass(value) or inspect.isroutine(value)
            if told and not inspect.getdoc(value):
                print(name)
            if inspect.isclass(value) and value.__module__.startswith("fastmq"):
                for member, what in inspect.getmembers(value, inspect.isroutine):
                    if not member.startswith("_") and not inspect.getdoc(what):
                        print(f"{name}.{member}")
        """
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    assert run.stdout == ""
