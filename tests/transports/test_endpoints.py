# SPDX-License-Identifier: MIT
import errno
import os
import socket
import stat
import struct
import sys
from pathlib import Path

import pytest
from helpers import (
    Endpoint,
    bind_when_free,
    eventually,
    free_port,
    last_endpoint,
    nothing_arrives,
    raises_errno,
    recv,
    unique,
)
from target import IS_FASTMQ, fastmq_only, zmq

streams = pytest.mark.parametrize("endpoint", ["tcp", "tcp6", "ipc", "ipc-abstract"], indirect=True)

BAD = {
    "": zmq.EINVAL,
    "tcp": zmq.EINVAL,
    "tcp:": zmq.EINVAL,
    "tcp:/": zmq.EINVAL,
    "tcp://": zmq.EINVAL,
    "://127.0.0.1:1": zmq.EINVAL,
    "tcp://127.0.0.1": zmq.EINVAL,
    "tcp://127.0.0.1:": zmq.EINVAL,
    "tcp://127.0.0.1:http": zmq.EINVAL,
    "carrier-pigeon://x": zmq.EPROTONOSUPPORT,
    "ipc://@": zmq.EINVAL,
    "ipc://" + "x" * 200: errno.ENAMETOOLONG,
    "inproc://": zmq.EINVAL,
}


@pytest.mark.parametrize("address", BAD)
@pytest.mark.parametrize("verb", ["bind", "connect"])
def test_malformed_addresses_are_refused(make, verb, address):
    with raises_errno(BAD[address]):
        getattr(make(zmq.PAIR), verb)(address)


@pytest.mark.parametrize("address", ["tcp://*:5555", "tcp://127.0.0.1:*", "tcp://127.0.0.1:0"])
def test_wildcards_cannot_be_connected_to(make, address):
    if address.endswith(":0") and not IS_FASTMQ:
        pytest.skip("accepted there")
    with raises_errno(zmq.EINVAL):
        make(zmq.PAIR).connect(address)


@pytest.mark.parametrize(
    "host",
    ["a b", " a", "localhost ", "a\t", "-", "-a", ".a", "_", "a/b", "a@b", "a,b", "#", "grün"],
)
def test_what_cannot_be_a_host_name_is_refused(make, host):
    sock = make(zmq.DEALER)
    with raises_errno(zmq.EINVAL):
        sock.connect(f"tcp://{host}:1")
    if not IS_FASTMQ:
        return  # looks no further than the first character of all
    for address in (f"tcp://127.0.0.1:0;{host}:1", f"tcp://{host}:0;127.0.0.1:1"):
        with raises_errno(zmq.EINVAL):
            sock.connect(address)


@pytest.mark.parametrize("host", ["a-b.c_d", "a-", "a.", "1.2.3", "xn--grn-hoa.example"])
def test_what_may_be_a_host_name_is_taken(make, host):
    make(zmq.DEALER).connect(f"tcp://{host}:1")


@pytest.mark.skipif(not hasattr(socket, "if_nametoindex"), reason="no names of interfaces")
@pytest.mark.parametrize("zone", ["name", "number"])
@pytest.mark.parametrize("host", ["[::1%{}]", "::1%{}"])
def test_an_ipv6_address_may_name_its_interface(make, host, zone):
    lo = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    host = host.format(lo if zone == "name" else socket.if_nametoindex(lo))
    pull, push = make(zmq.PULL, ipv6=1), make(zmq.PUSH, ipv6=1)
    pull.bind(f"tcp://{host}:*")
    push.connect(f"tcp://{host}:{last_endpoint(pull).rsplit(':', 1)[1]}")
    push.send(b"x")
    assert recv(pull) == b"x"


def test_a_zone_that_is_no_interface_cannot_be_bound(make):
    with raises_errno(errno.ENODEV if IS_FASTMQ else zmq.EINVAL):
        make(zmq.PULL, ipv6=1).bind("tcp://[::1%nosuch]:*")


