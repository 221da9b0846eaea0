# SPDX-License-Identifier: MIT
"""udp: RADIO and DISH by datagrams, DGRAM, and what strangers send. Networks of their own, with
multicast: test_udp_multicast.py."""

import contextlib
import errno
import os
import queue
import socket as pysocket
import threading
import time

import pytest
from helpers import (
    WAIT_MS,
    eventually,
    last_endpoint,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
    wait_readable,
)
from target import IS_FASTMQ, fastmq_only, zmq

pytestmark = pytest.mark.skipif(not zmq.DRAFT_API, reason="the module has no draft types")

# A datagram holds so many bytes, the group and its length among them.
MOST = 65507


def take(dish):
    wait_readable(dish, "message of a group")
    frame = dish.recv(zmq.DONTWAIT, copy=False)
    return frame.group, frame.bytes


def bind(sock, host="127.0.0.1"):
    """Binds and returns the port."""
    port = udp_port(host.strip("[]"))
    sock.bind(f"udp://{host}:{port}")
    return port


def udp_port(host="127.0.0.1"):
    family = pysocket.AF_INET6 if ":" in host else pysocket.AF_INET
    with pysocket.socket(family, pysocket.SOCK_DGRAM) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


@pytest.fixture
def stranger():
    """A plain UDP socket on this host."""
    with pysocket.socket(pysocket.AF_INET, pysocket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(WAIT_MS / 1000)
        yield s


@pytest.fixture
def station(make):
    dish, radio = make(zmq.DISH), make(zmq.RADIO)
    port = bind(dish)
    radio.connect(f"udp://127.0.0.1:{port}")
    return radio, dish, port


# ---- RADIO and DISH ----


def test_a_dish_hears_its_groups_alone(station):
    radio, dish, _ = station
    dish.join("a")
    dish.join("g" * 255)
    for group in ("a", "b", "aa", "", "g" * 255, "g" * 254):
        radio.send(group.encode() + b"!", group=group)
    assert take(dish) == ("a", b"a!")
    assert take(dish) == ("g" * 255, b"g" * 255 + b"!")
    dish.leave(b"a")
    radio.send(b"1", group="a")
    radio.send(b"2", group="g" * 255)
    assert take(dish) == ("g" * 255, b"2")


@pytest.mark.parametrize("size", [0, 1, 24, 25, 1500, 8000, 8190])
def test_bodies_come_whole(station, size):
    radio, dish, _ = station
    dish.join("a")
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    radio.send(body, group="a")
    assert take(dish) == ("a", body)


@fastmq_only("8192 bytes are too much")
@pytest.mark.parametrize("size", [16_384, 16_385, 40_000, MOST - 2])
def test_bodies_up_to_what_a_datagram_holds_come_whole(station, size):
    radio, dish, _ = station
    dish.join("a")
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    radio.send(body, group="a")
    assert take(dish) == ("a", body)


@fastmq_only("writes beyond its buffer")
def test_a_message_that_no_datagram_holds_is_an_error_at_send(station):
    radio, dish, _ = station
    dish.join("ab")
    for body, group in ((bytes(MOST - 2), "ab"), (bytes(1_000_000), ""), (bytes(MOST), "")):
        with pytest.raises(zmq.ZMQError, match=f"at most {MOST} bytes") as info:
            radio.send(body, group=group)
        assert info.value.errno == errno.EMSGSIZE
    radio.send(bytes(MOST - 3), group="ab")
    assert take(dish) == ("ab", bytes(MOST - 3))
    assert radio.stats().dropped == 0


@fastmq_only("writes beyond its buffer")
def test_a_message_too_long_for_one_link_goes_to_none(make, name):
    radio, near, far = make(zmq.RADIO), make(zmq.DISH), make(zmq.DISH)
    for dish in (near, far):
        dish.join("a")
    address = f"inproc://{name()}"
    near.bind(address)
    radio.connect(address)
    radio.connect(f"udp://127.0.0.1:{bind(far)}")
    assert radio.wait_for_subscribers(2, "a", timeout=WAIT_MS) == 2
    with raises_errno(errno.EMSGSIZE):
        radio.send(bytes(MOST), group="a")
    radio.send(b"x", group="a")
    assert take(near) == take(far) == ("a", b"x")


def test_a_dish_hears_any_number_of_radios(make):
    dish = make(zmq.DISH)
    dish.join("a")
    port = bind(dish)
    radios = [make(zmq.RADIO) for _ in range(20)]
    for n, radio in enumerate(radios):
        radio.connect(f"udp://127.0.0.1:{port}")
        radio.send(b"%d" % n, group="a")
    assert sorted(int(take(dish)[1]) for _ in radios) == list(range(20))


def test_a_radio_reaches_several_dishes(make):
    radio, dishes = make(zmq.RADIO), [make(zmq.DISH) for _ in range(3)]
    for dish in dishes:
        dish.join("a")
        radio.connect(f"udp://127.0.0.1:{bind(dish)}")
    for n in range(5):
        radio.send(b"%d" % n, group="a")
    for dish in dishes:
        assert [take(dish)[1] for _ in range(5)] == [b"%d" % n for n in range(5)]


def test_a_datagram_is_the_length_of_the_group_the_group_and_the_body(make, stranger):
    host, port = stranger.getsockname()
    radio, dish = make(zmq.RADIO), make(zmq.DISH)
    radio.connect(f"udp://{host}:{port}")
    radio.send(b"body", group="group")
    assert stranger.recv(100) == b"\x05groupbody"
    radio.send(b"", group="")
    assert stranger.recv(100) == b"\x00"
    dish.join("group")
    stranger.sendto(b"\x05groupback", ("127.0.0.1", bind(dish)))
    assert take(dish) == ("group", b"back")


def test_names_are_looked_up(make):
    dish, radio = make(zmq.DISH), make(zmq.RADIO)
    dish.join("a")
    radio.connect(f"udp://localhost:{bind(dish)}")

    def heard():
        radio.send(b"x", group="a")
        return dish.poll(10)

    eventually("a message", heard)


@fastmq_only("ports are not told")
def test_last_endpoint_is_where_it_is_bound(make):
    dish, radio = make(zmq.DISH), make(zmq.RADIO)
    dish.bind("udp://127.0.0.1:*")
    address = last_endpoint(dish)
    assert address.startswith("udp://127.0.0.1:") and not address.endswith(":0")
    dish.join("a")
    radio.connect(address)
    assert last_endpoint(radio) == address
    radio.send(b"x", group="a")
    assert take(dish) == ("a", b"x")
    dish.unbind(address)
    dish.bind("udp://*:0")
    assert last_endpoint(dish).startswith("udp://0.0.0.0:")
    with raises_errno(errno.ENOENT):
        dish.unbind(address)


@fastmq_only("shares the address in silence")
def test_an_address_is_bound_once(make):
    one, two = make(zmq.DISH), make(zmq.DGRAM)
    port = bind(one)
    with raises_errno(zmq.EADDRINUSE):
        two.bind(f"udp://127.0.0.1:{port}")
    one.close()
    eventually("the address is free", lambda: binds(two, f"udp://127.0.0.1:{port}"))


def binds(sock, address):
    try:
        sock.bind(address)
    except zmq.ZMQError:
        return False
    return True


@pytest.mark.skipif(
    os.environ.get("FASTMQ_POLLER") == "poll", reason="poll(2) keeps what it waits for open"
)
@fastmq_only("one thread at a time uses a socket")
def test_an_address_is_free_after_unbind_though_another_thread_receives(make, stranger):
    dish = make(zmq.DISH)
    dish.join("a")
    port = bind(dish)
    came = queue.SimpleQueue()

    def receive():
        while (body := recv(dish)) != b"end":
            came.put(body)

    receiving = threading.Thread(target=receive, daemon=True)
    receiving.start()
    for n in [*(b"%d" % n for n in range(20)), b"end"]:
        time.sleep(0.002)  # mostly it waits for a message by now; it passes if not
        dish.unbind(f"udp://127.0.0.1:{port}")
        dish.bind(f"udp://127.0.0.1:{port}")
        stranger.sendto(b"\1a" + n, ("127.0.0.1", port))
        if n != b"end":
            assert came.get(timeout=WAIT_MS / 1000) == n
    receiving.join(WAIT_MS / 1000)
    assert not receiving.is_alive()


def test_what_was_received_before_unbind_can_be_read(station):
    radio, dish, port = station
    dish.join("a")
    for n in range(3):
        radio.send(b"%d" % n, group="a")
    wait_readable(dish, "message")
    if IS_FASTMQ:
        eventually("all have come", lambda: dish.stats().messages_received == 3)
    dish.unbind(f"udp://127.0.0.1:{port}")
    assert take(dish) == ("a", b"0")
    if IS_FASTMQ:
        assert [take(dish)[1] for _ in range(2)] == [b"1", b"2"]
        bind(dish)


def test_a_radio_that_disconnected_sends_no_more(station):
    radio, dish, port = station
    dish.join("a")
    radio.send(b"1", group="a")
    assert take(dish) == ("a", b"1")
    radio.disconnect(f"udp://127.0.0.1:{port}")
    radio.send(b"2", group="a")
    assert nothing_arrives(dish)
    with raises_errno(errno.ENOENT):
        radio.disconnect(f"udp://127.0.0.1:{port}")


def test_what_was_sent_before_close_arrives(make, ctx):
    dish = make(zmq.DISH)
    dish.join("a")
    port = bind(dish)
    radio = ctx.socket(zmq.RADIO)
    radio.connect(f"udp://127.0.0.1:{port}")
    for n in range(100):
        radio.send(b"%d" % n, group="a")
    radio.close(linger=-1)
    assert [int(take(dish)[1]) for _ in range(100)] == list(range(100))


@fastmq_only("counts nothing")
def test_nobody_at_the_other_end_costs_nothing(make, stranger):
    """The host answers that the port is unreachable, which the kernel reports with a later send."""
    radio = make(zmq.RADIO)
    gone = udp_port()
    radio.connect(f"udp://127.0.0.1:{gone}")
    radio.connect("udp://{}:{}".format(*stranger.getsockname()))
    for n in range(200):
        radio.send(b"%d" % n, group="a")
        time.sleep(0.0001)
        assert stranger.recv(100) == b"\x01a%d" % n
    dish = make(zmq.DISH)
    dish.join("a")
    dish.bind(f"udp://127.0.0.1:{gone}")
    radio.send(b"now", group="a")
    assert take(dish) == ("a", b"now")


@fastmq_only("stops at other numbers")
def test_a_dish_at_its_mark_leaves_the_rest_to_the_kernel(make, stranger):
    dish = make(zmq.DISH, rcvhwm=4)
    dish.join("a")
    to = ("127.0.0.1", bind(dish))
    for n in range(20):
        stranger.sendto(b"\x01a%d" % n, to)
    eventually("the mark", lambda: dish.stats().queued_in == 4)
    assert dish.stats().queued_in == 4
    assert [int(take(dish)[1]) for _ in range(20)] == list(range(20))
    assert dish.stats().dropped == 0


@fastmq_only("keeps what nobody wants")
def test_what_was_not_joined_takes_no_room(make, stranger):
    dish = make(zmq.DISH, rcvhwm=4)
    dish.join("a")
    to = ("127.0.0.1", bind(dish))
    for _ in range(20):
        for group in (b"b", b"c"):
            stranger.sendto(b"\x01" + group + b"junk", to)
    stranger.sendto(b"\x01awanted", to)
    eventually("it has come", lambda: dish.stats().messages_received == 1)
    assert dish.stats().dropped == 0
    assert take(dish) == ("a", b"wanted")


@fastmq_only("has no such limit here")
def test_rcvhwm_bytes_and_maxmsgsize_apply(make, stranger):
    dish = make(zmq.DISH, rcvhwm_bytes=1000, maxmsgsize=600)
    dish.join("a")
    to = ("127.0.0.1", bind(dish))
    for size in (600, 601, 599, 598, 10):
        stranger.sendto(b"\x01a" + bytes(size), to)
    eventually("the mark", lambda: dish.stats().queued_in == 2)
    assert [len(take(dish)[1]) for _ in range(4)] == [600, 599, 598, 10]
    assert dish.stats().dropped == 1


@fastmq_only("has no such statistics")
def test_a_full_radio_drops_and_counts(make, stranger):
    """Nothing of it is written while the name is looked up."""
    radio = make(zmq.RADIO, sndhwm=5)
    radio.connect("udp://nowhere.invalid:5555")
    for _ in range(8):
        radio.send(b"x", group="a")
    assert radio.stats().dropped == 3
    radio.set(zmq.XPUB_NODROP, 1)
    with pytest.raises(zmq.Again):
        radio.send(b"x", zmq.DONTWAIT, group="a")
    assert not radio.poll(0, zmq.POLLOUT)


@fastmq_only("tells nothing of datagrams")
def test_the_monitor_and_peers_tell_of_it(make, watch, stranger):
    dish, radio = make(zmq.DISH), make(zmq.RADIO)
    of_dish, of_radio = watch(dish), watch(radio)
    port = bind(dish)
    address = f"udp://127.0.0.1:{port}"
    assert of_dish.wait(zmq.EVENT_LISTENING)[2] == address
    radio.connect(address)
    of_radio.wait(zmq.EVENT_CONNECTED)
    (peer,) = radio.peers()
    assert peer.endpoint == peer.address == address
    dish.join("a")
    radio.send(b"body", group="a")
    take(dish)
    assert radio.stats().bytes_sent == dish.stats().bytes_received == 6
    assert radio.stats().messages_sent == dish.stats().messages_received == 1
    radio.disconnect(address)
    of_radio.wait(zmq.EVENT_CLOSED)
    dish.unbind(address)
    of_dish.wait(zmq.EVENT_CLOSED)
    assert not radio.peers() and not dish.peers()


@fastmq_only("says nothing")
def test_the_monitor_tells_of_a_bind_that_failed(make, watch):
    one, two = make(zmq.DISH), make(zmq.DISH)
    events = watch(two)
    port = bind(one)
    with raises_errno(zmq.EADDRINUSE):
        two.bind(f"udp://127.0.0.1:{port}")
    assert events.wait(zmq.EVENT_BIND_FAILED)[1] == zmq.EADDRINUSE
    bind(two)
    events.wait(zmq.EVENT_LISTENING)


# ---- addresses and types ----


@pytest.mark.parametrize(
    "kind, call",
    [("RADIO", "bind"), ("DISH", "connect"), ("DGRAM", "connect")]
    + [(name, call) for name in ("PUB", "SUB", "REQ", "CLIENT") for call in ("bind", "connect")],
)
def test_other_types_are_not_carried(make, kind, call):
    sock = make(getattr(zmq, kind))
    with raises_errno(zmq.ENOCOMPATPROTO):
        getattr(sock, call)("udp://127.0.0.1:5555")


@fastmq_only("takes it, and no peer can ever connect")
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:*", "ipc://*", "inproc://x"])
def test_dgram_speaks_udp_alone(make, address):
    with raises_errno(zmq.ENOCOMPATPROTO):
        make(zmq.DGRAM).bind(address)


@pytest.mark.parametrize(
    "rest, why",
    [
        ("127.0.0.1", "no port"),
        ("127.0.0.1:", "the port must be"),
        ("127.0.0.1:70000", "the port must be"),
        ("127.0.0.1:-1", "the port must be"),
        (":5555", "no host"),
        ("*:5555", "connect needs a host"),
        ("127.0.0.1:*", "the port must be"),
        ("127.0.0.1:0", "the port must be"),
        (";239.0.0.1:5", "interface"),
        ("x" * 70 + ";239.0.0.1:5", "interface"),
        ("lo;127.0.0.1:5", "multicast"),
        ("lo;localhost:5", "multicast"),
        ("[::1]:5", "IPV6"),
        ("-x:5", "no host name"),
    ],
)
def test_bad_addresses_to_connect_to_are_refused(make, rest, why):
    if not IS_FASTMQ and rest.rsplit(":", 1)[1] in ("", "70000", "-1", "0"):
        pytest.skip("libzmq takes what atoi makes of a port")
    with pytest.raises(zmq.ZMQError, match=why if IS_FASTMQ else "") as info:
        make(zmq.RADIO).connect(f"udp://{rest}")
    assert info.value.errno in ((zmq.EINVAL,) if IS_FASTMQ else (zmq.EINVAL, errno.ENODEV))


def test_an_interface_that_is_not_there_is_refused(make):
    for call in (make(zmq.RADIO).connect, make(zmq.DISH).bind):
        with raises_errno(errno.ENODEV):
            call("udp://nope;239.0.0.1:5555")
    with raises_errno(errno.ENODEV):
        make(zmq.DISH).bind("udp://nope:5555")


@fastmq_only("fails in silence")
def test_an_address_of_another_host_cannot_be_bound(make):
    with raises_errno(zmq.EADDRNOTAVAIL):
        make(zmq.DISH).bind("udp://192.0.2.1:5555")


def test_it_binds_to_an_interface_by_name(make):
    dish, radio = make(zmq.DISH), make(zmq.RADIO)
    dish.join("a")
    port = udp_port()
    dish.bind(f"udp://lo:{port}")
    radio.connect(f"udp://127.0.0.1:{port}")
    radio.send(b"x", group="a")
    assert take(dish) == ("a", b"x")


def test_ipv6(make):
    dish, radio = make(zmq.DISH, ipv6=1), make(zmq.RADIO, ipv6=1)
    dish.join("a")
    try:
        port = udp_port("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    dish.bind(f"udp://[::1]:{port}")
    radio.connect(f"udp://[::1]:{port}")
    radio.send(b"x", group="a")
    assert take(dish) == ("a", b"x")


@fastmq_only("IPv4 alone")
def test_a_dish_bound_to_all_addresses_hears_both_families(make):
    dish = make(zmq.DISH, ipv6=1)
    dish.join("a")
    port = udp_port("::1")
    dish.bind(f"udp://*:{port}")
    for host in ("127.0.0.1", "[::1]"):
        radio = make(zmq.RADIO, ipv6=1)
        radio.connect(f"udp://{host}:{port}")
        radio.send(host.encode(), group="a")
        assert take(dish) == ("a", host.encode())


@fastmq_only("ignores it")
@pytest.mark.parametrize("option", [{"plain_server": 1}, {"zap_domain": b"x"}])
def test_security_is_not_to_be_had(make, option):
    with pytest.raises(zmq.ZMQError, match="datagrams"):
        make(zmq.DISH, **option).bind("udp://127.0.0.1:*")
    with pytest.raises(zmq.ZMQError, match="datagrams"):
        make(zmq.RADIO, **option).connect("udp://127.0.0.1:5555")


@fastmq_only("does not say so")
def test_has_udp():
    assert zmq.has("udp")


def test_options_of_the_descriptor_are_taken(make):
    options = {"sndbuf": 65536, "rcvbuf": 65536, "tos": 0x28, "multicast_hops": 3}
    dish, radio = make(zmq.DISH, **options), make(zmq.RADIO, multicast_loop=0, **options)
    dish.join("a")
    radio.connect(f"udp://127.0.0.1:{bind(dish)}")
    radio.send(b"x", group="a")
    assert take(dish) == ("a", b"x")


# ---- DGRAM ----


def name_of(port, host="127.0.0.1"):
    return f"{host}:{port}".encode()


def test_dgram_sends_to_addresses_and_receives_from_them(make, stranger):
    sock = make(zmq.DGRAM)
    port = bind(sock)
    there = stranger.getsockname()
    sock.send_multipart([name_of(there[1]), b"ping"])
    assert stranger.recvfrom(100) == (b"ping", ("127.0.0.1", port))
    stranger.sendto(b"pong", ("127.0.0.1", port))
    address, body = recv_multipart(sock)
    assert (address.rstrip(b"\0"), body) == (name_of(there[1]), b"pong")
    sock.send_multipart([address, b"as received"])
    assert stranger.recv(100) == b"as received"
    sock.send(name_of(there[1]), zmq.SNDMORE)
    sock.send(b"in parts")
    assert stranger.recv(100) == b"in parts"


@pytest.mark.parametrize("size", [0, 24, 25, 1500, 8000])
def test_dgram_bodies_come_whole(make, size):
    one, two = make(zmq.DGRAM), make(zmq.DGRAM)
    here, there = bind(one), bind(two)
    one.send_multipart([name_of(there), bytes(size)])
    address, body = recv_multipart(two)
    assert (address.rstrip(b"\0"), body) == (name_of(here), bytes(size))


@fastmq_only("writes beyond its buffer")
def test_dgram_bodies_too_long_are_errors(make, stranger):
    sock = make(zmq.DGRAM)
    bind(sock)
    to = name_of(stranger.getsockname()[1])
    sock.send_multipart([to, bytes(MOST)])
    assert stranger.recv(1 << 16) == bytes(MOST)
    with pytest.raises(zmq.ZMQError, match=f"at most {MOST} bytes") as info:
        sock.send_multipart([to, bytes(MOST + 1)])
    assert info.value.errno == errno.EMSGSIZE
    sock.send_multipart([to, b"on"])
    assert stranger.recv(100) == b"on"


@pytest.mark.parametrize("parts", [[b"x"], [b"1.2.3.4:5", b"", b""], [b"a", b"b", b"c", b"d"]])
def test_dgram_messages_have_two_parts(make, parts):
    sock = make(zmq.DGRAM)
    bind(sock)
    with raises_errno(zmq.EINVAL):
        sock.send_multipart(parts)
    sock.send_multipart([name_of(udp_port()), b"on"])


@fastmq_only("finds out when it sends, and drops it")
@pytest.mark.parametrize(
    "address",
    [
        b"",
        b"\0",
        b":",
        b"127.0.0.1",
        b"127.0.0.1:0",
        b"127.0.0.1:65536",
        b"127.0.0.1:5 ",
        b"127.0.0.256:5",
        b"localhost:5",
        b"::1:5",
        b"[::1:5",
        b"[]:5",
        b"[127.0.0.1]:5",
        b"127.0.0.1:5\0\0",
        b"1" * 300 + b":5",
    ],
)
def test_dgram_addresses_that_are_none_are_errors(make, address):
    sock = make(zmq.DGRAM)
    bind(sock)
    with pytest.raises(zmq.ZMQError, match="no address of a datagram") as info:
        sock.send_multipart([address, b"x"])
    assert info.value.errno == zmq.EINVAL


@fastmq_only("IPv4 alone")
def test_dgram_ipv6(make):
    one, two = make(zmq.DGRAM, ipv6=1), make(zmq.DGRAM, ipv6=1)
    here, there = udp_port("::1"), udp_port("::1")
    one.bind(f"udp://[::1]:{here}")
    two.bind(f"udp://[::1]:{there}")
    one.send_multipart([b"[::1]:%d" % there, b"x"])
    assert recv_multipart(two) == [b"[::1]:%d\0" % here, b"x"]


@fastmq_only("takes a second and forgets it")
def test_dgram_is_bound_once(make):
    sock = make(zmq.DGRAM)
    port = bind(sock)
    with pytest.raises(zmq.ZMQError, match="bound to one address"):
        bind(sock)
    sock.unbind(f"udp://127.0.0.1:{port}")
    bind(sock)


@fastmq_only("drops it")
def test_dgram_waits_until_it_is_bound(make, stranger):
    sock = make(zmq.DGRAM)
    assert not sock.poll(0, zmq.POLLOUT)
    with pytest.raises(zmq.Again):
        sock.send_multipart([name_of(stranger.getsockname()[1]), b"x"], zmq.DONTWAIT)
    later = threading.Timer(0.02, bind, [sock])
    later.start()
    sock.send_multipart([name_of(stranger.getsockname()[1]), b"x"])
    later.join()
    assert stranger.recv(100) == b"x"


# ---- what strangers send ----

LIES = [
    b"",
    b"\x01",
    b"\xff",
    b"\x05four",
    b"\xff" + b"g" * 254,
    b"\x80" + b"x" * 100,
]


@fastmq_only("counts nothing")
def test_truncated_and_lying_datagrams_are_counted_drops(make, stranger):
    dish = make(zmq.DISH)
    dish.join("a")
    to = ("127.0.0.1", bind(dish))
    for n, lie in enumerate(LIES * 3):
        stranger.sendto(lie, to)
        stranger.sendto(b"\x01a%d" % n, to)
    assert [int(take(dish)[1]) for _ in range(len(LIES) * 3)] == list(range(len(LIES) * 3))
    assert dish.stats().dropped == len(LIES) * 3


def test_a_flood_neither_stops_a_dish_nor_makes_it_grow(make, stranger):
    dish = make(zmq.DISH, rcvhwm=100)
    dish.join("a")
    to = ("127.0.0.1", bind(dish))
    stop = threading.Event()

    def flood():
        n = 0
        while not stop.is_set():
            with contextlib.suppress(OSError):
                stranger.sendto(LIES[n % len(LIES)], to)
                stranger.sendto(b"\x01a" + bytes(n % 2000), to)
                stranger.sendto(b"\x01b" + bytes(n % 2000), to)
            n += 1

    flooder = threading.Thread(target=flood)
    flooder.start()
    try:
        for _ in range(2000):
            group, body = take(dish)
            assert group == "a" and not body.strip(b"\0")
            if IS_FASTMQ:
                assert dish.stats().queued_in <= 100
    finally:
        stop.set()
        flooder.join()


@fastmq_only("tells nothing of it")
def test_what_the_kernel_dropped_is_counted(make, stranger):
    dish = make(zmq.DISH, rcvhwm=1, rcvbuf=4096)
    dish.join("a")
    to = ("127.0.0.1", bind(dish))
    for _ in range(300):
        stranger.sendto(b"\x01a" + bytes(500), to)
    got = 0
    while dish.poll(50):
        dish.recv()
        got += 1
    # The kernel says how many it was with the next datagram that has room.
    stranger.sendto(b"\x01alast", to)
    assert take(dish) == ("a", b"last")
    assert 0 < got < 300
    assert dish.stats().dropped == 300 - got


def test_a_bound_dish_and_a_connected_one_are_one_socket(make, name):
    """Datagrams and a connection into the same socket."""
    dish, near, far = make(zmq.DISH), make(zmq.RADIO), make(zmq.RADIO)
    dish.join("a")
    near.bind("tcp://127.0.0.1:*")
    dish.connect(last_endpoint(near))
    far.connect(f"udp://127.0.0.1:{bind(dish)}")

    def heard():
        near.send(b"near", group="a")
        return dish.poll(10)

    eventually("the connection", heard)
    for _ in range(50):
        far.send(b"far", group="a")
        near.send(b"near", group="a")
    got = {b"far": 0, b"near": 0}
    while min(got.values()) < 50:
        got[take(dish)[1]] += 1
