# SPDX-License-Identifier: MIT
"""epgm and pgm between hosts of their own, whose network loses, doubles and delays (group.py)."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from process import PRELUDE, START_MS
from target import fastmq_only, zmq

pytestmark = [pytest.mark.slow, pytest.mark.deadline(120), fastmq_only("has no pgm")]

HERE = Path(__file__).parent
PORT = 5560
GROUP = "239.9.9.9"
LONG_MS = 60_000

# The interpreter of a pyzmq whose libzmq has pgm (that of Debian has).
PEER = os.environ.get("FASTMQ_PGM_PEER", "")


def _peer_fits():
    if not PEER:
        return "FASTMQ_PGM_PEER does not name the interpreter of a pyzmq with pgm"
    code = "import sys, zmq; sys.exit(not zmq.has('pgm'))"
    if subprocess.run([PEER, "-c", code], capture_output=True, timeout=30).returncode:
        return f"the pyzmq of {PEER} has no pgm"
    return ""


MISSING_PEER = _peer_fits()
with_libzmq = pytest.mark.skipif(bool(MISSING_PEER), reason=MISSING_PEER or "there")

# Says "hello" until it is told to go on; then its messages; then stays until it is told to end.
PUBLISHER = """
import select
endpoint, count, rate, kind, size = sys.argv[1], *map(int, sys.argv[2:6])
ctx = zmq.Context()
pub = ctx.socket(kind)
pub.setsockopt(zmq.RATE, rate)
pub.setsockopt(zmq.SNDHWM, 0)
pub.connect(endpoint)
say("ready")
while not select.select([0], [], [], 0.02)[0]:
    pub.send(b"hello")
hear()
for n in range(count):
    pub.send_multipart([b"%d" % n, bytes([n % 256]) * (n * 37 % size)])
say("sent")
hear()
pub.close(5000)
ctx.term()
say("ended")
"""

# Reports once it hears anything, and what came of the numbered messages.
SUBSCRIBER = """
endpoint, count, rate, kind, size = sys.argv[1], *map(int, sys.argv[2:6])
ctx = zmq.Context()
sub = ctx.socket(kind)
sub.setsockopt(zmq.RATE, rate)
sub.setsockopt(zmq.RCVHWM, 1000000)
if kind == zmq.SUB:
    sub.setsockopt(zmq.SUBSCRIBE, b"")
sub.bind(endpoint)
say("ready")
assert sub.recv() == b"hello"
say("joined")
got, missed, expected, heard = 0, 0, 0, time.monotonic()
while expected < count and sub.poll(20000):
    parts = sub.recv_multipart()
    if parts == [b"hello"]:
        assert expected == 0
        continue
    n = int(parts[0])
    assert n >= expected, (n, expected)
    assert parts[1] == bytes([n % 256]) * (n * 37 % size), n
    missed += n - expected
    expected, got = n + 1, got + 1