@fastmq_only("keeps 100")
@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's table")
def test_as_many_connections_may_wait_as_the_system_allows(make, watch):
    def backlog(**options):
        pull = make(zmq.PULL, **options)
        events = watch(pull)
        pull.bind("tcp://127.0.0.1:*")
        fd = events.wait(zmq.EVENT_LISTENING)[1]
        with socket.socket(fileno=os.dup(fd)) as listener:
            info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return struct.unpack_from("=I", info, 28)[0]  # tcpi_sacked: of a listener its limit

    assert backlog() == int(Path("/proc/sys/net/core/somaxconn").read_text())
    assert backlog(backlog=7) == 7


@fastmq_only("cuts the port to 16 bits")
@pytest.mark.parametrize("port", ["65536", "99999", "70000", "-1", "123456789012", "5555x", " 1"])
@pytest.mark.parametrize("verb", ["bind", "connect"])
def test_ports_out_of_range_are_refused(make, verb, port):
    with raises_errno(zmq.EINVAL):
        getattr(make(zmq.PAIR), verb)(f"tcp://127.0.0.1:{port}")


@pytest.mark.parametrize("wrong", [5, None, 1.5, ["tcp://x:1"]])
def test_addresses_must_be_text(make, wrong):
    with pytest.raises(TypeError):
        make(zmq.PAIR).bind(wrong)
    with pytest.raises(TypeError):
        make(zmq.PAIR).connect(wrong)


def test_addresses_may_be_bytes(make):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind(b"tcp://127.0.0.1:*")
    push.connect(last_endpoint(pull).encode())
    push.send(b"x")
    assert recv(pull) == b"x"


def test_errors_name_the_address(make):
    with pytest.raises(zmq.ZMQError) as info:
        make(zmq.PAIR).bind("carrier-pigeon://loft")
    assert "carrier-pigeon://loft" in str(info.value)


# ---- wildcards and LAST_ENDPOINT ----


@pytest.mark.parametrize("port", ["*", "0"])
@pytest.mark.parametrize("host", ["127.0.0.1", "*", "0.0.0.0"])
def test_wildcard_ports_tell_the_real_one(make, host, port):
    pull = make(zmq.PULL)
    pull.bind(f"tcp://{host}:{port}")
    real = last_endpoint(pull)
    number = int(real.rsplit(":", 1)[1])
    assert 0 < number < 65536
    assert real.startswith("tcp://127.0.0.1:" if host == "127.0.0.1" else "tcp://0.0.0.0:")
    push = make(zmq.PUSH)
    push.connect(f"tcp://127.0.0.1:{number}")
    push.send(b"x")
    assert recv(pull) == b"x"


def test_wildcard_ipc_makes_a_file_that_goes_away(make):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind("ipc://*")
    address = last_endpoint(pull)
    path = address.removeprefix("ipc://")
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    push.connect(address)
    push.send(b"x")
    assert recv(pull) == b"x"
    pull.unbind(address)
    eventually("the file is gone", lambda: not os.path.exists(path))
    eventually("its folder is gone", lambda: not os.path.exists(os.path.dirname(path)))


def test_last_endpoint_follows_every_bind_and_connect(make, tmp_path):
    sock = make(zmq.DEALER)
    sock.bind("tcp://127.0.0.1:*")
    first = last_endpoint(sock)
    sock.bind(f"ipc://{tmp_path}/a")
    assert last_endpoint(sock) == f"ipc://{tmp_path}/a"
    assert first.startswith("tcp://127.0.0.1:")
    other = f"tcp://127.0.0.1:{free_port()}"
    sock.connect(other)
    assert last_endpoint(sock) == other
    name = f"inproc://{unique('le')}"
    sock.bind(name)
    assert last_endpoint(sock) == name


def test_hosts_may_be_named(make):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind("tcp://127.0.0.1:*")
    push.connect("tcp://localhost:" + last_endpoint(pull).rsplit(":", 1)[1])
    push.send(b"x")
    assert recv(pull) == b"x"


def test_an_interface_name_can_be_bound(make):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind("tcp://lo:*")
    address = last_endpoint(pull)
    assert address.startswith("tcp://127.0.0.1:")
    push.connect(address)
    push.send(b"x")
    assert recv(pull) == b"x"


def test_an_unknown_interface_cannot_be_bound(make):
    with raises_errno(errno.ENODEV):
        make(zmq.PULL).bind("tcp://nosuchif0:*")


