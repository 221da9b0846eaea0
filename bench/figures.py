#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures what the pages tell: the cases of bench/published.json, with the sides that stand there.

    python bench/figures.py           all parts, each of three minutes or less
    python bench/figures.py 1 4       these parts

What each part measured is saved as bench/results/figures-PART-NUMBER.json. Afterwards

    python tools/gen_figures.py --anew bench/results/figures-*.json

publishes it. Each part ends by telling how much of the processors others used meanwhile: above a
few per cent it has to be repeated. The types of single parts are measured beside a libzmq with
drafts if FASTMQ_DRAFT_PEER names a Python that has one.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
LIMIT_S = 180

LIBRARIES = [
    str(HERE / "peers" / f"{name}.py")
    for name in (
        "sockets_only",
        "eclipse_zenoh",
        "iceoryx",
        "multiprocessing_connection",
        "nng",
        "omq",
        "raw_socket",
    )
]
SINGLE_PARTS = [str(HERE / "peers" / f"{name}.py") for name in ("omq", "libzmq_drafts")]
BY_SIZE = [str(HERE / "peers" / f"{name}.py") for name in ("sockets_only", "iceoryx")]

# A part: its runs, each with the rounds, the seconds, the cases, and the sides beside fastmq and
# pyzmq that are installed.
PARTS: dict[str, list[tuple[int, float, list[str], list[str]]]] = {
    "1": [
        (
            3,
            0.3,
            ["reqrep/tcp 64 B", "reqrep/ipc 64 B", "pushpull/tcp 64 B", "pushpull/ipc 64 B"],
            LIBRARIES,
        ),
    ],
    "2": [
        (
            3,
            0.3,
            [
                "pushpull/tcp 1 KiB",
                "pushpull/ipc 1 KiB",
                "pushpull/tcp 64 KiB",
                "pushpull/ipc 64 KiB",
                "pushpull/tcp 1 MiB",
                "pushpull/ipc 1 MiB",
                "pushpull/tcp 1 MiB copy=False",
                "pushpull/ipc 1 MiB copy=False",
                "pushpull/inproc 64 B",
                "reqrep/inproc 64 B, two threads",
                "batches/tcp 64 B",
                "multipart/tcp 5 x 64 B",
                "large/",
            ],
            [],
        ),
    ],
    "3": [
        (
            3,
            0.3,
            [
                "poller/tcp 64 B, 64 idle",
                "fanout/",
                "topics/tcp 64 B, 10,000 prefixes",
                "router/",
                "connect/",
                "burst/",
                "idle/tcp 50 pairs",
                "memory/tcp 2,000 peers",
                "curve/tcp 64 B",
                "curve/tcp 64 KiB",
            ],
            [],
        ),
    ],
    "4": [
        (
            3,
            0.3,
            [
                "aio_reqrep/tcp 64 B",
                "aio_reqrep/ipc 64 B",
                "aio_reqrep/tcp 64 B, uvloop",
                "aio_pushpull/tcp 64 B",
                "aio_pushpull/tcp 1 KiB",
                "aio_pushpull/tcp 64 B, uvloop",
                "aio_many/inproc 64 B, a task each, both ends",
                "aio_many/tcp 64 B, a task each, both ends",
            ],
            [],
        ),
        (
            3,
            0.3,
            [
                "client_server/tcp 64 B",
                "client_server/ipc 64 B",
                "scatter_gather/tcp 64 B",
                "scatter_gather/ipc 64 B",
                "datagrams/udp 64 B",
            ],
            SINGLE_PARTS,
        ),
    ],
    "5": [(1, 0.2, ["growth_size", "growth_poll"], BY_SIZE)],
    "6": [
        (
            1,
            0.2,
            [
                "growth_trip",
                "growth_memory",
                "growth_links",
                "growth_fanout",
                "growth_peers",
            ],
            [str(HERE / "peers" / "sockets_only.py")],
        )
    ],
}


def busy() -> tuple[int, int]:
    """Ticks of all processors so far: those that were used, and all (Linux)."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(word) for word in stat.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def by_children() -> float:
    """Ticks that the programs which this one has started used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * os.sysconf("SC_CLK_TCK")


def run(part: str) -> int:
    """Measures a part; 0, or what bench/run.py said when a case failed."""
    status = 0
    used, total, own = *busy(), by_children()
    end = time.monotonic() + LIMIT_S
    for number, (rounds, seconds, cases, beside) in enumerate(PARTS[part], 1):
        options = ["--rounds", str(rounds), "--seconds", str(seconds), "--timeout", "30", "--quiet"]
        saved = RESULTS / f"figures-{part}-{number}.json"
        command = [sys.executable, str(HERE / "run.py"), *options, "--save", str(saved), *cases]
        there = [
            peer for peer in beside if "drafts" not in peer or "FASTMQ_DRAFT_PEER" in os.environ
        ]
        process = subprocess.Popen([*command, "--modules", "fastmq", *there, "zmq"])
        try:
            status |= process.wait(end - time.monotonic())
        except subprocess.TimeoutExpired:
            process.terminate()  # it saves the cases that were done
            status |= process.wait() or 1
    used, total = (now - before for now, before in zip(busy(), (used, total), strict=True))
    others = used - (by_children() - own)
    print(f"part {part}: others used {100 * others / total:.1f} % of the processors", flush=True)
    return status


def main() -> int:
    parts = sys.argv[1:] or [*PARTS]
    if unknown := [part for part in parts if part not in PARTS]:
        print(f"figures: there is no part {unknown[0]}; there are {', '.join(PARTS)}")
        return 2
    return max([run(part) for part in parts])


if __name__ == "__main__":
    sys.exit(main())
