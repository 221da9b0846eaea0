# SPDX-License-Identifier: MIT
"""Which messages were sent and which came: nothing lost, doubled or torn, order per sender."""

import random
import threading
from collections import defaultdict
from collections.abc import Callable

ALPHABET = bytes(range(97, 123))


class Broken(Exception):
    """An invariant does not hold."""


def body_of(sender: str, number: int, size: int) -> bytes:
    """The content of a part, the same for whoever knows its sender and number."""
    rng = random.Random(f"{sender}/{number}/{size}")
    start = rng.randrange(26)
    return (ALPHABET[start:] + ALPHABET * (size // 26 + 1))[:size]


class Shape:
    """How the messages of a flow look: how many parts, how large."""

    def __init__(self, key: str, most_parts: int, sizes: tuple[int, ...]) -> None:
        self.key = key
        self.most_parts = most_parts
        self.sizes = sizes

    def message(self, sender: str, number: int) -> list[bytes]:
        """The parts of a sender's n-th message; the first names both."""
        rng = random.Random(f"{self.key}/{sender}/{number}")
        head = b"%s:%d:" % (sender.encode(), number)
        if self.most_parts == 1:
            return [head + body_of(sender, number, rng.choice(self.sizes))]
        count = rng.randrange(1, self.most_parts)
        return [head, *(body_of(sender, number, rng.choice(self.sizes)) for _ in range(count))]

    def parse(self, parts: list[bytes]) -> tuple[str, int]:
        """The sender and number of a message, which must be whole."""
        try:
            sender, number, _ = parts[0].split(b":", 2)
            name, n = sender.decode(), int(number)
        except (ValueError, IndexError):
            raise Broken(f"torn: {describe(parts)} begins no message") from None
        if parts != self.message(name, n):
            raise Broken(
                f"torn: {describe(parts)} came, {describe(self.message(name, n))} was sent"
            )
        return name, n


def describe(parts: list[bytes]) -> str:
    shown = [p if len(p) <= 24 else p[:16] + b"..(%d)" % len(p) for p in parts]
    return repr(shown)


class Flow:
    """The messages from some senders to some receivers.

    Receivers of one address (a socket, or several that share the messages) get each message once
    between them. Of a broadcast every address gets every message.
    """

    def __init__(
        self,
        name: str,
        shape: Shape,
        quotas: dict[str, int],
        addresses: list[str],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.shape = shape
        self.quotas = quotas
        self.addresses = addresses
        self.changed = changed
        self.lossy = False  # a socket was closed with messages in it: some may be missing
        self.lock = threading.Lock()
        self.sent: dict[str, int] = dict.fromkeys(quotas, 0)
        self.stopped: set[str] = set()  # senders that will send no more
        self.got: dict[str, dict[str, set[int]]] = {a: defaultdict(set) for a in addresses}
        self.last: dict[tuple[str, str], int] = {}

    def confirm(self, sender: str, count: int = 1) -> None:
        """The sender's next messages are on their way."""
        with self.lock:
            self.sent[sender] += count
        self.changed()

    def stop(self, sender: str) -> None:
        """The sender ends before its quota."""
        with self.lock:
            self.stopped.add(sender)
        self.changed()

    def accept(self, address: str, receiver: str, parts: list[bytes], ordered: bool) -> int:
        """A receiver has a message. Its number. Broken: that must not be."""
        sender, number = self.shape.parse(parts)
        if sender not in self.quotas:
            raise Broken(f"strayed: {describe(parts)} came to {receiver} of {self.name}")
        with self.lock:
            seen = self.got[address][sender]
            if number in seen:
                raise Broken(f"doubled: {describe(parts)} came to {receiver} again")
            if not 0 <= number < self.quotas[sender]:
                raise Broken(f"invented: {describe(parts)} came to {receiver}, never sent")
            seen.add(number)
            before = self.last.get((receiver, sender), -1)
            if ordered and number < before:
                raise Broken(f"order: {describe(parts)} came to {receiver} after number {before}")
            self.last[receiver, sender] = max(before, number)
        self.changed()
        return number

    def senders_done(self) -> bool:
        return all(self.sent[s] >= quota or s in self.stopped for s, quota in self.quotas.items())

    def missing(self) -> dict[str, list[int]]:
        """What was sent and has not come, by address and sender."""
        with self.lock:
            return {
                f"{address} from {sender}": lost[:20]
                for address, rows in self.got.items()
                for sender, count in self.sent.items()
                if (lost := [n for n in range(count) if n not in rows[sender]])
            }

    def complete(self) -> bool:
        if not self.senders_done():
            return False
        with self.lock:
            wanted = sum(self.sent.values())
            return self.lossy or all(
                sum(len(numbers) for numbers in rows.values()) >= wanted
                for rows in self.got.values()
            )

    def verdict(self) -> None:
        """At the very end. Broken: something is missing."""
        if not self.lossy and (missing := self.missing()):
            raise Broken(f"lost: {self.name} misses {missing}")
        with self.lock:
            for address, rows in self.got.items():
                for sender, numbers in rows.items():
                    extra = [n for n in numbers if n >= self.sent[sender]]
                    # A sender that was cancelled for good does not know of its last message.
                    if extra and not (self.lossy and sender in self.stopped):
                        raise Broken(
                            f"unsent: {extra[:20]} of {sender} came to {address}, "
                            f"though its sends were said to have failed"
                        )

    def state(self) -> str:
        got = {a: {s: len(n) for s, n in rows.items()} for a, rows in self.got.items()}
        return (
            f"{self.name}: quotas {self.quotas}, sent {self.sent}, stopped {sorted(self.stopped)}, "
            f"got {got}{', may lose' if self.lossy else ''}, missing {self.missing()}"
        )