def test_a_foreign_address_cannot_be_bound(make):
    with raises_errno(errno.EADDRNOTAVAIL):
        make(zmq.PULL).bind("tcp://203.0.113.9:5555")


def test_a_name_that_does_not_resolve_can_be_connected_to(make):
    push = make(zmq.PUSH)
    push.connect("tcp://no-such-host.invalid:5555")
    push.send(b"queued", zmq.DONTWAIT)


@pytest.mark.parametrize("source", ["127.0.0.1:0", "127.0.0.1:*", "lo:0"])
def test_a_source_address_can_be_chosen(make, source):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind("tcp://127.0.0.1:*")
    push.connect(f"tcp://{source};" + last_endpoint(pull).removeprefix("tcp://"))
    push.send(b"x")
    assert recv(pull) == b"x"


def test_the_source_port_is_the_one_asked_for(make):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(8)
        wanted = free_port()
        push = make(zmq.PUSH)
        push.connect(f"tcp://127.0.0.1:{wanted};127.0.0.1:{listener.getsockname()[1]}")
        conn, peer = listener.accept()
        conn.close()
        assert peer == ("127.0.0.1", wanted)


def test_ipv6_has_to_be_turned_on(make):
    with pytest.raises(zmq.ZMQError):
        make(zmq.PULL).bind("tcp://[::1]:*")


def test_an_ipv6_wildcard_takes_ipv4_peers_too(make):
    pull, six, four = make(zmq.PULL, ipv6=1), make(zmq.PUSH, ipv6=1), make(zmq.PUSH)
    pull.bind("tcp://*:*")
    port = last_endpoint(pull).rsplit(":", 1)[1]
    assert last_endpoint(pull) == f"tcp://[::]:{port}"
    six.connect(f"tcp://[::1]:{port}")
    six.send(b"6")
    assert recv(pull) == b"6"
    four.connect(f"tcp://127.0.0.1:{port}")
    four.send(b"4")
    assert recv(pull) == b"4"


# ---- taken addresses ----


@pytest.mark.parametrize("endpoint", ["tcp", "tcp6", "inproc", "ipc-abstract"], indirect=True)
def test_a_taken_address_is_in_use(make, endpoint):
    a, b = make(zmq.PULL), make(zmq.PULL)
    address = endpoint.bind(a)
    endpoint.prepare(b)
    with raises_errno(errno.EADDRINUSE):
        b.bind(address)


@fastmq_only("takes a live server's path away")
def test_a_live_ipc_path_is_in_use(make, tmp_path):
    a, b, push = make(zmq.PULL), make(zmq.PULL), make(zmq.PUSH)
    address = f"ipc://{tmp_path}/s"
    a.bind(address)
    with raises_errno(errno.EADDRINUSE):
        b.bind(address)
    push.connect(address)
    push.send(b"x")
    assert recv(a) == b"x"


@fastmq_only("its own option")
def serves(make, pull, address):
    push = make(zmq.PUSH)
    push.connect(address)
    push.send(b"x")
    return recv(pull) == b"x"


def test_an_empty_file_gives_way_to_an_ipc_server(make, tmp_path):
    """As mkstemp leaves it for who chooses a name that way."""
    path = tmp_path / "chosen"
    path.touch(0o600)
    pull = make(zmq.PULL)
    pull.bind(f"ipc://{path}")
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert serves(make, pull, f"ipc://{path}")


@fastmq_only("removes it")
def test_a_file_with_something_in_it_gives_way_to_ipc_steal_alone(make, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"precious")
    with pytest.raises(zmq.ZMQError, match="not empty") as caught:
        make(zmq.PULL).bind(f"ipc://{path}")
    assert caught.value.errno == zmq.EADDRINUSE
    assert path.read_bytes() == b"precious"
    pull = make(zmq.PULL)
    pull.setsockopt(zmq.SocketOption.IPC_STEAL, 1)
    pull.bind(f"ipc://{path}")
    assert serves(make, pull, f"ipc://{path}")


