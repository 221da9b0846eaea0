# SPDX-License-Identifier: MIT
"""Every row of the option table: defaults, setting and reading back, what is refused."""

import os
import socket
import sys
from pathlib import Path

import pytest
from helpers import last_endpoint, raises_errno
from target import IS_FASTMQ, fastmq_only, zmq

MAX = 2**31 - 1
P = zmq.PAIR

# id: name, default, values that are taken, values that are refused
INTEGERS = {
    "AFFINITY": (0, [0, 1, 3], []),
    "RATE": (100, [1, 1000], [0, -1]),
    "RECOVERY_IVL": (10000, [0, 5], [-1]),
    "SNDBUF": (-1, [0, 4096, -1], [-2]),
    "RCVBUF": (-1, [0, 4096, -1], [-2]),
    "LINGER": (-1, [-1, 0, 500, MAX], [-2]),
    "RECONNECT_IVL": (100, [-1, 0, 1, MAX], [-2]),
    "BACKLOG": (-1, [-1, 0, 1, 1000], [-2]) if IS_FASTMQ else (100, [0, 1, 1000], [-1]),
    "RECONNECT_IVL_MAX": (0, [0, 1, MAX], [-1]),
    "MAXMSGSIZE": (-1, [-1, 0, 1, 2**40], []),
    "SNDHWM": (1000, [0, 1, MAX], [-1]),
    "RCVHWM": (1000, [0, 1, MAX], [-1]),
    "MULTICAST_HOPS": (1, [1, 10], [0, -1]),
    "RCVTIMEO": (-1, [-1, 0, 100], [-2]),
    "SNDTIMEO": (-1, [-1, 0, 100], [-2]),
    "TCP_KEEPALIVE": (-1, [-1, 0, 1], [2, -2]),
    "TCP_KEEPALIVE_CNT": (-1, [-1, 5], [-2]),
    "TCP_KEEPALIVE_IDLE": (-1, [-1, 5], [-2]),
    "TCP_KEEPALIVE_INTVL": (-1, [-1, 5], [-2]),
    "IMMEDIATE": (0, [0, 1], [2, -1]),
    "IPV6": (0, [0, 1], [2, -1]),
    "CONFLATE": (0, [0, 1], [2, -1]),
    "TOS": (0, [0, 0x28, 0xB8], [-1]),
    "HANDSHAKE_IVL": (30000, [0, 1, MAX], [-1]),
    "INVERT_MATCHING": (0, [0, 1], []),
    "HEARTBEAT_IVL": (0, [0, 1, 100_000], [-1]),
    "HEARTBEAT_TTL": (0, [0, 100, 6553500], [-1, 6553600]),
    "HEARTBEAT_TIMEOUT": (-1, [0, 1, 100_000], []),
    "CONNECT_TIMEOUT": (0, [0, 1], [-1]),
    "TCP_MAXRT": (0, [0, 1], [-1]),
    "MULTICAST_MAXTPDU": (1500, [1, 1400], [0, -1]),
    "USE_FD": (-1, [-1, 5], []),
    "MULTICAST_LOOP": (1, [0, 1], []),
    "RECONNECT_STOP": (0, [0, 1, 2, 3, 4, 7, *([8, 15] if IS_FASTMQ else [])], []),
}
if IS_FASTMQ:
    INTEGERS |= {
        "LOOPBACK_FASTPATH": (0, [0, 1], []),
        "IN_BATCH_SIZE": (8192, [1, 100_000], [0, -1]),
        "OUT_BATCH_SIZE": (8192, [1, 100_000], [0, -1]),
        "PRIORITY": (0, [0, 6], [-1]),
        "BUSY_POLL": (0, [0, 50], [-1]),
    }
if not IS_FASTMQ:
    # Below zero is taken for zero, and the timeout reads as the interval.
    INTEGERS["HEARTBEAT_TTL"] = (0, [0, 100, 6553500], [])
    del INTEGERS["HEARTBEAT_TIMEOUT"]

