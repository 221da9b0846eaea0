# SPDX-License-Identifier: MIT
"""The commands of `fastmq`, which is `python -m fastmq`, and how they end."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from fastmq.cli import terminal
from fastmq.cli.arguments import Parser, meant, with_keys
from fastmq.cli.terminal import Notes, Problem


class Command(NamedTuple):
    """A command's module, with add_arguments(parser) and run(options), and a line of help.

    below: its own commands; the first of them is meant when none is named.
    """

    module: str
    help: str
    below: tuple[str, ...] = ()


COMMANDS = {
    "pub": Command("fastmq.cli.messages", "publish arguments or lines"),
    "sub": Command("fastmq.cli.messages", "print what is published"),
    "req": Command("fastmq.cli.messages", "send requests, and print the replies"),
    "rep": Command("fastmq.cli.messages", "reply to requests"),
    "push": Command("fastmq.cli.messages", "distribute arguments or lines"),
    "pull": Command("fastmq.cli.messages", "print what is pushed"),
    "dealer": Command("fastmq.cli.messages", "send and print at the same time"),
    "router": Command("fastmq.cli.messages", "the same with many peers, addressed by name"),
    "client": Command("fastmq.cli.messages", "send to servers and print at the same time"),
    "server": Command("fastmq.cli.messages", "the same with many clients, addressed by number"),
    "scatter": Command("fastmq.cli.messages", "distribute messages of one part"),
    "gather": Command("fastmq.cli.messages", "print what is scattered"),
    "channel": Command("fastmq.cli.messages", "send and print, with exactly one peer"),
    "peer": Command("fastmq.cli.messages", "send and print, with equal peers addressed by number"),
    "radio": Command("fastmq.cli.messages", "send messages to a group"),
    "dish": Command("fastmq.cli.messages", "print what is sent to groups"),
    "dgram": Command("fastmq.cli.messages", "send and print UDP datagrams"),
    "proxy": Command("fastmq.cli.proxy", "forward between two sockets, with statistics"),
    "proxy-control": Command("fastmq.cli.control", "pause, resume, stop or query a proxy"),
    "monitor": Command("fastmq.cli.monitor", "print the events of an endpoint's connections"),
    "top": Command("fastmq.cli.top", "look into a running program: sockets, peers, rates, queues"),
    "why": Command("fastmq.cli.why", "why a message may not be there"),
    "perf": Command(
        "fastmq.cli.perf",
        "measure latency and throughput, beside pyzmq or with a peer",
        ("suite", "lat", "thr"),
    ),
    "demo": Command("fastmq.cli.demo", "show the patterns on real sockets, in two seconds"),
    "curve-keygen": Command("fastmq.curve_keygen", "create a pair of CURVE keys"),
    "version": Command("fastmq.cli.version", "print versions and settings for a bug report"),
    "completion": Command("fastmq.cli.completion", "print a completion script for a shell"),
}

_EPILOG = """\
fastmq COMMAND --help has all options, with examples.

exit status: 0 success, 1 failure, 2 wrong usage, 124 timeout, 130 Ctrl-C, 141 output closed
"""


class Version(argparse.Action):
    """--version, which imports fastmq only when asked."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and stop")

    def __call__(self, parser: argparse.ArgumentParser, *args: object) -> NoReturn:
        import fastmq

        print(f"fastmq {fastmq.__version__}")
        parser.exit()


def parser(wanted: str | None = None) -> argparse.ArgumentParser:
    """The parser of everything; only the command `wanted` has its arguments, unless it is None."""
    top = Parser(
        prog="fastmq",
        description="ZeroMQ at the terminal: send, receive, forward, monitor, measure.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=Version)
    commands = top.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands"
    )
    for name, command in COMMANDS.items():
        made = commands.add_parser(name, help=command.help)
        made.set_defaults(command=name)
        if wanted in (None, name):
            importlib.import_module(command.module).add_arguments(made)
    return top


def complete(words: list[str]) -> list[str]:
    """The words with the command that is meant where one below another is not named."""
    below = COMMANDS[words[0]].below if words and words[0] in COMMANDS else ()
    if not below or (words[1:2] and words[1] in (*below, "-h", "--help")):
        return words
    return [words[0], below[0], *words[1:]]


def parse(top: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """The words as options; what the command does not take ends the program with status 2."""
    options, unknown = top.parse_known_args(words)
    if unknown:
        cases = getattr(options, "cases", None)
        if cases and (like := meant(cases[0], COMMANDS[options.command].below)):
            top.error(f"{options.command}: there is no command {cases[0]!r}{like}")
        refuse(lowest(top, options), unknown[0].partition("=")[0], hasattr(options, "connect"))
    return options


def refuse(parser: argparse.ArgumentParser, word: str, has_endpoints: bool) -> NoReturn:
    """End the program, as the command does not take this word."""
    if word.startswith("-"):
        known = [name for action in parser._actions for name in action.option_strings]
        said = f"there is no option {word!r}{meant(word, known)}"
    else:
        said = f"{word!r} is one word too many"
        if "://" in word and has_endpoints:
            said += "; an endpoint is given with --bind or --connect"
    end = "" if said.endswith("?") else ";"
    parser.error(f"{said}{end} `{parser.prog} --help` has all options")


def lowest(top: argparse.ArgumentParser, options: argparse.Namespace) -> argparse.ArgumentParser:
    """The parser of the command that was given, or of the one below it."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            return lowest(action.choices[getattr(options, action.dest)], options)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words:
        parser("").print_help(sys.stderr)
        return terminal.USAGE
    words = with_keys(complete(words))
    name = next((word for word in words if not word.startswith("-")), "")
    try:
        options = parse(parser(name), words)
        signal.signal(signal.SIGTERM, _terminated)
        status: int = importlib.import_module(COMMANDS[options.command].module).run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return terminal.INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return terminal.NOBODY_READS
    except Problem as problem:
        Notes(name).problem(str(problem))
        return problem.status
    except OSError as error:
        _forget_output()
        where = f"{error.filename}: " if error.filename else ""
        Notes(name).problem(f"{where}{error.strerror or error}")
        return terminal.FAILURE
    except Exception as error:
        if not _is_of_the_library(error):
            raise
        Notes(name).problem(str(error))
        return terminal.FAILURE


def _terminated(number: int, frame: object) -> NoReturn:
    """SIGTERM ends a command as tidily as Ctrl-C does."""
    raise SystemExit(terminal.TERMINATED)


def _is_of_the_library(error: Exception) -> bool:
    from fastmq import ZMQError

    return isinstance(error, ZMQError)


def _forget_output() -> None:
    """What could not be written is not tried again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
