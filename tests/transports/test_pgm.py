# SPDX-License-Identifier: MIT
"""epgm within this host: addresses, types, options, and what strangers send. Between hosts, over
networks that lose packets: faults/test_pgm_networks.py."""

import errno
import itertools
import os
import random
import socket as pysocket
import struct
import time

import pytest
from helpers import WAIT_MS, eventually, nothing_arrives, raises_errno, recv, recv_multipart
from target import fastmq_only, zmq

pytestmark = fastmq_only("has no pgm in its wheels")

HOME = "127.0.0.1"
_groups = itertools.count(random.randrange(1, 200))


@pytest.fixture
def group():
    """A group and a port that no other test has."""
    with pysocket.socket(pysocket.AF_INET, pysocket.SOCK_DGRAM) as s:
        s.bind((HOME, 0))
        port = s.getsockname()[1]
    return f"239.{next(_groups) % 255}.{os.getpid() % 255}.77", port


def endpoint_of(group, interface=HOME, scheme="epgm"):
    return f"{scheme}://{interface};{group[0]}:{group[1]}"


def publisher(make, group, kind=None, verb="connect", **options):
    pub = make(zmq.PUB if kind is None else kind)
    pub.rate = 100_000
    pub.linger = 0
    for name, value in options.items():
        setattr(pub, name, value)
    getattr(pub, verb)(endpoint_of(group))
    return pub


def subscriber(make, group, kind=None, verb="connect", topic=b"", **options):
    sub = make(zmq.SUB if kind is None else kind)
    for name, value in options.items():
        setattr(sub, name, value)
    if sub.type == zmq.SUB:
        sub.subscribe(topic)
    getattr(sub, verb)(endpoint_of(group))
    return sub


# ---- messages ----


@pytest.mark.parametrize("pub_verb", ["bind", "connect"])
@pytest.mark.parametrize("sub_verb", ["bind", "connect"])
def test_bind_and_connect_are_the_same(make, group, pub_verb, sub_verb):
    sub = subscriber(make, group, verb=sub_verb)
    pub = publisher(make, group, verb=pub_verb)
    pub.send_multipart([b"a", b"", b"c"])
    assert recv_multipart(sub) == [b"a", b"", b"c"]
    assert sub.last_endpoint.decode() == endpoint_of(group)


def test_all_of_them_come_in_order_whatever_their_sizes(make, group):
    sub = subscriber(make, group, rcvhwm=0)
    pub = publisher(make, group, sndhwm=0)
    sizes = [0, 1, 253, 254, 255, 1400, 1443, 1444, 1445, 1446, 3000, 100_000, 1]
    for n, size in enumerate(sizes):
        pub.send_multipart([b"%d" % n, bytes([n]) * size])
    for n, size in enumerate(sizes):
        assert recv_multipart(sub) == [b"%d" % n, bytes([n]) * size]


@pytest.mark.parametrize("kinds", [("PUB", "XSUB"), ("XPUB", "SUB"), ("XPUB", "XSUB")])
def test_the_x_types_do_it_too(make, group, kinds):
    sub = subscriber(make, group, getattr(zmq, kinds[1]))
    pub = publisher(make, group, getattr(zmq, kinds[0]))
    pub.send(b"x")
    assert recv(sub) == b"x"


def test_subscriptions_are_filtered_by_the_subscriber(make, group):
    sub = subscriber(make, group, topic=b"a", rcvhwm=2)
    every = subscriber(make, group, rcvhwm=0)
    pub = publisher(make, group)
    for _ in range(50):
        pub.send(b"b")  # takes none of the room that RCVHWM leaves
    pub.send(b"a1")
    pub.send(b"a2")
    assert [recv(sub), recv(sub)] == [b"a1", b"a2"]
    assert [recv(every) for _ in range(52)] == [b"b"] * 50 + [b"a1", b"a2"]


def test_an_xsub_sends_nothing_to_the_group(make, group):
    sub = subscriber(make, group, zmq.XSUB)
    pub = publisher(make, group, zmq.XPUB)
    sub.send(b"\x01topic")
    sub.send(b"user")
    pub.send(b"x")
    assert recv(sub) == b"x"
    nothing_arrives(pub)


