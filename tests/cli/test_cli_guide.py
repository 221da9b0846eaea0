# SPDX-License-Identifier: MIT
"""docs/guide/cli.md and the examples of --help: they run, they print what they say, they parse."""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import environment
from target import fastmq_only

from fastmq.cli import main

# Several interpreters start in each test.
pytestmark = [fastmq_only("no such commands"), pytest.mark.deadline(120)]

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "cli.md"
SESSIONS = re.findall(r"```sh\n(.*?)```\n\n```text\n(.*?)```", GUIDE.read_text(), re.DOTALL)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize(("script", "shown"), SESSIONS, ids=[s.split()[1] for s, _ in SESSIONS])
def test_a_session_of_the_guide_prints_what_it_says(tmp_path, script, shown):
    if "--curve" in script:
        pytest.importorskip("nacl")
    program = tmp_path / "bin" / "fastmq"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fastmq "$@"\n')
    program.chmod(0o755)
    env = environment(PATH=f"{program.parent}:{os.environ['PATH']}")
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout == shown, done.stderr


def test_every_session_has_what_it_prints():
    assert len(SESSIONS) == GUIDE.read_text().count("```sh\n") > 5


def invocations(text):
    """The words of each `fastmq` in a script."""
    # Also without descriptors before a redirection: 2> is > here.
    text = re.sub(r" \d>", " >", text.replace("\\\n", " "))
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        words = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("|&;<>()"):
                words.append(word)
                continue
            if words[:1] == ["fastmq"]:
                yield words[1:]
            words = []


def examples():
    for script, _ in SESSIONS:
        yield from invocations(script)
    for found in re.findall(r"`(fastmq [a-z].*?)`", GUIDE.read_text()):
        if "..." not in found:
            yield from (words for words in invocations(found) if len(words) > 1)
    for parser in parsers(main.parser()):
        shown = (parser.epilog or "").partition("examples:\n")[2]
        yield from invocations(shown.partition("\n\n")[0])


def parsers(parser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


EXAMPLES = list(dict.fromkeys(map(tuple, examples())))


@pytest.mark.parametrize("words", EXAMPLES, ids=" ".join)
def test_an_example_is_understood(words):
    words = main.complete(list(words))
    assert main.parser().parse_args(words).command == words[0]


def test_every_command_has_an_example():
    assert {words[0] for words in EXAMPLES} >= set(main.COMMANDS) - {"demo"}
