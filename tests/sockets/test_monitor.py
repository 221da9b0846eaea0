# SPDX-License-Identifier: MIT
import errno
import os
import socket
import struct

import pytest
import wire
from helpers import (
    HANDSHAKE_FAILURES,
    WAIT_MS,
    Events,
    last_endpoint,
    raises_errno,
    recv,
    unique,
)
from target import IS_FASTMQ, fastmq_only, submodule, zmq

streams = pytest.mark.parametrize("endpoint", ["tcp", "tcp6", "ipc", "ipc-abstract"], indirect=True)
E = zmq.Event


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@streams
def test_the_bound_side_tells_the_life_of_a_connection(make, endpoint, watch):
    pull = make(zmq.PULL)
    events = watch(pull)
    address = endpoint.bind(pull)
    event, fd, told = events.next()
    assert event == zmq.EVENT_LISTENING and is_open(fd) and told == address
    push = make(zmq.PUSH)
    endpoint.connect(push, address)
    event, fd, told = events.next()
    assert event == zmq.EVENT_ACCEPTED and is_open(fd)
    assert told == address
    assert events.next()[:2] == (zmq.EVENT_HANDSHAKE_SUCCEEDED, 0)
    push.close()
    event, gone, told = events.next()
    assert (event, gone) == (zmq.EVENT_DISCONNECTED, fd) and told == address
    pull.unbind(address)
    assert events.wait(zmq.EVENT_CLOSED)[2] == address


@streams
def test_the_connecting_side_tells_the_life_of_a_connection(make, endpoint, watch):
    pull, push = make(zmq.PULL), make(zmq.PUSH, reconnect_ivl=-1)
    address = endpoint.bind(pull)
    events = watch(push)
    endpoint.connect(push, address)
    event, value, told = events.next()
    if event == zmq.EVENT_CONNECT_DELAYED:
        assert value in (errno.EINPROGRESS, errno.EAGAIN) and told == address
        event, value, told = events.next()
    assert event == zmq.EVENT_CONNECTED and is_open(value) and told == address
    assert events.next()[0] == zmq.EVENT_HANDSHAKE_SUCCEEDED
    pull.close()
    assert events.wait(zmq.EVENT_DISCONNECTED)[2] == address


def test_tcp_connects_are_told_as_delayed_first(make, watch):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind("tcp://127.0.0.1:*")
    events = watch(push)
    push.connect(last_endpoint(pull))
    assert events.next()[:2] == (zmq.EVENT_CONNECT_DELAYED, errno.EINPROGRESS)
    assert events.next()[0] == zmq.EVENT_CONNECTED


@streams
def test_a_refused_connection_is_tried_again(make, endpoint, watch):
    push = make(zmq.PUSH, reconnect_ivl=20)
    events = watch(push)
    endpoint.connect(push, endpoint.fixed())
    for _ in range(3):
        assert events.wait(zmq.EVENT_CLOSED)
        _, wait, _ = events.wait(zmq.EVENT_CONNECT_RETRIED)
        assert 20 <= wait <= 40


def test_a_failed_bind_is_told(make, watch):
    a, b = make(zmq.PULL), make(zmq.PULL)
    a.bind("tcp://127.0.0.1:*")
    events = watch(b)
    with raises_errno(errno.EADDRINUSE):
        b.bind(last_endpoint(a))
    _event, value, told = events.wait(zmq.EVENT_BIND_FAILED)
    assert value == errno.EADDRINUSE
    assert last_endpoint(a).endswith(told)


def test_a_connection_refused_by_the_filter_is_told(make, watch):
    pull = make(zmq.PULL, tcp_accept_filter=b"10.0.0.0/8")
    pull.bind("tcp://127.0.0.1:*")
    events = watch(pull)
    host, port = last_endpoint(pull).removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), 8):
        events.wait(zmq.EVENT_ACCEPT_FAILED)


def test_a_handshake_cut_short_is_told_with_an_errno(make, watch):
    pull = make(zmq.PULL)
    pull.bind("tcp://127.0.0.1:*")
    events = watch(pull)
    with wire.connect(last_endpoint(pull)) as w:
        w.greet()
    event, value, _ = events.wait(*HANDSHAKE_FAILURES)
    assert event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    assert value in (errno.EPIPE, errno.ECONNRESET)


@fastmq_only("tells of the disconnection only")
def test_a_protocol_error_is_told_with_its_code(make, watch):
    pull = make(zmq.PULL)
    pull.bind("tcp://127.0.0.1:*")
    events = watch(pull)
    with wire.connect(last_endpoint(pull)) as w:
        w.greet()
        w.send(wire.command(b"READY", b"\x0bSocket-Type\xff\xff\xff\xffPUSH"))
        event, value, _ = events.wait(*HANDSHAKE_FAILURES)
        assert event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        assert 0x10000000 <= value <= 0x10000018


