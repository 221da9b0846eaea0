# SPDX-License-Identifier: MIT
"""Shared memory with a hostile process of the same user at the other end, on either side and while
messages pass: it costs its own connection, and nothing is left behind. Killed processes, too."""

import contextlib
import errno
import mmap
import os
import random
import resource
import secrets
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wire
from helpers import eventually, last_endpoint, lasting_descriptors, recv
from target import IS_FASTMQ, zmq
from test_shm import RING, WHOLE, Hostile, hand_over, in_memory, link, memory, other_process, reason

pytestmark = pytest.mark.skipif(
    not IS_FASTMQ or not sys.platform.startswith("linux"), reason="shared memory of Linux"
)

PAGE = os.sysconf("SC_PAGESIZE")
# Of the two rings' parts of the page: the first is written by the side that made the memory.
WRITTEN, READ, READER, WRITER = 0, 64, 128, 192
PART = 256


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTMQ_SHM", "2")


class Healthy:
    """A publisher with a subscriber that gets all of it, whatever others do meanwhile, and a PULL
    with a PUSH that does."""

    def __init__(self, make: Any) -> None:
        self.pub, self.pull = make(zmq.PUB, sndhwm=0), make(zmq.PULL)
        self.sub, self.push = make(zmq.SUB, rcvhwm=0, subscribe=b""), make(zmq.PUSH)
        for server, client in ((self.pub, self.sub), (self.pull, self.push)):
            server.bind("tcp://127.0.0.1:*")
            client.connect(last_endpoint(server))
        in_memory(self.sub, self.push)
        self.pub.wait_for_subscribers(timeout=8000)
        self.number = 0

    def pass_some(self, count: int = 20) -> None:
        for _ in range(count):
            body = b"%d" % self.number
            self.pub.send(body * 100)
            self.push.send(body)
            while recv(self.pull) != body:
                continue  # of the attacker, who may send what it likes
            self.number += 1

    def check(self) -> None:
        self.pass_some()
        for n in range(self.number):
            assert recv(self.sub) == b"%d" % n * 100
        assert link(self.sub) == link(self.push) == "shm"


@pytest.fixture
def healthy(make: Any) -> Iterator[Healthy]:
    one = Healthy(make)
    before = lasting_descriptors()
    yield one
    one.check()
    eventually("the others' ends", lambda: len(one.pull.peers()) == len(one.pub.peers()) == 1)
    eventually("no descriptor left", lambda: lasting_descriptors() <= before)


@contextlib.contextmanager
def attacker(sock: Any, kind: str) -> Iterator[Hostile]:
    one = Hostile(sock, kind)
    try:
        yield one
    finally:
        one.close()


def scribble(view: memoryview, draw: random.Random) -> None:
    """Somewhere in the page, or in what is in the ring."""
    value = draw.choice(
        [draw.getrandbits(64), draw.randrange(3 * RING), 0, (1 << 64) - 1, draw.getrandbits(1)]
    )
    at = draw.choice([WRITTEN, READ, READER, READER + 4, WRITER]) + draw.choice([0, PART])
    if draw.random() < 0.3:
        at = draw.randrange(0, 2 * PART, 4)
    if draw.random() < 0.3:
        at = PAGE + draw.randrange(0, 2 * RING, 8)
    struct.pack_into("Q", view, min(at, len(view) - 8), value)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["PUSH", "SUB"])
def test_scribbling_while_messages_pass_costs_the_connection_alone(healthy, kind, seed):
    draw = random.Random(seed)
    with attacker(healthy.pull if kind == "PUSH" else healthy.pub, kind) as hostile:
        if kind == "SUB":
            hostile.wire.send(wire.command(b"SUBSCRIBE", b""))
        view = hostile.move()
        if kind == "PUSH":
            frame = wire.frame(b"x" * 100)
            view[PAGE : PAGE + len(frame)] = frame
            struct.pack_into("Q", view, WRITTEN, len(frame))
        with contextlib.suppress(OSError):
            for _ in range(200):
                healthy.pass_some(1)
                for _ in range(draw.randrange(20)):
                    scribble(view, draw)
                hostile.wire.send(b"\0")
                if kind == "PUSH":
                    while healthy.pull.poll(0):
                        healthy.pull.recv()


@pytest.mark.parametrize("place", [RING + 1, 1, 1 << 63, (1 << 64) - 1])
def test_a_reader_in_an_impossible_place_ends_the_connection(healthy, place):
    """What has been read is more than was written, or less than before."""
    with attacker(healthy.pub, "SUB") as hostile:
        hostile.wire.send(wire.command(b"SUBSCRIBE", b""))
        view = hostile.move()
        struct.pack_into("Q", view, PART + READ, 1 << 40 if place == 1 else place)
        healthy.pub.wait_for_subscribers(2, timeout=8000)
        while len(healthy.pub.peers()) == 2:
            healthy.pass_some(1)
            with contextlib.suppress(OSError):
                hostile.wire.send(b"\0")
            if healthy.number > 5000:
                pytest.fail("the connection goes on")


