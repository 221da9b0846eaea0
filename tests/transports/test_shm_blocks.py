# SPDX-License-Identifier: MIT
"""Memory of Context.alloc, and large messages that are not copied from process to process."""

import contextlib
import gc
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from helpers import eventually, last_endpoint, lasting_descriptors, recv, unique, wait_readable
from target import IS_FASTMQ, zmq

pytestmark = pytest.mark.skipif(not IS_FASTMQ, reason="of fastmq alone")

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="shared memory of Linux")

KIB = 1 << 10
MIB = 1 << 20
UNIT = 64 * KIB


# ---- Context.alloc ----


@pytest.mark.parametrize("size", [0, 1, 100, 256 * KIB - 1, 256 * KIB, 5 * MIB + 3])
def test_alloc_gives_writable_bytes_of_that_size(ctx, size):
    memory = ctx.alloc(size)
    assert isinstance(memory, memoryview)
    assert (memory.nbytes, memory.readonly, memory.format) == (size, False, "B")
    memory[:] = bytes(range(256)) * (size // 256) + b"\7" * (size % 256)
    assert memory == bytes(range(256)) * (size // 256) + b"\7" * (size % 256)


@linux
def test_large_memory_lies_in_the_arena_as_long_as_something_refers_to_it(ctx):
    memory = ctx.alloc(MIB)
    part = memory[10:20]
    assert (ctx.stats().arena_bytes, ctx.stats().arena_blocks) == (MIB, 1)
    del memory
    assert ctx.stats().arena_blocks == 1
    del part
    assert (ctx.stats().arena_bytes, ctx.stats().arena_blocks) == (0, 0)
    assert ctx.alloc(1000).nbytes == 1000
    assert ctx.stats().arena_bytes == 0


@linux
def test_above_the_limit_there_is_ordinary_memory(ctx):
    ctx.set(zmq.SHM_ARENA_BYTES, 2 * MIB)
    assert ctx.get(zmq.SHM_ARENA_BYTES) == 2 * MIB
    held = [ctx.alloc(MIB) for _ in range(3)]
    assert ctx.stats().arena_blocks == 2
    held[2][:] = held[1][:] = b"x" * MIB
    assert held[2] == held[1]
    with pytest.raises(zmq.ZMQError, match="before the first") as failed:
        ctx.set(zmq.SHM_ARENA_BYTES, 4 * MIB)
    assert failed.value.errno == zmq.EINVAL
    with pytest.raises(zmq.ZMQError, match="0 \\(no arena\\) or more"):
        ctx.set(zmq.SHM_ARENA_BYTES, -1)


def test_without_an_arena_alloc_works_too(ctx):
    ctx.set(zmq.SHM_ARENA_BYTES, 0)
    memory = ctx.alloc(MIB)
    memory[:5] = b"hello"
    assert ctx.stats().arena_blocks == 0


@pytest.mark.parametrize("wrong", [-1, "1", None])
def test_a_size_that_is_none_is_refused(ctx, wrong):
    with pytest.raises((ValueError, TypeError), match="size"):
        ctx.alloc(wrong)


def test_memory_that_there_is_not_is_a_memory_error(ctx):
    with pytest.raises(MemoryError):
        ctx.alloc(1 << 62)


def test_memory_outlives_its_context():
    ctx = zmq.Context()
    memory = ctx.alloc(MIB)
    ctx.term()
    memory[:3] = b"abc"
    assert memory[:3] == b"abc"
    with pytest.raises(RuntimeError, match="destroyed"):
        ctx.alloc(MIB)


@pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp"])
@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("size", [10, 300 * KIB])
def test_it_is_sent_like_any_buffer(ctx, make, tmp_path, transport, copy, size):
    """Where no memory is shared, too: SHM is off here."""
    address = {
        "inproc": "inproc://" + unique("alloc"),
        "ipc": f"ipc://{tmp_path}/alloc",
        "tcp": "tcp://127.0.0.1:*",
    }[transport]
    push, pull = make(zmq.PUSH, shm=0), make(zmq.PULL, shm=0)
    pull.bind(address)
    push.connect(last_endpoint(pull))
    memory = ctx.alloc(size)
    memory[:] = os.urandom(size)
    push.send(memory, copy=copy)
    push.send_multipart([memory[1:], b"end"], copy=copy)
    assert recv(pull) == memory
    assert pull.recv_multipart() == [memory[1:], b"end"]


def test_it_is_an_array(ctx):
    numpy = pytest.importorskip("numpy")
    array = numpy.frombuffer(ctx.alloc(8 * MIB), dtype="float64").reshape(1024, 1024)
    array[:] = 2.5
    assert array.sum() == 2.5 * MIB
    del array
    gc.collect()
    assert ctx.stats().arena_blocks == 0


@linux
def test_a_child_of_a_fork_takes_nothing_of_its_parents_arena(ctx):
    memory = ctx.alloc(MIB)
    memory[:5] = b"hello"
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            try:
                ctx.alloc(MIB)
            except zmq.ZMQError:
                status = 0 if memory[:5] == b"hello" else 2
            del memory
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert ctx.stats().arena_blocks == 1


# ---- from process to process ----


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTMQ_SHM", "2")


def link(sock: Any) -> str:
    peers = sock.peers()
    return peers[0].link if peers else ""


def joined(make: Any, address: str, sender: int, receiver: int, **options: Any) -> tuple[Any, Any]:
    tx, rx = make(sender, **options), make(receiver, **options)
    rx.bind(address)
    tx.connect(last_endpoint(rx))
    eventually("shared memory", lambda: link(tx) == link(rx) == "shm")
    return tx, rx


def lends(ctx: Any, tx: Any, rx: Any) -> None:
    """Sends until a body is lent: the arena is handed over when the first one is there."""

    def lent() -> bool:
        tx.send(b"x" * MIB)
        frame = rx.recv(copy=False)
        assert len(frame) == MIB
        return bool(ctx.stats().arena_lent)

    eventually("a block", lent)
    eventually("all of it back", lambda: ctx.stats().arena_lent == 0)


@pytest.fixture(params=["ipc", "tcp"])
def address(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    return f"ipc://{tmp_path}/blocks" if request.param == "ipc" else "tcp://127.0.0.1:*"


@linux
@pytest.mark.usefixtures("shared")
def test_a_large_body_goes_in_a_block_and_comes_back_when_it_is_released(ctx, make, address):
    push, pull = joined(make, address, zmq.PUSH, zmq.PULL)
    lends(ctx, push, pull)
    body = os.urandom(3 * MIB + 5)
    push.send(body)
    frame = pull.recv(copy=False)
    stats = ctx.stats()
    assert (stats.arena_lent, stats.arena_blocks, stats.arena_fallbacks) == (1, 1, 0)
    assert frame.bytes == body
    del frame
    assert (ctx.stats().arena_lent, ctx.stats().arena_bytes) == (0, 0)
    push.send(body)
    assert recv(pull) == body  # copied: released at once
    assert ctx.stats().arena_lent == 0


@linux
@pytest.mark.usefixtures("shared")
def test_memory_of_alloc_is_not_copied_however_large(ctx, make, address):
    """Sender and receiver see the same memory: what the one writes the other reads."""
    push, pull = joined(make, address, zmq.PUSH, zmq.PULL)
    lends(ctx, push, pull)
    memory = ctx.alloc(200 * MIB)
    memory[:5], memory[-5:] = b"hello", b"world"
    push.send(memory, copy=False)
    frame = pull.recv(copy=False)
    assert len(frame) == 200 * MIB
    assert (frame.buffer[:5], frame.buffer[-5:]) == (b"hello", b"world")
    assert ctx.stats().arena_blocks == 1
    memory[:5] = b"HELLO"
    assert frame.buffer[:5] == b"HELLO"
    push.send(memory[MIB : 2 * MIB], copy=False)  # a part of it as well
    assert pull.recv() == bytes(MIB)
    assert ctx.stats().arena_fallbacks == 0


@linux
@pytest.mark.usefixtures("shared")
def test_what_the_receiver_writes_stays_its_own(ctx, make, address):
    push, pull = joined(make, address, zmq.PUSH, zmq.PULL)
    lends(ctx, push, pull)
    memory = ctx.alloc(MIB)
    memory[:] = b"a" * MIB
    for _ in range(3):
        push.send(memory, copy=False)
    frames = [pull.recv(copy=False) for _ in range(3)]
    frames[0].buffer[:3] = b"xyz"
    assert memory[:3] == frames[1].buffer[:3] == frames[2].buffer[:3] == b"aaa"
    assert frames[0].buffer[:4] == b"xyza"
    frames.clear()
    gc.collect()
    eventually("all of it back", lambda: ctx.stats().arena_lent == 0)
    memory[:] = b"b" * MIB
    push.send(memory, copy=False)
    assert pull.recv() == b"b" * MIB


@linux
@pytest.mark.usefixtures("shared")
def test_what_the_receiver_wrote_is_not_in_a_later_message(ctx, make, address):
    push, pull = joined(make, address, zmq.PUSH, zmq.PULL)
    lends(ctx, push, pull)
    memory = ctx.alloc(MIB)
    memory[:] = b"a" * MIB
    push.send(memory, copy=False)
    first = pull.recv(copy=False)
    first.buffer[:3] = b"xyz"
    push.send(memory, copy=False)  # the same memory, while the first is held
    assert pull.recv() == b"a" * MIB
    assert first.buffer[:4] == b"xyza"


@linux
@pytest.mark.usefixtures("shared")
def test_a_frame_that_is_sent_again_has_the_bytes_of_now(ctx, make, address):
    push, pull = joined(make, address, zmq.PUSH, zmq.PULL)
    lends(ctx, push, pull)
    memory = bytearray(b"1" * MIB)
    frame = zmq.Frame(memory, copy=False)
    push.send(frame, copy=False)
    assert pull.recv() == b"1" * MIB
    memory[:] = b"2" * MIB
    push.send(frame, copy=False)
    assert pull.recv() == b"2" * MIB
    eventually("nothing is kept", lambda: ctx.stats().arena_blocks == 0)


@linux
@pytest.mark.usefixtures("shared")
def test_a_tracker_says_when_the_receiver_has_released_it(ctx, make, address):
    push, pull = joined(make, address, zmq.PUSH, zmq.PULL)
    lends(ctx, push, pull)
    memory = ctx.alloc(MIB)
    tracker = push.send(memory, copy=False, track=True)
    frame = pull.recv(copy=False)
    assert not tracker.done
    view = frame.buffer
    del frame
    assert not tracker.done
    del view
    tracker.wait(10)
    assert tracker.done


@linux
@pytest.mark.usefixtures("shared")
def test_ordinary_memory_is_the_programs_again_once_it_is_copied(ctx, make, address):
    push, pull = joined(make, address, zmq.PUSH, zmq.PULL)
    lends(ctx, push, pull)
    body = bytearray(b"x" * MIB)
    tracker = push.send(body, copy=False, track=True)
    tracker.wait(10)
    body[:] = b"y" * MIB
    frame = pull.recv(copy=False)
    assert ctx.stats().arena_lent == 1
    assert frame.bytes == b"x" * MIB


@linux
@pytest.mark.usefixtures("shared")
def test_parts_of_all_sizes_keep_their_order(ctx, make, address):
    dealer, router = joined(make, address, zmq.DEALER, zmq.ROUTER)
    sizes = [0, 1, 256 * KIB, 100, 300 * KIB, 300 * KIB, 70 * KIB, 256 * KIB - 1, 2 * MIB, 5]
    held = []
    for turn in range(60):
        parts = [bytes([turn, i]) * (n // 2) for i, n in enumerate(sizes[turn % 9 :])]
        dealer.send_multipart(parts)
        if turn % 3 == 0:
            dealer.send(b"small")
        held.append((router.recv_multipart(copy=False)[1:], parts))
        if turn % 3 == 0:
            assert router.recv_multipart()[1:] == [b"small"]
        if len(held) == 5:
            for got, sent in held:
                assert [f.bytes for f in got] == sent
            held.clear()
    assert ctx.stats().arena_fallbacks == 0
    del got
    held.clear()
    gc.collect()
    eventually("all of it back", lambda: ctx.stats().arena_lent == 0)


@linux
@pytest.mark.usefixtures("shared")
def test_both_sides_lend(ctx, make, address):
    a, b = joined(make, address, zmq.PAIR, zmq.PAIR)
    lends(ctx, a, b)
    lends(ctx, b, a)
    for i in range(20):
        a.send(bytes([i]) * MIB)
        b.send(bytes([100 + i]) * MIB)
        assert recv(b) == bytes([i]) * MIB
        assert recv(a) == bytes([100 + i]) * MIB


@linux
@pytest.mark.usefixtures("shared")
def test_subscribers_share_one_block(ctx, make, tmp_path):
    ctx.set(zmq.SHM_ARENA_BYTES, 2 * MIB)
    pub = make(zmq.PUB)
    pub.bind(f"ipc://{tmp_path}/pub")
    subs = [make(zmq.SUB) for _ in range(8)]
    for sub in subs:
        sub.subscribe(b"")
        sub.connect(last_endpoint(pub))
    eventually(
        "memory", lambda: [p.link for p in pub.peers()] == ["shm"] * 8 and all(map(link, subs))
    )
    pub.wait_for_subscribers(8, timeout=10_000)

    def all_lent() -> bool:
        pub.send(b"x" * MIB)
        frames = [sub.recv(copy=False) for sub in subs]
        assert all(len(f) == MIB for f in frames)
        return ctx.stats().arena_lent == 8

    eventually("blocks for all", all_lent)
    for i in range(20):
        body, frames = bytes([i]) * MIB, []
        pub.send(body)
        frames = [sub.recv(copy=False) for sub in subs]
        stats = ctx.stats()
        assert (stats.arena_lent, stats.arena_blocks) == (8, 1)
        frames[1].buffer[:1] = b"!"
        assert all(f.bytes == body for f in frames[:1] + frames[2:])
    before = ctx.stats().arena_fallbacks
    frames.clear()
    gc.collect()
    assert (ctx.stats().arena_lent, ctx.stats().arena_blocks) == (0, 0)
    assert ctx.stats().arena_fallbacks == before


@linux
@pytest.mark.usefixtures("shared")
def test_where_there_is_no_room_bodies_are_copied_and_counted(ctx, make, address):
    ctx.set(zmq.SHM_ARENA_BYTES, 4 * MIB)
    push, pull = joined(make, address, zmq.PUSH, zmq.PULL)
    lends(ctx, push, pull)
    bodies = [bytes([i]) * MIB for i in range(8)]
    frames = []
    for body in bodies:
        push.send(body)
        frames.append(pull.recv(copy=False))
    # One peer gets half of the arena for copies, so that a slow one leaves room for others.
    assert (ctx.stats().arena_lent, ctx.stats().arena_fallbacks) == (2, 6)
    assert [f.bytes for f in frames] == bodies
    frames.clear()
    gc.collect()
    push.send(bodies[0])
    frame = pull.recv(copy=False)
    assert ctx.stats().arena_lent == 1
    assert len(frame) == MIB


@linux
@pytest.mark.usefixtures("shared")
def test_what_is_held_outlives_its_sender_and_its_own_socket(make, address):
    sender, receiver = zmq.Context(), zmq.Context()
    push, pull = sender.socket(zmq.PUSH), receiver.socket(zmq.PULL)
    pull.bind(address)
    push.connect(last_endpoint(pull))
    eventually("shared memory", lambda: link(push) == link(pull) == "shm")
    lends(sender, push, pull)
    push.send(b"1" * MIB)
    push.send(b"2" * MIB)
    first = pull.recv(copy=False)
    second = pull.recv(copy=False)
    pull.close()
    eventually("the connection's end", lambda: not push.peers() or not push.peers()[0].link)
    assert sender.stats().arena_lent == 2  # not the connection holds it
    del second
    assert sender.stats().arena_lent == 1
    receiver.term()
    push.close(0)
    sender.term()
    assert first.bytes == b"1" * MIB
    del first


@linux
@pytest.mark.usefixtures("shared")
def test_what_waits_unread_comes_back_with_its_socket(ctx, make, address):
    push, pull = joined(make, address, zmq.PUSH, zmq.PULL)
    lends(ctx, push, pull)
    for i in range(10):
        push.send(bytes([i]) * MIB)
    eventually("all sent", lambda: ctx.stats().queued_in == 10)
    assert ctx.stats().arena_lent == 10
    pull.close()
    eventually("all of it back", lambda: ctx.stats().arena_lent == 0)
    assert ctx.stats().arena_blocks == 0


@linux
@pytest.mark.usefixtures("shared")
def test_a_message_for_a_peer_that_is_gone_waits_for_the_next(ctx, make, tmp_path):
    address = f"ipc://{tmp_path}/gone"
    dealer = make(zmq.DEALER, reconnect_ivl=10)
    first = make(zmq.DEALER)
    first.bind(address)
    dealer.connect(address)
    eventually("memory", lambda: link(dealer) == link(first) == "shm")
    lends(ctx, dealer, first)
    first.close()
    eventually("its end", lambda: link(dealer) == "")
    for i in range(5):
        dealer.send(bytes([i]) * MIB)
    second = make(zmq.DEALER)
    second.bind(address)
    for i in range(5):
        assert recv(second) == bytes([i]) * MIB


@linux
@pytest.mark.usefixtures("shared")
def test_conflate_keeps_the_newest_and_gives_back_the_others(ctx, make, address):
    push, pull = joined(make, address, zmq.PUSH, zmq.PULL, conflate=1)
    eventually("a block", lambda: push.send(b"x" * MIB) or bool(ctx.stats().arena_lent))
    for i in range(50):
        push.send(bytes([i]) * MIB)
    last = b""
    while last[:1] != bytes([49]):
        last = recv(pull)
    assert last == bytes([49]) * MIB
    eventually("all of it back", lambda: ctx.stats().arena_lent == 0)


@linux
@pytest.mark.usefixtures("shared")
def test_a_publisher_takes_no_blocks(ctx, make, address):
    """What a subscriber sends it looks into more than once."""
    xsub, xpub = joined(make, address, zmq.XSUB, zmq.XPUB)
    for _ in range(20):
        xsub.send(b"x" * MIB)
        assert recv(xpub) == b"x" * MIB
    assert ctx.stats().arena_lent == 0


@linux
@pytest.mark.usefixtures("shared")
def test_threads_release_what_others_receive(ctx, make, address):
    push, pull = joined(make, address, zmq.PUSH, zmq.PULL)
    lends(ctx, push, pull)
    frames: queue.SimpleQueue[Any] = queue.SimpleQueue()
    wrong: list[int] = []

    def release() -> None:
        while (frame := frames.get()) is not None:
            if frame.bytes != frame.bytes[:1] * MIB:
                wrong.append(len(frame))

    threads = [threading.Thread(target=release) for _ in range(3)]
    sender = threading.Thread(target=lambda: [push.send(bytes([i]) * MIB) for i in range(200)])
    for t in [*threads, sender]:
        t.start()
    for _ in range(200):
        wait_readable(pull, "a frame")
        frames.put(pull.recv(copy=False))
    for _ in threads:
        frames.put(None)
    for t in [*threads, sender]:
        t.join(20)
    assert not wrong
    eventually("all of it back", lambda: ctx.stats().arena_lent == 0)


# ---- two processes ----

HOLD = """
import sys, time
import fastmq as zmq
ctx = zmq.Context()
pull = ctx.socket(zmq.PULL)
pull.connect(sys.argv[1])
frames = []
while True:
    frame = pull.recv(copy=False)
    assert frame.bytes == frame.bytes[:1] * len(frame)
    frames.append(frame)
    del frames[:-int(sys.argv[2])]
"""

STREAM = """
import sys
import fastmq as zmq
ctx = zmq.Context()
push = ctx.socket(zmq.PUSH)
push.connect(sys.argv[1])
memory = [ctx.alloc(1 << 20) for _ in range(4)]
i = 0
while True:
    push.send(bytes([i % 251]) * (300_000 + i * 37 % 500_000))
    block = memory[i % 4]
    tracker = push.send(block, copy=False, track=True) if i > 50 else None
    i += 1
"""


# What a child may look at is given up for good, so this has a process of its own.
FORK = """
import os, sys, time
import fastmq as zmq
MIB = 1 << 20
ctx = zmq.Context()
push, pull = ctx.socket(zmq.PUSH), ctx.socket(zmq.PULL)
pull.bind("tcp://127.0.0.1:*")
push.connect(pull.last_endpoint)
while True:
    push.send(b"1" * MIB)
    frame = pull.recv(copy=False)
    if ctx.stats().arena_lent:
        break
    time.sleep(0.01)
go, went = os.pipe()
pid = os.fork()
if pid == 0:
    status = 1
    try:
        os.close(went)
        os.read(go, 1)
        status = 0 if frame.bytes == b"1" * MIB else 2
        del frame
    finally:
        os._exit(status)
del frame
for i in range(20):
    push.send(bytes([i]) * MIB)
    assert pull.recv() == bytes([i]) * MIB
os.close(went)
assert os.waitpid(pid, 0)[1] == 0
assert ctx.stats().arena_lent == 1
push.close()
pull.close()
ctx.term()
"""


@linux
@pytest.mark.usefixtures("shared")
def test_a_child_of_a_fork_sees_what_its_parent_held():
    """... although the parent releases it, and the sender goes on."""
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=30)


@contextlib.contextmanager
def other_process(code: str, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", code, *args]) as process:
        try:
            yield process
        finally:
            process.kill()


@linux
@pytest.mark.usefixtures("shared")
def test_what_a_killed_receiver_held_comes_back(ctx, make, address):
    push = make(zmq.PUSH, sndhwm=5)
    push.bind(address)
    with other_process(HOLD, last_endpoint(push), "10") as process:
        eventually("the other", lambda: link(push) == "shm", 20)

        def holds() -> bool:
            push.send(b"x" * MIB)
            return ctx.stats().arena_lent >= 10

        eventually("ten held", holds, 20)
        process.send_signal(signal.SIGKILL)
        process.wait()
    eventually("its end", lambda: not push.peers())
    eventually("all of it back", lambda: ctx.stats().arena_lent == 0)
    push.close(0)
    assert ctx.stats().arena_bytes == 0


@linux
@pytest.mark.slow
@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("killed", ["sender", "receiver"])
@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_a_process_that_is_killed_at_any_moment_costs_its_connection_alone(
    ctx, make, tmp_path, transport, killed
):
    """What arrives is whole; nothing is left behind."""
    sock = make(zmq.PULL if killed == "sender" else zmq.PUSH)
    sock.bind(f"ipc://{tmp_path}/kill" if transport == "ipc" else "tcp://127.0.0.1:*")
    ctx.alloc(MIB)  # the arena has a descriptor
    before = 0
    for turn in range(int(os.environ.get("FASTMQ_TEST_KILLS", "15"))):
        code, args = (STREAM, []) if killed == "sender" else (HOLD, ["3"])
        with other_process(code, last_endpoint(sock), *args) as process:
            for i in range(20 + secrets.randbelow(150)):
                if killed == "sender":
                    wait_readable(sock, "a frame")
                    frame = sock.recv(copy=False)
                    assert len(frame) == MIB or frame.bytes == frame.bytes[:1] * len(frame)
                else:
                    sock.send(bytes([i]) * (300_000 + i * 37 % 500_000))
            process.send_signal(signal.SIGKILL)
            process.wait()
        frame = None
        while sock.peers() or (killed == "sender" and sock.poll(0)):
            if killed == "sender" and sock.poll(10):
                frame = sock.recv(copy=False)
                assert len(frame) == MIB or frame.bytes == frame.bytes[:1] * len(frame)
        frame = None
        if killed == "receiver":
            eventually("all of it back", lambda: ctx.stats().arena_lent == 0)
        if turn == 0:
            before = lasting_descriptors()
        eventually("the descriptors", lambda most=before: lasting_descriptors() <= most)


@linux
@pytest.mark.usefixtures("shared")
def test_a_tracker_ends_with_the_process_that_held_the_memory(ctx, make, address):
    push = make(zmq.PUSH)
    push.bind(address)
    memory = ctx.alloc(MIB)
    memory[:] = b"x" * MIB
    with other_process(HOLD, last_endpoint(push), "100") as process:
        eventually("the other", lambda: link(push) == "shm", 20)

        def held() -> bool:
            push.send(memory, copy=False)
            return ctx.stats().arena_lent > 0

        eventually("a block", held, 20)
        tracker = push.send(memory, copy=False, track=True)
        assert not tracker.done
        process.send_signal(signal.SIGKILL)
        process.wait()
        tracker.wait(10)
    eventually("its end", lambda: not push.peers())
