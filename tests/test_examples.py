# SPDX-License-Identifier: MIT
"""The programs in examples/ do what they say."""

import importlib.util
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from helpers import eventually
from target import IS_FASTMQ

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

pytestmark = pytest.mark.skipif(not IS_FASTMQ, reason="fastmq's own examples")


def metrics(url):
    """The samples of a page: {'name{label="value"}': number}."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        page = answer.read().decode()
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    return {name: float(number) for name, number in (line.rsplit(" ", 1) for line in lines)}


@pytest.mark.skipif(
    importlib.util.find_spec("prometheus_client") is None, reason="needs prometheus_client"
)
def test_the_prometheus_exporter_shows_what_its_sockets_did():
    program = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "prometheus_exporter.py"), "--port=0", "--rate=200"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = program.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/metrics", url), program.stderr.read()

        def received(seen):
            names = ("even", "odd")
            key = 'fastmq_messages_total{{direction="received",socket="{}"}}'
            return sum(seen[key.format(name)] for name in names)

        eventually("twenty messages", lambda: received(metrics(url)) >= 20)
        seen = metrics(url)
        # The subscribers were asked after the publisher: at most one message came between.
        sent = seen['fastmq_messages_total{direction="sent",socket="publisher"}']
        assert sent >= 20 and abs(received(seen) - sent) <= 2
        assert seen['fastmq_bytes_total{direction="sent",socket="publisher"}'] > 20 * len("odd 1")
        assert seen['fastmq_peers{socket="publisher"}'] == 2
        assert seen['fastmq_subscriptions{socket="publisher"}'] == 2
        assert seen['fastmq_subscriptions{socket="odd"}'] == 1
        assert seen['fastmq_dropped_messages_total{socket="publisher"}'] == 0
        assert seen["fastmq_sockets"] == 3
        assert seen["fastmq_descriptors"] > 3
        queues = [name for name in seen if name.startswith("fastmq_queued_messages")]
        assert len(queues) == 2 * (2 + 1 + 1)
        eventually("a later look counts more", lambda: received(metrics(url)) > received(seen))
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 0, program.stderr.read()
    finally:
        program.kill()
        program.communicate()
