# SPDX-License-Identifier: MIT
"""Manners of the commands at the terminal: exit statuses, notes on stderr, colours."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from fastmq.utils.printable import printable

OK = 0
FAILURE = 1
USAGE = 2
TIMED_OUT = 124  # as timeout(1) has it
INTERRUPTED = 130  # 128 and the signal, as shells have it
NOBODY_READS = 141
TERMINATED = 143

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "grey": 90}


class Problem(Exception):
    """A command cannot go on; the text says why, to be printed without a traceback."""

    def __init__(self, text: str, status: int = FAILURE) -> None:
        super().__init__(text)
        self.status = status


def colourful(stream: TextIO) -> bool:
    """Whether colours are wanted there: on a terminal that has them, unless NO_COLOR is set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def coloured(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour of _COLOURS, where the stream shows colours."""
    return f"\033[{_COLOURS[colour]}m{text}\033[0m" if colourful(stream) else text


class Notes:
    """What a command has to say beside its output, on stderr.

    command: its name, which begins every line. quiet: only problems are told.
    """

    def __init__(self, command: str, quiet: bool = False) -> None:
        self._command = command
        self.quiet = quiet

    def say(self, text: str) -> None:
        """Good to know, and left out when quiet."""
        if not self.quiet:
            self._write(text, "grey")

    def warn(self, text: str) -> None:
        """Something went wrong that does not end the command."""
        self._write(text, "yellow")

    def problem(self, text: str) -> None:
        """Why the command ends."""
        self._write(text, "red")

    def _write(self, text: str, colour: str) -> None:
        # Some of it may be a peer's words.
        line = f"{f'fastmq {self._command}'.rstrip()}: {printable(text)}"
        try:
            print(coloured(line, colour, sys.stderr), file=sys.stderr, flush=True)
        except OSError:
            pass  # nobody is there to be told