lost = sub.stats().packets_lost if hasattr(sub, "stats") else 0
say({"got": got, "missed": missed + count - expected, "lost": lost})
hear()
"""


class Group:
    """Hosts in namespaces of their own, that hear each other."""

    def __init__(self, child, hosts):
        self.child = child
        self.hub = child((HERE / "group.py").read_text(encoding="utf-8"), hosts, prelude="")
        said = self.hub.says("namespaces", START_MS)
        if "sorry" in said:
            pytest.skip(f"no network namespaces: {said['sorry']}")
        self.namespaces = said

    def set(self, **order):
        self.hub.hears(order)
        return self.hub.says("answer of the hub")

    def at(self, host, code, *args, **options):
        return self.child(code, *args, network=self.namespaces[host], **options)


@pytest.fixture
def group(child):
    if not sys.platform.startswith("linux"):
        pytest.skip("needs network namespaces")
    return lambda hosts: Group(child, hosts)


def host(n):
    return f"10.88.0.{n}"


def of(n, scheme="epgm"):
    return f"{scheme}://{host(n)};{GROUP}:{PORT}"


def libzmq(there):
    prelude = PRELUDE.replace("from target import zmq", "import zmq")
    return {"python": PEER, "prelude": prelude} if there == "libzmq" else {}


class Stage:
    """A publisher at the first host and a subscriber at each of the others."""

    def __init__(
        self,
        net,
        subscribers,
        count,
        rate=20000,
        size=5000,
        scheme="epgm",
        pub="fastmq",
        sub="fastmq",
        kinds=(zmq.PUB, zmq.SUB),
    ):
        self.net = net
        self.subs = [
            net.at(
                host(n + 2),
                SUBSCRIBER,
                of(n + 2, scheme),
                count,
                rate,
                int(kinds[1]),
                size,
                **libzmq(sub),
            )
            for n in range(subscribers)
        ]
        for one in self.subs:
            assert one.says("readiness") == "ready"
        self.pub = net.at(
            host(1), PUBLISHER, of(1, scheme), count, rate, int(kinds[0]), size, **libzmq(pub)
        )
        assert self.pub.says("readiness") == "ready"
        for one in self.subs:
            assert one.says("first message", LONG_MS) == "joined"

    def run(self):
        self.pub.hears("go")
        results = [one.says("result", LONG_MS) for one in self.subs]
        assert self.pub.says("end of its messages", LONG_MS) == "sent"
        return results


LOSSES = pytest.mark.parametrize("loss", [0.01, 0.05, 0.2])


@LOSSES
def test_all_comes_once_and_in_order_over_a_network_with_faults(group, loss):
    net = group(2)
    stage = Stage(net, 1, 2000)
    net.set(loss=loss, double=0.05, jitter=0.01)
    assert stage.run() == [{"got": 2000, "missed": 0, "lost": 0}]


def test_eight_subscribers_miss_nothing(group):
    net = group(9)
    stage = Stage(net, 8, 1000)
    net.set(loss=0.05, double=0.02, jitter=0.005)
    assert stage.run() == [{"got": 1000, "missed": 0, "lost": 0}] * 8


def test_repairs_are_sent_to_all_at_once(group):
    """What eight hosts lose costs as many packets as it would for one, however many of them ask."""
    net = group(9)
    stage = Stage(net, 8, 1000)
    net.set(loss=0.02)
    before = net.set(count=True)
    stage.run()
    packets = net.set(count=True) - before
    # 2.5 MB in packets of 1448 bytes; 15 % of them are missed by somebody.
    assert packets < 2500000 / 1448 * 1.6


def test_xpub_and_xsub_do_it_too(group):
    net = group(2)
    stage = Stage(net, 1, 500, kinds=(zmq.XPUB, zmq.XSUB))
    net.set(loss=0.05)
    assert stage.run() == [{"got": 500, "missed": 0, "lost": 0}]


def test_pgm_as_an_ip_protocol(group):
    net = group(3)
    stage = Stage(net, 2, 1000, scheme="pgm")
    net.set(loss=0.05, jitter=0.005)
    assert stage.run() == [{"got": 1000, "missed": 0, "lost": 0}] * 2


def test_the_last_messages_are_repaired_after_close(group):
    """Within LINGER the publisher stays for those who miss its last packets."""
    net = group(2)
    code = PUBLISHER.replace('say("sent")\nhear()\n', "")
    sub = net.at(host(2), SUBSCRIBER, of(2), 100, 20000, int(zmq.SUB), 500)
    assert sub.says("readiness") == "ready"
    pub = net.at(host(1), code, of(1), 100, 20000, int(zmq.PUB), 500)
    assert pub.says("readiness") == "ready"
    assert sub.says("first message", LONG_MS) == "joined"
    net.set(loss=0.1)
    pub.hears("go")
    assert pub.says("end", LONG_MS) == "ended"
    assert sub.says("result", LONG_MS) == {"got": 100, "missed": 0, "lost": 0}


def test_a_loss_beyond_repair_is_told_and_the_stream_goes_on(group):
    """The publisher's window is what RATE and RECOVERY_IVL allow: 20000 kbit/s for 20 ms here."""
    net = group(2)
    pub_code = PUBLISHER.replace("pub.connect", "pub.setsockopt(zmq.RECOVERY_IVL, 20)\npub.connect")
    sub_code = SUBSCRIBER.replace(
        "sub.bind(endpoint)",
        """mon = sub.get_monitor_socket()
sub.bind(endpoint)""",
    ).replace(
        'say({"got"',
        """from fastmq.utils.monitor import recv_monitor_message
told = 0
while mon.poll(0):
    event = recv_monitor_message(mon)
    told += event["value"] == zmq.PROTOCOL_ERROR_PACKETS_LOST
say({"told": told > 0, "where": event["endpoint"].decode()})
say({"got\"""",
    )
    sub = net.at(host(2), sub_code, of(2), 3000, 20000, int(zmq.SUB), 3000)
    assert sub.says("readiness") == "ready"
    pub = net.at(host(1), pub_code, of(1), 3000, 20000, int(zmq.PUB), 3000)
    assert pub.says("readiness") == "ready"
    assert sub.says("first message", LONG_MS) == "joined"
    net.set(loss=0.1)
    pub.hears("go")
    assert pub.says("end of its messages", LONG_MS) == "sent"
    assert sub.says("what the monitor told", LONG_MS) == {"told": True, "where": of(2)}
    result = sub.says("result", LONG_MS)
    assert result["lost"] > 0
    assert 0 < result["missed"] < 3000
    assert result["got"] + result["missed"] == 3000


