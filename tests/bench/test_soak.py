# SPDX-License-Identifier: MIT
"""The soak: its checks find what is broken, its verdict finds what grows, and it runs."""

import importlib.util
import json
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import traffic
import verdict
from helpers import last_endpoint
from target import fastmq_only, zmq

pytestmark = [
    fastmq_only("a tool of fastmq's"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

SOAK = Path(traffic.__file__).with_name("soak.py")


# ---- the checks ----


def test_a_sink_accepts_what_a_sender_promises():
    sink = traffic.Sink()
    for n in range(300):
        for life in (b"a", b"b"):
            sink.check([life, b"%d" % n, bytes([n % 251]) * 5])
    sink.check([b"a", b"end", b"300"])
    sink.check([b"a", b"0", b""])  # the name is free again


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ([b"a", b"0", b""], "0' came instead of 1"),
        ([b"a", b"2", b""], "2' came instead of 1"),
        ([b"a", b"1", b"\2"], "damaged"),
        ([b"a", b"end", b"2"], "sent b'2', 1 came"),
        ([b"a", b"1"], "three parts came with 2"),
        ([b"new", b"1", b""], "1' came instead of 0"),
    ],
)
def test_a_sink_finds_what_is_lost_repeated_cut_or_damaged(message, complaint):
    sink = traffic.Sink()
    sink.check([b"a", b"0", b"\0"])
    with pytest.raises(traffic.Broken, match=complaint):
        sink.check(message)


def answers(*sent):
    """A server that gives one message after the other to whoever is there."""

    def serve(sock):
        for message in sent:
            sock.send_multipart(message)

    return serve


def to_questions(change):
    def serve(sock):
        envelope = sock.recv_multipart()
        for answer in change(envelope):
            sock.send_multipart(answer)

    return serve


def published(*numbers):
    def serve(sock):
        topic = sock.recv()[1:]
        for n in numbers:
            sock.send_multipart([topic, b"%d" % n, b""])

    return serve


def something_else(sock):
    topic = sock.recv()[1:]
    sock.send_multipart([topic + b"!", b"0", b""])


@pytest.mark.parametrize(
    ("kind", "server", "serve", "complaint"),
    [
        ("pull", zmq.PUSH, answers([b"1", b""], [b"0", b""]), "0' came after 1"),
        ("pull", zmq.PUSH, answers([b"1", b"\2"]), "damaged"),
        ("req", zmq.ROUTER, to_questions(lambda e: [[*e[:-2], b"?", b""]]), "wrong answer"),
        ("dealer", zmq.ROUTER, to_questions(lambda e: [e, e]), "answered twice"),
        ("dealer", zmq.ROUTER, to_questions(lambda e: [[*e[:-1], e[-1] + b"!"]]), "damaged"),
        ("sub", zmq.XPUB, published(3, 4, 4), "went backwards"),
        ("sub", zmq.XPUB, something_else, "was not asked for"),
    ],
)
def test_a_peer_finds_what_its_server_does_wrong(ctx, make, kind, server, serve, complaint):
    sock = make(server)
    sock.bind("tcp://127.0.0.1:*")
    thread = threading.Thread(target=serve, args=(sock,))
    thread.start()
    try:
        with pytest.raises(traffic.Broken, match=complaint):
            traffic.PEERS[kind](ctx, last_endpoint(sock), "life", lambda: True)
    finally:
        thread.join()


# ---- the verdict ----


def samples(slope=0.0, warm_up=0.0, noise=0.0):
    """20 minutes of memory that grows by `slope` MiB an hour, by `warm_up` in the first minutes."""
    dice = random.Random(1)
    return [
        {
            "t": float(t),
            "rss": 100 + slope * t / 3600 + warm_up * min(t / 200, 1) + dice.uniform(-noise, noise),
            "fds": 80.0 + t % 3,
            "threads": 20.0,
            "objects": 80_000.0 + t % 7,
            "blocks": 600.0,
            "cpu": 30.0,
        }
        for t in range(0, 1200, 2)
    ]


def test_noise_and_a_warm_up_are_flat():
    growth = verdict.growth(samples(warm_up=60, noise=5))
    assert all(row["flat"] for row in growth.values())
    assert growth["rss"]["level"] == pytest.approx(160, abs=2)


@pytest.mark.parametrize("name", verdict.LIMITS)
def test_what_grows_is_found_under_noise(name):
    leaking = samples(noise=1)
    for sample in leaking:
        sample[name] += 4 * verdict.LIMITS[name].allowed(sample[name]) * sample["t"] / 1200
    growth = verdict.growth(leaking)
    assert [n for n, row in growth.items() if not row["flat"]] == [name]


def a_result(**changes):
    taken = samples()
    return {
        "growth": verdict.growth(taken),
        "counts": {"pushed": 12345},
        "failures": [],
        "passed": True,
        "samples": taken,
        **changes,
    }


def test_the_verdict_tells_what_was_done_and_what_failed():
    text = verdict.text(a_result())
    assert "12,345 pushed" in text
    assert text.endswith("\npassed")
    text = verdict.text(a_result(failures=["a message was lost"], passed=False))
    assert "FAILED: a message was lost" in text
    assert text.endswith("\nNOT PASSED")


def test_the_curves_are_drawn(tmp_path):
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("matplotlib is not installed")
    saved, curves = tmp_path / "soak.json", tmp_path / "soak.svg"
    saved.write_text(json.dumps(a_result()), encoding="utf-8")
    command = [sys.executable, verdict.__file__, saved, curves]  # matplotlib keeps its fonts open
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == verdict.text(a_result())
    assert "<svg" in curves.read_text(encoding="utf-8")


# ---- all of it ----


@pytest.mark.slow
@pytest.mark.deadline(100)
def test_a_short_soak_breaks_nothing(tmp_path):
    command = [sys.executable, str(SOAK), "--minutes", "0.12", "--every", "0.2", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    result = json.loads((tmp_path / "soak.json").read_text(encoding="utf-8"))
    assert result["failures"] == [], done.stderr
    assert done.returncode in (0, 1)  # memory is not flat so soon
    did = result["counts"]
    assert all(did[what] for what in ("pushed", "dealt out", "replied", "routed", "published"))
    assert all(did[what] for what in ("awaited", "streamed", "visitors", "contexts", "guests"))


@pytest.mark.parametrize("wrong", [["--minutes", "0"], ["--every", "-1"], ["--minutes", "x"]])
def test_wrong_arguments_are_named(wrong):
    done = subprocess.run(
        [sys.executable, str(SOAK), *wrong], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert wrong[0] in done.stderr