# Those that only some types have, with the type to try them on.
WRITE_ONLY = {
    "ROUTER_MANDATORY": zmq.ROUTER,
    "ROUTER_HANDOVER": zmq.ROUTER,
    "ROUTER_RAW": zmq.ROUTER,
    "PROBE_ROUTER": zmq.ROUTER,
    "REQ_CORRELATE": zmq.REQ,
    "REQ_RELAXED": zmq.REQ,
    "XPUB_VERBOSE": zmq.XPUB,
    "XPUB_VERBOSER": zmq.XPUB,
    "XPUB_NODROP": zmq.XPUB,
    "XPUB_MANUAL": zmq.XPUB,
    "STREAM_NOTIFY": zmq.STREAM,
}
DRAFT_WRITE_ONLY = {
    "ROUTER_NOTIFY": zmq.ROUTER,
    "XPUB_MANUAL_LAST_VALUE": zmq.XPUB,
    "ONLY_FIRST_SUBSCRIBE": zmq.XPUB,
    "XSUB_VERBOSE_UNSUBSCRIBE": zmq.XSUB,
}

# Their mechanism or transport is not in this build, as in a libzmq built without it.
ABSENT = [
    "GSSAPI_SERVER",
    "GSSAPI_PRINCIPAL",
    "GSSAPI_SERVICE_PRINCIPAL",
    "GSSAPI_PLAINTEXT",
    "VMCI_BUFFER_SIZE",
    "VMCI_CONNECT_TIMEOUT",
    "WSS_KEY_PEM",
    "NORM_MODE",
]


def option(name):
    return getattr(zmq, name)


@pytest.fixture
def plain(ctx):
    """A socket without the waits that `make` sets."""
    made = []

    def new(kind=P):
        made.append(ctx.socket(kind))
        return made[-1]

    yield new
    for s in made:
        s.close(0)


@pytest.mark.parametrize("name", INTEGERS)
def test_default(plain, name):
    default, _, _ = INTEGERS[name]
    assert plain().getsockopt(option(name)) == default


@pytest.mark.parametrize("name", INTEGERS)
def test_what_is_set_is_read_back(plain, name):
    sock = plain()
    _, values, _ = INTEGERS[name]
    for value in values:
        sock.setsockopt(option(name), value)
        assert sock.getsockopt(option(name)) == value
        setattr(sock, name.lower(), value)
        assert getattr(sock, name.lower()) == value


@pytest.mark.parametrize("name", [n for n in INTEGERS if INTEGERS[n][2]])
def test_out_of_range_is_refused_and_changes_nothing(plain, name):
    sock = plain()
    default, _, refused = INTEGERS[name]
    for value in refused:
        with raises_errno(zmq.EINVAL):
            sock.setsockopt(option(name), value)
        assert sock.getsockopt(option(name)) == default


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_refuse_other_types(plain, name):
    sock = plain()
    for wrong in ("1", b"1", 1.5, None, [1]):
        with pytest.raises((TypeError, ValueError)):
            sock.setsockopt(option(name), wrong)


@fastmq_only("does not name the option in its error")
def test_errors_name_the_option_and_its_range(plain):
    sock = plain()
    with pytest.raises(zmq.ZMQError) as info:
        sock.setsockopt(zmq.LINGER, -7)
    assert "LINGER" in str(info.value)
    with pytest.raises(TypeError) as info:
        sock.setsockopt(zmq.LINGER, "soon")
    assert "LINGER" in str(info.value)
    with pytest.raises(zmq.ZMQError) as info:
        sock.setsockopt(zmq.IMMEDIATE, 5)
    assert "IMMEDIATE" in str(info.value)


@pytest.mark.parametrize("name", WRITE_ONLY)
def test_write_only_options_of_a_type(plain, name):
    sock = plain(WRITE_ONLY[name])
    for value in (1, 0):
        sock.setsockopt(option(name), value)
    with raises_errno(zmq.EINVAL):
        sock.getsockopt(option(name))
    with raises_errno(zmq.EINVAL):
        sock.setsockopt(option(name), -1)


@fastmq_only("draft options")
@pytest.mark.parametrize("name", DRAFT_WRITE_ONLY)
def test_write_only_draft_options_of_a_type(plain, name):
    sock = plain(DRAFT_WRITE_ONLY[name])
    for value in (1, 0):
        sock.setsockopt(option(name), value)
    with raises_errno(zmq.EINVAL):
        sock.setsockopt(option(name), -1)


