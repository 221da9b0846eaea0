# SPDX-License-Identifier: MIT
"""A snapshot of `fastmq.inspect` as measurements, in the form that metrics systems want.

`examples/inspect_prometheus.py` and `examples/inspect_opentelemetry.py` export them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from .inspect import ContextView, PeerView, Snapshot, SocketView


class Measurement(NamedTuple):
    """One number, and what it belongs to."""

    name: str
    """Of the metric, as "queued_messages"; always with the same labels, kind and unit."""
    kind: Literal["counter", "gauge"]
    """A counter grows while the process runs. A gauge is a value of now."""
    unit: Literal["messages", "bytes", "seconds", ""]
    """ "": a number of things that the name says."""
    text: str
    """What is measured, in a sentence."""
    labels: dict[str, str]
    value: float


class _Metric(NamedTuple):
    name: str
    kind: Literal["counter", "gauge"]
    unit: Literal["messages", "bytes", "seconds", ""]
    text: str

    def __call__(self, value: float, labels: dict[str, str], **more: str) -> Measurement:
        return Measurement(*self, {**labels, **more}, value)


# Of a context.
_SOCKETS = _Metric("sockets", "gauge", "", "Sockets that have not ended.")
_DESCRIPTORS = _Metric("descriptors", "gauge", "", "Descriptors of the sockets and I/O threads.")
_POOL = _Metric("pool_bytes", "gauge", "bytes", "Memory of buffers.")
_SHM_CONNECTIONS = _Metric("shm_connections", "gauge", "", "Connections in shared memory.")
_SHM = _Metric("shm_bytes", "gauge", "bytes", "Memory of connections in shared memory.")
_ARENA = _Metric("arena_bytes", "gauge", "bytes", "Memory of large messages within the host.")
_ALL_MESSAGES = _Metric(
    "context_messages", "counter", "messages", "Messages of all sockets, closed ones included."
)
_ALL_BYTES = _Metric(
    "context_bytes", "counter", "bytes", "Bytes of all sockets, closed ones included."
)
_ALL_DROPPED = _Metric(
    "context_dropped_messages", "counter", "messages", "Messages dropped, closed sockets included."
)

# Of a socket.
_MESSAGES = _Metric("messages", "counter", "messages", "Whole messages.")
_BYTES = _Metric("bytes", "counter", "bytes", "Bytes, framing included.")
_DROPPED = _Metric("dropped_messages", "counter", "messages", "Messages dropped.")
_SEND_WAITS = _Metric("send_waits", "counter", "", "Sends that had to wait.")
_RECONNECTIONS = _Metric("reconnections", "counter", "", "Connections made again.")
_PACKETS_LOST = _Metric("packets_lost", "counter", "", "Multicast packets that were not repaired.")
_QUEUED = _Metric("queued_messages", "gauge", "messages", "Messages in queues.")
_QUEUED_BYTES = _Metric("queued_bytes", "gauge", "bytes", "Bytes of the messages in queues.")
_PEERS = _Metric("peers", "gauge", "", "Connected peers.")
_FULL = _Metric("full_peers", "gauge", "", "Peers for which a message was refused at a limit.")
_SUBSCRIPTIONS = _Metric("subscriptions", "gauge", "", "Topics subscribed.")
_WAITING = _Metric("waiting_threads", "gauge", "", "Threads that wait in a call.")
_FAILING = _Metric("failing_endpoints", "gauge", "", "Endpoints that fail and have not recovered.")
_ROUND_TRIP = _Metric(
    "round_trip_seconds", "gauge", "seconds", "The longest of the peers' last heartbeats."
)

_LINKS = ("socket", "shm", "ws", "inproc", "unknown")


def measurements(seen: Snapshot) -> Iterator[Measurement]:
    """The measurements of one process.

    All have the label "pid". Those of a context have "context"; those of a socket also "socket"
    (its number), "type" and "endpoint" (its first one). There are none of single peers, of which
    there may be any number; `full_peers` and `round_trip_seconds` tell of the worst.
    """
    labels = {"pid": str(seen["pid"])}
    for context in seen["contexts"]:
        yield from _of_context(context, {**labels, "context": str(context["id"])})


def _of_context(view: ContextView, labels: dict[str, str]) -> Iterator[Measurement]:
    sockets = [socket for socket in view["sockets"] if not socket["internal"]]
    every = [view["closed_sockets"], *view["sockets"]]
    yield _SOCKETS(len(sockets) + view["sockets_left_off"], labels)
    yield _DESCRIPTORS(view["descriptors"] + sum(s["descriptors"] for s in view["sockets"]), labels)
    yield _POOL(view["pool_bytes"] - view["pool_spare"], labels, state="used")
    yield _POOL(view["pool_spare"], labels, state="spare")
    yield _SHM_CONNECTIONS(view["shm_connections"], labels)
    yield _SHM(view["shm_bytes"], labels)
    yield _ARENA(view["arena_bytes"], labels)
    if not view["sockets_left_off"]:  # else the sums would fall, which counters never do
        yield _ALL_MESSAGES(sum(s["messages_sent"] for s in every), labels, direction="sent")
        yield _ALL_MESSAGES(
            sum(s["messages_received"] for s in every), labels, direction="received"
        )
        yield _ALL_BYTES(sum(s["bytes_sent"] for s in every), labels, direction="sent")
        yield _ALL_BYTES(sum(s["bytes_received"] for s in every), labels, direction="received")
        yield _ALL_DROPPED(sum(s["dropped"] for s in every), labels)
    for socket in sockets:
        first = next((e["endpoint"] for e in socket["endpoints"]), socket["last_endpoint"])
        yield from _of_socket(
            socket,
            {**labels, "socket": str(socket["id"]), "type": socket["type"], "endpoint": first},
        )


def _of_socket(view: SocketView, labels: dict[str, str]) -> Iterator[Measurement]:
    yield _MESSAGES(view["messages_sent"], labels, direction="sent")
    yield _MESSAGES(view["messages_received"], labels, direction="received")
    yield _BYTES(view["bytes_sent"], labels, direction="sent")
    yield _BYTES(view["bytes_received"], labels, direction="received")
    for reason, count in view["drops"].items():
        yield _DROPPED(count, labels, reason=reason)
    yield _SEND_WAITS(view["send_waits"], labels)
    yield _RECONNECTIONS(view["reconnections"], labels)
    yield _PACKETS_LOST(view["packets_lost"], labels)
    yield _QUEUED(view["queued_out"], labels, direction="out")
    yield _QUEUED(view["queued_in"], labels, direction="in")
    yield _QUEUED_BYTES(view["queued_out_bytes"], labels, direction="out")
    yield _QUEUED_BYTES(view["queued_in_bytes"], labels, direction="in")
    ready = [peer for peer in view["peers"] if peer["state"] == "ready"]
    links = Counter(_link(peer) for peer in ready)
    links["unknown"] = view["peers_ready"] - len(ready)  # those that the snapshot left off
    for link in _LINKS:
        yield _PEERS(max(links[link], 0), labels, link=link)
    yield _FULL(sum(peer["full"] for peer in view["peers"]), labels)
    if view["subscriptions"] is not None:
        yield _SUBSCRIPTIONS(view["subscriptions"], labels)
    waiting = Counter({wait["call"]: wait["threads"] for wait in view["waits"]})
    for call in ("receive", "send"):
        yield _WAITING(waiting[call], labels, call=call)
    failing = {f["endpoint"] for f in view["failures"] if f["over"] is None}
    yield _FAILING(len(failing), labels)
    trips = [peer["round_trip"] for peer in ready if peer["round_trip"] is not None]
    if trips:
        yield _ROUND_TRIP(max(trips), labels)


def _link(peer: PeerView) -> str:
    """What carries the messages of a connected peer."""
    if peer["link"] in _LINKS:
        return peer["link"]
    return "inproc" if peer["endpoint"].startswith("inproc:") else "socket"


def by_name(found: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    """The measurements of each metric together, as most systems want them."""
    groups: dict[str, list[Measurement]] = {}
    for one in found:
        groups.setdefault(one.name, []).append(one)
    return groups


__all__ = ["Measurement", "by_name", "measurements"]