def test_a_late_subscriber_begins_with_a_whole_message(make, group):
    pub = publisher(make, group, sndhwm=0)
    early = subscriber(make, group, rcvhwm=0)
    numbers = itertools.count()

    def send():
        n = next(numbers)
        pub.send_multipart([b"%d" % n, bytes([n % 256]) * 2000])

    for n in range(20):
        send()
        assert recv_multipart(early)[0] == b"%d" % n
    late = subscriber(make, group, rcvhwm=0)
    seen = []

    def joined():
        send()
        while late.poll(5):
            seen.append(late.recv_multipart())
        return len(seen) > 5

    eventually("messages of the late subscriber", joined)
    first = int(seen[0][0])
    assert first >= 20
    for n, parts in enumerate(seen, first):
        assert parts == [b"%d" % n, bytes([n % 256]) * 2000]
    assert recv_multipart(early)[0] == b"20"


def test_several_publishers_of_a_group_do_not_mix(make, group):
    sub = subscriber(make, group, rcvhwm=0)
    pubs = [publisher(make, group, sndhwm=0) for _ in range(3)]
    for n in range(60):
        for i, pub in enumerate(pubs):
            pub.send_multipart([b"%d" % i, b"%d" % n, bytes([i]) * 1000])
    expected = [0, 0, 0]
    for _ in range(180):
        who, n, body = recv_multipart(sub)
        assert body == who.replace(b"0", b"\0").replace(b"1", b"\1").replace(b"2", b"\2") * 1000
        assert int(n) == expected[int(who)]
        expected[int(who)] += 1


def test_a_full_subscriber_loses_nothing_that_the_window_holds(make, group):
    sub = subscriber(make, group, rcvhwm=10)
    pub = publisher(make, group, sndhwm=0, recovery_ivl=20_000)
    for n in range(3000):
        pub.send_multipart([b"%d" % n, b"x" * 300])
    for n in range(3000):
        assert recv_multipart(sub)[0] == b"%d" % n
    assert sub.stats().packets_lost == 0


def test_rate_paces_what_is_sent(make, group):
    sub = subscriber(make, group, rcvhwm=0)
    pub = publisher(make, group, sndhwm=0, rate=800)  # 100 kB a second
    began = time.monotonic()
    for n in range(50):
        pub.send(b"%02d" % n + b"x" * 998)
    for n in range(50):
        assert recv(sub)[:2] == b"%02d" % n
    # 50 kB, of which two packets and 4 ms may go at once.
    assert time.monotonic() - began > 0.4


def test_sndhwm_counts_what_the_rate_holds_back(make, group):
    pub = publisher(make, group, sndhwm=10, rate=8)
    for _ in range(100):
        pub.send(b"x" * 1000)
    stats = pub.stats()
    assert stats.queued_out == 10
    assert stats.dropped >= 80


def test_linger_sends_what_the_rate_holds_back(make, group):
    sub = subscriber(make, group, rcvhwm=0)
    pub = publisher(make, group, sndhwm=0, rate=4000)
    for n in range(100):
        pub.send(b"%d" % n + b"x" * 1000)
    pub.close(WAIT_MS)
    for n in range(100):
        assert recv(sub).rstrip(b"x") == b"%d" % n


def test_linger_0_ends_at_once(make, group):
    pub = publisher(make, group, sndhwm=0, rate=8)
    for _ in range(100):
        pub.send(b"x" * 1000)
    pub.close(0)  # the end of the test waits for the context


def test_small_packets_carry_long_messages(make, group):
    sub = subscriber(make, group, rcvhwm=0)
    pub = publisher(make, group, sndhwm=0, multicast_maxtpdu=116)
    pub.send_multipart([b"a" * 5000, b"b"])
    assert recv_multipart(sub) == [b"a" * 5000, b"b"]


def test_a_part_above_maxmsgsize_is_left_out_and_told(make, watch, group):
    sub = subscriber(make, group, maxmsgsize=100)
    events = watch(sub)
    pub = publisher(make, group)
    pub.send(b"x" * 101)
    _, code, _ = events.wait(zmq.EVENT_PROTOCOL_VIOLATION)
    assert code == zmq.PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_MESSAGE
    eventually("count of the message that was left out", lambda: sub.stats().dropped == 1)
    eventually("next message", lambda: pub.send(b"y") or sub.poll(5))
    assert recv(sub) == b"y"


# ---- addresses and types ----