def test_a_writer_that_goes_back_ends_the_connection(healthy):
    with attacker(healthy.pull, "PUSH") as hostile:
        view = hostile.move()
        frame = wire.frame(b"first")
        view[PAGE : PAGE + len(frame)] = frame
        struct.pack_into("Q", view, WRITTEN, len(frame))
        hostile.wire.send(b"\0")
        assert recv(healthy.pull) == b"first"
        struct.pack_into("Q", view, WRITTEN, 2)
        hostile.wire.send(b"\0")
        hostile.wire.wait_closed()


@pytest.mark.parametrize("argument", [b"\0", b"\1"])
def test_a_second_switch_is_a_violation(healthy, argument):
    with attacker(healthy.pull, "PUSH") as hostile:
        view = hostile.move()
        command = wire.command(b"SWITCH", argument)
        view[PAGE : PAGE + len(command)] = command
        struct.pack_into("Q", view, WRITTEN, len(command))
        hostile.wire.send(b"\0")
        hostile.wire.wait_closed()


def test_what_was_handed_over_cannot_be_cut(healthy):
    with attacker(healthy.pull, "PUSH") as hostile:
        fd = memory(WHOLE)
        hand_over(hostile.name, hostile.message(), fd)
        assert hostile.wire.read_command() == (b"SWITCH", b"\0")
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 2 * WHOLE)
        os.close(fd)


@pytest.mark.parametrize("count", [3, 100, 253])
def test_more_descriptors_than_are_wanted_are_closed(healthy, count):
    with attacker(healthy.pull, "PUSH") as hostile:
        before = lasting_descriptors()
        with open(os.devnull) as null:
            for _ in range(5):
                with contextlib.suppress(OSError):
                    hand_over(hostile.name, hostile.message(), *[null.fileno()] * count)
        eventually("no descriptor left", lambda: lasting_descriptors() <= before)
        hostile.wire.send_message(b"on the socket")
        assert recv(healthy.pull) == b"on the socket"


def test_a_visitor_that_is_silent_is_sent_away(healthy):
    with attacker(healthy.pull, "PUSH") as hostile, contextlib.ExitStack() as stack:
        silent = []
        for _ in range(10):
            s = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            s.settimeout(8)
            s.connect(b"\0" + hostile.name)
            silent.append(s)
        for s in silent:
            assert s.recv(10) == b""


@pytest.mark.parametrize("what", [b"", b"\0", b"\1" * 25, b"x" * 256, b"x" * 5000])
def test_a_visitor_that_talks_nonsense_is_sent_away(healthy, what):
    with (
        attacker(healthy.pull, "PUSH") as hostile,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s,
    ):
        s.settimeout(8)
        s.connect(b"\0" + hostile.name)
        if what:
            s.send(what)
            assert s.recv(10) == b""


# ---- the side that accepts ----


class Server:
    """Accepts a connection of `sock`, and waits at a meeting point of its own for the memory."""

    def __init__(self, healthy: Healthy, sock: Any, kind: str, during: Any = None) -> None:
        with wire.connect(last_endpoint(healthy.pull)) as first:
            first.handshake("PUSH")
            words = first.peer_props["X-Fastmq-Shm"].split()
        name = secrets.token_hex(8).encode()
        self.point = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.point.settimeout(8)
        self.point.bind(b"\0" + name)
        self.point.listen()
        with wire.Listener() as listener:
            sock.connect(listener.address)
            self.wire = listener.accept()
        port = b"%d" % self.wire.sock.getpeername()[1]
        offer = [*words[:3], name, b"00" * 16, port]
        self.view: memoryview | None = None
        with during(self) if during else contextlib.nullcontext():
            self.wire.handshake(kind, X_Fastmq_Shm=b" ".join(offer))

    def memory(self) -> memoryview:
        """What the other side has handed over."""
        visitor, _ = self.point.accept()
        with visitor:
            _, rights, _, _ = visitor.recvmsg(1000, 1000)
        (fd,) = struct.unpack("i", rights[0][2])
        self.map = mmap.mmap(fd, os.fstat(fd).st_size)
        os.close(fd)
        self.view = memoryview(self.map)
        return self.view

    def switch(self) -> None:
        self.wire.send(wire.command(b"SWITCH", b"\0"))
        while (found := self.wire.read_command())[0] != b"SWITCH":
            continue
        assert found[1] == b"\0"

    def unmap(self) -> None:
        if self.view is not None:
            self.view.release()
            self.map.close()
            self.view = None

    def close(self) -> None:
        self.wire.close()
        self.point.close()
        self.unmap()