def test_a_command_out_of_turn_has_its_code(make, watch):
    pull = make(zmq.PULL)
    pull.bind("tcp://127.0.0.1:*")
    events = watch(pull)
    with wire.connect(last_endpoint(pull)) as w:
        w.greet()
        w.send(wire.command(b"WELCOME"))
        event, value, _ = events.wait(*HANDSHAKE_FAILURES)
        assert (event, value) == (
            zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
            zmq.PROTOCOL_ERROR_ZMTP_UNEXPECTED_COMMAND,
        )


def test_a_refused_login_is_told_with_its_status(make, watch):
    with wire.Listener() as server:
        push = make(zmq.PUSH)
        events = watch(push)
        push.connect(server.address)
        with server.accept() as w:
            w.greet()
            w.send(wire.command(b"ERROR", b"\x03300"))
            event, value, told = events.wait(*HANDSHAKE_FAILURES)
            assert (event, value) == (zmq.EVENT_HANDSHAKE_FAILED_AUTH, 300)
            assert told == server.address


@pytest.mark.parametrize("how", ["disable", "close"])
def test_the_last_event_is_that_the_monitor_stopped(make, watch, how):
    pull = make(zmq.PULL)
    events = watch(pull)
    if how == "disable":
        pull.disable_monitor()
    else:
        pull.close()
    assert events.next()[:2] == (zmq.EVENT_MONITOR_STOPPED, 0)


def test_only_the_events_asked_for_come(make, watch):
    pull = make(zmq.PULL)
    events = watch(pull, zmq.EVENT_ACCEPTED)
    pull.bind("tcp://127.0.0.1:*")
    push = make(zmq.PUSH)
    push.connect(last_endpoint(pull))
    push.send(b"x")
    assert recv(pull) == b"x"
    assert events.next()[0] == zmq.EVENT_ACCEPTED
    assert events.silent(zmq.EVENT_LISTENING, zmq.EVENT_HANDSHAKE_SUCCEEDED)


def test_frames_have_the_known_form(make):
    pull = make(zmq.PULL)
    address = f"inproc://{unique('m')}"
    pull.monitor(address, zmq.EVENT_ALL)
    pair = make(zmq.PAIR)
    pair.connect(address)
    pull.bind("tcp://127.0.0.1:*")
    head, endpoint = pair.recv_multipart()
    assert len(head) == 6
    assert struct.unpack("=HI", head)[0] == zmq.EVENT_LISTENING
    assert endpoint.decode() == last_endpoint(pull)


def test_monitors_live_on_inproc_only(make, tmp_path):
    with raises_errno(zmq.EPROTONOSUPPORT):
        make(zmq.PULL).monitor("tcp://127.0.0.1:*", zmq.EVENT_ALL)


def test_get_monitor_socket_and_its_helpers(make):
    pull = make(zmq.PULL)
    mon = pull.get_monitor_socket()
    assert mon.type == zmq.PAIR
    assert pull.get_monitor_socket() is mon
    pull.bind("tcp://127.0.0.1:*")
    helper = submodule("utils.monitor")
    event = helper.recv_monitor_message(mon)
    assert event["event"] == zmq.EVENT_LISTENING
    assert event["endpoint"] == last_endpoint(pull).encode()
    assert isinstance(event["value"], int)
    pull.disable_monitor()
    last = helper.parse_monitor_message(mon.recv_multipart())
    assert last["event"] == zmq.EVENT_MONITOR_STOPPED
    mon.close(0)


def test_get_monitor_socket_takes_events_and_an_address(make):
    pull = make(zmq.PULL)
    address = f"inproc://{unique('own')}"
    mon = pull.get_monitor_socket(zmq.EVENT_LISTENING, address)
    pull.bind("tcp://127.0.0.1:*")
    assert struct.unpack("=HI", mon.recv_multipart()[0])[0] == zmq.EVENT_LISTENING
    pull.disable_monitor()
    mon.close(0)


def test_a_second_monitor_replaces_the_first(make):
    pull = make(zmq.PULL)
    first = Events(pull)
    second = Events(pull)
    assert first.next()[0] == zmq.EVENT_MONITOR_STOPPED
    pull.bind("tcp://127.0.0.1:*")
    assert second.next()[0] == zmq.EVENT_LISTENING
    first.close()
    second.close()


def test_a_monitor_that_nobody_reads_harms_nothing(make, watch):
    pull = make(zmq.PULL)
    watch(pull)
    pull.bind("tcp://127.0.0.1:*")
    for i in range(30):
        push = make(zmq.PUSH)
        push.connect(last_endpoint(pull))
        push.send(b"%d" % i)
        assert recv(pull) == b"%d" % i
        push.close()


def test_connections_that_were_cut_by_heartbeat_are_told(make, watch):
    pull = make(zmq.PULL, heartbeat_ivl=20, heartbeat_timeout=50)
    pull.bind("tcp://127.0.0.1:*")
    events = watch(pull)
    with wire.connect(last_endpoint(pull)).handshake("PUSH"):
        events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        events.wait(zmq.EVENT_DISCONNECTED)