@pytest.mark.parametrize(
    "address, code, words",
    [
        ("epgm://127.0.0.1;10.0.0.1:5555", errno.EINVAL, "multicast address"),
        ("epgm://127.0.0.1:5555", errno.EINVAL, "no multicast address"),
        ("epgm://no-such0;239.1.1.1:5555", errno.ENODEV, "neither an interface"),
        ("epgm://lo;239.1.1.1", errno.EINVAL, "no port"),
        ("epgm://lo;239.1.1.1:0", errno.EINVAL, "port must be a number"),
        ("epgm://lo;239.1.1.1:65536", errno.EINVAL, "port must be a number"),
        ("epgm://lo;:5555", errno.EINVAL, "no host"),
        ("epgm://lo;[ff02::1]:5555", errno.EINVAL, "IPV6"),
        ("pgm://lo;10.0.0.1:5555", errno.EINVAL, "multicast address"),
    ],
)
@pytest.mark.parametrize("verb", ["bind", "connect"])
def test_an_address_that_is_none_is_refused_with_a_reason(make, verb, address, code, words):
    with pytest.raises(zmq.ZMQError) as caught:
        getattr(make(zmq.SUB), verb)(address)
    assert caught.value.errno == code
    assert words in str(caught.value)


@pytest.mark.parametrize("interface", ["lo", ""])
def test_the_interface_may_be_a_name_or_left_to_the_system(make, group, interface):
    sub = make(zmq.SUB)
    try:
        sub.connect(endpoint_of(group, interface))
    except zmq.ZMQError as e:
        assert interface == "" and e.errno == errno.ENODEV  # a host without any network
    assert sub.last_endpoint.decode() == endpoint_of(group, interface)


@pytest.mark.parametrize(
    "kind", ["PUSH", "PULL", "PAIR", "REQ", "REP", "DEALER", "ROUTER", "STREAM"]
)
@pytest.mark.parametrize("verb", ["bind", "connect"])
def test_other_types_are_refused(make, group, kind, verb):
    with raises_errno(zmq.ENOCOMPATPROTO):
        getattr(make(getattr(zmq, kind)), verb)(endpoint_of(group))


def test_a_packet_too_small_for_anything_is_refused(make, group):
    pub = make(zmq.PUB)
    pub.multicast_maxtpdu = 115
    with pytest.raises(zmq.ZMQError) as caught:
        pub.bind(endpoint_of(group))
    assert caught.value.errno == errno.EINVAL
    assert "MULTICAST_MAXTPDU must be at least 116" in str(caught.value)


def test_pgm_asks_for_its_capability_by_name(make, group):
    try:
        pysocket.socket(pysocket.AF_INET, pysocket.SOCK_RAW, 113).close()
    except PermissionError:
        with pytest.raises(zmq.ZMQError) as caught:
            make(zmq.SUB).connect(endpoint_of(group, scheme="pgm"))
        assert caught.value.errno == errno.EPERM
        assert "CAP_NET_RAW" in str(caught.value)
    else:
        make(zmq.SUB).connect(endpoint_of(group, scheme="pgm"))


def test_the_module_says_that_it_has_pgm():
    assert zmq.has("pgm")


def test_unbind_and_disconnect_end_it(make, group):
    sub = subscriber(make, group)
    pub = publisher(make, group)
    pub.send(b"1")
    assert recv(sub) == b"1"
    sub.disconnect(endpoint_of(group))
    assert sub.peers() == []
    pub.unbind(endpoint_of(group))
    eventually("end of the publisher's link", lambda: pub.peers() == [])
    pub.connect(endpoint_of(group))
    sub.connect(endpoint_of(group))
    eventually("message over the new links", lambda: pub.send(b"2") or sub.poll(5))


def test_publishers_mix_multicast_and_connections(make, group):
    """Everything goes to the group, and to connections what they subscribed to."""
    pub = publisher(make, group)
    port = pub.bind_to_random_port(f"tcp://{HOME}")
    one = make(zmq.SUB)
    one.subscribe(b"a")
    one.connect(f"tcp://{HOME}:{port}")
    every = subscriber(make, group)
    assert pub.wait_for_subscribers(1, b"b", timeout=WAIT_MS) == 1  # the group
    pub.wait_for_subscribers(2, b"a", timeout=WAIT_MS)
    pub.send(b"b")
    pub.send(b"a")
    assert recv(one) == b"a"
    assert [recv(every), recv(every)] == [b"b", b"a"]
    nothing_arrives(one)


# ---- strangers ----


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


