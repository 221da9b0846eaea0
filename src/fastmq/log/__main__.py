# SPDX-License-Identifier: MIT
"""Watches the log that a PUBHandler publishes: python -m fastmq.log tcp://127.0.0.1:12345"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from io import TextIOWrapper
from typing import TextIO

from .. import SUB, Context, Socket
from .._core import package_name
from ..utils.printable import printable

_RESET = "\x1b[0m"
_COLORS = {
    "DEBUG": "\x1b[36m",
    "INFO": "\x1b[32m",
    "WARN": "\x1b[33m",
    "ERROR": "\x1b[31m",
    "CRITICAL": "\x1b[1;31m",
}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python3 -m {package_name()}.log",
        description=f"Prints the log messages that a {package_name()}.log.handlers.PUBHandler "
        "publishes.",
    )
    parser.add_argument("zmq_pub_url", help="the endpoint of the publisher")
    parser.add_argument(
        "-t",
        "--topic",
        action="append",
        metavar="TOPIC",
        help="print messages whose topic begins with this; may be given several times",
    )
    parser.add_argument("--timestamp", action="store_true", help="print the time of arrival")
    parser.add_argument(
        "--separator", default=" | ", help='printed between the columns, " | " unless given'
    )
    parser.add_argument(
        "--dateformat",
        default="%Y-%m-%d %H:%M:%S",
        help="how --timestamp prints the time, as for strftime",
    )
    parser.add_argument("--align", action="store_true", help="pad topics to the longest so far")
    parser.add_argument(
        "--multiline",
        action="store_true",
        help="print line breaks within a message, and indent the next lines; by default as \\n",
    )
    parser.add_argument(
        "--color", action="store_true", help="colours by level, when the output is a terminal"
    )
    return parser.parse_args(argv)


class _Printer:
    """Prints messages as the arguments say: a line each, unless `multiline`, and printable."""

    def __init__(self, args: argparse.Namespace, out: TextIO) -> None:
        self.args = args
        self.out = out
        self.width = 0
        self.colors = args.color and out.isatty() and "NO_COLOR" not in os.environ

    def show(self, topic: str, text: str) -> None:
        topic = printable(topic)
        columns = []
        if self.args.timestamp:
            columns.append(datetime.now().strftime(self.args.dateformat))
        if self.args.align:
            self.width = max(self.width, len(topic))
        shown = topic.ljust(self.width)
        lines = text.rstrip("\n").split("\n") if self.args.multiline else [text.rstrip("\n")]
        first, *further = (printable(line, keep="\t") for line in lines)
        columns += [self._colored(topic, shown), first]
        self.out.write(self.args.separator.join(columns) + "\n")
        # Indented, so that none of them can pass for a message.
        self.out.writelines(f"    {line}\n" for line in further)
        self.out.flush()

    def _colored(self, topic: str, shown: str) -> str:
        if not self.colors:
            return shown
        levels = {part: color for part, color in _COLORS.items() if part in topic}
        return f"{next(iter(levels.values()))}{shown}{_RESET}" if levels else shown


def watch(socket: Socket, args: argparse.Namespace, out: TextIO) -> None:
    """Prints what arrives at a SUB socket, until it is closed or its context ends."""
    printer = _Printer(args, out)
    for parts in socket:
        topic, *texts = (part.decode("utf-8", "replace") for part in parts)
        printer.show(topic, "".join(texts))


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = _arguments(argv)
    context: Context[Socket] = Context()
    with context, context.socket(SUB) as socket:
        socket.linger = 0
        for topic in args.topic or [""]:
            socket.subscribe(topic)
        try:
            socket.connect(args.zmq_pub_url)
        except Exception as e:
            print(f"python3 -m {package_name()}.log: {printable(str(e))}", file=sys.stderr)
            return 2
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # what its encoding has not
        try:
            watch(socket, args, sys.stdout)
        except (KeyboardInterrupt, BrokenPipeError):
            # Nobody reads what is still buffered, and flushing it at exit would fail again.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    return 0


if __name__ == "__main__":
    sys.exit(main())