@pytest.mark.parametrize(
    "name",
    [
        *(n for n in WRITE_ONLY if n != "STREAM_NOTIFY"),
        *("INVERT_MATCHING", "ZAP_ENFORCE_DOMAIN", "MULTICAST_LOOP"),
    ],
)
def test_on_off_options_take_any_number_from_0_up_as_in_libzmq(plain, name):
    sock = plain(WRITE_ONLY.get(name, P))
    for value in (2, 77, MAX):
        sock.setsockopt(option(name), value)
        if name not in WRITE_ONLY:
            assert sock.getsockopt(option(name)) == 1


@pytest.mark.parametrize("name", ["INVERT_MATCHING", "ZAP_ENFORCE_DOMAIN", "MULTICAST_LOOP"])
def test_on_off_options_that_libzmq_takes_negative_numbers_for_take_them_here(plain, name):
    sock = plain(P)
    for value, then in ((-1, 1), (0, 0), (-1 - MAX, 1)):
        sock.setsockopt(option(name), value)
        assert sock.getsockopt(option(name)) == then


def test_any_number_but_0_switches_on(make, name):
    router = make(zmq.ROUTER)
    router.setsockopt(zmq.ROUTER_MANDATORY, 5)
    with raises_errno(zmq.EHOSTUNREACH):
        router.send_multipart([b"nobody", b""])
    router.setsockopt(zmq.ROUTER_MANDATORY, 0)
    router.send_multipart([b"nobody", b""])


@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.PAIR, zmq.REQ, zmq.PUB, zmq.PULL])
def test_connect_routing_id_belongs_to_types_that_address_peers(plain, kind):
    with raises_errno(zmq.EINVAL):
        plain(kind).setsockopt(zmq.CONNECT_ROUTING_ID, b"x")


@pytest.mark.parametrize("kind", [zmq.ROUTER, zmq.STREAM, zmq.REP])
def test_connect_routing_id_is_1_to_255_bytes_of_any_kind(plain, kind):
    sock = plain(kind)
    for value in (b"x", b"\0", b"\0abc", b"x" * 255):
        sock.setsockopt(zmq.CONNECT_ROUTING_ID, value)
    with raises_errno(zmq.EINVAL):
        sock.setsockopt(zmq.CONNECT_ROUTING_ID, b"")


@pytest.mark.parametrize("name", ["ROUTER_MANDATORY", "XPUB_VERBOSE", "REQ_RELAXED"])
def test_options_of_a_type_are_unknown_to_others(plain, name):
    with raises_errno(zmq.EINVAL):
        plain(zmq.PULL).setsockopt(option(name), 1)


@pytest.mark.parametrize("name", ABSENT)
def test_options_of_what_is_not_built_in(plain, name):
    if not hasattr(zmq, name):
        pytest.skip("no such constant")
    with pytest.raises((zmq.ZMQError, TypeError)):
        plain().setsockopt(option(name), 1)


def test_subscribe_belongs_to_sub(plain):
    for kind in (zmq.PULL, zmq.PAIR, zmq.PUB):
        with raises_errno(zmq.EINVAL):
            plain(kind).setsockopt(zmq.SUBSCRIBE, b"")
    sub = plain(zmq.SUB)
    with raises_errno(zmq.EINVAL):
        sub.getsockopt(zmq.SUBSCRIBE)


@pytest.mark.parametrize("size", [1, 5, 255])
def test_routing_id(plain, size):
    sock = plain(zmq.DEALER)
    assert sock.getsockopt(zmq.ROUTING_ID) == b""
    sock.setsockopt(zmq.ROUTING_ID, b"i" * size)
    assert sock.getsockopt(zmq.IDENTITY) == b"i" * size
    sock.identity = b"other"
    assert sock.routing_id == b"other"


@pytest.mark.parametrize("size", [0, 256])
def test_routing_id_of_wrong_length_is_refused(plain, size):
    with raises_errno(zmq.EINVAL):
        plain(zmq.DEALER).setsockopt(zmq.ROUTING_ID, b"i" * size)


def test_text_is_refused_where_bytes_are_wanted(plain):
    with pytest.raises(TypeError):
        plain(zmq.DEALER).setsockopt(zmq.ROUTING_ID, "text")
    with pytest.raises(TypeError):
        plain(zmq.SUB).setsockopt(zmq.SUBSCRIBE, 5)


