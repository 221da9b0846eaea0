# SPDX-License-Identifier: MIT
"""What the peers of the soak do: each sends, receives and checks until it is told to stop.

Every one of them runs as a process that connects over tcp or ipc (`soak.py` starts and kills it),
and as a thread of the subject over inproc. It raises `Broken` when a promise was not kept.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import fastmq as zmq

WAIT_MS = 200
"""No call waits longer, so that a peer soon sees that it is to end."""
SIZES = (0, 1, 30, 64, 200, 1000, 8000) * 4 + (70_000,)
TOPICS = tuple(b"%c." % c for c in b"ABCDEFGH")
LATE_S = 5.0
"""What was subscribed to may go on to come for so long after it was cancelled."""

Running = Callable[[], bool]


class Broken(Exception):
    """A promise was not kept; the text says which."""


def expect(held: bool, what: str) -> None:
    if not held:
        raise Broken(what)


def send(sock: Any, parts: list[bytes], running: Running, copy: bool = True) -> bool:
    """Sends, however long it takes; False when told to stop before it could."""
    while running():
        try:
            sock.send_multipart(parts, copy=copy)
            return True
        except zmq.Again:
            continue
    return False


def receive(sock: Any, running: Running) -> list[bytes] | None:
    """The next message, however long it takes; None when told to stop before it came."""
    while running():
        try:
            return list(sock.recv_multipart())
        except zmq.Again:
            continue
    return None


def socket(ctx: zmq.Context[Any], kind: int, **options: Any) -> Any:
    """A socket whose calls wait for WAIT_MS at most and that leaves nothing behind."""
    values = {
        "rcvtimeo": WAIT_MS,
        "sndtimeo": WAIT_MS,
        "linger": 0,
        "reconnect_ivl": 20,
        # How full the queues are is chance: few messages, or it would hide what grows.
        "sndhwm": 100,
        "rcvhwm": 100,
        **options,
    }
    sock = ctx.socket(kind)
    for name, value in values.items():
        setattr(sock, name, value)
    return sock


def body(dice: random.Random, n: int) -> bytes:
    return bytes([n % 251]) * dice.choice(SIZES)


def push(ctx: zmq.Context[Any], address: str, life: str, running: Running) -> None:
    """Numbers all it sends, and takes leave with their count. `Sink` checks."""
    dice = random.Random(life)
    with socket(ctx, zmq.PUSH, linger=20_000) as sock:
        sock.connect(address)
        n = 0
        while running():
            for _ in range(50):
                parts = [life.encode(), b"%d" % n, body(dice, n)]
                n += send(sock, parts, running, copy=n % 7 != 0)
            time.sleep(0.01)
        send(sock, [life.encode(), b"end", b"%d" % n], lambda: True)


class Sink:
    """What the receiver of `push` checks: nothing missing, nothing twice, nothing cut."""

    KNOWN = 64
    """Of so many senders it remembers how far they were; dead ones are forgotten in their turn."""

    def __init__(self) -> None:
        self.next: dict[bytes, int] = {}

    def check(self, message: list[bytes]) -> None:
        expect(len(message) == 3, f"a message of three parts came with {len(message)}")
        life, number, content = message
        due = self.next.pop(life, 0)
        if number == b"end":
            expect(int(content) == due, f"{life!r} sent {content!r}, {due} came")
            return
        expect(int(number) == due, f"{life!r}: {number!r} came instead of {due}")
        if content:
            expect(content == bytes([due % 251]) * len(content), f"{life!r}: {due} is damaged")
        self.next[life] = due + 1
        while len(self.next) > self.KNOWN:
            del self.next[next(iter(self.next))]


def pull(ctx: zmq.Context[Any], address: str, life: str, running: Running) -> None:
    """Takes its share of what the subject deals out: whole, and never backwards."""
    last = -1
    with socket(ctx, zmq.PULL) as sock:
        sock.connect(address)
        while running():
            try:
                many = sock.recv_many(200) if last % 2 else [sock.recv_multipart()]
            except zmq.Again:
                continue
            for message in many:
                number, content = message
                expect(int(number) > last, f"{life}: {number!r} came after {last}")
                last = int(number)
                expect(content == bytes([last % 251]) * len(content), f"{life}: {last} is damaged")


def req(ctx: zmq.Context[Any], address: str, life: str, running: Running) -> None:
    """Asks, and gets the answer to its question and to no other."""
    dice = random.Random(life)
    with socket(ctx, zmq.REQ, req_relaxed=1, req_correlate=1) as sock:
        sock.connect(address)
        n = 0
        while running():
            question = [f"{life}:{n}".encode(), body(dice, n)]
            n += 1
            try:
                sock.send_multipart(question)
                answer = sock.recv_multipart()
            except zmq.Again:
                continue  # the other side is slow or gone: asks anew
            expect(answer == question, f"{life}: a wrong answer to question {n - 1}")
            time.sleep(0.001)


def dealer(ctx: zmq.Context[Any], address: str, life: str, running: Running) -> None:
    """Has many questions open at once; each is answered exactly once."""
    dice = random.Random(life)
    with socket(ctx, zmq.DEALER) as sock:
        sock.connect(address)
        n = 0
        while running():
            open_ = {}
            for _ in range(30):
                open_[b"%s:%d" % (life.encode(), n)] = data = body(dice, n)
                send(sock, [next(reversed(open_)), data], running)
                n += 1
            while open_ and (answer := receive(sock, running)):
                name, data = answer
                expect(name in open_, f"{life}: {name!r} answered twice or never asked")
                expect(open_.pop(name) == data, f"{life}: {name!r} is damaged")
            time.sleep(0.02)


def client(ctx: zmq.Context[Any], address: str, life: str, running: Running) -> None:
    """As `dealer`, with messages of one part: the name of a question is in front of its data."""
    dice = random.Random(life)
    with socket(ctx, zmq.CLIENT) as sock:
        sock.connect(address)
        n = 0
        while running():
            open_ = {}
            for _ in range(30):
                open_[b"%s:%d" % (life.encode(), n)] = data = body(dice, n)
                send(sock, [next(reversed(open_)) + b"|" + data], running)
                n += 1
            while open_ and (answer := receive(sock, running)):
                name, _, data = answer[0].partition(b"|")
                expect(name in open_, f"{life}: {name!r} answered twice or never asked")
                expect(open_.pop(name) == data, f"{life}: {name!r} is damaged")
            time.sleep(0.02)


def sub(ctx: zmq.Context[Any], address: str, life: str, running: Running) -> None:
    """Changes its mind all the time; gets what it wants, in order."""
    dice = random.Random(life)
    wanted: set[bytes] = set()
    left: dict[bytes, float] = {}
    last: dict[bytes, int] = {}
    with socket(ctx, zmq.SUB) as sock:
        sock.connect(address)
        change = 0.0
        while running():
            now = time.monotonic()
            if now > change:
                change = now + 0.2
                topic = dice.choice(TOPICS)
                if topic in wanted:
                    sock.unsubscribe(topic)
                    wanted.remove(topic)
                    left[topic] = now
                else:
                    sock.subscribe(topic)
                    wanted.add(topic)
            try:
                topic, number, content = sock.recv_multipart()
            except zmq.Again:
                continue
            late = time.monotonic() - left.get(topic, -LATE_S) < LATE_S
            expect(topic in wanted or late, f"{life}: {topic!r} was not asked for")
            expect(int(number) > last.get(topic, -1), f"{life}: {topic!r} went backwards")
            last[topic] = int(number)
            expect(content == bytes([last[topic] % 251]) * len(content), f"{life}: damaged")


def published(start: int = 0) -> Iterator[list[bytes]]:
    """What `sub` expects of a publisher."""
    dice = random.Random(start)
    n = start
    while True:
        for topic in TOPICS:
            yield [topic, b"%d" % n, body(dice, n)]
        n += 1


PEERS: dict[str, Callable[[zmq.Context[Any], str, str, Running], None]] = {
    "push": push,
    "pull": pull,
    "req": req,
    "dealer": dealer,
    "client": client,
    "sub": sub,
}


def main() -> int:
    """traffic.py KIND ADDRESS LIFE: until a line, or the end, of the standard input."""
    import threading

    kind, address, life = sys.argv[1:]
    stop = threading.Event()

    def listen() -> None:
        sys.stdin.readline()
        stop.set()

    threading.Thread(target=listen, daemon=True).start()
    ctx: zmq.Context[Any] = zmq.Context()
    try:
        PEERS[kind](ctx, address, life, lambda: not stop.is_set())
    except Broken as e:
        print(f"{kind} at {address}: {e}", file=sys.stderr)
        return 3
    ctx.term(timeout=30_000)
    return 0


if __name__ == "__main__":
    sys.exit(main())