def packet(kind, tsi, port, body, data=b"", options=0):
    ports = (
        struct.pack(">HH", port, tsi[1]) if kind in (8, 12) else struct.pack(">HH", tsi[1], port)
    )
    head = ports + struct.pack(">BBH6sH", kind, options, 0, tsi[0], len(data))
    whole = head + body + data
    return whole[:6] + struct.pack(">H", checksum(whole)) + whole[8:]


def odata(tsi, port, sqn, trail, data):
    return packet(4, tsi, port, struct.pack(">II", sqn, trail), data)


def frames(*messages):
    return b"\0\0" + b"".join(bytes([len(m) + 1, 0]) + m for m in messages)


@pytest.fixture
def stranger(group):
    """Sends to the group whatever it is told, from an address that it is given."""
    made = []

    def send(*packets, source=HOME, to=group):
        s = pysocket.socket(pysocket.AF_INET, pysocket.SOCK_DGRAM)
        made.append(s)
        s.bind((source, 0))
        s.setsockopt(pysocket.IPPROTO_IP, pysocket.IP_MULTICAST_IF, pysocket.inet_aton(source))
        for one in packets:
            s.sendto(one, to)
        return s

    yield send
    for s in made:
        s.close()


TSI = (b"source", 7500)


def test_packets_made_by_hand_are_understood(make, group, stranger):
    sub = subscriber(make, group)
    stranger(odata(TSI, group[1], 10, 1, frames(b"one", b"two")))
    assert [recv(sub), recv(sub)] == [b"one", b"two"]


def test_the_second_source_of_a_tsi_is_not_mixed_in(make, group, stranger):
    sub = subscriber(make, group)
    stranger(odata(TSI, group[1], 10, 1, frames(b"one")))
    assert recv(sub) == b"one"
    stranger(odata(TSI, group[1], 11, 1, frames(b"evil")), source="127.0.0.2")
    stranger(odata(TSI, group[1], 11, 1, frames(b"two")))
    assert recv(sub) == b"two"
    nothing_arrives(sub)


def test_rubbish_costs_a_healthy_publisher_nothing(make, group, stranger):
    dice = random.Random(7)
    sub = subscriber(make, group, topic=b"n", rcvhwm=0)
    pub = publisher(make, group, sndhwm=0)
    good = odata(TSI, group[1], 10, 1, frames(b"x"))
    # Of another TSI than the publisher's: what it says of itself may be believed.
    for n in range(300):
        rubbish = bytearray(dice.choice([good, packet(0, TSI, group[1], bytes(20)), b""]))
        rubbish += dice.randbytes(dice.randrange(40))
        for _ in range(dice.randrange(4)):
            if rubbish:
                rubbish[dice.randrange(len(rubbish))] ^= 1 << dice.randrange(8)
        rubbish = rubbish[: dice.randrange(len(rubbish) + 1)]
        stranger(bytes(rubbish))
        pub.send(b"n%d" % n)
    for n in range(300):
        assert recv(sub) == b"n%d" % n


def test_a_flood_of_naks_is_answered_once_an_interval(make, group, stranger):
    """A listener of the group counts what one packet that was asked for 2,000 times costs."""
    with pysocket.socket(pysocket.AF_INET, pysocket.SOCK_DGRAM) as ear:
        ear.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_REUSEADDR, 1)
        ear.bind(group)
        ear.setsockopt(
            pysocket.IPPROTO_IP,
            pysocket.IP_ADD_MEMBERSHIP,
            pysocket.inet_aton(group[0]) + pysocket.inet_aton(HOME),
        )
        ear.settimeout(WAIT_MS / 1000)
        pub = publisher(make, group)
        pub.send(b"x")
        while (seen := ear.recv(2000))[4] != 4:
            pass
        tsi = (seen[8:14], struct.unpack(">H", seen[:2])[0])
        sqn = struct.unpack(">I", seen[16:20])[0]
        nla = struct.pack(">HH", 1, 0)
        body = struct.pack(">I", sqn) + nla + pysocket.inet_aton(HOME)
        nak = packet(8, tsi, group[1], body + nla + pysocket.inet_aton(group[0]))
        began = time.monotonic()
        stranger(*[nak] * 2000, to=(HOME, group[1]))
        while ear.recv(2000)[4] != 5:
            pass
        repairs = 1
        end = time.monotonic() + 0.3
        while (left := end - time.monotonic()) > 0:
            ear.settimeout(left)
            try:
                repairs += ear.recv(2000)[4] == 5
            except TimeoutError:
                break
        assert repairs <= (time.monotonic() - began) / 0.05 + 1
