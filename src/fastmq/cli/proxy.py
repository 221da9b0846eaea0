# SPDX-License-Identifier: MIT
"""`fastmq proxy`: messages forwarded between two sockets by the engine."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from fastmq.cli import arguments
from fastmq.cli.terminal import OK, USAGE, Notes, Problem

KINDS = {
    "queue": ("router", "dealer"),
    "forwarder": ("xsub", "xpub"),
    "streamer": ("pull", "push"),
}
TYPES = (
    *("router", "dealer", "xsub", "xpub", "pull", "push", "pair"),
    *("gather", "scatter", "channel", "server", "client"),
)
ENDS = {"frontend": "clients", "backend": "workers"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Forward whole messages between two sockets, both ways: a queue of requests (ROUTER and "
        "DEALER), a forwarder of publications (XSUB and XPUB), or a streamer (PULL and PUSH)."
    )
    arguments.examples(
        parser,
        "fastmq proxy queue --frontend 'tcp://*:5555' --backend 'tcp://*:5556'",
        "fastmq proxy forwarder --frontend 'tcp://*:5557' --backend 'tcp://*:5558' --stats 1",
        "fastmq proxy queue --frontend 'tcp://*:5555' --backend-connect tcp://a:5556 \\\n"
        "      --backend-connect tcp://b:5556 --capture tcp://127.0.0.1:5559",
        "fastmq sub --connect tcp://127.0.0.1:5559             # what the proxy captured",
        "fastmq proxy streamer --frontend 'tcp://*:5560' --backend 'tcp://*:5561' \\\n"
        "      --control tcp://127.0.0.1:5562",
        "fastmq proxy-control tcp://127.0.0.1:5562 statistics",
    )
    parser.add_argument(
        "kind",
        choices=[*KINDS],
        metavar=f"{{{','.join(KINDS)}}}",
        help="the types of the two sockets",
    )
    for end, who in ENDS.items():
        group = parser.add_argument_group(f"{end}, one endpoint at least")
        for flag, verb in (("", "bind"), ("-connect", "connect")):
            group.add_argument(
                f"--{end}{flag}",
                action="append",
                type=arguments.endpoint,
                default=[],
                metavar="ENDPOINT",
                help=f"{verb} there, for {who}; may be given several times",
            )
        group.add_argument(
            f"--{end}-type", choices=TYPES, metavar="TYPE", help="another type of socket"
        )
        arguments.add_option(group, f"--{end}-option", "a socket option, such as rcvhwm=10")
    group = parser.add_argument_group("monitoring and control")
    group.add_argument(
        "--capture",
        type=arguments.endpoint,
        metavar="ENDPOINT",
        help="publish a copy of every message there",
    )
    group.add_argument(
        "--control",
        type=arguments.endpoint,
        metavar="ENDPOINT",
        help="accept PAUSE, RESUME, TERMINATE and STATISTICS there, from `fastmq proxy-control` "
        "or any REQ socket",
    )
    group.add_argument(
        "--stats",
        type=arguments.number_from(0.05, 86400),
        metavar="S",
        help="report peers and messages every S seconds",
    )
    group.add_argument("--json", action="store_true", help="statistics as JSON on stdout")
    arguments.add_security(parser, "of the frontend")
    arguments.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Forward until TERMINATE comes; 0 then."""
    import fastmq
    from fastmq.cli import sockets

    notes = Notes("proxy", options.quiet)
    with sockets.context(linger=1) as context, ExitStack() as stack:
        stack.enter_context(sockets.authenticated(context, options))

        def make(kind: int, linger: int = 0) -> Any:
            socket = context.socket(kind, linger=linger)
            stack.callback(socket.close)
            return socket

        ends = {}
        bound = {}
        for end, standard in zip(ENDS, KINDS[options.kind], strict=True):
            given = vars(options)
            binds, connects = given[end], given[f"{end}_connect"]
            if not binds and not connects:
                raise Problem(f"no endpoint: give --{end} or --{end}-connect", USAGE)
            kind = (given[f"{end}_type"] or standard).upper()
            ends[end] = socket = make(fastmq.SocketType[kind])
            sockets.set_options(socket, given[f"{end}_option"])
            if end == "frontend":
                sockets.secure(socket, options)
            bound[socket] = sockets.attach(socket, binds, connects, notes)
        capture = control = None
        if options.capture:
            capture = make(fastmq.PUB)
            sockets.attach(capture, [options.capture], [], notes)
        if options.control:
            control = make(fastmq.REP, linger=1000)
            sockets.attach(control, [options.control], [], notes)
        if options.stats or options.json:
            stack.enter_context(
                reported(ends, options.stats or 1, options.json, sys.stderr.isatty())
            )
        stack.enter_context(sockets.patient(bound, notes))
        fastmq.proxy_steerable(ends["frontend"], ends["backend"], capture, control)
    return OK


@contextmanager
def reported(ends: dict[str, Any], interval: float, as_json: bool, screen: bool) -> Iterator[None]:
    """Tell every `interval` seconds, and at the end, what has passed both ends: as JSON on stdout,
    or in words on stderr, where a screen always shows the last ones only."""
    import fastmq

    over = threading.Event()
    start = time.monotonic()

    def tell(before: dict[str, Any]) -> dict[str, Any]:
        now = counted(ends, time.monotonic() - start)
        if as_json:
            print(json.dumps(now), flush=True)
            return now
        lines = words(now, before)
        again = screen and before["seconds"] > 0
        text = "\n".join(lines) if screen else "; ".join(lines)
        print(("\033[2A\033[J" if again else "") + text, file=sys.stderr, flush=True)
        return now

    def work() -> None:
        # A socket was closed, or its context has ended; or nobody reads what is told any more.
        with suppress(fastmq.ZMQError, OSError):
            last = counted(ends, 0)
            while not over.wait(interval):
                last = tell(last)
            tell(last)

    thread = threading.Thread(target=work, name="fastmq-stats", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5)


def counted(ends: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What each end has received, sent and lost so far, and who is connected."""
    found: dict[str, Any] = {"seconds": round(seconds, 3)}
    for end, socket in ends.items():
        stats = socket.stats()
        found[end] = {
            "peers": stats.peers,
            "received": stats.messages_received,
            "sent": stats.messages_sent,
            "queued": stats.queued_in + stats.queued_out,
            "dropped": stats.dropped,
        }
    return found


def words(now: dict[str, Any], before: dict[str, Any]) -> list[str]:
    """Counters as a line for each end, with the messages a second since `before`."""
    from fastmq.cli import report

    took = now["seconds"] - before["seconds"]
    lines = []
    for end in ENDS:
        is_, was = now[end], before[end]

        def moved(what: str, is_: dict[str, int] = is_, was: dict[str, int] = was) -> str:
            rate = report.number((is_[what] - was[what]) / took) if took > 0 else "0"
            return f"{is_[what]:,} ({rate}/s)"

        lines.append(
            f"{end:8} peers {is_['peers']}, in {moved('received')}, out {moved('sent')}, "
            f"queued {is_['queued']:,}, dropped {is_['dropped']:,}"
        )
    return lines
