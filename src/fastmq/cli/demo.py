# SPDX-License-Identifier: MIT
"""`python -m fastmq demo`: the patterns at work on real sockets.

Written against pyzmq's API alone, so it reads as an example too. Every receive has a deadline: a
lost message ends the demonstration with a failure and not with a hang.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import fastmq as zmq

DEADLINE_MS = 10_000


def context() -> Any:
    """A context whose sockets give up after DEADLINE_MS and drop what is unsent at the end."""
    made: zmq.Context[zmq.Socket] = zmq.Context()
    made.setsockopt(zmq.RCVTIMEO, DEADLINE_MS)
    made.setsockopt(zmq.SNDTIMEO, DEADLINE_MS)
    made.setsockopt(zmq.LINGER, 0)
    return made


def address(socket: Any) -> str:
    """Where a socket that bound to a wildcard can be reached."""
    endpoint: bytes = socket.last_endpoint
    return endpoint.rstrip(b"\0").decode()


def expect(seen: object, wanted: object) -> None:
    """Fail when what arrived is not what was sent."""
    if seen != wanted:
        raise AssertionError(f"{seen!r} arrived, {wanted!r} was expected")


def in_thread(work: Callable[..., None], *args: Any) -> Callable[[], None]:
    """Call `work(*args)` in a thread; the function given waits for it and raises what it raised."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            work(*args)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()

    def join() -> None:
        thread.join(DEADLINE_MS / 1000)
        if thread.is_alive():
            raise TimeoutError("a thread did not end in time")
        if raised:
            raise raised[0]

    return join


def push_pull() -> str:
    """PUSH/PULL over tcp: tasks shared out among workers, each done exactly once"""
    tasks, workers = 20_000, 3
    with context() as ctx, ctx.socket(zmq.PUSH) as push:

        def worker(pull: Any, mine: list[int]) -> None:
            for (number,) in pull:
                mine.append(int(number))
                if sum(map(len, done)) == tasks:
                    all_done.set()

        all_done = threading.Event()
        done: list[list[int]] = [[] for _ in range(workers)]
        pulls, joins = [], []
        for mine in done:
            pull = ctx.socket(zmq.PULL)
            pull.bind("tcp://127.0.0.1:*")
            push.connect(address(pull))
            pulls.append(pull)
            joins.append(in_thread(worker, pull, mine))
        for number in range(tasks):
            push.send(b"%d" % number)
        if not all_done.wait(DEADLINE_MS / 1000):
            raise TimeoutError("not all tasks were done in time")
        for pull, join in zip(pulls, joins, strict=True):
            pull.close()  # ends the worker's loop
            join()
    expect(sorted(number for mine in done for number in mine), list(range(tasks)))
    return f"{tasks:,} tasks, {' + '.join(f'{len(mine):,}' for mine in done)} done"


def req_rep() -> str:
    """REQ/REP over tcp: questions to another process, an answer each"""
    questions = 2_000
    with context() as ctx, ctx.socket(zmq.REQ) as req:
        req.bind("tcp://127.0.0.1:*")
        child = subprocess.Popen([sys.executable, "-m", "fastmq.cli.demo", address(req)])
        try:
            start = time.perf_counter()
            req.send(b"0")
            req.recv()
            ready = time.perf_counter()
            for number in range(1, questions):
                req.send(b"%d" % number)
                expect(int(req.recv()), number * number)
            took = time.perf_counter() - ready
            req.send(b"")
            expect(req.recv(), b"bye")
            expect(child.wait(DEADLINE_MS / 1000), 0)
        finally:
            child.kill()
            child.wait()
    return (
        f"{questions:,} answers from process {child.pid} (up in {ready - start:.2f} s), "
        f"{took / (questions - 1) * 1e6:.0f} us each"
    )


def answer(where: str) -> None:
    """The other process of req_rep: squares numbers until an empty question."""
    with context() as ctx, ctx.socket(zmq.REP) as rep:
        rep.linger = DEADLINE_MS
        rep.connect(where)
        while question := rep.recv():
            rep.send(b"%d" % int(question) ** 2)
        rep.send(b"bye")