def test_a_host_that_hears_nothing_for_a_while_goes_on(group):
    net = group(3)
    stage = Stage(net, 2, 4000, rate=8000, size=1000)
    stage.pub.hears("go")
    net.set(lose=[host(2), True])
    net.set(loss=0.0)
    time.sleep(0.5)
    net.set(lose=[host(2), False])
    results = [one.says("result", LONG_MS) for one in stage.subs]
    assert results == [{"got": 4000, "missed": 0, "lost": 0}] * 2


def test_publishers_of_one_host_share_a_port_and_repair_each_their_own(group):
    """What is sent to the host's port reaches the last of them that bound it."""
    net = group(2)
    chosen = SUBSCRIBER.replace(
        'sub.setsockopt(zmq.SUBSCRIBE, b"")',
        "[sub.setsockopt(zmq.SUBSCRIBE, t) for t in (b'hello', *(b'%d' % n for n in range(10)))]",
    )
    sub = net.at(host(2), chosen, of(2), 1000, 20000, int(zmq.SUB), 5000)
    assert sub.says("readiness") == "ready"
    pub = net.at(host(1), PUBLISHER, of(1), 1000, 20000, int(zmq.PUB), 5000)
    assert pub.says("readiness") == "ready"
    assert sub.says("first message", LONG_MS) == "joined"
    noise = PUBLISHER.replace('b"hello"', 'b"noise"')
    other = net.at(host(1), noise, of(1), 0, 20000, int(zmq.PUB), 5000)
    assert other.says("readiness") == "ready"
    net.set(loss=0.05)
    pub.hears("go")
    assert sub.says("result", LONG_MS) == {"got": 1000, "missed": 0, "lost": 0}


def test_multicast_loop_off_keeps_it_from_this_host(group):
    net = group(2)
    quiet = PUBLISHER.replace("pub.connect", "pub.setsockopt(zmq.MULTICAST_LOOP, 0)\npub.connect")
    near, far = (net.at(host(n), SUBSCRIBER, of(n), 10, 20000, int(zmq.SUB), 500) for n in (1, 2))
    assert [near.says("readiness"), far.says("readiness")] == ["ready", "ready"]
    pub = net.at(host(1), quiet, of(1), 10, 20000, int(zmq.PUB), 500)
    assert pub.says("readiness") == "ready"
    assert far.says("first message", LONG_MS) == "joined"
    pub.hears("go")
    assert far.says("result", LONG_MS) == {"got": 10, "missed": 0, "lost": 0}
    near.kill()
    assert near.rest() == []


# ---- libzmq with OpenPGM at the other end ----


@with_libzmq
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("pub, sub", [("fastmq", "libzmq"), ("libzmq", "fastmq")])
def test_with_libzmq_nothing_is_missed(group, pub, sub, loss):
    net = group(3)
    stage = Stage(net, 2, 1000, pub=pub, sub=sub)
    net.set(loss=loss)
    assert stage.run() == [{"got": 1000, "missed": 0, "lost": 0}] * 2


@with_libzmq
def test_pgm_with_libzmq(group):
    net = group(2)
    stage = Stage(net, 1, 500, scheme="pgm", pub="libzmq")
    net.set(loss=0.02)
    assert stage.run() == [{"got": 500, "missed": 0, "lost": 0}]
