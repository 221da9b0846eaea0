#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A market-data fan-out: one feed, many subscribers of different needs.

    python examples/market_data.py

The feed sends ticks of fixed layout; the symbol comes first, so that it is the topic, and each
subscriber gets only what it asked for. Three kinds of subscribers, a process each:

    recorder     everything, in batches (recv_many), and no tick may be missing
    trader       two symbols, tick by tick, as fast as they come
    dashboard    one symbol, slowly: with CONFLATE it always reads the newest tick

The recorder finds gaps by the ticks' numbers. XPUB_NODROP makes the feed wait for slow readers
instead of dropping; a live feed would rather set SNDHWM and let the recorder tell what it missed.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import struct
import tempfile
import time
from typing import Any

import fastmq as zmq

TICK = struct.Struct("<8sQdd")
"""symbol (padded with zeros), number, bid, ask"""
SYMBOLS = [b"AAPL", b"AMZN", b"GOOG", b"META", b"MSFT", b"NVDA", b"TSLA", b"ORCL"]
END = b"~end"
"""Sent to all at the end: a topic that everybody subscribes to."""


def topic(symbol: bytes) -> bytes:
    """The whole padded field: b"META" alone would match b"METALS" as well."""
    return symbol.ljust(8, b"\0")


def recorder(sub: Any) -> dict[str, Any]:
    ticks = gaps = last = 0
    while True:
        for message in sub.recv_many():
            if message == END:
                return {"ticks": ticks, "gaps": gaps}
            number = TICK.unpack(message)[1]
            gaps += number != last + 1
            last = number
            ticks += 1


def trader(sub: Any) -> dict[str, Any]:
    ticks = orders = 0
    before: dict[bytes, float] = {}
    for message in iter(sub.recv, END):
        symbol, _, bid, ask = TICK.unpack(message)
        ticks += 1
        middle = (bid + ask) / 2
        orders += middle < before.get(symbol, middle)  # buys when it falls
        before[symbol] = middle
    return {"ticks": ticks, "orders": orders}


def dashboard(sub: Any) -> dict[str, Any]:
    shown, newest = 0, 0
    for message in iter(sub.recv, END):
        shown, newest = shown + 1, TICK.unpack(message)[1]
        time.sleep(0.01)
    return {"shown": shown, "newest": newest}


SUBSCRIBERS: dict[str, tuple[Any, list[bytes]]] = {
    "recorder": (recorder, [b""]),
    "trader": (trader, [topic(b"MSFT"), topic(b"NVDA"), END]),
    "dashboard": (dashboard, [topic(b"TSLA"), END]),
}


def subscribe(name: str, feed: str, reports: str) -> None:
    """A subscriber's process."""
    function, topics = SUBSCRIBERS[name]
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        if function is dashboard:
            sub.conflate = True
        for prefix in topics:
            sub.subscribe(prefix)
        sub.connect(feed)
        result = function(sub)
        with context.socket(zmq.PUSH) as push:
            push.connect(reports)
            push.send_json([name, result])


def ticks(count: int) -> list[bytes]:
    """A random walk of every symbol."""
    walk = random.Random(1)
    prices = dict.fromkeys(SYMBOLS, 100.0)
    made = []
    for number in range(1, count + 1):
        symbol = walk.choice(SYMBOLS)
        prices[symbol] += walk.uniform(-0.1, 0.1)
        made.append(TICK.pack(topic(symbol), number, prices[symbol] - 0.01, prices[symbol] + 0.01))
    return made


def main() -> None:
    count, batch = 100_000, 500
    feed = ticks(count)
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, zmq.Context() as context:
        addresses = f"ipc://{folder}/feed", f"ipc://{folder}/reports"
        with context.socket(zmq.XPUB) as pub, context.socket(zmq.PULL) as reports:
            pub.xpub_nodrop = True
            pub.bind(addresses[0])
            reports.bind(addresses[1])
            children = [
                processes.Process(target=subscribe, args=(name, *addresses)) for name in SUBSCRIBERS
            ]
            for child in children:
                child.start()
            pub.wait_for_subscribers(len(SUBSCRIBERS), topic=END, timeout=30_000)
            start = time.perf_counter()
            for at in range(0, count, batch):
                pub.send_many(feed[at : at + batch])
            took = time.perf_counter() - start
            pub.send(END)
            results = dict(json.loads(reports.recv(timeout=30_000)) for _ in SUBSCRIBERS)
            for child in children:
                child.join()
    msft_nvda = sum(tick[:4] in (b"MSFT", b"NVDA") for tick in feed)
    assert results["recorder"] == {"ticks": count, "gaps": 0}
    assert results["trader"]["ticks"] == msft_nvda
    print(f"{count:,} ticks at {count / took / 1e6:.1f} M/s")
    for name, result in sorted(results.items()):
        print(f"{name}: {result}")


if __name__ == "__main__":
    main()
