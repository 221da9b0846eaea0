# SPDX-License-Identifier: MIT
"""`fastmq version`: what a bug report needs."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
from typing import Any

from fastmq.cli import arguments

TRANSPORTS = ("tcp", "ipc", "inproc", "ws", "wss", "udp", "vsock", "tipc", "shm")
SETTINGS = ("FASTMQ_SPIN_US", "FASTMQ_SHM", "FASTMQ_POLLER", "FASTMQ_EXIT_LINGER", "FASTMQ_INSPECT")
BESIDE = ("pyzmq", "PyNaCl", "msgpack", "rich", "matplotlib", "tornado", "gevent", "uvloop")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print versions, features and settings."
    arguments.examples(parser, "fastmq version", "fastmq version --json | jq -r .fastmq")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print it; 0."""
    told = facts()
    if options.json:
        print(json.dumps(told, indent=1))
        return 0
    print(
        f"fastmq {told['fastmq']}, speaks as libzmq {told['libzmq']}, API of pyzmq {told['pyzmq']}"
    )
    print(f"{told['python']}, {told['system']}")
    print(f"transports {', '.join(told['transports'])}; security {', '.join(told['security'])}")
    print(f"poller {told['poller']}; spins for {told['spin_us']} us at most before it sleeps")
    for title, found in (("environment", "environment"), ("installed beside it", "beside")):
        if told[found]:
            print(
                f"{title}: " + ", ".join(f"{name} {value}" for name, value in told[found].items())
            )
    return 0


def facts() -> dict[str, Any]:
    """What is told, by name."""
    import fastmq

    curve = ["CURVE (libsodium of PyNaCl)"] if fastmq.has("curve") else []
    with fastmq.Context() as context, context.socket(fastmq.PAIR) as socket:
        spin_us = socket.spin_us
    return {
        "fastmq": fastmq.__version__,
        "libzmq": fastmq.zmq_version(),
        "pyzmq": fastmq.pyzmq_version(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "transports": [name for name in TRANSPORTS if fastmq.has(name)],
        "security": ["NULL", "PLAIN", *curve],
        "poller": fastmq.poller_name(),
        "spin_us": spin_us,
        "environment": {name: os.environ[name] for name in SETTINGS if name in os.environ},
        "beside": {name: found for name in BESIDE if (found := _installed(name))},
    }


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
