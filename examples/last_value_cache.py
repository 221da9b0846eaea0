#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A last-value cache: a new subscriber receives the newest value at once.

    python examples/last_value_cache.py

PUB forgets a message as soon as it is out. A value that changes once an hour would leave a new
subscriber without one for an hour. The cache stands between the publishers and the subscribers,
keeps the last value of each topic, and sends it when it receives a subscription. With
XPUB_VERBOSE it receives every one, not only the first for a topic.

    publishers (PUB) -> SUB | cache | XPUB -> subscribers (SUB)

The option PUB_KEEP_LAST does this in the publisher itself, without a cache: kept_values.py.

XPUB sends to all subscribers of the topic, so those that had the value get it again: publish states
this way, for which a repetition does no harm, and not events.
"""

from __future__ import annotations

import threading
from typing import Any

import fastmq as zmq

PUBLISHERS, SUBSCRIBERS = "inproc://publishers", "inproc://subscribers"


def cache(context: zmq.Context[Any], stop: threading.Event) -> None:
    """Forwards [topic, value] and answers subscriptions from what it remembers."""
    last: dict[bytes, bytes] = {}
    with context.socket(zmq.SUB) as sub, context.socket(zmq.XPUB) as xpub:
        sub.subscribe(b"")
        sub.bind(PUBLISHERS)
        xpub.xpub_verbose = True
        xpub.bind(SUBSCRIBERS)
        poller = zmq.Poller()
        poller.register(sub, zmq.POLLIN)
        poller.register(xpub, zmq.POLLIN)
        while not stop.is_set():
            ready = dict(poller.poll(50))
            if sub in ready:
                topic, *value = sub.recv_multipart()
                if len(value) == 1:  # a publisher may send anything
                    last[topic] = value[0]
                    xpub.send_multipart([topic, value[0]])
            if xpub in ready:
                notice, *_ = xpub.recv_multipart()
                if notice[:1] == b"\1":  # a subscription; b"\0" is its end
                    prefix = notice[1:]
                    for topic, known in last.items():
                        if topic.startswith(prefix):
                            xpub.send_multipart([topic, known])


def main() -> None:
    stop = threading.Event()
    with zmq.Context() as context:
        keeper = threading.Thread(target=cache, args=(context, stop))
        keeper.start()
        with context.socket(zmq.PUB) as pub:
            pub.connect(PUBLISHERS)
            pub.wait_for_subscribers(timeout=5000)
            for topic, values in {b"oil": (70, 71), b"gold": (2400, 2380), b"gas": (3,)}.items():
                for value in values:
                    pub.send_multipart([topic, b"%d" % value])
            # The first subscriber sees when all is in the cache; after that nothing is published.
            with context.socket(zmq.SUB) as early:
                early.subscribe(b"gas")
                early.connect(SUBSCRIBERS)
                print("early:", b" ".join(early.recv_multipart(timeout=5000)).decode())
            with context.socket(zmq.SUB) as late:
                late.subscribe(b"g")
                late.connect(SUBSCRIBERS)
                for _ in range(2):
                    print("late:", b" ".join(late.recv_multipart(timeout=5000)).decode())
        stop.set()
        keeper.join()


if __name__ == "__main__":
    main()
