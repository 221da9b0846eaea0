# SPDX-License-Identifier: MIT
"""Memory of Context.alloc, and large messages that are not copied from process to process."""

import gc
import os
import sys

import pytest
from helpers import last_endpoint, recv, unique
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
