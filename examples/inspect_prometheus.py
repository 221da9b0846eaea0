#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exports all programs that can be looked into to Prometheus, from outside.

    pip install prometheus-client
    FASTMQ_INSPECT=1 python my_program.py &
    python examples/inspect_prometheus.py --port 9464
    curl http://127.0.0.1:9464/metrics

The programs need no change and no library. They are looked into at each scrape, as the same user
and on the same host (docs/reference/inspect.md); in between it costs nothing.
docs/static/grafana.json is a board for these metrics.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fastmq import inspect, metrics


class WindowCollector(Collector):
    """The metrics of these processes; none given: of every one that can be looked into."""

    def __init__(self, pids: Sequence[int] = ()) -> None:
        self.pids = pids

    def collect(self) -> Iterable[Metric]:
        found: list[metrics.Measurement] = []
        pids = self.pids or [process.pid for process in inspect.processes()]
        for pid in pids:
            try:
                found += metrics.measurements(inspect.snapshot(pid))
            except inspect.Unavailable:  # it has ended
                continue
        for name, group in metrics.by_name(found).items():
            kind = CounterMetricFamily if group[0].kind == "counter" else GaugeMetricFamily
            labels = list(group[0].labels)
            family = kind(f"fastmq_{name}", group[0].text, labels=labels)
            for one in group:
                family.add_metric([one.labels[label] for label in labels], one.value)
            yield family


def main() -> None:
    parser = argparse.ArgumentParser(description="Exports running programs to Prometheus.")
    parser.add_argument("pids", type=int, nargs="*", help="processes; default: all of this user")
    parser.add_argument("--port", type=int, default=9464, help="of the metrics, 0: any free one")
    args = parser.parse_args()

    registry = CollectorRegistry()
    registry.register(WindowCollector(args.pids))
    server, _ = start_http_server(args.port, addr="127.0.0.1", registry=registry)
    print(f"http://127.0.0.1:{server.server_port}/metrics", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
