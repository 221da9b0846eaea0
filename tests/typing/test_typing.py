# SPDX-License-Identifier: MIT
"""The types that type checkers see: samples/ says in comments what each expression is."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from target import IS_FASTMQ

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "tests/typing/samples").glob("*.py"))

Found = dict[tuple[str, int], str]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.deadline(180),
    pytest.mark.skipif(not IS_FASTMQ, reason="fastmq's own annotations"),
]


def needs(checker: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(checker) is None
    return pytest.mark.skipif(missing, reason=f"{checker} is not installed: extra dev")


def expected() -> Found:
    out = {}
    for path in FILES:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if "reveal_type(" in line:
                said = re.search(r"  # (.+)$", line)
                assert said, f"{path}:{number}: a reveal_type without its type in a comment"
                out[path.name, number] = said[1]
    return out


def plain(text: str) -> str:
    """Without modules, which checkers print differently, and with one name for what never is."""
    return re.sub(r"\b(?:[a-z_]\w*\.)+", "", text).replace("NoReturn", "Never")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command, *map(str, FILES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def compare(found: Found) -> None:
    want = expected()
    assert len(want) > 90
    wrong = [
        f"{name}:{line}: expected {want.get((name, line))}, got {found.get((name, line))}"
        for name, line in sorted(want.keys() | found.keys())
        if want.get((name, line)) != found.get((name, line))
    ]
    assert not wrong, "\n".join(wrong)


@needs("mypy")
def test_mypy_strict_sees_the_types_that_are_promised():
    result = run("mypy", "--strict", "--no-pretty", "--hide-error-context")
    found: Found = {}
    for line in result.stdout.splitlines():
        told = re.match(r'(.+?):(\d+): note: Revealed type is "(.+)"$', line)
        if told:
            found[Path(told[1]).name, int(told[2])] = plain(told[3])
        else:
            assert line.startswith("Success"), result.stdout + result.stderr
    compare(found)


@needs("pyright")
def test_pyright_sees_the_types_that_are_promised():
    # It is a program for node.js, which the Python package fetches when it is first started.
    if subprocess.run(
        [sys.executable, "-m", "pyright", "--version"], capture_output=True, check=False
    ).returncode:
        pytest.skip("pyright cannot be started here")
    result = run("pyright", "--outputjson", "--pythonpath", sys.executable)
    found: Found = {}
    for told in json.loads(result.stdout)["generalDiagnostics"]:
        assert told["severity"] == "information", told
        kind = re.match(r'Type of ".*" is "(.+)"$', told["message"], re.DOTALL)
        assert kind, told
        line = told["range"]["start"]["line"] + 1
        found[Path(told["file"]).name, line] = plain(kind[1])
    compare(found)