@pytest.fixture
def server(healthy: Healthy, make: Any) -> Iterator[Any]:
    made: list[tuple[Server, Any]] = []

    def new(kind: int, peer: str, during: Any = None, **options: Any) -> tuple[Any, Server]:
        sock = make(kind, **{"reconnect_ivl": -1, "linger": 0, **options})
        one = Server(healthy, sock, peer, during and (lambda server: during(sock, server)))
        made.append((one, sock))
        return sock, one

    yield new
    for one, sock in made:
        one.close()
        sock.close()


def test_a_server_that_never_switches_leaves_the_connection_on_its_socket(server):
    sock, one = server(zmq.DEALER, "DEALER")
    one.memory()
    one.wire.send_message(b"to you")
    assert recv(sock) == b"to you"
    sock.send(b"to me")
    assert one.wire.read_message() == [b"to me"]


def test_a_server_that_refuses_gets_what_is_sent_on_the_socket(ctx, server):
    sock, one = server(zmq.DEALER, "DEALER")
    one.memory()
    one.wire.send(wire.command(b"SWITCH", b"\1"))
    one.wire.send_message(b"to you")
    assert recv(sock) == b"to you"
    sock.send(b"to me")
    assert one.wire.read_message() == [b"to me"]
    assert link(sock) == "socket"
    assert reason(sock) == f"it failed: {os.strerror(errno.ECONNREFUSED)}"
    one.wire.send(wire.command(b"SWITCH", b"\0"))  # there is nothing to switch to
    eventually("its end", lambda: not sock.peers())


def mappings() -> int:
    with open("/proc/self/maps", encoding="ascii") as maps:
        return sum("memfd:fastmq" in line for line in maps)


def test_a_ring_that_makes_no_sense_is_a_loss_and_no_protocol_error(server, watch):
    """The connecter tries again, whatever RECONNECT_STOP says of protocol errors."""
    sock, one = server(
        zmq.PULL, "PUSH", reconnect_ivl=10, reconnect_stop=zmq.RECONNECT_STOP_PROTOCOL_ERROR
    )
    events = watch(sock)
    view = one.memory()
    one.switch()
    struct.pack_into("Q", view, PART + WRITTEN, 1 << 63)
    one.wire.send(b"\0")
    broken = zmq.EVENT_PROTOCOL_VIOLATION
    assert events.wait(zmq.EVENT_DISCONNECTED, broken)[0] == zmq.EVENT_DISCONNECTED
    assert events.wait(zmq.EVENT_CONNECT_RETRIED, broken)[0] == zmq.EVENT_CONNECT_RETRIED


def test_memory_that_was_refused_is_released(ctx, server):
    server(zmq.DEALER, "DEALER")[1].memory()  # one that is not refused
    before, stats = mappings(), ctx.stats()
    sock, one = server(zmq.DEALER, "DEALER")
    one.memory()
    one.unmap()
    eventually("one more", lambda: mappings() == before + 1)
    assert ctx.stats().shm_connections == stats.shm_connections + 1
    assert ctx.stats().shm_bytes > stats.shm_bytes
    one.wire.send(wire.command(b"SWITCH", b"\1"))
    one.wire.send_message(b"to you")
    assert recv(sock) == b"to you"
    assert mappings() == before
    now = ctx.stats()
    assert (now.shm_connections, now.shm_bytes) == (stats.shm_connections, stats.shm_bytes)
    for i in range(100):
        sock.send(b"%d" % i)
    sock.linger = 8000  # what it has sent is not lost either
    sock.disconnect(sock.last_endpoint)
    for i in range(100):
        assert one.wire.read_message() == [b"%d" % i]
    assert one.wire.wait_closed() == b""


@pytest.mark.parametrize("shm", [1, 2])
def test_memory_that_could_not_be_offered_for_want_of_descriptors_is_offered_later(server, shm):
    @contextlib.contextmanager
    def no_descriptors(sock: Any, one: Server) -> Iterator[None]:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        os.close(lowest := os.dup(0))  # none below it is free; poll needs a limit above 0
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            yield
            one.wire.send_message(bytes(9000))
            assert recv(sock) == bytes(9000)
            assert link(sock) == "socket"
            assert reason(sock) == f"not yet: {os.strerror(errno.EMFILE)}"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    sock, one = server(zmq.DEALER, "DEALER", no_descriptors, shm=shm)
    one.wire.send_message(bytes(20000))
    assert recv(sock) == bytes(20000)
    one.memory()
    one.switch()
    eventually("it is in memory", lambda: link(sock) == "shm")


