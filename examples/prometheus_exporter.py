#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Shows what sockets and a context do to Prometheus.

    pip install prometheus-client
    python examples/prometheus_exporter.py --port 9464
    curl http://127.0.0.1:9464/metrics

`FastmqCollector` is what to take along: it asks the sockets when Prometheus asks, so it costs
nothing in between. Here it watches a publisher and two subscribers that exchange a few messages a
second.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import fastmq as zmq


class FastmqCollector(Collector):
    """Metrics of a context and of the sockets that are given names.

    sockets: name -> socket; may change at any time. A socket that was closed has no metrics any
    more, the sums of the context keep what it did.
    """

    def __init__(self, context: zmq.Context[Any], sockets: Mapping[str, zmq.Socket[Any]]) -> None:
        self.context = context
        self.sockets = sockets

    def collect(self) -> Iterable[Metric]:
        if not self.context.closed:
            yield from _context_metrics(self.context.stats())
        stats: dict[str, zmq.SocketStats] = {}
        peers: dict[str, list[zmq.Peer]] = {}
        for name, socket in list(self.sockets.items()):
            try:
                stats[name], peers[name] = socket.stats(), socket.peers()
            except zmq.ZMQError:  # closed
                continue
        yield from _socket_metrics(stats)
        yield from _peer_metrics(peers)


def _context_metrics(s: zmq.ContextStats) -> Iterator[Metric]:
    yield GaugeMetricFamily("fastmq_sockets", "Sockets that have not ended.", s.sockets)
    yield GaugeMetricFamily("fastmq_descriptors", "Descriptors in use.", s.descriptors)
    memory = GaugeMetricFamily("fastmq_pool_bytes", "Memory of buffers.", labels=["state"])
    memory.add_metric(["spare"], s.pool_spare)
    memory.add_metric(["used"], s.pool_bytes - s.pool_spare)
    yield memory
    yield _both_ways("fastmq_context_messages", "Messages of all sockets.", [([], s)], "messages")
    yield _both_ways("fastmq_context_bytes", "Bytes of all sockets.", [([], s)], "bytes")
    yield CounterMetricFamily("fastmq_context_dropped_messages", "Messages dropped.", s.dropped)


def _socket_metrics(stats: Mapping[str, zmq.SocketStats]) -> Iterator[Metric]:
    rows = [([name], s) for name, s in stats.items()]
    yield _both_ways("fastmq_messages", "Whole messages.", rows, "messages", ["socket"])
    yield _both_ways("fastmq_bytes", "Bytes, framing and all.", rows, "bytes", ["socket"])
    dropped = CounterMetricFamily("fastmq_dropped_messages", "Messages dropped.", labels=["socket"])
    waits = CounterMetricFamily("fastmq_send_waits", "Sends that waited.", labels=["socket"])
    again = CounterMetricFamily("fastmq_reconnections", "Reconnections.", labels=["socket"])
    peers = GaugeMetricFamily("fastmq_peers", "Peers that are connected.", labels=["socket"])
    topics = GaugeMetricFamily("fastmq_subscriptions", "Topics subscribed.", labels=["socket"])
    for name, s in stats.items():
        dropped.add_metric([name], s.dropped)
        waits.add_metric([name], s.send_waits)
        again.add_metric([name], s.reconnections)
        peers.add_metric([name], s.peers)
        if s.subscriptions is not None:
            topics.add_metric([name], s.subscriptions)
    yield from (dropped, waits, again, peers, topics)


def _peer_metrics(peers: Mapping[str, list[zmq.Peer]]) -> Iterator[Metric]:
    """What is of interest of each peer. With many that come and go leave this out: Prometheus keeps
    a series for every combination of labels that it ever saw."""
    queued = GaugeMetricFamily(
        "fastmq_queued_messages", "Messages in queues.", labels=["socket", "peer", "direction"]
    )
    rtt = GaugeMetricFamily(
        "fastmq_round_trip_seconds", "Last heartbeat.", labels=["socket", "peer"]
    )
    # Several peers without an address (not connected now) share one label: they are added up.
    depth: dict[tuple[str, str, str], int] = {}
    for name, row in peers.items():
        for peer in row:
            label = peer.address or peer.endpoint
            for direction, count in (("out", peer.queued_out), ("in", peer.queued_in)):
                key = (name, label, direction)
                depth[key] = depth.get(key, 0) + count
            if peer.rtt is not None and peer.address:
                rtt.add_metric([name, label], peer.rtt / 1000)
    for labels, count in depth.items():
        queued.add_metric(labels, count)
    yield queued
    yield rtt


def _both_ways(
    name: str,
    text: str,
    rows: list[tuple[list[str], Any]],
    what: str,
    labels: list[str] | None = None,
) -> Metric:
    """A counter of what was sent and received."""
    family = CounterMetricFamily(name, text, labels=[*(labels or []), "direction"])
    for values, stats in rows:
        for direction in ("sent", "received"):
            family.add_metric([*values, direction], getattr(stats, f"{what}_{direction}"))
    return family


def main() -> None:
    parser = argparse.ArgumentParser(description="Exports a small publisher's metrics.")
    parser.add_argument("--port", type=int, default=9464, help="of the metrics, 0: any free one")
    parser.add_argument("--rate", type=float, default=20, help="messages a second")
    parser.add_argument("--seconds", type=float, default=None, help="how long; default: for ever")
    args = parser.parse_args()

    with zmq.Context() as context:
        publisher = context.socket(zmq.PUB, linger=0, heartbeat_ivl=1000)
        publisher.bind("tcp://127.0.0.1:*")
        sockets: dict[str, zmq.Socket[Any]] = {"publisher": publisher}
        for topic in ("even", "odd"):
            subscriber = context.socket(zmq.SUB, linger=0)
            subscriber.subscribe(topic)
            subscriber.connect(publisher.last_endpoint.decode())
            sockets[topic] = subscriber
        publisher.wait_for_subscribers(2)

        registry = CollectorRegistry()
        registry.register(FastmqCollector(context, sockets))
        server, _ = start_http_server(args.port, addr="127.0.0.1", registry=registry)
        print(f"http://127.0.0.1:{server.server_port}/metrics", flush=True)

        over = threading.Event()
        if args.seconds is not None:
            threading.Timer(args.seconds, over.set).start()
        number = 0
        try:
            while not over.wait(1 / args.rate):
                topic = "odd" if number % 2 else "even"
                publisher.send_string(f"{topic} {number}")
                sockets[topic].recv()
                number += 1
        except KeyboardInterrupt:
            pass
        finally:
            server.shutdown()
            server.server_close()
            for socket in sockets.values():
                socket.close()


if __name__ == "__main__":
    main()
