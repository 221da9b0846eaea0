#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exports all programs that can be looked into to OpenTelemetry, from outside.

    pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
    FASTMQ_INSPECT=1 python my_program.py &
    python examples/inspect_opentelemetry.py --every 10
    python examples/inspect_opentelemetry.py --otlp http://127.0.0.1:4318/v1/metrics

Without --otlp the measurements are printed, one JSON document each time. The programs need no
change and no library; they are looked into as the same user and on the same host
(docs/reference/inspect.md).
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Iterable, Sequence

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    PeriodicExportingMetricReader,
)

from fastmq import inspect, metrics

UNITS = {"messages": "{message}", "bytes": "By", "seconds": "s", "": "1"}


class Window:
    """Looks into these processes (none given: every one that can be looked into) and makes an
    instrument for each metric that it finds there."""

    def __init__(self, meter: Meter, pids: Sequence[int] = ()) -> None:
        self.meter = meter
        self.pids = pids
        self.now: dict[str, list[metrics.Measurement]] = {}
        self.known: set[str] = set()

    def look(self) -> None:
        """Reads all measurements; call it before each export."""
        found: list[metrics.Measurement] = []
        for pid in self.pids or [process.pid for process in inspect.processes()]:
            try:
                found += metrics.measurements(inspect.snapshot(pid))
            except inspect.Unavailable:  # it has ended
                continue
        self.now = metrics.by_name(found)
        for name in self.now.keys() - self.known:
            self.known.add(name)
            first = self.now[name][0]
            make = (
                self.meter.create_observable_counter
                if first.kind == "counter"
                else self.meter.create_observable_gauge
            )
            make(f"fastmq.{name}", [self._observe(name)], UNITS[first.unit], first.text)

    def _observe(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observations(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(one.value, one.labels) for one in self.now.get(name, [])]

        return observations


def main() -> None:
    parser = argparse.ArgumentParser(description="Exports running programs to OpenTelemetry.")
    parser.add_argument("pids", type=int, nargs="*", help="processes; default: all of this user")
    parser.add_argument("--every", type=float, default=10, help="seconds between two exports")
    parser.add_argument("--count", type=int, default=None, help="so many; default: without end")
    parser.add_argument("--otlp", metavar="URL", help="of a collector; default: print")
    args = parser.parse_args()

    exporter: MetricExporter = ConsoleMetricExporter()
    if args.otlp:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        exporter = OTLPMetricExporter(endpoint=args.otlp)
    # An interval without end: each export follows a look, below.
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
    provider = MeterProvider([reader])
    window = Window(provider.get_meter("fastmq"), args.pids)
    over = threading.Event()
    done = 0
    try:
        while args.count is None or done < args.count:
            window.look()
            provider.force_flush()
            done += 1
            if done != args.count and over.wait(args.every):
                break
    except KeyboardInterrupt:
        pass
    finally:
        window.now = {}
        provider.shutdown()


if __name__ == "__main__":
    main()
