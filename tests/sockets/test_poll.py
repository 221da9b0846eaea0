# SPDX-License-Identifier: MIT
import errno
import os
import select
import socket
import threading
import time

import pytest
from helpers import (
    QUIET_MS,
    WAIT_MS,
    fill,
    last_endpoint,
    not_readable,
    raises_errno,
    recv,
    settled,
    unique,
)
from target import IS_FASTMQ, fastmq_only, zmq

IN, OUT = zmq.POLLIN, zmq.POLLOUT


def test_poll_of_a_socket_tells_what_it_is_ready_for(pair_of):
    a, b = pair_of(zmq.PAIR, zmq.PAIR)
    assert b.poll(WAIT_MS, OUT) == OUT
    assert b.poll(0, IN) == 0
    b.send(b"x")
    assert a.poll(WAIT_MS) == IN
    assert a.poll(WAIT_MS, IN | OUT) == IN | OUT
    a.recv()
    assert a.poll(0) == 0


def test_poll_without_events_waits_no_longer_than_told(make, endpoint):
    sock = make(zmq.PULL)
    endpoint.bind(sock)
    for timeout in (0, 1, QUIET_MS):
        assert sock.poll(timeout) == 0


def test_poll_without_timeout_ends_when_something_comes(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    t = threading.Timer(0.02, lambda: push.send(b"x"))
    t.start()
    assert pull.poll() == IN
    t.join()


def test_events_and_fd_lead_to_the_message(pair_of):
    """The way that event loops use: wait for the descriptor, then look at EVENTS."""
    import select

    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    for i in range(20):
        push.send(b"%d" % i)
        while not pull.getsockopt(zmq.EVENTS) & IN:
            assert select.select([pull], [], [], WAIT_MS / 1000)[0]
        assert pull.recv(zmq.DONTWAIT) == b"%d" % i
    assert pull.fileno() == pull.getsockopt(zmq.FD) == pull.FD


def test_the_fd_is_readable_for_a_message_that_came_before_it_was_asked_for(pair_of):
    import select

    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    push.send(b"x")
    recv(pull)
    fd = pull.fileno()
    push.send(b"y")
    while not pull.getsockopt(zmq.EVENTS) & IN:
        assert select.select([fd], [], [], WAIT_MS / 1000)[0]
    assert pull.recv() == b"y"


def test_poller_tells_the_ready_ones(make, endpoint):
    poller = zmq.Poller()
    socks = []
    for _ in range(5):
        pull, push = make(zmq.PULL), make(zmq.PUSH)
        endpoint.connect(push, endpoint.bind(pull))
        poller.register(pull, IN)
        socks.append((pull, push))
    assert poller.poll(QUIET_MS) == []
    socks[1][1].send(b"1")
    socks[3][1].send(b"3")
    got = {}
    while len(got) < 2:
        ready = dict(poller.poll(WAIT_MS))
        assert ready, "a message"
        got |= ready
    assert got == {socks[1][0]: IN, socks[3][0]: IN}


def test_poller_of_both_directions(pair_of):
    a, b = pair_of(zmq.PAIR, zmq.PAIR)
    poller = zmq.Poller()
    poller.register(a)
    poller.register(b, OUT)
    assert dict(poller.poll(WAIT_MS))[b] == OUT
    b.send(b"x")
    a.poll(WAIT_MS)
    assert dict(poller.poll(WAIT_MS)) == {a: IN | OUT, b: OUT}


def test_register_modify_unregister(make):
    sock = make(zmq.PUSH)
    poller = zmq.Poller()
    poller.register(sock, IN)
    assert sock in poller
    assert poller.sockets == [(sock, IN)]
    poller.register(sock, OUT)
    assert poller.sockets == [(sock, OUT)]
    poller.modify(sock, IN | OUT)
    assert poller.sockets == [(sock, IN | OUT)]
    poller.unregister(sock)
    assert sock not in poller
    assert poller.poll(0) == []
    with pytest.raises(KeyError):
        poller.unregister(sock)
    poller.register(sock, IN)
    poller.register(sock, 0)
    assert sock not in poller


def test_poller_watches_plain_descriptors_too(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    r, w = os.pipe()
    a, b = socket.socketpair()
    try:
        poller = zmq.Poller()
        poller.register(pull, IN)
        poller.register(r, IN)
        poller.register(a, IN)
        assert poller.poll(0) == []
        os.write(w, b"x")
        assert poller.poll(WAIT_MS) == [(r, IN)]
        b.send(b"y")
        assert dict(poller.poll(WAIT_MS)) == {r: IN, a.fileno(): IN}
        os.read(r, 1)
        a.recv(1)
        push.send(b"z")
        assert poller.poll(WAIT_MS) == [(pull, IN)]
        poller.modify(w, OUT)
        poller.unregister(pull)
        assert poller.poll(WAIT_MS) == [(w, OUT)]
    finally:
        os.close(r)
        os.close(w)
        a.close()
        b.close()


def test_a_closed_pipe_is_told(make):
    r, w = os.pipe()
    poller = zmq.Poller()
    poller.register(r, IN)
    os.close(w)
    [(fd, events)] = poller.poll(WAIT_MS)
    assert fd == r and events
    os.close(r)


def test_an_empty_poller_waits_its_time():
    assert zmq.Poller().poll(1) == []


def test_only_pollable_things_can_be_registered():
    poller = zmq.Poller()
    for wrong in ("x", object(), 1.5):
        with pytest.raises(TypeError):
            poller.register(wrong)
            poller.poll(0)
        poller = zmq.Poller()


def test_polling_a_closed_socket_is_an_error(make):
    sock = make(zmq.PULL)
    poller = zmq.Poller()
    poller.register(sock, IN)
    sock.close()
    with pytest.raises(zmq.ZMQError):
        sock.poll(0)
    if IS_FASTMQ:  # pyzmq polls on in silence
        with pytest.raises(zmq.ZMQError):
            poller.poll(0)


def test_zmq_poll_takes_pairs(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    assert zmq.zmq_poll([(pull, IN)], 0) == []
    push.send(b"x")
    assert zmq.zmq_poll([(pull, IN), (push, OUT)], WAIT_MS)
    pull.poll(WAIT_MS)
    assert dict(zmq.zmq_poll([(pull, IN), (push, OUT)], WAIT_MS)) == {pull: IN, push: OUT}


def test_the_same_descriptor_twice():
    r, w = os.pipe()
    os.write(w, b"x")
    ready = zmq.zmq_poll([(r, IN), (r, IN)], WAIT_MS)
    os.close(r)
    os.close(w)
    assert ready == [(r, IN), (r, IN)]


def test_select_speaks_seconds_and_lists(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    assert zmq.select([pull], [], [], 0.01) == ([], [], [])
    push.send(b"x")
    r, w, _x = zmq.select([pull], [push], [], WAIT_MS / 1000)
    assert pull in r or push in w
    pull.poll(WAIT_MS)
    assert zmq.select([pull], [push], [pull], 1) == ([pull], [push], [])


def test_poll_sees_messages_of_all_transports_at_once(make, tmp_path):
    from helpers import Endpoint

    poller = zmq.Poller()
    pushes = []
    for kind in Endpoint.KINDS:
        e = Endpoint(kind, tmp_path)
        pull, push = make(zmq.PULL), make(zmq.PUSH)
        e.connect(push, e.bind(pull))
        poller.register(pull, IN)
        pushes.append(push)
    for i, push in enumerate(pushes):
        push.send(b"%d" % i)
    got = set()
    while len(got) < len(pushes):
        ready = poller.poll(WAIT_MS)
        assert ready, "a message"
        got |= {sock.recv() for sock, _ in ready}
    assert got == {b"%d" % i for i in range(len(pushes))}


def test_poll_is_level_triggered(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    push.send(b"1")
    push.send(b"2")
    poller = zmq.Poller()
    poller.register(pull, IN)
    for _ in range(3):
        assert poller.poll(WAIT_MS) == [(pull, IN)]
    assert recv(pull) == b"1"
    assert poller.poll(WAIT_MS) == [(pull, IN)]


def test_many_sockets_in_one_poll(ctx):
    socks = []
    poller = zmq.Poller()
    for i in range(150):
        a, b = ctx.socket(zmq.PAIR), ctx.socket(zmq.PAIR)
        a.bind(f"inproc://poll-{i}")
        b.connect(f"inproc://poll-{i}")
        poller.register(a, IN)
        socks.append((a, b))
    for i in (0, 77, 149):
        socks[i][1].send(b"x")
    assert {s for s, _ in poller.poll(WAIT_MS)} == {socks[i][0] for i in (0, 77, 149)}
    for a, b in socks:
        a.close(0)
        b.close(0)


def test_one_poll_waits_while_another_thread_sends_on_a_polled_socket(make, name):
    a, b = make(zmq.PAIR), make(zmq.PAIR)
    address = name()
    a.bind(address)
    b.connect(address)
    done = []
    t = threading.Thread(target=lambda: done.append(a.poll(WAIT_MS)))
    t.start()
    b.send(b"x")
    t.join()
    assert done == [IN]


def test_negative_timeouts_other_than_minus_one_wait_for_ever_too(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    push.send(b"x")
    poller = zmq.Poller()
    poller.register(pull, IN)
    assert poller.poll(-5) == [(pull, IN)]
    with pytest.raises((TypeError, ValueError)):
        poller.poll("soon")


@fastmq_only("pyzmq cuts off what is after the point")
def test_a_part_of_a_millisecond_is_waited_for(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    with pytest.raises(zmq.Again, match="within 1 ms"):
        pull.recv(timeout=0.25)
    with pytest.raises(zmq.Again, match="within 3 ms"):
        pull.recv(timeout=2.5)
    push.send(b"x")
    assert pull.recv(timeout=-0.5) == b"x"
    push.send(b"y")
    assert pull.recv(timeout=float("inf")) == b"y"
    with pytest.raises(TypeError, match="milliseconds"):
        pull.recv(timeout=float("nan"))


def test_bad_descriptors_are_told():
    r, w = os.pipe()
    os.close(r)
    os.close(w)
    poller = zmq.Poller()
    try:
        poller.register(r, IN)
        # An error, or the mark of one: never a wait for ever.
        assert all(events & (zmq.POLLERR | IN) for _, events in poller.poll(1000))
    except zmq.ZMQError:
        pass


def test_recv_errno_of_a_socket_polled_by_mistake(make):
    with raises_errno(zmq.ENOTSUP):
        make(zmq.PUSH).recv(zmq.DONTWAIT)


# ---- nobody spins ----


def busy_share(wait):
    """The share of a core that the process burns while `wait` runs."""
    start, cpu = time.monotonic(), time.process_time()
    wait()
    return (time.process_time() - cpu) / (time.monotonic() - start)


def test_a_watched_socket_with_an_unread_message_burns_no_cpu(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    push.send(b"x")
    assert pull.poll(WAIT_MS)
    poller = zmq.Poller()
    poller.register(pull, IN)
    assert poller.poll(WAIT_MS)
    assert busy_share(lambda: time.sleep(0.3)) < 0.5
    assert pull.fileno() >= 0
    assert busy_share(lambda: time.sleep(0.3)) < 0.5
    poller.unregister(pull)
    pull.recv()
    assert busy_share(lambda: pull.poll(300)) < 0.5


def test_waiting_for_one_event_is_not_disturbed_by_the_other(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    push.send(b"x")
    assert pull.poll(WAIT_MS)
    poller = zmq.Poller()
    poller.register(pull, OUT)
    assert busy_share(lambda: poller.poll(300)) < 0.5
    poller.register(push, IN)
    poller.unregister(pull)
    assert busy_share(lambda: poller.poll(300)) < 0.5


def test_two_pollers_with_different_wishes_share_a_socket(pair_of):
    a, b = pair_of(zmq.PAIR, zmq.PAIR)
    b.send(b"x")
    assert a.poll(WAIT_MS)
    a.recv()
    reads, writes = zmq.Poller(), zmq.Poller()
    reads.register(a, IN)
    writes.register(a, OUT)
    assert writes.poll(WAIT_MS) == [(a, OUT)]
    assert busy_share(lambda: reads.poll(300)) < 0.5
    b.send(b"y")
    assert reads.poll(WAIT_MS) == [(a, IN)]


def test_the_descriptor_is_readable_for_as_long_as_there_is_a_message(pair_of):
    at_once = {"shm": 2} if hasattr(zmq, "SHM") else {}
    pull, push = pair_of(zmq.PULL, zmq.PUSH, at_once, at_once)
    settled(pull, push)
    fd = pull.fileno()
    for i in range(3):
        push.send(b"%d" % i)
    got = []
    while len(got) < 3:
        assert select.select([fd], [], [], WAIT_MS / 1000)[0], f"not readable after {got}"
        if pull.getsockopt(zmq.EVENTS) & IN:
            got.append(pull.recv(zmq.DONTWAIT))
    assert got == [b"0", b"1", b"2"]
    assert not pull.getsockopt(zmq.EVENTS) & IN
    assert not_readable(pull)


@pytest.fixture
def pipes():
    """Pipes with something to read: their reading ends."""
    opened = []

    def more(count):
        ends = [os.pipe() for _ in range(count)]
        opened.extend(fd for pair in ends for fd in pair)
        for _, w in ends:
            os.write(w, b"x")
        return [r for r, _ in ends]

    yield more
    for fd in opened:
        os.close(fd)


def test_all_that_are_ready_are_told_however_many(pipes):
    ready = pipes(150)
    poller = zmq.Poller()
    for fd in ready:
        poller.register(fd, zmq.POLLIN)
    assert sorted(fd for fd, _ in poller.poll(0)) == sorted(ready)
    assert len(zmq.zmq_poll([(fd, zmq.POLLIN) for fd in ready], 0)) == 150
    assert zmq.select(ready, [], [], 0)[0] == ready


def test_what_is_ready_is_not_hidden_by_sockets_that_had_only_to_be_driven(make, pipes):
    pairs = []
    poller = zmq.Poller()
    for _ in range(150):
        pull, push = make(zmq.PULL), make(zmq.PUSH)
        address = f"inproc://{unique('hidden')}"
        pull.bind(address)
        push.connect(address)
        poller.register(pull, zmq.POLLIN)
        pairs.append((pull, push))
    assert poller.poll(0) == []
    for _, push in pairs:
        push.send(b"x")
    for pull, _ in pairs:
        pull.recv()
    (fd,) = pipes(1)
    poller.register(fd, zmq.POLLIN)
    assert poller.poll(0) == [(fd, zmq.POLLIN)]


@fastmq_only("a closed socket makes pyzmq's poll raise in its own way")
def test_a_member_that_was_closed_is_an_error_every_time(make):
    gone, other = make(zmq.PULL), make(zmq.PULL)
    poller = zmq.Poller()
    poller.register(gone, zmq.POLLIN)
    poller.register(other, zmq.POLLIN)
    assert poller.poll(0) == []
    gone.close()
    for _ in range(3):
        with raises_errno(errno.ENOTSOCK):
            poller.poll(WAIT_MS)


@fastmq_only("pollers are not for several threads")
def test_a_member_changed_while_another_thread_waits_is_still_seen_by_it(make):
    for _ in range(20):
        pull, push = make(zmq.PULL), make(zmq.PUSH)
        address = f"inproc://{unique('changed')}"
        pull.bind(address)
        push.connect(address)
        poller = zmq.Poller()
        poller.register(pull, zmq.POLLIN)
        told = []
        waiting = threading.Thread(target=lambda p=poller, t=told: t.append(p.poll(WAIT_MS)))
        waiting.start()
        poller.register(pull, zmq.POLLIN)
        push.send(b"x")
        waiting.join(WAIT_MS / 2000)
        assert told == [[(pull, zmq.POLLIN)]]


def many_pollers(sock, count):
    pollers = [zmq.Poller() for _ in range(count)]
    for poller in pollers:
        poller.register(sock, zmq.POLLIN)
    return pollers


@pytest.mark.parametrize("endpoint", ["tcp", "ipc", "inproc"], indirect=True)
def test_a_socket_may_be_in_thousands_of_pollers(make, endpoint):
    pull, push, late = make(zmq.PULL), make(zmq.PUSH), make(zmq.PUSH)
    address = endpoint.bind(pull)
    endpoint.connect(push, address)
    pollers = many_pollers(pull, 2000)
    assert all(poller.poll(0) == [] for poller in pollers)
    push.send(b"1")
    assert all(poller.poll(8000) == [(pull, zmq.POLLIN)] for poller in pollers)
    assert recv(pull) == b"1"
    assert all(poller.poll(0) == [] for poller in pollers)
    endpoint.connect(late, address)  # its connection finds a place in the socket's own poller
    late.send(b"2")
    assert pollers[-1].poll(8000) == [(pull, zmq.POLLIN)]
    assert recv(pull) == b"2"
    for poller in pollers[::2]:
        poller.unregister(pull)
    push.send(b"3")
    assert all(poller.poll(8000) == [(pull, zmq.POLLIN)] for poller in pollers[1::2])


@pytest.mark.parametrize("event", ["POLLIN", "POLLOUT"])
def test_a_poller_among_many_wakes_up(make, event):
    """One that was registered late waits as the first do, for input and for room."""
    pull, push = make(zmq.PULL, rcvhwm=1), make(zmq.PUSH, sndhwm=1)
    pull.bind("tcp://127.0.0.1:*")
    push.connect(last_endpoint(pull))
    sock = pull if event == "POLLIN" else push
    if event == "POLLOUT":
        fill(push, bytes(100_000))
    keep = many_pollers(sock, 600)
    poller = zmq.Poller()
    poller.register(sock, getattr(zmq, event))

    def act():
        if event == "POLLIN":
            push.send(b"now")
        else:
            while pull.poll(200):
                pull.recv()

    waiting = threading.Timer(0.05, act)
    waiting.start()
    assert poller.poll(8000) == [(sock, getattr(zmq, event))]
    waiting.join()
    assert keep


@pytest.mark.slow
@fastmq_only("pyzmq's sockets are for one thread")
def test_hundreds_of_threads_wait_for_one_socket_in_pollers_of_their_own(make):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind("tcp://127.0.0.1:*")
    push.connect(last_endpoint(pull))
    told = []
    threads = [
        threading.Thread(target=lambda p=poller: told.append(p.poll(20_000)))
        for poller in many_pollers(pull, 450)
    ]
    for thread in threads:
        thread.start()
    push.send(b"x")
    for thread in threads:
        thread.join()
    assert told == [[(pull, zmq.POLLIN)]] * len(threads)
    assert recv(pull) == b"x"


def test_a_socket_and_its_shadows_are_members_of_their_own(make):
    a, b = make(zmq.PAIR), make(zmq.PAIR)
    a.bind("tcp://127.0.0.1:*")
    b.connect(last_endpoint(a))
    first, second = zmq.Socket(shadow=a), zmq.Socket(shadow=a)
    poller = zmq.Poller()
    poller.register(first, zmq.POLLIN)
    poller.register(a, zmq.POLLIN)
    poller.register(second, zmq.POLLOUT)
    assert poller.poll(8000) == [(second, zmq.POLLOUT)]
    b.send(b"x")
    poller.unregister(second)
    assert poller.poll(8000) == [(first, zmq.POLLIN), (a, zmq.POLLIN)]
    poller.unregister(first)
    assert poller.poll(8000) == [(a, zmq.POLLIN)]
    poller.modify(a, zmq.POLLOUT)
    poller.register(second, zmq.POLLIN)
    assert poller.poll(8000) == [(a, zmq.POLLOUT), (second, zmq.POLLIN)]
    poller.unregister(a)
    poller.unregister(second)
    assert poller.poll(0) == []


def test_a_file_and_its_number_are_members_of_their_own():
    poller = zmq.Poller()
    r, w = os.pipe()
    with open(r, "rb") as reader, open(w, "wb", buffering=0) as writer:
        poller.register(r, zmq.POLLIN)
        poller.register(reader, zmq.POLLIN)
        assert poller.poll(0) == []
        writer.write(b"x")
        assert poller.poll(8000) == [(r, zmq.POLLIN)] * 2
        poller.unregister(r)
        assert poller.poll(8000) == [(r, zmq.POLLIN)]
        poller.unregister(reader)


def test_a_number_that_now_means_another_file_can_be_registered_again():
    poller = zmq.Poller()
    number, w = os.pipe()
    poller.register(number, zmq.POLLIN)
    os.close(number)
    os.close(w)
    r, w = os.pipe()
    os.dup2(r, number)
    poller.register(number, zmq.POLLIN)
    os.write(w, b"x")
    assert poller.poll(8000) == [(number, zmq.POLLIN)]
    for fd in {r, w, number}:
        os.close(fd)


def test_a_member_is_told_by_the_name_it_has_whoever_shares_its_descriptor_and_leaves():
    read, write = os.pipe()
    try:
        with open(read, "rb", closefd=False) as file:
            poller = zmq.Poller()
            os.write(write, b"x")
            poller.register(file, zmq.POLLIN)
            assert poller.poll(1000) == [(read, zmq.POLLIN)]
            poller.register(read, zmq.POLLIN)
            assert poller.poll(1000) == [(read, zmq.POLLIN)] * 2
            poller.unregister(file)  # the first of the two
            assert poller.poll(1000) == [(read, zmq.POLLIN)]
            poller.unregister(read)
            assert poller.poll(0) == []
            poller.register(file, zmq.POLLIN)
            assert poller.poll(1000) == [(read, zmq.POLLIN)]
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.parametrize("flags", [-1, -2])
def test_flags_with_all_bits_set_watch_for_everything(make, flags):
    sock = make(zmq.DEALER)
    poller = zmq.Poller()
    poller.register(sock, flags)
    poller.register(sock, flags)  # again: changes it
    assert poller.poll(0) == []


@pytest.mark.parametrize("timeout", ["1", b"1", bytearray(b"1"), object()])
def test_a_timeout_is_a_number(make, timeout):
    sock = make(zmq.PULL)
    poller = zmq.Poller()
    poller.register(sock, zmq.POLLIN)
    for wait in (sock.poll, poller.poll):
        with pytest.raises(TypeError):
            wait(timeout)