def test_event_numbers():
    assert [e.value for e in (E.CONNECTED, E.CONNECT_DELAYED, E.CONNECT_RETRIED)] == [1, 2, 4]
    assert [E.LISTENING, E.BIND_FAILED, E.ACCEPTED, E.ACCEPT_FAILED] == [8, 16, 32, 64]
    assert [E.CLOSED, E.CLOSE_FAILED, E.DISCONNECTED] == [0x80, 0x100, 0x200]
    assert E.MONITOR_STOPPED == 0x400
    assert E.HANDSHAKE_SUCCEEDED == 0x1000
    assert [*HANDSHAKE_FAILURES] == [
        E.HANDSHAKE_FAILED_NO_DETAIL,
        E.HANDSHAKE_FAILED_PROTOCOL,
        E.HANDSHAKE_FAILED_AUTH,
    ]
    assert zmq.EVENT_ALL == 0xFFFF


@fastmq_only("keeps the processor busy and tells of each attempt")
def test_running_out_of_descriptors_is_told_and_ends_with_the_lack(make, watch):
    import resource

    pull = make(zmq.PULL)
    pull.bind("tcp://127.0.0.1:*")
    events = watch(pull)
    port = int(last_endpoint(pull).rsplit(":", 1)[1])
    clients = [socket.socket() for _ in range(2)]
    spare = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        highest = max(int(n) for n in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
        try:
            while True:
                spare.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        clients[0].connect(("127.0.0.1", port))
        _, value, _ = events.wait(zmq.EVENT_ACCEPT_FAILED)
        assert value == errno.EMFILE
    finally:
        for fd in spare:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with wire.Wire(clients[1]) as w:
        clients[1].connect(("127.0.0.1", port))
        w.handshake("PUSH")
        w.send_message(b"recovered")
        assert recv(pull) == b"recovered"
    clients[0].close()


def test_a_connect_to_a_silent_place_times_out(make, watch):
    """A listener whose backlog is full answers no further connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(address)
            fillers.append(s)
        push = make(zmq.PUSH, connect_timeout=50, reconnect_ivl=20)
        events = watch(push)
        push.connect(f"tcp://127.0.0.1:{address[1]}")
        events.wait(zmq.EVENT_CLOSED)
        events.wait(zmq.EVENT_CONNECT_RETRIED)
        for s in fillers:
            s.close()


def test_a_connection_that_is_slow_to_stand_is_waited_for(make, watch):
    """Within a host most stand at once: here the first SYN finds a full backlog."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with socket.create_connection(address):
            push = make(zmq.PUSH)
            events = watch(push)
            push.connect(f"tcp://127.0.0.1:{address[1]}")
            events.wait(zmq.EVENT_CONNECT_DELAYED)
            listener.settimeout(10)
            listener.accept()[0].close()
            events.wait(zmq.EVENT_CONNECTED)
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(10)
                assert peer.recv(1) == b"\xff"


def test_no_event_comes_for_inproc(make, watch):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    events = watch(pull)
    address = f"inproc://{unique('quiet')}"
    pull.bind(address)
    push.connect(address)
    push.send(b"x")
    assert recv(pull) == b"x"
    assert not events.pair.poll(0) or not IS_FASTMQ


@fastmq_only("version 2 has no name there")
def test_version_2_tells_both_ends_and_queue_lengths(make):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    push.monitor("inproc://v2", zmq.EVENT_ALL_V2, version=2)
    pair = make(zmq.PAIR)
    pair.connect("inproc://v2")
    pull.bind("tcp://127.0.0.1:*")
    address = last_endpoint(pull)
    push.connect(address)

    def event():
        assert pair.poll(WAIT_MS)
        number, count, *rest = pair.recv_multipart()
        (count,) = struct.unpack("=Q", count)
        values = [struct.unpack("=Q", v)[0] for v in rest[:count]]
        local, remote = rest[count:]
        return struct.unpack("=Q", number)[0], values, local.decode(), remote.decode()

    while (told := event())[0] != zmq.EVENT_HANDSHAKE_SUCCEEDED:
        pass
    assert told[1] == [0]
    assert told[2].startswith("tcp://127.0.0.1:") and told[2] != address
    assert told[3] == address
    push.monitor_stats()
    number, values, local, remote = event()
    assert number == zmq.EVENT_PIPES_STATS
    assert values == [0, 0]
    assert (local, remote) == told[2:]
    name = f"inproc://{unique('stats')}"
    pull.bind(name)
    push.connect(name)
    push.monitor_stats()
    assert [event()[2:], event()[2:]] == [told[2:], (name, name)]
    push.monitor(None, 0)
    assert event()[0] == zmq.EVENT_MONITOR_STOPPED
    with raises_errno(errno.EINVAL):
        push.monitor_stats()
