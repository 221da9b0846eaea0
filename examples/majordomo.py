#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Services by name behind one broker: the Majordomo protocol (RFC 7, MDP 0.1).

    python examples/majordomo.py broker tcp://127.0.0.1:5555
    python examples/majordomo.py worker tcp://127.0.0.1:5555 echo
    python examples/majordomo.py client tcp://127.0.0.1:5555 echo hello

Without arguments all of it runs in one process. A worker registers for a service and gets one
request at a time; clients ask for a service by its name. Both sides send heartbeats: the broker
drops workers that fell silent, workers connect anew when the broker did. Speaks with the Majordomo
clients and workers of other languages.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import fastmq as zmq
from fastmq.utils.printable import printable

CLIENT, WORKER = b"MDPC01", b"MDPW01"
READY, REQUEST, REPLY, HEARTBEAT, DISCONNECT = b"\1", b"\2", b"\3", b"\4", b"\5"
HEARTBEAT_MS = 1000
LIVES = 3
"""So many heartbeats may be missed."""


class Broker:
    """One ROUTER socket for clients and workers."""

    def __init__(self, context: zmq.Context[Any], address: str, heartbeat_ms: int = HEARTBEAT_MS):
        self.heartbeat_ms = heartbeat_ms
        self.router = context.socket(zmq.ROUTER)
        self.router.linger = 0
        self.router.bind(address)
        self.service_of: dict[bytes, bytes] = {}  # by worker
        self.heard: dict[bytes, float] = {}  # when, by worker
        self.free: dict[bytes, deque[bytes]] = {}  # workers by service, the longest idle first
        self.waiting: dict[
            bytes, deque[tuple[bytes, list[bytes]]]
        ] = {}  # [client, body] by service

    def run(self, stop: threading.Event) -> None:
        due = time.monotonic()
        while not stop.is_set():
            if self.router.poll(min(50, self.heartbeat_ms)):
                sender, *frames = self.router.recv_multipart()
                header, rest = frames[1:2], frames[2:]  # after an empty frame, of whoever knows
                if header == [CLIENT] and len(rest) >= 2:
                    self.ask(rest[0], sender, rest[1:])
                elif header == [WORKER] and rest:
                    self.from_worker(sender, rest[0], rest[1:])
            if time.monotonic() >= due:
                due = time.monotonic() + self.heartbeat_ms / 1000
                self.look_after_workers()
        for worker in list(self.service_of):
            self.forget(worker, tell=True)
        self.router.close(linger=500)

    def to_worker(self, worker: bytes, *frames: bytes) -> None:
        self.router.send_multipart([worker, b"", WORKER, *frames])

    def from_worker(self, worker: bytes, command: bytes, frames: list[bytes]) -> None:
        self.heard[worker] = time.monotonic()
        if command == READY and len(frames) == 1 and worker not in self.service_of:
            self.service_of[worker] = frames[0]
            self.is_free(worker)
        elif command == DISCONNECT:
            self.forget(worker)
        elif worker not in self.service_of:  # of an earlier life of this broker
            self.forget(worker, tell=True)
        elif command == REPLY and len(frames) >= 2:
            client, _, *body = frames
            self.router.send_multipart([client, b"", CLIENT, self.service_of[worker], *body])
            self.is_free(worker)

    def is_free(self, worker: bytes) -> None:
        service = self.service_of[worker]
        self.free.setdefault(service, deque()).append(worker)
        self.match(service)

    def ask(self, service: bytes, client: bytes, body: list[bytes]) -> None:
        self.waiting.setdefault(service, deque()).append((client, body))
        self.match(service)

    def match(self, service: bytes) -> None:
        free, waiting = self.free.get(service), self.waiting.get(service)
        while free and waiting:
            client, body = waiting.popleft()
            self.to_worker(free.popleft(), REQUEST, client, b"", *body)

    def look_after_workers(self) -> None:
        """Heartbeats to all, and the silent ones are dropped: so is one that works on a request
        for longer than that, and its client's time limit finds out."""
        silent = time.monotonic() - LIVES * self.heartbeat_ms / 1000
        for worker in list(self.service_of):
            if self.heard[worker] < silent:
                self.forget(worker)
            else:
                self.to_worker(worker, HEARTBEAT)

    def forget(self, worker: bytes, tell: bool = False) -> None:
        if tell:
            self.to_worker(worker, DISCONNECT)
        self.heard.pop(worker, None)
        service = self.service_of.pop(worker, None)
        if service is not None and worker in self.free.get(service, ()):
            self.free[service].remove(worker)


