#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Publish-subscribe in which a late joiner gets everything: a snapshot, then what changes.

    python examples/late_joiners.py

The server owns a table and publishes each change with a number that grows by one. A client
subscribes first and then asks for the whole table; by their numbers it ignores updates that the
table already contains. A gap in the numbers means that something was dropped (a slow client, a
broken connection): it asks for the table again.

    server   PUB    -> SUB     client     changes: [key, number, value]
             ROUTER <- DEALER             the table: the same, then [b"", number, b""]
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from typing import Any

import fastmq as zmq

CHANGES, TABLE = "inproc://changes", "inproc://table"
NUMBER = struct.Struct("!Q")


class Server:
    """A table whose changes are published."""

    def __init__(self, context: zmq.Context[Any]) -> None:
        self.table: dict[bytes, tuple[int, bytes]] = {}
        self.number = 0
        self.pub = context.socket(zmq.PUB)
        self.pub.bind(CHANGES)
        self.router = context.socket(zmq.ROUTER)
        self.router.bind(TABLE)

    def set(self, key: bytes, value: bytes) -> None:
        self.number += 1
        self.table[key] = (self.number, value)
        self.pub.send_multipart([key, NUMBER.pack(self.number), value])

    def serve(self) -> None:
        """Answers those who have asked for the table by now."""
        while self.router.poll(0):
            client, *_ = self.router.recv_multipart()
            for key, (number, value) in self.table.items():
                self.router.send_multipart([client, key, NUMBER.pack(number), value])
            self.router.send_multipart([client, b"", NUMBER.pack(self.number), b""])

    def close(self) -> None:
        self.pub.close()
        self.router.close()


class Client:
    """Holds the same table as the server."""

    def __init__(self, context: zmq.Context[Any]) -> None:
        self.table: dict[bytes, bytes] = {}
        self.number = 0
        self.snapshots = 0
        self.sub = context.socket(zmq.SUB)
        self.sub.subscribe(b"")
        self.sub.connect(CHANGES)
        self.dealer = context.socket(zmq.DEALER)
        self.dealer.connect(TABLE)

    def load(self) -> None:
        """The whole table, in place of what is there."""
        self.table.clear()
        self.snapshots += 1
        self.dealer.send(b"table?")
        while True:
            key, number, value = self.dealer.recv_multipart(timeout=5000)
            if not key:
                (self.number,) = NUMBER.unpack(number)
                return
            self.table[key] = value

    def changes(self) -> Iterator[bytes]:
        """The keys that change, as they do, with no change missed and none seen twice."""
        self.load()
        while True:
            key, packed, value = self.sub.recv_multipart(timeout=5000)
            (number,) = NUMBER.unpack(packed)
            if number <= self.number:
                continue  # the table holds it
            if number > self.number + 1:
                self.load()
                if number <= self.number:
                    continue
            self.table[key], self.number = value, number
            yield key

    def close(self) -> None:
        self.sub.close()
        self.dealer.close()


def follow(context: zmq.Context[Any], last: bytes, seen: list[Client]) -> None:
    client = Client(context)
    for _ in client.changes():
        if client.table.get(b"last") == last:
            break
    client.close()
    seen.append(client)


def main() -> None:
    changes, joiners = 3000, 3
    seen: list[Client] = []
    threads = []
    with zmq.Context() as context:
        server = Server(context)
        for n in range(changes):
            if n % (changes // joiners) == 1:  # somebody joins while the table changes
                threads.append(threading.Thread(target=follow, args=(context, b"true", seen)))
                threads[-1].start()
            server.set(b"key %d" % (n % 100), b"%d" % n)
            server.serve()
        # The last change is seen by all who have their table; those who ask later hold it anyway.
        while any(thread.is_alive() for thread in threads):
            server.set(b"last", b"true")
            server.serve()
            threads[0].join(0.001)
            threads = [thread for thread in threads if thread.is_alive()] or threads[:1]
        expected = {key: value for key, (_, value) in server.table.items()}
        server.close()
    assert len(seen) == joiners
    assert all(client.table == expected for client in seen)
    print(
        f"{joiners} clients joined during {changes} changes; all hold the same {len(expected)} keys"
    )


if __name__ == "__main__":
    main()