@pytest.mark.parametrize("seed", range(6))
def test_a_server_that_scribbles_costs_the_connection_alone(healthy, server, seed):
    draw = random.Random(seed)
    sock, one = server(zmq.DEALER, "DEALER")
    view = one.memory()
    one.switch()
    for _ in range(100):
        healthy.pass_some(1)
        with contextlib.suppress(zmq.ZMQError):
            sock.send(b"x" * 1000, zmq.DONTWAIT)
        scribble(view, draw)
        with contextlib.suppress(OSError):
            one.wire.send(b"\0")
        while sock.poll(0):
            sock.recv_multipart()


def test_a_server_that_closes_in_the_middle_of_the_switch_is_gone(server):
    sock, one = server(zmq.DEALER, "DEALER")
    one.memory()
    one.wire.send(wire.command(b"SWITCH", b"\0")[:5])
    one.close()
    eventually("its end", lambda: not sock.peers())


# ---- processes that are killed ----

TALK = """
import os, sys, threading
import fastmq as zmq

def body(i):
    return b"%d:" % i + bytes([i % 251]) * (i * 37 % 5000)

ctx = zmq.Context()
dealer = ctx.socket(zmq.DEALER)
dealer.set_hwm(0 if sys.argv[2] == "fast" else 10)
getattr(dealer, sys.argv[3])(sys.argv[1])
if sys.argv[3] == "bind":
    with open(sys.argv[4] + "~", "wb") as file:
        file.write(dealer.getsockopt(zmq.LAST_ENDPOINT))
    os.rename(file.name, sys.argv[4])

def hear():
    i = 0
    while True:
        assert dealer.recv() == body(i), i
        i += 1

shadow = threading.Thread(target=hear, daemon=True)
shadow.start()
i = 0
while shadow.is_alive():
    dealer.send(body(i))
    i += 1
"""


def body(i: int) -> bytes:
    return b"%d:" % i + bytes([i % 251]) * (i * 37 % 5000)


def named_memory(pid: int) -> set[str]:
    """What the process has open or mapped in /dev/shm, where it would outlive it. A look at what is
    there would find what other programs have."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    found = {line.split(maxsplit=5)[-1] for line in maps.splitlines()}
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(fd.readlink()))
    return {name for name in found if name.startswith("/dev/shm/")}


@pytest.mark.slow
@pytest.mark.deadline(600)
@pytest.mark.parametrize("pace", ["fast", "slow"])
@pytest.mark.parametrize("side", ["connect", "bind"])
@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_killing_a_peer_while_both_talk_leaves_nothing(ctx, make, tmp_path, transport, side, pace):
    """Either side may have made the memory. FASTMQ_TEST_KILLS=250 makes it 1,000 a transport."""
    rounds = int(os.environ.get("FASTMQ_TEST_KILLS", "10"))
    before, own = None, named_memory(os.getpid())
    for turn in range(rounds):
        dealer = make(zmq.DEALER, linger=0, reconnect_ivl=-1, hwm=10)
        address = f"ipc://{tmp_path}/{turn}" if transport == "ipc" else "tcp://127.0.0.1:*"
        told = tmp_path / f"{turn}.address"
        if side == "connect":
            dealer.bind(address)
            address = last_endpoint(dealer)
        with other_process(TALK, address, pace, side, str(told)) as process:
            if side == "bind":
                eventually("its address", told.exists, 20)
                dealer.connect(told.read_bytes().rstrip(b"\0").decode())
            ended = threading.Event()

            def talk(sock: Any = dealer, ended: Any = ended) -> None:
                i = 0
                with contextlib.suppress(zmq.ZMQError):
                    while not ended.is_set():
                        sock.send(body(i))
                        i += 1

            dealer.sndtimeo = 500
            thread = threading.Thread(target=talk)
            thread.start()
            got, most = 0, secrets.choice((0, 1 + secrets.randbelow(1500)))
            if not most:  # in the handshake, while the memory is handed over, or shortly after
                eventually("the connection", dealer.peers, 20)
                time.sleep(secrets.randbelow(3000) / 1e6)
            while got < most:
                assert recv(dealer) == body(got)
                got += 1
            assert named_memory(process.pid) | named_memory(os.getpid()) <= own
            process.send_signal(signal.SIGKILL)
            process.wait()
            ended.set()
        while dealer.poll(0) or dealer.peers():  # what it wrote before
            if dealer.poll(10):
                assert dealer.recv() == body(got)
                got += 1
        thread.join()
        dealer.close()
        eventually("its memory", lambda: ctx.stats().shm_bytes == 0)
        if before is None:
            before = lasting_descriptors()
    assert before is not None
    eventually("no descriptor left", lambda: lasting_descriptors() <= before)