def work(
    context: zmq.Context[Any],
    address: str,
    service: bytes,
    function: Callable[[list[bytes]], list[bytes]],
    stop: threading.Event,
    heartbeat_ms: int = HEARTBEAT_MS,
) -> None:
    """Serves `service` until `stop` is set; connects anew when the broker is gone."""
    while not stop.is_set():
        with context.socket(zmq.DEALER) as dealer, suppress(zmq.Again):
            dealer.linger = 200
            dealer.sndtimeo = LIVES * heartbeat_ms  # Again: the broker is gone
            dealer.connect(address)
            dealer.send_multipart([b"", WORKER, READY, service])
            heard = beat = time.monotonic()
            while time.monotonic() - heard < LIVES * heartbeat_ms / 1000:
                if stop.is_set():
                    dealer.send_multipart([b"", WORKER, DISCONNECT], zmq.DONTWAIT)
                    return
                if dealer.poll(min(50, heartbeat_ms)):
                    heard = time.monotonic()
                    _, _, command, *frames = dealer.recv_multipart()
                    if command == REQUEST:
                        client, _, *body = frames
                        dealer.send_multipart([b"", WORKER, REPLY, client, b"", *function(body)])
                    elif command == DISCONNECT:
                        break
                if time.monotonic() - beat >= heartbeat_ms / 1000:
                    beat = time.monotonic()
                    dealer.send_multipart([b"", WORKER, HEARTBEAT])


class Client:
    """Asks services by name, and asks again when no answer comes."""

    def __init__(self, context: zmq.Context[Any], address: str, timeout_ms: int = 2000) -> None:
        self.timeout_ms = timeout_ms
        self.req = context.socket(zmq.REQ)
        self.req.linger = 0
        self.req.req_relaxed = True  # but not REQ_CORRELATE: its frame is not part of the protocol
        self.req.connect(address)

    def ask(self, service: bytes, *body: bytes, attempts: int = 3) -> list[bytes]:
        """The reply's frames. Raises zmq.Again when none came."""
        for attempt in range(attempts):
            self.req.send_multipart([CLIENT, service, *body])
            try:
                header, name, *reply = self.req.recv_multipart(timeout=self.timeout_ms)
            except zmq.Again:
                if attempt == attempts - 1:
                    raise
                continue
            if header == CLIENT and name == service:
                return reply
        raise ValueError(f"the broker's answer is not one to {service!r}")


def demonstrate() -> None:
    address, beat_ms = "inproc://majordomo", 100
    stop = threading.Event()
    functions: dict[bytes, Callable[[list[bytes]], list[bytes]]] = {
        b"echo": lambda body: body,
        b"sum": lambda body: [b"%d" % sum(map(int, body))],
    }
    with zmq.Context() as context:
        client = Client(context, address)
        broker = Broker(context, address, beat_ms)
        threads = [threading.Thread(target=broker.run, args=(stop,))]
        # The request is there before the worker: it waits at the broker.
        first = threading.Timer(
            0.2, work, (context, address, b"echo", functions[b"echo"], stop, beat_ms)
        )
        threads.append(first)
        for _ in range(2):
            arguments = (context, address, b"sum", functions[b"sum"], stop, beat_ms)
            threads.append(threading.Thread(target=work, args=arguments))
        for thread in threads:
            thread.start()
        print("echo:", client.ask(b"echo", b"hello", b"world"))
        sums = [int(client.ask(b"sum", b"%d" % n, b"1")[0]) for n in range(1000)]
        assert sums == list(range(1, 1001))
        print("sum: 1000 answers from 2 workers")
        client.timeout_ms = 100
        try:
            client.ask(b"no such service", b"", attempts=2)
        except zmq.Again:
            print("no such service: no answer in time")
        client.req.close()
        stop.set()
        for thread in threads:
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="the Majordomo protocol")
    roles = parser.add_subparsers(dest="role")
    for role in ("broker", "worker", "client"):
        sub = roles.add_parser(role)
        sub.add_argument("address")
        if role != "broker":
            sub.add_argument("service", type=str.encode)
        if role == "client":
            sub.add_argument("body", nargs="+", type=str.encode)
    args = parser.parse_args()
    if args.role is None:
        demonstrate()
        return
    forever = threading.Event()
    context: zmq.Context[Any] = zmq.Context()
    try:
        if args.role == "broker":
            Broker(context, args.address).run(forever)
        elif args.role == "worker":
            work(context, args.address, args.service, lambda body: body, forever)
        else:
            client = Client(context, args.address)
            print(*map(printable, client.ask(args.service, *args.body)))
    except zmq.Again:
        sys.exit("no answer")
    except KeyboardInterrupt:
        pass
    finally:
        context.destroy(linger=200)


if __name__ == "__main__":
    main()