def pub_sub() -> str:
    """PUB/SUB over ipc: subscribers get what they asked for and nothing else"""
    readings = 5_000
    topics = (b"north", b"south", b"east")
    with context() as ctx, ctx.socket(zmq.XPUB) as pub:
        pub.sndhwm = 0
        pub.bind("ipc://*")
        where = address(pub)
        seen: dict[bytes, list[int]] = {topic: [] for topic in topics}

        def subscriber(topic: bytes) -> None:
            with ctx.socket(zmq.SUB) as sub:
                sub.rcvhwm = 0
                sub.subscribe(topic)
                sub.connect(where)
                while True:
                    got, reading = sub.recv_multipart()
                    expect(got, topic)
                    if not reading:
                        return
                    seen[topic].append(int(reading))

        joins = [in_thread(subscriber, topic) for topic in topics]
        # An XPUB hears of its subscribers: publish when all are there.
        expect({pub.recv() for _ in topics}, {b"\x01" + topic for topic in topics})
        for number in range(readings):
            for topic in (*topics, b"west"):
                pub.send_multipart([topic, b"%d" % number])
        for topic in topics:
            pub.send_multipart([topic, b""])
        for join in joins:
            join()
    for topic in topics:
        expect(seen[topic], list(range(readings)))
    return f"{readings * 4:,} published, {readings * 3:,} delivered to {len(topics)} subscribers"


def router_dealer() -> str:
    """ROUTER/DEALER over inproc: many requests under way, answers find their way back"""
    clients, requests = 4, 1_000
    with context() as ctx, ctx.socket(zmq.ROUTER) as router:
        router.bind("inproc://service")

        def client(name: bytes) -> None:
            with ctx.socket(zmq.DEALER) as dealer:
                dealer.routing_id = name
                dealer.connect("inproc://service")
                for number in range(requests):
                    dealer.send(b"%d" % number)
                for number in range(requests):
                    expect(dealer.recv(), b"%s %d" % (name, number))

        names = [b"client-%d" % number for number in range(clients)]
        joins = [in_thread(client, name) for name in names]
        for _ in range(clients * requests):
            name, request = router.recv_multipart()
            router.send_multipart([name, name + b" " + request])
        for join in joins:
            join()
    return f"{clients} clients, {clients * requests:,} answers, each client's in order"


def proxy() -> str:
    """proxy, tcp to inproc: a broker between clients and a pool of workers"""
    clients, requests, workers = 3, 500, 2
    ctx = context()
    with ctx.socket(zmq.ROUTER) as front, ctx.socket(zmq.DEALER) as back:
        front.bind("tcp://127.0.0.1:*")
        back.bind("inproc://workers")
        where = address(front)

        def worker() -> None:
            with ctx.socket(zmq.REP) as rep:
                rep.rcvtimeo = -1
                rep.connect("inproc://workers")
                try:
                    while True:
                        rep.send(rep.recv().upper())
                except zmq.ContextTerminated:
                    pass

        def broker() -> None:
            with front, back:
                try:
                    zmq.proxy(front, back)
                except zmq.ContextTerminated:
                    pass

        def client(number: int) -> None:
            with ctx.socket(zmq.REQ) as req:
                req.connect(where)
                for request in range(requests):
                    req.send_string(f"request {request} of {number}")
                    expect(req.recv_string(), f"REQUEST {request} OF {number}")

        service = [in_thread(worker) for _ in range(workers)] + [in_thread(broker)]
        for join in [in_thread(client, n) for n in range(clients)]:
            join()
        # Ends every call of the broker and the workers, then waits for their sockets to close.
        ctx.term()
        for join in service:
            join()
    return f"{clients} clients, {clients * requests:,} requests, {workers} workers"


DEMONSTRATIONS = (push_pull, req_rep, pub_sub, router_dealer, proxy)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run the patterns on real sockets and print what arrives. Takes two seconds."
    )


def run(options: argparse.Namespace) -> int:
    """Run them all; 0 only if every message arrived."""
    failed = 0
    for demonstration in DEMONSTRATIONS:
        print(demonstration.__doc__, flush=True)
        start = time.perf_counter()
        try:
            told = demonstration()
        except Exception as error:
            failed += 1
            print(f"    FAILED: {type(error).__name__}: {error}", flush=True)
        else:
            print(f"    {told} ({time.perf_counter() - start:.2f} s)", flush=True)
    print("every message arrived" if not failed else f"{failed} demonstration(s) failed")
    return 1 if failed else 0


if __name__ == "__main__":
    answer(sys.argv[1])
