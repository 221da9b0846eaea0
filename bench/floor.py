#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What one Python process must pay for each 64 B message that it reads from 16 connections in turn.

    .venv/bin/python bench/floor.py

No library that returns a new `bytes` from each call can be below the sum of: a call of a method
written in C that makes a `bytes` of 64 (`memoryview.tobytes`), in the loop that
`scenarios/fanout.py` runs; and the kernel's share of 66 bytes (64 and a frame's header) when 64 KiB
are read at once. What a message costs beyond that is the library's. Processor time, not elapsed.
"""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import time
from collections.abc import Callable

CONNECTIONS, SIZE, FRAME, READ = 16, 64, 66, 64 * 1024
ROUNDS, SECONDS = 7, 0.5


def calls() -> float:
    """ns for a call that returns a new bytes, in a loop over several bound methods."""
    receivers = [memoryview(bytes(SIZE)).tobytes for _ in range(CONNECTIONS)]
    turns = 20_000
    cpu = time.process_time()
    for _ in range(turns):
        for recv in receivers:
            recv()
    return (time.process_time() - cpu) / turns / CONNECTIONS * 1e9


def write(port: int) -> None:
    """The other process: the same bytes to each connection in turn, until they are closed."""
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    data = bytes(READ)
    try:
        while True:
            for s in sockets:
                s.sendall(data)
    except OSError:
        pass


def reads(sockets: list[socket.socket]) -> float:
    """ns of the kernel's for each frame."""
    room = bytearray(READ)
    received = 0
    end = time.perf_counter() + SECONDS
    cpu = time.process_time()
    while time.perf_counter() < end or not received:
        for s in sockets:
            received += s.recv_into(room)
    return (time.process_time() - cpu) / (received / FRAME) * 1e9


def report(what: str, measure: Callable[[], float]) -> float:
    values = [measure() for _ in range(ROUNDS)]
    median = statistics.median(values)
    print(f"{what}: {median:.1f} ns ({min(values):.1f} to {max(values):.1f})")
    return median


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        writer = multiprocessing.Process(target=write, args=(server.getsockname()[1],))
        writer.start()
        sockets = [server.accept()[0] for _ in range(CONNECTIONS)]
        kernel = report("kernel, a frame", lambda: reads(sockets))
        for s in sockets:
            s.close()
        writer.join()
    call = report("a call that returns bytes", calls)
    print(f"together: {kernel + call:.1f} ns, {1e3 / (kernel + call):.1f} M messages/s")


if __name__ == "__main__":
    main()