def test_string_forms(plain):
    sock = plain(zmq.DEALER)
    sock.setsockopt_string(zmq.ROUTING_ID, "grün")
    assert sock.getsockopt(zmq.ROUTING_ID) == "grün".encode()
    assert sock.getsockopt_string(zmq.ROUTING_ID) == "grün"
    sock.set_string(zmq.ROUTING_ID, "x", encoding="utf-16")
    assert sock.get_string(zmq.ROUTING_ID, encoding="utf-16") == "x"


@pytest.mark.parametrize("kind", [t.name for t in zmq.SocketType if t <= zmq.STREAM])
def test_type_is_told(plain, kind):
    sock = plain(getattr(zmq, kind))
    assert sock.getsockopt(zmq.TYPE) == sock.type == getattr(zmq, kind)
    with raises_errno(zmq.EINVAL):
        sock.setsockopt(zmq.TYPE, 1)


def test_old_names_of_types():
    assert zmq.XREQ == zmq.DEALER
    assert zmq.XREP == zmq.ROUTER


@pytest.mark.parametrize("kind", ["SUB", "XSUB"])
def test_subscribers_do_not_linger_by_default(plain, kind):
    if kind == "SUB" and not IS_FASTMQ:
        pytest.skip("reports -1 and does not linger")
    assert plain(getattr(zmq, kind)).getsockopt(zmq.LINGER) in (0, -1)


def test_read_only_options_refuse_to_be_set(plain):
    sock = plain()
    for name in ("RCVMORE", "FD", "EVENTS", "LAST_ENDPOINT", "MECHANISM", "THREAD_SAFE"):
        with pytest.raises((zmq.ZMQError, TypeError)):
            sock.setsockopt(option(name), 1)


def test_values_that_are_only_read(plain):
    sock = plain()
    assert sock.getsockopt(zmq.RCVMORE) == 0
    assert sock.getsockopt(zmq.EVENTS) == 0
    assert sock.getsockopt(zmq.MECHANISM) == zmq.NULL
    assert sock.getsockopt(zmq.FD) >= 0
    assert sock.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0") == b""


def test_ipv4only_is_the_opposite_of_ipv6(plain):
    sock = plain()
    ipv4only = getattr(zmq, "IPV4ONLY", 31)
    assert sock.getsockopt(ipv4only) == 1
    sock.setsockopt(zmq.IPV6, 1)
    assert sock.getsockopt(ipv4only) == 0
    sock.setsockopt(ipv4only, 1)
    assert sock.getsockopt(zmq.IPV6) == 0


def test_unknown_options_are_refused(plain):
    sock = plain()
    for number in (-1, 0, 3, 999, 9999):
        with pytest.raises((zmq.ZMQError, ValueError)):
            sock.setsockopt(number, 1)
        with pytest.raises((zmq.ZMQError, ValueError)):
            sock.getsockopt(number)


def test_unknown_attributes_are_refused(plain):
    sock = plain()
    with pytest.raises(AttributeError):
        sock.no_such_option = 1
    with pytest.raises(AttributeError):
        sock.no_such_option  # noqa: B018


def test_write_only_attributes_cannot_be_read(plain):
    sock = plain(zmq.ROUTER)
    sock.router_mandatory = 1
    with pytest.raises(AttributeError):
        sock.router_mandatory  # noqa: B018


@fastmq_only("passes keywords to the constructor, which has none of these")
def test_options_as_keywords_of_the_constructor(ctx):
    with ctx.socket(zmq.DEALER, linger=0, identity=b"me", sndhwm=5) as sock:
        assert sock.linger == 0
        assert sock.identity == b"me"
        assert sock.sndhwm == 5


def test_context_gives_its_sockets_their_options(ctx):
    ctx.linger = 0
    ctx.setsockopt(zmq.RCVTIMEO, 77)
    assert ctx.getsockopt(zmq.RCVTIMEO) == 77
    with ctx.socket(zmq.PULL) as sock:
        assert sock.linger == 0
        assert sock.rcvtimeo == 77


def test_metadata_must_be_a_pair_with_x(plain):
    sock = plain()
    metadata = getattr(zmq, "METADATA", 95)
    sock.setsockopt(metadata, b"X-a:b")
    for bad in (b"", b"a", b"a:", b":b", b"Y-a:b"):
        if bad == b"Y-a:b" and not IS_FASTMQ:
            continue  # accepted there
        with pytest.raises(zmq.ZMQError):
            sock.setsockopt(metadata, bad)