@fastmq_only("removes some of them")
@pytest.mark.parametrize("steal", [0, 1])
def test_what_is_no_plain_file_stays_where_an_ipc_server_would_be(make, tmp_path, steal):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    before = sorted(tmp_path.iterdir())
    for name in ("folder", "fifo", "link"):
        sock = make(zmq.PULL)
        sock.setsockopt(zmq.SocketOption.IPC_STEAL, steal)
        with raises_errno(zmq.EADDRINUSE):
            sock.bind(f"ipc://{tmp_path}/{name}")
    assert sorted(tmp_path.iterdir()) == before


def test_ipc_steal_takes_a_live_path(make, tmp_path):
    a, b, push = make(zmq.PULL), make(zmq.PULL), make(zmq.PUSH)
    b.setsockopt(zmq.SocketOption.IPC_STEAL, 1)
    address = f"ipc://{tmp_path}/s"
    a.bind(address)
    b.bind(address)
    push.connect(address)
    push.send(b"x")
    assert recv(b) == b"x"


@fastmq_only("removes whatever is at the path")
def test_a_path_that_was_taken_over_is_left_to_its_new_owner(make, tmp_path):
    a, b, push = make(zmq.PULL), make(zmq.PULL), make(zmq.PUSH)
    b.setsockopt(zmq.SocketOption.IPC_STEAL, 1)
    address = f"ipc://{tmp_path}/s"
    a.bind(address)
    b.bind(address)
    a.close()
    push.connect(address)
    push.send(b"x")
    assert recv(b) == b"x"


def test_a_stale_ipc_file_is_taken_over(make, tmp_path):
    path = str(tmp_path / "stale")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    assert os.path.exists(path)
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind(f"ipc://{path}")
    push.connect(f"ipc://{path}")
    push.send(b"x")
    assert recv(pull) == b"x"


@fastmq_only("deletes whatever lies at the path")
def test_a_file_that_is_no_socket_is_not_deleted(make, tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(zmq.ZMQError):
        make(zmq.PULL).bind(f"ipc://{path}")
    assert path.read_text() == "data"


def test_a_missing_folder_is_told(make, tmp_path):
    with raises_errno(errno.ENOENT):
        make(zmq.PULL).bind(f"ipc://{tmp_path}/none/s")


@fastmq_only("leaves the file")
def test_the_ipc_file_goes_with_unbind_and_with_close(make, tmp_path):
    address = f"ipc://{tmp_path}/s"
    a = make(zmq.PULL)
    a.bind(address)
    a.unbind(address)
    eventually("file gone", lambda: not (tmp_path / "s").exists())
    b = make(zmq.PULL)
    b.bind(address)
    b.close()
    eventually("file gone", lambda: not (tmp_path / "s").exists())


def test_the_longest_ipc_path_works(make):
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="q", dir="/tmp")
    try:
        path = folder + "/" + "x" * (zmq.IPC_PATH_MAX_LEN - len(folder) - 1)
        pull, push = make(zmq.PULL), make(zmq.PUSH)
        pull.bind(f"ipc://{path}")
        push.connect(f"ipc://{path}")
        push.send(b"x")
        assert recv(pull) == b"x"
        with raises_errno(errno.ENAMETOOLONG):
            make(zmq.PULL).bind(f"ipc://{path}x")
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("filter_name", ["IPC_FILTER_UID", "IPC_FILTER_GID", "IPC_FILTER_PID"])
@pytest.mark.parametrize("own", [True, False], ids=["own", "foreign"])
def test_ipc_filters_by_credentials(make, tmp_path, filter_name, own):
    value = {"UID": os.getuid, "GID": os.getgid, "PID": os.getpid}[filter_name[-3:]]()
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.setsockopt(getattr(zmq, filter_name), value if own else value + 12345)
    pull.bind(f"ipc://{tmp_path}/s")
    push.connect(f"ipc://{tmp_path}/s")
    push.send(b"x")
    if own:
        assert recv(pull) == b"x"
    else:
        assert nothing_arrives(pull)


