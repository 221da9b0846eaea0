# SPDX-License-Identifier: MIT
"""`fastmq completion`: scripts for shells, made of the argument parsers."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from fastmq.cli import arguments

FILES = {"FILE", "DIR"}
"""Metavars of values that are names of files."""


@dataclass
class Flag:
    """An option: how it may be written, what it is for, what follows it."""

    names: list[str]
    help: str
    takes_value: bool
    values: list[str] = field(default_factory=list)
    files: bool = False


@dataclass
class Words:
    """What may stand after the words of `path`."""

    path: tuple[str, ...]
    commands: dict[str, str]
    flags: list[Flag]
    values: list[str]
    """Of arguments that are no options."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print a script that lets a shell complete commands, options and values."
    arguments.examples(
        parser,
        'eval "$(fastmq completion bash)"                     # in ~/.bashrc',
        'eval "$(fastmq completion zsh)"                      # in ~/.zshrc, after compinit',
        "fastmq completion fish > ~/.config/fish/completions/fastmq.fish",
    )
    parser.add_argument("shell", choices=[*SCRIPTS], help="the shell")


def run(options: argparse.Namespace) -> int:
    """Print the script; 0."""
    from fastmq.cli import main

    print(SCRIPTS[options.shell]([*walk(main.parser())]), end="")
    return 0


def walk(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[Words]:
    """The words of a parser, and of the parsers of its commands."""
    found = Words(path, {}, [], [])
    below: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below = action.choices
            found.commands = {choice.dest: choice.help or "" for choice in action._choices_actions}
            continue
        values = [str(value) for value in action.choices or ()]
        if action.option_strings:
            takes = action.nargs != 0
            files = action.metavar in FILES
            help_ = (action.help or "").partition(";")[0]
            found.flags.append(Flag([*action.option_strings], help_, takes, values, files))
        else:
            found.values += values
    yield found
    for name, sub in below.items():
        yield from walk(sub, (*path, name))


def bash(found: list[Words]) -> str:
    """A function for `complete`; where it knows nothing, bash offers files."""
    lines = [
        "_fastmq() {",
        "    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}",
        "    local at= word words= flags=",
        '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        *_follow(found),
        "    done",
        "    COMPREPLY=()",
        '    case "$at:$before" in',
    ]
    for values, patterns in _values(found).items():
        reply = f'COMPREPLY=($(compgen -W {shlex.quote(values)} -- "$cur")); ' if values else ""
        lines.append(f"        {patterns}) {reply}return ;;")
    lines += ["    esac", '    case "$at" in']
    for words in found:
        flags = " ".join(name for flag in words.flags for name in flag.names)
        bare = " ".join([*words.commands, *words.values])
        lines.append(f'        "{" ".join(words.path)}") words="{bare}" flags="{flags}" ;;')
    lines += [
        "    esac",
        "    [[ $cur == -* ]] && words=$flags",
        '    COMPREPLY=($(compgen -W "$words" -- "$cur"))',
        "}",
        "complete -o bashdefault -o default -F _fastmq fastmq",
    ]
    return "\n".join(lines) + "\n"


def zsh(found: list[Words]) -> str:
    """A function for compdef, with descriptions."""
    lines = [
        "#compdef fastmq",
        "_fastmq() {",
        "    local at= word",
        "    local -a bare flags",
        "    for word in ${words[2,CURRENT-1]}; do",
        *_follow(found),
        "    done",
        '    case "$at:${words[CURRENT-1]}" in',
    ]
    for values, patterns in _values(found).items():
        lines.append(
            f"        {patterns}) {f'compadd {values}' if values else '_files'}; return ;;"
        )
    lines += ["    esac", '    case "$at" in']
    for words in found:
        bare = [f"{name}:{help_}" for name, help_ in words.commands.items()] + words.values
        flags = [f"{name}:{flag.help}" for flag in words.flags for name in flag.names]
        lines.append(f'        "{" ".join(words.path)}")')
        lines.append(f"            bare=({' '.join(map(shlex.quote, bare))})")
        lines.append(f"            flags=({' '.join(map(shlex.quote, flags))}) ;;")
    lines += [
        "    esac",
        "    if [[ $PREFIX == -* ]]; then _describe -o option flags",
        "    elif (( $#bare )); then _describe command bare",
        "    else _files",
        "    fi",
        "}",
        # Read by eval and not from $fpath, the function has to be named.
        '[[ $zsh_eval_context[-1] == loadautofunc ]] && _fastmq "$@" || compdef _fastmq fastmq',
    ]
    return "\n".join(lines) + "\n"


def fish(found: list[Words]) -> str:
    """A line of `complete` for each word."""
    lines = ["complete -c fastmq -f"]
    for words in found:
        conditions = [f"__fish_seen_subcommand_from {name}" for name in words.path]
        if words.commands:
            conditions.append(f"not __fish_seen_subcommand_from {' '.join(words.commands)}")
        start = f"complete -c fastmq -n {shlex.quote('; and '.join(conditions))}"
        for name, help_ in words.commands.items():
            lines.append(f"{start} -a {name} -d {_fish(help_)}")
        if words.values:
            lines.append(f"{start} -a {_fish(' '.join(words.values))}")
        for flag in words.flags:
            line = start
            for name in flag.names:
                line += f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}"
            if flag.values:
                line += f" -x -a {_fish(' '.join(flag.values))}"
            elif flag.takes_value:
                line += " -r -F" if flag.files else " -x"
            lines.append(f"{line} -d {_fish(flag.help)}")
    return "\n".join(lines) + "\n"


def _follow(found: list[Words]) -> Iterator[str]:
    """What makes `at` the path of commands among the words so far, in bash and zsh alike."""
    below = [(words.path, name) for words in found for name in words.commands]
    patterns = "|".join(f'"{" ".join(path)}/{name}"' for path, name in below)
    yield '        case "$at/$word" in'
    yield f'            {patterns}) at="${{at:+$at }}$word" ;;'
    yield "        esac"


def _values(found: list[Words]) -> dict[str, str]:
    """What may follow options -> the pattern that matches these options, in bash and zsh alike; ""
    stands for anything, such as a file."""
    by: dict[str, list[str]] = {}
    for words in found:
        for flag in words.flags:
            if flag.takes_value:
                names = (f'"{" ".join(words.path)}:{name}"' for name in flag.names)
                by.setdefault(" ".join(flag.values), []).extend(names)
    return {values: "|".join(patterns) for values, patterns in by.items()}


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}
