#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A worker farm that gives each task to a worker that is free.

    python examples/worker_farm.py

A PUSH socket deals tasks out in turn, so a slow worker has a queue while a fast one idles. Here
workers ask for work instead: each tells the broker when it is free, and the broker reads a request
only while it knows of a free worker. What cannot be done yet waits in the clients' sockets, and
their high-water marks hold them back.

    clients (DEALER) -> ROUTER | broker | ROUTER <- workers (REQ)
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import Any

import fastmq as zmq

READY = b"ready"
FRONT, BACK = "inproc://clients", "inproc://workers"


def broker(context: zmq.Context[Any], stop: threading.Event) -> None:
    """Hands requests to workers that are free, the longest idle first, until `stop` is set."""
    free: deque[bytes] = deque()
    with context.socket(zmq.ROUTER) as front, context.socket(zmq.ROUTER) as back:
        front.bind(FRONT)
        back.bind(BACK)
        poller = zmq.Poller()
        poller.register(back, zmq.POLLIN)
        while not stop.is_set():
            # Without a free worker requests stay where they are.
            poller.register(front, zmq.POLLIN if free else 0)
            ready = dict(poller.poll(50))
            if back in ready:
                worker, _, *message = back.recv_multipart()
                free.append(worker)
                if len(message) > 1:  # and not READY
                    front.send_multipart(message)  # client, number, result
            if front in ready:
                back.send_multipart([free.popleft(), b"", *front.recv_multipart()])
        while free:  # every worker is told to go home
            back.send_multipart([free.popleft(), b"", b""])


def worker(context: zmq.Context[Any], pace_s: float, done: Counter[str]) -> None:
    """Squares numbers at its pace until it is sent home."""
    name = threading.current_thread().name
    with context.socket(zmq.REQ) as req:
        req.connect(BACK)
        req.send(READY)
        while True:
            client, *task = req.recv_multipart()
            if not task:
                return
            time.sleep(pace_s)
            try:
                result = b"%d" % int(task[0]) ** 2
            except ValueError:  # a client may send anything
                result = b"not a number"
            done[name] += 1
            req.send_multipart([client, task[0], result])


def client(context: zmq.Context[Any], numbers: range, results: dict[int, int]) -> None:
    """Has all its tasks under way at once; the results come in any order."""
    with context.socket(zmq.DEALER) as dealer:
        dealer.connect(FRONT)
        for number in numbers:
            dealer.send(b"%d" % number)
        for _ in numbers:
            task, result = dealer.recv_multipart(timeout=10_000)
            results[int(task)] = int(result)


def main() -> None:
    paces = {"fast": 0.001, "middling": 0.002, "slow": 0.02}
    done: Counter[str] = Counter()
    results: dict[int, int] = {}
    stop = threading.Event()
    with zmq.Context() as context:
        workers = [
            threading.Thread(target=worker, name=name, args=(context, pace, done))
            for name, pace in paces.items()
        ]
        clients = [
            threading.Thread(target=client, args=(context, range(n, n + 50), results))
            for n in (0, 50, 100)
        ]
        farm = threading.Thread(target=broker, args=(context, stop))
        for thread in [farm, *workers, *clients]:
            thread.start()
        for thread in clients:
            thread.join()
        stop.set()
        for thread in [farm, *workers]:
            thread.join()
    assert results == {n: n * n for n in range(150)}
    shares = ", ".join(f"{name} {done[name]}" for name in paces)
    print(f"{sum(done.values())} tasks done: {shares}")


if __name__ == "__main__":
    main()