@pytest.mark.parametrize(
    "accept,allowed",
    [
        (["127.0.0.1"], True),
        (["127.0.0.0/8"], True),
        (["0.0.0.0/0"], True),
        (["10.0.0.0/8"], False),
        (["10.0.0.0/8", "127.0.0.1/32"], True),
        (["127.0.0.2"], False),
    ],
)
def test_tcp_accept_filter(make, accept, allowed):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    for cidr in accept:
        pull.setsockopt(zmq.TCP_ACCEPT_FILTER, cidr.encode())
    pull.bind("tcp://127.0.0.1:*")
    push.connect(last_endpoint(pull))
    push.send(b"x")
    if allowed:
        assert recv(pull) == b"x"
    else:
        assert nothing_arrives(pull)


@pytest.mark.parametrize("bad", [b"127.0.0.1/33", b"300.0.0.1", b"127.0.0.1/-1", b"hello/"])
def test_malformed_accept_filters_are_refused(make, bad):
    with pytest.raises(zmq.ZMQError):
        make(zmq.PULL).setsockopt(zmq.TCP_ACCEPT_FILTER, bad)


# ---- unbind, disconnect ----


def test_after_unbind_the_address_is_free(make, endpoint):
    a, b = make(zmq.PULL), make(zmq.PULL)
    address = endpoint.bind(a)
    a.unbind(address)
    endpoint.prepare(b)
    bind_when_free(b, address)


@fastmq_only("libzmq says: No such file or directory")
@pytest.mark.parametrize("verb", ["unbind", "disconnect"])
def test_what_was_not_bound_or_connected_is_named(make, endpoint, verb):
    bound, other = make(zmq.PULL), make(zmq.PULL)
    address = endpoint.bind(bound)
    with pytest.raises(zmq.ZMQError, match="not bound or connected to") as caught:
        getattr(other, verb)(address)
    assert caught.value.errno == errno.ENOENT
    assert str(caught.value).endswith(f"'{address}'")


@fastmq_only("libzmq says: No such file or directory")
def test_a_directory_that_does_not_exist_is_named(make, tmp_path):
    with pytest.raises(zmq.ZMQError, match=r"the directory of '.*/no/s' does not exist"):
        make(zmq.PULL).bind(f"ipc://{tmp_path}/no/s")


@fastmq_only("libzmq says: Invalid argument")
@pytest.mark.parametrize("address", ["127.0.0.1:5555", "tcp:/127.0.0.1:5555", "5555"])
def test_an_address_without_its_transport_gets_an_example(make, address):
    with pytest.raises(zmq.ZMQError, match=r"transport://address, such as tcp://127\.0\.0\.1:5555"):
        make(zmq.PULL).connect(address)


def test_unbind_leaves_other_endpoints_alone(make, endpoint, tmp_path):
    pull, a, b = make(zmq.PULL), make(zmq.PUSH), make(zmq.PUSH)
    gone = endpoint.bind(pull)
    stays = Endpoint("ipc", tmp_path).bind(pull)
    endpoint.connect(a, gone)
    b.connect(stays)
    a.send(b"a")
    assert recv(pull) == b"a"
    pull.unbind(gone)
    b.send(b"b")
    assert recv(pull) == b"b"


def test_disconnect_stops_the_traffic(make, endpoint):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    address = endpoint.bind(pull)
    endpoint.connect(push, address)
    push.send(b"x")
    assert recv(pull) == b"x"
    push.disconnect(address)
    eventually("nobody to send to", lambda: push.poll(0, zmq.POLLOUT) == 0)
    with pytest.raises(zmq.Again):
        push.send(b"y", zmq.DONTWAIT)


def test_disconnect_and_connect_again(make, endpoint):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    address = endpoint.bind(pull)
    for i in range(5):
        endpoint.connect(push, address)
        push.send(b"%d" % i)
        assert recv(pull) == b"%d" % i
        push.disconnect(address)


def test_disconnect_sends_what_is_queued_within_linger(make, endpoint):
    pull, push = make(zmq.PULL), make(zmq.PUSH, linger=5000)
    address = endpoint.bind(pull)
    endpoint.connect(push, address)
    for i in range(100):
        push.send(b"%d" % i)
    push.disconnect(address)
    assert [recv(pull) for _ in range(100)] == [b"%d" % i for i in range(100)]


