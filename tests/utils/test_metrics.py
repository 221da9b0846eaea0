# SPDX-License-Identifier: MIT
"""Snapshots as measurements."""

import pytest
from helpers import WAIT_MS, eventually, fill, recv
from target import fastmq_only, zmq

pytestmark = fastmq_only("measures fastmq's own snapshots")

inspect = pytest.importorskip("fastmq.inspect")
metrics = pytest.importorskip("fastmq.metrics")


def measured(ctx_sockets, name, **labels):
    """The values of a metric with these labels, of sockets of these types."""
    found = metrics.by_name(metrics.measurements(inspect.snapshot()))
    return [
        one.value
        for one in found.get(name, [])
        if labels.items() <= one.labels.items()
        and ("type" not in one.labels or one.labels["type"] in ctx_sockets)
    ]


def test_every_metric_has_one_kind_one_unit_and_one_set_of_labels(make):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind("tcp://127.0.0.1:*")
    push.connect(pull.last_endpoint)
    push.send(b"x")
    recv(pull)
    for group in metrics.by_name(metrics.measurements(inspect.snapshot())).values():
        assert len({(m.kind, m.unit, m.text, tuple(m.labels)) for m in group}) == 1
        assert len({tuple(m.labels.values()) for m in group}) == len(group)


def test_what_was_sent_received_and_queued_is_measured(make):
    pull, push = make(zmq.PULL, rcvhwm=5), make(zmq.PUSH, sndhwm=5)
    pull.bind("inproc://measured")
    push.connect("inproc://measured")
    sent = fill(push, bytes(100), least=5)
    recv(pull)
    endpoint = {"endpoint": "inproc://measured"}
    # Over inproc a message counts as sent when the other program has it.
    assert measured(["PUSH"], "messages", direction="sent", **endpoint) == [1]
    assert measured(["PULL"], "messages", direction="received", **endpoint)[0] >= 1
    assert measured(["PUSH"], "peers", link="inproc", **endpoint) == [1]
    assert measured(["PUSH"], "queued_messages", direction="out", **endpoint) == [sent - 1]
    assert measured(["PUSH"], "queued_bytes", direction="out", **endpoint) == [100 * (sent - 1)]


def test_an_endpoint_that_fails_counts_until_it_works(make, endpoint):
    push = make(zmq.PUSH, reconnect_ivl=20)
    address = endpoint.fixed()
    endpoint.connect(push, address)
    if endpoint.is_inproc:
        assert measured(["PUSH"], "failing_endpoints", endpoint=address) == [0]
        return
    eventually("it fails", lambda: measured(["PUSH"], "failing_endpoints", endpoint=address) == [1])
    pull = make(zmq.PULL)
    endpoint.bind(pull, address)
    push.send(b"x", timeout=WAIT_MS)
    assert recv(pull) == b"x"
    assert measured(["PUSH"], "failing_endpoints", endpoint=address) == [0]


def test_counters_of_a_context_keep_what_closed_sockets_did(make):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind("tcp://127.0.0.1:*")
    push.connect(pull.last_endpoint)
    newest = str(max(view["id"] for view in inspect.snapshot()["contexts"]))
    for _ in range(7):
        push.send(b"x")
        recv(pull)
    push.close()
    # A thread that is just out of the system call has not counted the last one yet.
    eventually(
        "all are counted",
        lambda: measured([], "context_messages", direction="sent", context=newest) == [7],
    )
    eventually("the socket is gone", lambda: measured([], "sockets", context=newest) == [1])
    assert measured([], "context_messages", direction="sent", context=newest) == [7]
