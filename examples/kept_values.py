#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A new subscriber gets the newest value at once, by one option of the publisher.

    python examples/kept_values.py

With PUB_KEEP_LAST a publisher keeps the last message of each topic, and sends it to each new
subscriber before anything newer: no cache stands in between. last_value_cache.py does it by hand.
A slow subscriber misses messages, but never the last one of a topic.
"""

from __future__ import annotations

import fastmq as zmq


def main() -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as pub:
        pub.pub_keep_last = 1000  # topics
        pub.bind("inproc://prices")
        for topic, values in {b"oil": (70, 71), b"gold": (2400, 2380), b"gas": (3,)}.items():
            for value in values:
                pub.send_multipart([topic, b"%d" % value])
        with context.socket(zmq.SUB) as late:
            late.subscribe(b"g")
            late.connect("inproc://prices")
            for _ in range(2):
                print("late:", b" ".join(late.recv_multipart(timeout=5000)).decode())
            pub.send_multipart([b"gas", b"4"])
            print("news:", b" ".join(late.recv_multipart(timeout=5000)).decode())
        stats = pub.stats()
        print(f"{stats.kept} topics kept, {stats.kept_given} messages given")


if __name__ == "__main__":
    main()