def test_only_known_endpoints_can_be_undone(make, endpoint):
    a, b = make(zmq.PULL), make(zmq.PUSH)
    address = endpoint.bind(a)
    with raises_errno(errno.ENOENT):
        a.unbind(endpoint.fixed())
    with raises_errno(errno.ENOENT):
        a.disconnect(endpoint.fixed())
    a.unbind(address)
    with raises_errno(errno.ENOENT):
        a.unbind(address)
    with raises_errno(errno.ENOENT):
        b.disconnect(address)


@pytest.mark.parametrize("kind", ["tcp", "ipc"])
def test_a_wildcard_bind_is_undone_by_its_real_address(make, kind):
    pull = make(zmq.PULL)
    pull.bind("tcp://127.0.0.1:*" if kind == "tcp" else "ipc://*")
    pull.unbind(last_endpoint(pull))


def test_bind_and_connect_undo_themselves_as_context_managers(make, endpoint):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    address = endpoint.fixed()
    endpoint.prepare(pull)
    endpoint.prepare(push)
    with pull.bind(address):
        with push.connect(address):
            push.send(b"x")
            assert recv(pull) == b"x"
        with raises_errno(errno.ENOENT):
            push.disconnect(address)
    with raises_errno(errno.ENOENT):
        pull.unbind(address)


@fastmq_only("pyzmq needs a range, and binds before it finds that out")
@pytest.mark.parametrize("transport", ["inproc", "ipc"])
def test_bind_to_random_port_gives_names_a_number(make, transport, tmp_path):
    base = f"inproc://{unique('random')}" if transport == "inproc" else f"ipc://{tmp_path}/random"
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    port = pull.bind_to_random_port(base)
    assert 49152 <= port < 65536
    assert last_endpoint(pull) == f"{base}:{port}"
    push.connect(f"{base}:{port}")
    push.send(b"there")
    assert recv(pull) == b"there"


def test_bind_to_random_port(make):
    pull = make(zmq.PULL)
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    assert 0 < port < 65536
    push = make(zmq.PUSH)
    push.connect(f"tcp://127.0.0.1:{port}")
    push.send(b"x")
    assert recv(pull) == b"x"
    port = make(zmq.PULL).bind_to_random_port("tcp://127.0.0.1", 20_000, 30_000)
    assert 20_000 <= port < 30_000


def test_random_ports_run_out(make):
    taken = free_port()
    make(zmq.PULL).bind(f"tcp://127.0.0.1:{taken}")
    with pytest.raises(zmq.ZMQBindError):
        make(zmq.PULL).bind_to_random_port("tcp://127.0.0.1", taken, taken + 1, max_tries=3)


@streams
def test_several_endpoints_on_one_socket(make, endpoint):
    pull = make(zmq.PULL)
    addresses = [endpoint.bind(pull) for _ in range(3)]
    assert len(set(addresses)) == 3
    for i, address in enumerate(addresses):
        push = make(zmq.PUSH)
        endpoint.connect(push, address)
        push.send(b"%d" % i)
        assert recv(pull) == b"%d" % i


# ---- USE_FD ----


@pytest.mark.parametrize("kind", ["tcp", "ipc"])
def test_a_listening_descriptor_can_be_adopted(make, tmp_path, kind):
    if kind == "tcp":
        listener = socket.create_server(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{tmp_path}/s")
        listener.listen()
        address = f"ipc://{tmp_path}/s"
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.setsockopt(zmq.USE_FD, listener.detach())
    pull.bind(address)
    push.connect(address)
    push.send(b"x")
    assert recv(pull) == b"x"


# ---- peers without limits ----


def test_fifty_connections_to_one_socket(make, endpoint):
    router = make(zmq.ROUTER)
    address = endpoint.bind(router)
    dealers = [make(zmq.DEALER, routing_id=b"%d" % i) for i in range(50)]
    for d in dealers:
        endpoint.connect(d, address)
        d.send(b"hi")
    seen = set()
    for _ in dealers:
        assert router.poll(8000)
        peer, _ = router.recv_multipart()
        seen.add(peer)
        router.send_multipart([peer, b"for " + peer])
    assert len(seen) == 50
    for i, d in enumerate(dealers):
        assert recv(d) == b"for %d" % i