@pytest.mark.parametrize("name", ["RECONNECT_IVL", "SNDHWM", "IPV6", "IMMEDIATE"])
def test_options_may_be_set_after_a_connection_for_the_next(plain, name):
    sock = plain(zmq.DEALER)
    sock.connect(f"inproc://late-{name}-{os.getpid()}")
    sock.setsockopt(option(name), 1)
    assert sock.getsockopt(option(name)) == 1


@fastmq_only("its own options")
def test_options_of_fastmq(plain):
    sock = plain()
    O = zmq.SocketOption  # noqa: N806, E741
    assert sock.getsockopt(O.SPIN_US) == 50
    sock.setsockopt(O.SPIN_US, 0)
    assert sock.getsockopt(O.SPIN_US) == 0
    with raises_errno(zmq.EINVAL):
        sock.setsockopt(O.SPIN_US, -1)
    assert sock.getsockopt(O.MAXMSGPARTS) == 65535
    assert sock.getsockopt(O.IPC_STEAL) == 0


def test_enums_and_names_are_the_same_numbers():
    assert zmq.SocketOption.LINGER == zmq.LINGER == 17
    assert zmq.SocketType.DEALER == zmq.DEALER == 5
    assert zmq.Event.CONNECTED == zmq.EVENT_CONNECTED == 1
    assert zmq.PollEvent.POLLIN == zmq.POLLIN == 1
    assert zmq.Flag.SNDMORE == zmq.SNDMORE == 2
    assert zmq.DONTWAIT == zmq.NOBLOCK == 1
    assert zmq.ContextOption.IO_THREADS == zmq.IO_THREADS == 1


def test_tcp_options_reach_the_kernel(make):
    """Both ends connect and carry traffic with every tcp option set."""
    options = {
        "tcp_keepalive": 1,
        "tcp_keepalive_cnt": 3,
        "tcp_keepalive_idle": 10,
        "tcp_keepalive_intvl": 5,
        "tos": 0x28,
        "sndbuf": 65536,
        "rcvbuf": 65536,
        "tcp_maxrt": 5000,
        "backlog": 5,
        "connect_timeout": 5000,
    }
    pull, push = make(zmq.PULL, **options), make(zmq.PUSH, **options)
    pull.bind("tcp://127.0.0.1:*")
    push.connect(pull.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode())
    push.send(b"x")
    assert pull.recv() == b"x"


def congestion_of(fd):
    with socket.socket(fileno=os.dup(fd)) as same:
        return same.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()


linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names of Linux")


@fastmq_only("its own options")
@linux_only
@pytest.mark.parametrize("address", ["tcp://*:*", "tcp://127.0.0.1:*"])
def test_connections_within_loopback_are_not_paced(make, watch, address):
    server, client = make(zmq.PULL), make(zmq.PUSH)
    server.bind(address)
    port = last_endpoint(server).rsplit(":", 1)[1]
    accepted, connected = watch(server, zmq.EVENT_ACCEPTED), watch(client, zmq.EVENT_CONNECTED)
    assert server.tcp_congestion == client.tcp_congestion == b""
    client.connect(f"tcp://127.0.0.1:{port}")
    assert congestion_of(accepted.next()[1]) == congestion_of(connected.next()[1]) == "reno"


@fastmq_only("its own options")
@linux_only
def test_the_congestion_control_that_was_asked_for_is_used(make, watch):
    allowed = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text().split()
    other = next((name for name in allowed if name != "reno"), None)
    if other is None:
        pytest.skip("this system has no other than reno")
    server, client = make(zmq.PULL), make(zmq.PUSH)
    server.bind("tcp://127.0.0.1:*")
    connected = watch(client, zmq.EVENT_CONNECTED)
    client.tcp_congestion = other
    assert client.getsockopt(zmq.SocketOption.TCP_CONGESTION) == other.encode()
    client.connect(last_endpoint(server))
    assert congestion_of(connected.next()[1]) == other


@fastmq_only("its own options")
def test_a_congestion_control_that_the_system_lacks_is_refused(plain):
    sock = plain()
    with pytest.raises(zmq.ZMQError, match="no congestion control 'nosuch'") as caught:
        sock.setsockopt(zmq.SocketOption.TCP_CONGESTION, b"nosuch")
    assert caught.value.errno == zmq.EINVAL
    assert sock.tcp_congestion == b""
