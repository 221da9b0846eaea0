# SPDX-License-Identifier: MIT
"""`fastmq perf`: latency and throughput, here or between two terminals."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from fastmq.cli import arguments
from fastmq.cli.terminal import OK, TIMED_OUT, USAGE, Notes, Problem

TRANSPORTS = ("tcp", "ipc", "inproc")
SWEEP = (64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10)  # the sizes of a plot
SUITE, LAT, THR = "suite", "lat", "thr"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Measure on this machine, or with a peer on another machine."
    arguments.examples(
        parser,
        "fastmq perf --quick                          # a few figures, beside pyzmq if installed",
        "fastmq perf lat --compare pyzmq",
        "fastmq perf thr --size 64,1K,64K --transport ipc",
        note="Without a command it is `fastmq perf suite`. Figures count only on a machine that "
        "does\nnothing else meanwhile.",
    )
    below = parser.add_subparsers(dest="measure", required=True, metavar="COMMAND")
    suite_parser = below.add_parser(SUITE, help="many cases")
    from fastmq.cli import suite

    suite_parser.description = "Measure the cases of fastmq's published figures."
    arguments.examples(
        suite_parser,
        "fastmq perf suite --quick",
        "fastmq perf suite reqrep",
        "fastmq perf suite --rounds 5 'tcp 64 B' --plot ratios.svg",
    )
    suite.add_arguments(suite_parser)
    for name, help_, local, remote in (
        (LAT, "the time of a round trip", "answers", "asks, and measures"),
        (THR, "messages a second", "receives, and measures", "sends"),
    ):
        made = below.add_parser(name, help=help_)
        made.description = (
            f"Measure {help_}: with both ends started here, or one end each in two terminals. "
            f"local binds and {local}; remote connects and {remote}. Give both ends the same size "
            f"and count. libzmq's own tools of these names may be the other end."
        )
        arguments.examples(
            made,
            f"fastmq perf {name} --compare pyzmq --rounds 5",
            f"fastmq perf {name} --transport ipc --plot {name}.svg",
            f"fastmq perf {name} local 'tcp://*:5555' --size 1K --count 10000",
            f"fastmq perf {name} remote tcp://server:5555 --size 1K --count 10000",
        )
        _add_counted(made)


def _add_counted(parser: argparse.ArgumentParser) -> None:
    from fastmq.cli import rounds

    parser.add_argument(
        "role", nargs="?", choices=("local", "remote"), help="run only this end (default: both)"
    )
    parser.add_argument("endpoint", nargs="?", type=arguments.endpoint, help="of this end")
    parser.add_argument(
        "--size",
        type=_sizes,
        metavar="N[,N...]",
        help="bytes of a message; K and M are KiB and MiB (64; with --plot 64 to 64K)",
    )
    parser.add_argument(
        "--count",
        type=arguments.whole_from(2, 10**12),
        metavar="N",
        help="number of messages (lat: 10000; thr: 1000000, fewer if they are large)",
    )
    parser.add_argument(
        "--timeout",
        type=arguments.seconds,
        metavar="S",
        help="limit of a run (60), or of the wait for the peer (for ever); then status 124",
    )
    group = parser.add_argument_group("both ends")
    group.add_argument("--transport", choices=TRANSPORTS, help="the transport (tcp)")
    rounds.add_arguments(parser, 3, comparing=True)
    group = parser.add_argument_group("socket of one end")
    arguments.add_option(group, "--option", "any socket option, such as sndhwm=10000")
    arguments.add_security(parser, "of a role")
    parser.set_defaults(linger=None, hwm=None, identity=None, verbose=False)


def _sizes(text: str) -> list[int]:
    found = []
    for word in text.split(","):
        number, unit = (word[:-1], word[-1:].upper()) if word[-1:].isalpha() else (word, "")
        if unit not in ("", "K", "M") or not number.isdecimal():
            raise argparse.ArgumentTypeError(f"{word!r} is no size: 64, 1K or 1M, say")
        found.append(int(number) << {"": 0, "K": 10, "M": 20}[unit])
    return found


def run(options: argparse.Namespace) -> int:
    """Measure; the exit status."""
    if options.measure == SUITE:
        from fastmq.cli import suite

        return suite.run(options)
    if options.role:
        return take_role(options)
    return both_ends(options)


def default_count(measure: str, size: int) -> int:
    """What takes about a second: the same at both ends, of the same size."""
    return 10_000 if measure == LAT else max(1000, min(1_000_000, (1 << 30) // max(1, size)))


# ---- both ends ----


def both_ends(options: argparse.Namespace) -> int:
    """Both ends in processes of their own (inproc: in two threads of one), for every size."""
    from pathlib import Path

    from fastmq.cli import counted, measure, rounds, worker

    if options.option or options.curve_server_key or options.curve_server or options.plain_user:
        raise Problem("socket options and security are for a role: local or remote", USAGE)
    transport = options.transport or "tcp"
    path = Path(counted.__path__[0]) / f"{options.measure}.py"
    scenario = measure.Scenario(path, worker.load_scenario(str(path)))
    sizes = options.size or (SWEEP if options.plot else [64])
    for size in sizes:
        count = options.count or default_count(options.measure, size)
        scenario.cases[f"{transport} {size} B x {count}"] = {
            "transport": transport,
            "size": size,
            "count": count,
            "solo": transport == "inproc",
        }
    cases = [measure.Case(scenario, name) for name in scenario.cases]
    names = rounds.modules(options) or ["fastmq"]
    timeout = 60 if options.timeout is None else options.timeout
    return rounds.run(options, cases, names, 0, timeout)


# ---- one end ----


def take_role(options: argparse.Namespace) -> int:
    """Be one end; print what was measured."""
    import fastmq
    from fastmq.cli import report, sockets
    from fastmq.cli.counted import lat, thr
    from fastmq.cli.worker import Task

    if options.endpoint is None:
        raise Problem(f"no endpoint for {options.role}: give one", USAGE)
    for given in ("compare", "modules", "plot", "transport"):
        if getattr(options, given):
            raise Problem(f"--{given} is for both ends together, without a role", USAGE)
    if options.size and len(options.size) > 1:
        raise Problem("a role measures one --size", USAGE)
    size = options.size[0] if options.size else 64
    count = options.count or default_count(options.measure, size)
    local = options.role == "local"
    options.bind = [options.endpoint] if local else []
    options.connect = [] if local else [options.endpoint]
    latency = options.measure == LAT
    kind = {
        (LAT, True): fastmq.REP,
        (LAT, False): fastmq.REQ,
        (THR, True): fastmq.PULL,
        (THR, False): fastmq.PUSH,
    }[options.measure, local]
    notes = Notes(f"perf {options.measure}", options.quiet)
    found: dict[str, Any] = {"role": options.role, "size": size, "count": count}
    with sockets.opened(options, kind, notes, waits=notes) as socket:
        start = time.perf_counter()
        title = f"{options.measure} {options.role}"
        with report.Progress(count, options.quiet or not sys.stderr.isatty()) as progress:

            def step(done: int) -> None:
                progress.step(title, done)

            try:
                if latency and local:
                    lat.answer(socket, count, step)
                elif latency:
                    found |= lat.summary(lat.ask(socket, size, count, step), Task.percentiles)
                elif local:
                    took, found["size"] = thr.receive(socket, count, step)
                    found |= thr.summary(took, found["size"], count)
                else:
                    thr.send(socket, size, count, step)
            except fastmq.Again:
                raise Problem(
                    f"nothing from the peer within {options.timeout:g} s", TIMED_OUT
                ) from None
        found["seconds"] = time.perf_counter() - start
    print(json.dumps(found) if options.json else words(options.measure, found))
    return OK


def words(measure: str, found: dict[str, Any]) -> str:
    """What a role found, as a line."""
    from fastmq.cli import report

    number = report.number
    start = f"{found['count']} messages of {found['size']} B"
    if "p50" in found:
        return (
            f"{start}, round trip: p50 {number(found['p50'])} us, p99 {number(found['p99'])} us, "
            f"mean {number(found['mean'])} us; one way {number(found['mean'] / 2)} us"
        )
    if "rate" in found:
        return f"{start}: {number(found['rate'])} messages/s, {number(found['bytes'])} MB/s"
    return f"{start} {'answered' if measure == LAT else 'sent'}"
