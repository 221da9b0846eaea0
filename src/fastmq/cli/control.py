# SPDX-License-Identifier: MIT
"""`fastmq proxy-control`: a word to the control socket of a proxy."""

from __future__ import annotations

import argparse
import json
import struct

from fastmq.cli import arguments
from fastmq.cli.terminal import FAILURE, OK, TIMED_OUT, Problem

WORDS = ("pause", "resume", "terminate", "statistics")
COUNTERS = tuple(
    f"{end}_{what}"
    for end in ("frontend", "backend")
    for what in ("messages_received", "bytes_received", "messages_sent", "bytes_sent")
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Control or query a proxy that was started with --control."
    arguments.examples(
        parser,
        "fastmq proxy-control tcp://127.0.0.1:5562 pause",
        "fastmq proxy-control tcp://127.0.0.1:5562 statistics --json",
    )
    parser.add_argument("endpoint", type=arguments.endpoint, help="of its control socket")
    parser.add_argument("word", choices=WORDS, metavar=f"{{{','.join(WORDS)}}}", help="what to do")
    parser.add_argument(
        "--timeout",
        type=arguments.seconds,
        default=5,
        metavar="S",
        help="give up (status 124) after S seconds without a reply (5)",
    )
    parser.add_argument("--json", action="store_true", help="print statistics as JSON")


def run(options: argparse.Namespace) -> int:
    """Ask, and print the answer; 0 when the proxy has done it."""
    import fastmq
    from fastmq.cli import sockets

    with sockets.context(linger=0) as context, context.socket(fastmq.REQ, linger=0) as req:
        req.rcvtimeo = req.sndtimeo = int(options.timeout * 1000)
        req.connect(options.endpoint)
        try:
            req.send_string(options.word.upper())
            answer = req.recv_multipart()
        except fastmq.Again:
            raise Problem(
                f"no proxy answered at {options.endpoint} within {options.timeout:g} s", TIMED_OUT
            ) from None
    if options.word == "statistics":
        if [len(part) for part in answer] != [8] * len(COUNTERS):
            raise Problem(f"{options.endpoint} does not answer like a proxy", FAILURE)
        counters = dict(zip(COUNTERS, struct.unpack("=8Q", b"".join(answer)), strict=True))
        if options.json:
            print(json.dumps(counters))
        else:
            width = max(map(len, COUNTERS))
            for name, value in counters.items():
                print(f"{name.replace('_', ' '):{width}} {value:>15,}")
    return OK
