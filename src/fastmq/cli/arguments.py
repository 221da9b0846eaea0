# SPDX-License-Identifier: MIT
"""Types of arguments, and the options that several commands share."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from fastmq.cli.terminal import USAGE, Notes

PASSWORD_VARIABLE = "FASTMQ_PLAIN_PASSWORD"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that names the word and what is allowed."""

    def error(self, message: str) -> NoReturn:
        argument, found, text = message.removeprefix("argument ").partition(": ")
        if message.startswith("argument ") and found:
            text = text.replace("not allowed with argument", "does not go with")
            if text.startswith("expected "):  # one argument, at least one argument
                text = "a value is missing"
            message = f"{argument}: {text}"
        elif argument == "the following arguments are required":
            message = f"{self.missing()} is missing"
        Notes(self.prog.partition(" ")[2]).problem(message)
        self.exit(USAGE)

    def missing(self) -> str:
        """Arguments without which the command does nothing, and what they may be."""
        return " and ".join(
            choices(known) if 0 < len(known) < 10 else str(action.metavar or action.dest)
            for action in self._actions
            if action.required
            for known in [[*map(str, action.choices or ())]]
        )

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        known = action.choices
        if known is not None and value not in known:
            if isinstance(action, argparse._SubParsersAction):
                what = "command"
            else:
                what = (action.option_strings or [action.dest])[-1].lstrip("-").replace("-", " ")
            raise argparse.ArgumentError(None, unknown(what, str(value), [*map(str, known)]))


def unknown(what: str, word: str, known: Sequence[str]) -> str:
    """For a message: there is no such word, but others, and one of them may be meant."""
    return f"there is no {what} {word!r}; there are {choices(known, 'and')}{meant(word, known)}"


def meant(word: str, known: Iterable[str]) -> str:
    """For a message: the known word that is most like this one; "" if none is."""
    import difflib

    near = difflib.get_close_matches(word, list(known), 1)
    return f"; do you mean {near[0]}?" if near else ""


def number_from(low: float, high: float) -> Callable[[str], float]:
    """An argument type: a number between two bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number between {low:g} and {high:g}"
            ) from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
        return value

    return parse


def whole_from(low: int, high: int) -> Callable[[str], int]:
    """An argument type: a whole number between two bounds."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number between {low} and {high}"
            ) from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    return parse


seconds = number_from(0, 2_000_000)


def given(text: str) -> str:
    """An argument type: not empty, as a variable of a script that was never set is. What decides
    who comes in must not be left out by mistake."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def endpoint(text: str) -> str:
    """An argument type: TRANSPORT://ADDRESS that another process can reach."""
    transport, found, address = text.partition("://")
    if not found or not transport or not address:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an endpoint, such as tcp://HOST:PORT or ipc://PATH"
        )
    if transport == "inproc":
        raise argparse.ArgumentTypeError(f"{text!r} is reachable only within a process")
    return text


def examples(parser: argparse.ArgumentParser, *lines: str, note: str = "") -> None:
    """What --help ends with: commands to copy, then further lines."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = textwrap.fill(parser.description or "", 79)
    text = "examples:\n" + "\n".join("  " + line for line in lines)
    parser.epilog = text + ("\n\n" + note.strip("\n") if note else "")


def add_quiet(parser: argparse._ActionsContainer, what: str = "print problems only") -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help=what)


def add_endpoints(parser: argparse.ArgumentParser) -> None:
    """Where a socket binds and connects."""
    group = parser.add_argument_group("endpoints, one at least; each may be given several times")
    for letter, verb, help_ in (
        ("b", "bind", "wait for peers there; tcp://*:PORT is every interface, port * a free one"),
        ("c", "connect", "connect to it, and try again until that succeeds"),
    ):
        group.add_argument(
            f"-{letter}",
            f"--{verb}",
            action="append",
            type=endpoint,
            default=[],
            metavar="ENDPOINT",
            help=help_,
        )


def add_socket(parser: argparse.ArgumentParser, waits: str, verbose: bool = True) -> None:
    """Options of a socket. waits: what the command waits for. verbose: it has --verbose."""
    group = parser.add_argument_group("socket")
    group.add_argument(
        "--timeout",
        type=seconds,
        metavar="S",
        help=f"give up (status 124) after waiting S seconds for {waits}",
    )
    group.add_argument(
        "--linger",
        type=seconds,
        metavar="S",
        help="at the end wait at most S seconds until everything is sent (default: --timeout, or "
        "for ever)",
    )
    group.add_argument(
        "--hwm",
        type=whole_from(0, 2**31 - 1),
        metavar="N",
        help="limit of the queues of each peer, in messages (1000; 0: no limit)",
    )
    group.add_argument("--identity", metavar="NAME", help="the routing id of this socket")
    add_option(group, "--option", "any socket option, such as heartbeat_ivl=1000")
    if verbose:
        group.add_argument(
            "-v",
            "--verbose",
            action="store_true",
            help="report each connection made, lost or refused, and why",
        )


def add_option(group: argparse._ActionsContainer, flag: str, help_: str) -> None:
    """A flag that takes NAME=VALUE of a socket option, several times."""
    group.add_argument(flag, action="append", default=[], metavar="NAME=VALUE", help=help_)


def with_keys(words: Iterable[str]) -> list[str]:
    """The words of a command line, those that are keys joined with their options: one key in 85
    begins with "-" and would be taken for an option."""
    found: list[str] = []
    for word in words:
        if found and found[-1] in ("--secret", "--curve-server-key") and len(word) == 40:
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


def add_security(parser: argparse.ArgumentParser, of: str = "") -> None:
    """CURVE and PLAIN, in either role. of: whose, if there are several sockets."""
    group = parser.add_argument_group(
        f"security {of}".strip(),
        "keys: `fastmq curve-keygen NAME` writes NAME.key and NAME.key_secret",
    )
    group.add_argument(
        "--curve-server-key",
        type=given,
        metavar="KEY",
        help="use CURVE, and accept only the server with this public key (or its file NAME.key)",
    )
    group.add_argument(
        "--curve-keyfile",
        type=given,
        metavar="FILE",
        help="this side's own keys, NAME.key_secret (default for a client: new ones for each run)",
    )
    group.add_argument(
        "--curve-server", action="store_true", help="be the CURVE server; needs --curve-keyfile"
    )
    group.add_argument(
        "--curve-allow",
        type=given,
        metavar="DIR",
        help="as the server, admit only clients whose NAME.key is in DIR (default: every client "
        "that has the server's public key)",
    )
    group.add_argument("--plain-user", type=given, metavar="NAME", help="use PLAIN, with this name")
    group.add_argument(
        "--plain-password",
        metavar="TEXT",
        help=f"the password; safer in the environment variable {PASSWORD_VARIABLE}, which other "
        "users cannot read",
    )
    group.add_argument(
        "--plain-server",
        type=given,
        metavar="FILE",
        help="be the PLAIN server; each line of FILE is NAME:PASSWORD of a client to admit",
    )
    group.add_argument(
        "--zap-domain",
        type=given,
        metavar="NAME",
        help="the domain of a server with --curve-allow or --plain-server (fastmq)",
    )


def choices(words: Sequence[str], last: str = "or") -> str:
    """Words for a message: a, b or c."""
    return ", ".join(words[:-1]) + f" {last} {words[-1]}" if len(words) > 1 else "".join(words)
