# SPDX-License-Identifier: MIT
"""The commands of `python -m fastmq`."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence

from fastmq import curve_keygen
from fastmq.cli import demo, measure, perf


def version() -> int:
    """Print the versions that a bug report needs."""
    import fastmq

    print(f"fastmq {fastmq.__version__}, speaks as libzmq {fastmq.zmq_version()}")
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}")
    if measure.installed("zmq"):
        print(f"beside it: pyzmq {measure.versions(['zmq'])['zmq']}")
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="fastmq", description="ZeroMQ for Python: try it, measure it."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("demo", help="the patterns at work on real sockets, in two seconds")
    measuring = commands.add_parser(
        "perf",
        help="latency and throughput on this machine, beside pyzmq when it is installed",
        epilog="examples: perf --quick; perf reqrep; perf --rounds 5 'tcp 64 B'",
    )
    perf.add_arguments(measuring, rounds=3, seconds=0.5)
    keys = commands.add_parser(
        "curve-keygen",
        help="a new pair of CURVE keys, on the terminal or as certificate files",
        epilog="example: curve-keygen --dir keys server",
    )
    curve_keygen.add_arguments(keys)
    commands.add_parser("version", help="the versions that a bug report needs")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "demo":
            return demo.run()
        if options.command == "perf":
            return perf.run(options)
        if options.command == "curve-keygen":
            return curve_keygen.run(options)
        return version()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from complaining at exit.
        sys.stdout = None
        return 141
