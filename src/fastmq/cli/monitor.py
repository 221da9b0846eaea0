# SPDX-License-Identifier: MIT
"""`fastmq monitor`: what happens to the connections of a socket, as it happens."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from fastmq.cli import arguments
from fastmq.cli.terminal import OK, TIMED_OUT, Notes, Problem, coloured
from fastmq.utils.printable import printable_json

if TYPE_CHECKING:
    from fastmq.cli.events import Happened

TYPES = (
    *("pair", "pub", "sub", "req", "rep", "dealer", "router", "pull", "push", "xpub", "xsub"),
    *("client", "server", "scatter", "gather", "channel", "peer", "radio", "dish", "dgram"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from fastmq.cli import events

    parser.description = (
        "Open a socket and print the events of its connections: made, refused, lost, handshake "
        "done or failed, shared memory used or why not. The socket is an ordinary peer, so choose "
        "a type that its peers accept. Messages sent to it are dropped."
    )
    arguments.examples(
        parser,
        "fastmq monitor --connect tcp://127.0.0.1:5555            # is somebody there?",
        "fastmq monitor --type sub --connect tcp://127.0.0.1:5556 --json",
        "fastmq monitor --type router --bind 'tcp://*:5555' --event accepted --event disconnected",
    )
    parser.add_argument(
        "--type", choices=TYPES, default="dealer", help="the type of the socket (dealer)"
    )
    parser.add_argument(
        "--event",
        action="append",
        type=str.lower,
        choices=[name.lower() for name in events.NAMES],
        metavar="NAME",
        help="only this event; may be given several times (connected, handshake_succeeded ...)",
    )
    parser.add_argument(
        "-n",
        "--count",
        type=arguments.whole_from(1, 10**15),
        metavar="N",
        help="end after N events",
    )
    parser.add_argument("--json", action="store_true", help="print each event as a line of JSON")
    arguments.add_endpoints(parser)
    arguments.add_socket(parser, "the next event", verbose=False)
    arguments.add_security(parser)


def run(options: argparse.Namespace) -> int:
    """Print events; 0 after --count of them."""
    import fastmq
    from fastmq.cli import events, sockets

    wanted = fastmq.Event(0)
    for name in options.event or events.NAMES:
        wanted |= fastmq.Event[name.upper()]
    mask = wanted | fastmq.Event.LINK | fastmq.Event.LISTENING  # what version 2 is followed by

    monitors: list[Any] = []
    kind = fastmq.SocketType[options.type.upper()]

    def prepare(socket: Any) -> None:
        monitors.append(socket.get_monitor_socket(mask))

    with sockets.opened(options, kind, None, prepare, waits=Notes("monitor")) as socket:
        try:
            seen = 0
            for happened in events.follow(monitors[0], options.timeout):
                if not happened.event & wanted:
                    continue
                show(events.explained(happened, socket), options.json)
                seen += 1
                if seen == options.count:
                    return OK
        finally:
            socket.disable_monitor()
            monitors[0].close()
    raise Problem(f"no event within {options.timeout:g} s", TIMED_OUT)


def show(happened: Happened, as_json: bool) -> None:
    """Print an event, now."""
    from fastmq.cli import events

    now = datetime.now(timezone.utc)
    if as_json:
        told = {
            "time": now.isoformat(timespec="milliseconds"),
            "event": happened.name.lower(),
            "endpoint": happened.endpoint,
            "value": happened.value,
            "meaning": happened.words,
        }
        print(printable_json(json.dumps(told)), flush=True)
        return
    when = now.astimezone().strftime("%H:%M:%S.%f")[:-3]
    text = events.line(happened)
    colour = events.colour(happened)
    print(when, coloured(text, colour, sys.stdout) if colour else text, flush=True)
