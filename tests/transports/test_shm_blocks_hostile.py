# SPDX-License-Identifier: MIT
"""Blocks with a hostile process of the same user at the other end: it costs one connection."""

import contextlib
import ctypes
import gc
import mmap
import os
import secrets
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import wire
from helpers import eventually, last_endpoint, lasting_descriptors, recv
from target import IS_FASTMQ, zmq
from test_shm import GROWN, RING, Hostile, link, memory

pytestmark = pytest.mark.skipif(
    not IS_FASTMQ or not sys.platform.startswith("linux"), reason="shared memory of Linux"
)

PAGE = os.sysconf("SC_PAGESIZE")
MIB = 1 << 20
ASK, OFFER, PLACE = b"\0", b"\1", b"\2"
# Of the page that the two sides share.
TAKEN, WANTED, GIVEN, SLOTS = 0, 64, 128, 256


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTMQ_SHM", "2")


class Rings:
    """A hostile peer's two rings: it has made the memory, so it writes to the first."""

    def __init__(self, sock: Any, kind: str) -> None:
        self.peer = Hostile(sock, kind)
        self.view = self.peer.move()
        self.sent = self.read = 0

    def put(self, *frames: bytes) -> None:
        data = b"".join(frames)
        for i, byte in enumerate(data):
            self.view[PAGE + (self.sent + i) % RING] = byte
        self.sent += len(data)
        struct.pack_into("Q", self.view, 0, self.sent)
        with contextlib.suppress(OSError):
            self.peer.wire.send(b"\0")

    def there(self) -> int:
        return int(struct.unpack_from("Q", self.view, 4 * 64)[0]) - self.read

    def skip(self, size: int) -> bytes:
        """So many bytes off the other ring, whose writer is woken if it waits for room."""
        out = b""
        while len(out) < size:
            at, turn = self.read + len(out), struct.unpack_from("Q", self.view, 4 * 64 + 8)[0]
            grown = turn and at >= turn
            start, whole = (PAGE + 2 * RING + GROWN, GROWN) if grown else (PAGE + RING, RING)
            most = min(whole - at % whole, size - len(out))
            if turn and not grown:
                most = min(most, turn - at)
            out += self.view[start + at % whole :][:most].tobytes()
        self.read += size
        struct.pack_into("Q", self.view, 4 * 64 + 64, self.read)
        with contextlib.suppress(OSError):
            self.peer.wire.send(b"\0")
        return out

    def get(self, size: int) -> bytes:
        out = b""
        while len(out) < size:
            eventually("bytes in the ring", self.there)
            out += self.skip(min(self.there(), size - len(out)))
        return out

    def frame(self) -> tuple[int, bytes]:
        flags = self.get(1)[0]
        size = struct.unpack(">Q", self.get(8))[0] if flags & 2 else self.get(1)[0]
        return flags, self.get(size)

    def block(self) -> bytes:
        """What the next BLOCK says; other frames are skipped."""
        while True:
            flags, body = self.frame()
            if flags & 4 and body.startswith(b"\5BLOCK"):
                return body[6:]

    def close(self) -> None:
        self.peer.close()


def block(said: bytes) -> bytes:
    return wire.command(b"BLOCK", said)


def place(slot: int, generation: int, offset: int, size: int, more: bool = False) -> bytes:
    return block(PLACE + struct.pack(">BIIQQ", more, slot, generation, offset, size))


# ---- a hostile sender ----


