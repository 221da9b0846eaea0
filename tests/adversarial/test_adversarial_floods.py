# SPDX-License-Identifier: MIT
"""Connections without number: opened and dropped, held, begun and left."""

import contextlib
import errno
import os
import resource
import selectors
import socket
import struct
import threading
import time

import pytest
import wire
from helpers import WAIT_MS, eventually
from scene import MB, ROOM, matrix, push, rss


def port_of(place):
    return int(place.address.rsplit(":", 1)[1])


def sockaddr(place):
    if place.address.startswith("ipc://"):
        return socket.AF_UNIX, place.address[6:]
    return socket.AF_INET, ("127.0.0.1", port_of(place))


def dial(place):
    """A bare connection; waits while the backlog is full."""
    family, where = sockaddr(place)
    sock = socket.socket(family)
    try:
        sock.connect(where)
    except BaseException:
        sock.close()
        raise
    return sock


def drop_quickly(sock):
    """With a reset, so that the system does not remember ten thousand ports."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.slow
@pytest.mark.deadline(90)
@matrix(("PULL", "NULL", "tcp"), ("PUB", "NULL", "ipc"), ("ROUTER", "CURVE", "tcp"))
def test_ten_thousand_connections_that_come_and_go(scene, setting):
    place = scene(*setting, backlog=1000)
    data = wire.greeting(mechanism=setting[1].encode())
    before = rss()
    with place.healthy.busy():
        for i in range(10_000):
            sock = dial(place)
            with contextlib.suppress(OSError):
                if i % 3:
                    sock.send(data[: i % 65])
            drop_quickly(sock)
        eventually("all of them seen off", lambda: len(place.server.peers()) == 1, 20)
    assert rss() - before < 24 * MB
    place.settle()


@pytest.mark.slow
@pytest.mark.deadline(90)
@matrix(("PULL", "NULL", "tcp"), ("REP", "NULL", "ipc"))
def test_as_many_silent_connections_as_descriptors_allow(scene, setting):
    """Each costs two descriptors here, one of them the engine's, and little memory."""
    place = scene(*setting, backlog=1000, handshake_ivl=60_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = min(hard if hard != resource.RLIM_INFINITY else 20_000, 20_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, want), hard))
    held = []
    try:
        count = min(8000, (max(soft, want) - len(os.listdir("/proc/self/fd"))) // 2 - 200)
        before = rss()
        with place.healthy.busy():
            for _ in range(count):
                held.append(dial(place))
                held[-1].send(wire.greeting()[:30])
            eventually("all of them", lambda: len(place.server.peers()) == count + 1, 30)
            grown = rss() - before
            assert grown / count < 12 << 10, f"{grown} bytes for {count} connections"
        for sock in held:
            drop_quickly(sock)
        eventually("all gone", lambda: len(place.server.peers()) == 1, 30)
    finally:
        for sock in held:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    place.settle()


def test_no_descriptor_left_holds_up_newcomers_and_nobody_else(scene):
    """Those who are in notice nothing; when descriptors are free again, others come in."""
    place = scene("REP")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients = [socket.socket() for _ in range(20)]
    spare = []
    try:
        with place.healthy.busy():
            highest = max(int(n) for n in os.listdir("/proc/self/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
            with contextlib.suppress(OSError):
                while True:
                    spare.append(os.open("/dev/null", os.O_RDONLY))
            for c in clients:
                c.connect(("127.0.0.1", port_of(place)))
            begin = place.healthy.count
            eventually("the healthy one goes on", lambda: place.healthy.count > begin + 50)
    finally:
        for fd in spare:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with place.healthy.busy():
        eventually("the others let in", lambda: len(place.server.peers()) == 21)
        for c in clients:
            c.close()
    place.settle()


@pytest.mark.slow
def test_handshakes_that_were_begun_go_with_their_interval(scene):
    place = scene("PULL")
    with place.healthy.busy():
        held = [place.talk().advance(i % 2) for i in range(300)]
        place.failed(300)
        for w in held:
            w.wait_closed()
            w.close()
    place.settle()


@matrix(("PULL", "NULL", "tcp"), ("ROUTER", "NULL", "ipc"), ("PUB", "PLAIN", "tcp"))
def test_peers_that_come_and_go_after_the_handshake(scene, setting):
    place = scene(*setting)
    before = rss()
    with place.healthy.busy():
        for _ in range(200):
            with place.talk().enter() as w:
                push(w, w.message())
    assert rss() - before < ROOM
    place.settle()


def test_routers_tell_a_thousand_of_the_same_name_apart(scene):
    """A name that is taken is not taken from its holder."""
    place = scene("ROUTER")
    with place.healthy.busy():
        held = []
        for _ in range(200):
            w = wire.connect(place.address)
            w.handshake("DEALER", identity=b"the same")
            w.send_message(b"it is me")
            held.append(w)
        # Who is not served is not heard, and may not fill the memory.
        for w in held:
            w.close()
    place.settle()


def test_names_of_every_kind_are_routed_or_refused(scene):
    place = scene("ROUTER")
    with place.healthy.busy():
        for name in (b"\0made up", b"\0" * 5, b"x" * 255, b"", b"\xff"):
            with wire.connect(place.address) as w:
                w.handshake("DEALER", identity=name)
                w.send_message(b"named")
    place.settle()


@pytest.mark.slow
def test_a_crowd_that_all_drip_is_gone_together(scene):
    """Five hundred of them send a byte now and then; the interval ends all, and costs little."""
    place = scene("PULL")
    selector = selectors.DefaultSelector()
    with place.healthy.busy():
        held = [dial(place) for _ in range(500)]
        for sock in held:
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ)
        data = wire.greeting()
        end = time.monotonic() + WAIT_MS / 1000
        sent = 0
        gone = set()
        while len(gone) < len(held):
            assert time.monotonic() < end, f"{len(held) - len(gone)} are still there"
            for sock in held:
                if sock in gone or sent >= 60:
                    continue
                try:
                    sock.send(data[sent : sent + 1])
                except OSError as e:
                    assert e.errno in (errno.EPIPE, errno.ECONNRESET)
            sent += 1
            for key, _ in selector.select(0.05):
                try:
                    if key.fileobj.recv(4096) == b"":
                        gone.add(key.fileobj)
                except ConnectionError:
                    gone.add(key.fileobj)
                if key.fileobj in gone:
                    selector.unregister(key.fileobj)
        for sock in held:
            sock.close()
    selector.close()
    place.settle()


@pytest.mark.slow
def test_connections_of_many_threads_at_once(scene):
    place = scene("PULL", backlog=1000)

    def rush():
        for i in range(200):
            sock = dial(place)
            with contextlib.suppress(OSError):
                sock.send(wire.greeting() + wire.ready("PUSH") + wire.frame(b"m") * (i % 5))
            drop_quickly(sock)

    with place.healthy.busy():
        threads = [threading.Thread(target=rush) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    place.settle()