class Sender(Rings):
    """Lends what it likes."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock, "PUSH")
        self.page_fd, self.arena_fd = memory(PAGE), memory(4 * MIB)
        self.page, self.arena = mmap.mmap(self.page_fd, PAGE), mmap.mmap(self.arena_fd, 4 * MIB)
        self.visit = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def ask(self) -> tuple[bytes, bytes]:
        self.put(block(ASK))
        said = self.block()
        assert said[:1] == OFFER
        return said[1:17], said[17:]

    def hand_over(self, *descriptors: int, size: int = 4 * MIB, kind: int = 2) -> None:
        token, name = self.ask()
        self.visit.connect(b"\0" + name)
        message = bytes([kind]) + token + struct.pack(">Q", size)
        socket.send_fds(self.visit, [message], descriptors)

    def begin(self) -> None:
        self.hand_over(self.page_fd, self.arena_fd)
        eventually("the arena taken", lambda: self.word(TAKEN) == 1)

    def word(self, at: int) -> int:
        return int(struct.unpack_from("I", self.page, at)[0])

    def close(self) -> None:
        super().close()
        self.visit.close()
        self.page.close()
        self.arena.close()
        os.close(self.page_fd)
        os.close(self.arena_fd)


@pytest.fixture
def pull(make: Any) -> Iterator[Any]:
    """A socket under attack, and after that a healthy peer that must have noticed nothing."""
    sock = make(zmq.PULL)
    sock.bind("tcp://127.0.0.1:*")
    healthy = make(zmq.PUSH)
    healthy.connect(last_endpoint(sock))
    eventually("memory", lambda: link(healthy) == "shm")

    def lent() -> bool:
        healthy.send(b"x" * MIB)
        frame = sock.recv(copy=False)
        assert len(frame) == MIB
        return bool(healthy.context.stats().arena_lent)

    eventually("a block", lent)
    before = lasting_descriptors()
    yield sock
    for i in range(5):
        healthy.send(bytes([i]) * MIB)
        assert recv(sock) == bytes([i]) * MIB
    assert link(healthy) == "shm"
    eventually("the other's end", lambda: len(sock.peers()) == 1)
    eventually("no descriptor left", lambda: lasting_descriptors() <= before)


@pytest.fixture
def sender(pull: Any) -> Iterator[Sender]:
    attacker = Sender(pull)
    yield attacker
    attacker.close()


def test_a_sender_of_our_kind_lends_and_is_given_back(pull, sender):
    sender.begin()
    sender.arena[100 : 100 + MIB] = b"m" * MIB
    sender.put(place(3, 7, 100, MIB, more=True), wire.frame(b"end"))
    frames = pull.recv_multipart(copy=False)
    assert [f.bytes for f in frames] == [b"m" * MIB, b"end"]
    assert sender.word(GIVEN + 4 * 3) == 0
    frames.clear()
    gc.collect()
    assert sender.word(GIVEN + 4 * 3) == 7


@pytest.mark.parametrize(
    "wrong",
    [
        (256, 1, 0, 10),
        (0xFFFFFFFF, 1, 0, 10),
        (0, 1, 0, 0),
        (0, 1, 0, 4 * MIB + 1),
        (0, 1, 4 * MIB, 1),
        (0, 1, 4 * MIB - 1, 2),
        (0, 1, (1 << 64) - 1, 2),
        (0, 1, 1, (1 << 64) - 1),
        (0, 1, 1 << 63, 1 << 63),
    ],
)
def test_a_place_that_there_is_not_ends_the_connection(pull, sender, wrong):
    sender.begin()
    sender.put(place(*wrong))
    sender.peer.wire.wait_closed()


@pytest.mark.parametrize(
    "said", [b"", PLACE, PLACE + bytes(24), PLACE + bytes(26), OFFER + bytes(40)]
)
def test_a_command_that_says_nothing_ends_the_connection(pull, sender, said):
    sender.begin()
    sender.put(block(said))
    sender.peer.wire.wait_closed()


def test_a_place_before_there_is_an_arena_ends_the_connection(pull, sender):
    sender.put(place(0, 1, 0, 10))
    sender.peer.wire.wait_closed()


def test_a_command_of_a_later_version_is_ignored(pull, sender):
    sender.put(block(b"\x63later"), wire.frame(b"on"))
    assert recv(pull) == b"on"


@pytest.mark.parametrize("many", [MIB, 10])
def test_limits_hold_for_what_lies_in_blocks(make, many):
    sock = make(zmq.PULL, maxmsgsize=1000)
    sock.bind("tcp://127.0.0.1:*")
    attacker = Sender(sock)
    attacker.begin()
    attacker.put(place(0, 1, 0, many))
    if many > 1000:
        attacker.peer.wire.wait_closed()
    else:
        assert recv(sock) == bytes(10)
    attacker.close()


@pytest.mark.parametrize(
    "brought", ["nothing", "one", "three", "unsealed", "small", "a pipe", "wrong size", "rings"]
)
def test_what_is_no_arena_is_refused(pull, sender, brought):
    here, there = os.pipe()
    page, arena = sender.page_fd, sender.arena_fd
    loose = memory(4 * MIB, 0)
    given = {
        "nothing": [],
        "one": [arena],
        "three": [page, arena, arena],
        "unsealed": [page, loose],
        "small": [page, page],
        "a pipe": [page, here],
        "wrong size": [page, arena],
        "rings": [page, arena],
    }[brought]
    sender.hand_over(
        *given,
        size=MIB if brought == "wrong size" else 4 * MIB,
        kind=1 if brought == "rings" else 2,
    )
    assert sender.visit.recv(1) == b""  # it was sent away
    assert sender.word(TAKEN) == 0
    sender.put(wire.frame(b"on"))
    assert recv(pull) == b"on"
    sender.put(place(0, 1, 0, 10))
    sender.peer.wire.wait_closed()
    for fd in (here, there, loose):
        os.close(fd)


def test_a_frame_stays_readable_when_its_sender_lets_go_of_all(pull, sender):
    sender.begin()
    sender.arena[:5] = b"hello"
    sender.put(place(0, 1, 0, MIB))
    frame = pull.recv(copy=False)
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(sender.arena_fd, 0)
    sender.peer.wire.close()
    sender.visit.close()
    eventually("its end", lambda: len(pull.peers()) == 1)
    assert frame.buffer[:5] == b"hello"
    sender.arena[:5] = b"other"  # docs/security.md: it may change
    assert frame.buffer[:5] == b"other"


def test_the_same_slots_and_places_again_and_again_cost_nobody_else_anything(pull, sender):
    sender.begin()
    for i in range(500):
        sender.put(place(i % 4, i // 3, (i * 5000) % MIB, 10_000))
    frames = [pull.recv(copy=False) for _ in range(500)]
    assert all(f.bytes == bytes(10_000) for f in frames)
    for f in frames[::3]:
        f.buffer[:] = b"!" * 10_000
    assert all(f.bytes == bytes(10_000) for i, f in enumerate(frames) if i % 3)
    assert sender.arena[: 2 * MIB] == bytes(2 * MIB)


@pytest.mark.parametrize("seed", range(4))
def test_noise_in_the_page_costs_nothing(pull, sender, seed):
    sender.begin()
    random = secrets.SystemRandom(seed)
    for i in range(50):
        sender.page[:] = random.randbytes(PAGE)
        sender.put(place(i, 1, i * 4096, 4096))
        assert len(recv(pull)) == 4096


def test_a_flood_of_questions_is_answered_a_few_times(pull, sender):
    sender.ask()
    sender.put(*[block(ASK)] * 1000, wire.frame(b"on"))
    assert recv(pull) == b"on"
    for _ in range(7):
        assert sender.block()[:1] == OFFER
    time.sleep(0.05)
    assert struct.unpack_from("Q", sender.view, 4 * 64)[0] == sender.read


# ---- a hostile receiver ----


class Receiver(Rings):
    """Borrows, and does with it what it likes."""

    def __init__(self, sock: Any, kind: str = "PULL") -> None:
        super().__init__(sock, kind)
        self.token = secrets.token_bytes(16)
        self.name = b"hostile-" + secrets.token_hex(8).encode()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(b"\0" + self.name)
        self.listener.listen()
        self.listener.settimeout(10)
        self.visit: socket.socket | None = None

    def offer(self, name: bytes | None = None) -> None:
        assert self.block() == ASK
        self.put(block(OFFER + self.token + (name or self.name)))

    def begin(self) -> None:
        self.offer()
        self.visit, _ = self.listener.accept()
        message, self.fds, _, _ = socket.recv_fds(self.visit, 256, 8)
        assert message[:17] == b"\2" + self.token
        self.size = struct.unpack(">Q", message[17:])[0]
        self.page = mmap.mmap(self.fds[0], PAGE)
        struct.pack_into("I", self.page, TAKEN, 1)

    def place(self) -> tuple[int, int, int, int]:
        said = self.block()
        assert said[:1] == PLACE
        _, slot, generation, offset, size = struct.unpack(">BIIQQ", said[1:])
        return slot, generation, offset, size

    def close(self) -> None:
        super().close()
        self.listener.close()
        if self.visit:
            self.visit.close()
            self.page.close()
            for fd in self.fds:
                os.close(fd)


@pytest.fixture
def push(make: Any) -> Any:
    sock = make(zmq.PUSH)
    sock.bind("tcp://127.0.0.1:*")
    return sock


@pytest.fixture
def receiver(push: Any) -> Iterator[Receiver]:
    attacker = Receiver(push)
    eventually("memory", lambda: link(push) == "shm")
    yield attacker
    attacker.close()


def test_a_receiver_of_our_kind_is_lent_what_it_can_read_and_not_write(ctx, push, receiver):
    push.send(b"1" * MIB)
    receiver.begin()
    push.send(b"2" * MIB)
    slot, generation, offset, size = receiver.place()
    assert size == MIB
    arena = mmap.mmap(receiver.fds[1], receiver.size, prot=mmap.PROT_READ)
    assert arena[offset : offset + size] == b"2" * MIB
    with pytest.raises(PermissionError):
        mmap.mmap(receiver.fds[1], receiver.size)
    with pytest.raises(PermissionError):
        os.write(receiver.fds[1], b"x")
    with pytest.raises(PermissionError):
        os.ftruncate(receiver.fds[1], 0)
    again = os.open(f"/proc/self/fd/{receiver.fds[1]}", os.O_RDWR)
    with pytest.raises(PermissionError):
        mmap.mmap(again, receiver.size)
    os.close(again)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.fallocate(receiver.fds[1], 3, ctypes.c_long(0), ctypes.c_long(MIB)) == -1
    arena.close()
    assert ctx.stats().arena_lent == 1
    struct.pack_into("I", receiver.page, GIVEN + 4 * slot, generation)
    assert ctx.stats().arena_lent == 0


def test_a_receiver_that_gives_nothing_back_gets_no_more_than_half(ctx, make, push, receiver):
    ctx.set(zmq.SHM_ARENA_BYTES, 8 * MIB)
    push.send(b"1" * MIB)
    receiver.begin()
    for _ in range(10):
        push.send(b"2" * MIB)
        eventually("it sent", lambda: (receiver.frame(), True)[1])
    assert ctx.stats().arena_lent == 4
    assert ctx.stats().arena_fallbacks >= 5
    assert receiver.visit is not None
    receiver.visit.close()
    eventually("all of it back", lambda: ctx.stats().arena_lent == 0)
    assert ctx.stats().arena_blocks == 0


@pytest.mark.parametrize("word", [0, 1, 2, 0xFFFFFFFF, None])
def test_what_is_given_back_wrongly_changes_nothing_for_another(ctx, make, word):
    """Both are lent the same block; only one of them plays by the rules."""
    pub = make(zmq.PUB)
    pub.bind("tcp://127.0.0.1:*")
    sub = make(zmq.SUB)
    sub.subscribe(b"")
    sub.connect(last_endpoint(pub))
    attacker = Receiver(pub, "SUB")
    attacker.put(wire.command(b"SUBSCRIBE", b""))
    assert pub.wait_for_subscribers(2, timeout=10_000) == 2
    pub.send(b"x" * MIB)
    attacker.begin()
    recv(sub)

    def both_lent() -> bool:
        while attacker.there():
            attacker.skip(attacker.there())
        pub.send(b"x" * MIB)
        frame = sub.recv(copy=False)
        assert len(frame) == MIB
        return ctx.stats().arena_lent >= 2

    eventually("a block for both", both_lent)
    random = secrets.SystemRandom()
    frames = []
    for i in range(20):
        pub.send(bytes([i]) * MIB)
        frames.append(sub.recv(copy=False))
        for slot in range(SLOTS):
            value = random.getrandbits(32) if word is None else word
            struct.pack_into("I", attacker.page, GIVEN + 4 * slot, value)
        while attacker.there():
            attacker.skip(attacker.there())
        with contextlib.suppress(OSError):
            assert attacker.visit is not None
            attacker.visit.send(b"\0", socket.MSG_DONTWAIT)
    assert [f.bytes for f in frames] == [bytes([i]) * MIB for i in range(20)]
    attacker.close()
    frames.clear()
    gc.collect()
    eventually("all of it back", lambda: ctx.stats().arena_lent == 0)
    eventually("all of it free", lambda: pub.send(b"") or ctx.stats().arena_blocks == 0)


@pytest.mark.parametrize("name", [b"nobody-is-here", b"x" * 47, b"x" * 48, b"x" * 200])
def test_an_offer_that_leads_nowhere_leaves_bodies_to_the_ring(ctx, push, receiver, name):
    push.send(b"1" * MIB)
    receiver.offer(name)
    if len(name) >= 48:
        receiver.peer.wire.wait_closed()
        return
    push.send(b"2" * MIB)
    assert receiver.frame()[1] == b"1" * MIB
    assert receiver.frame()[1] == b"2" * MIB
    assert ctx.stats().arena_lent == 0


def test_an_offer_without_a_question_ends_the_connection(push, receiver):
    receiver.put(block(OFFER + receiver.token + receiver.name))
    receiver.peer.wire.wait_closed()


def test_those_that_leave_and_keep_what_they_have_are_limited(ctx, push):
    ctx.set(zmq.SHM_CONNECTIONS, 1)
    kept = []
    for _ in range(2):
        attacker = Receiver(push)
        push.send(b"1" * MIB)
        attacker.begin()
        attacker.get(MIB + 9)
        kept.append(attacker)
        attacker.peer.wire.close()
        eventually("its end", lambda: not push.peers())
    last = Receiver(push)
    push.send(b"1" * MIB)
    last.offer()
    assert last.frame()[1] == b"1" * MIB
    push.send(b"2" * MIB)
    assert last.frame()[1] == b"2" * MIB
    last.listener.settimeout(0.05)
    with pytest.raises(TimeoutError):
        last.listener.accept()
    for attacker in [*kept, last]:
        attacker.close()
