# SPDX-License-Identifier: MIT
"""Asynchronous receives that look at the network for a moment before they wait."""

import asyncio
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from helpers import run_python
from loops import in_loops, run, soon, until
from target import fastmq_only, submodule, zmq

za = submodule("asyncio")

pytestmark = fastmq_only("a name of its own tells how long")

BUDGET = 20_000  # ns in one turn of the loop
LATER = 0.0005  # s: the receive spins by then
Make = Callable[..., Any]


def turn_spun() -> int:
    from fastmq import _core

    return _core.turn_spun()


async def connected(amake: Make, **options: Any) -> tuple[Any, Any]:
    """A PUSH and a PULL that are connected over tcp."""
    pull, push = amake(zmq.PULL, **options), amake(zmq.PUSH)
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    push.connect(f"tcp://127.0.0.1:{port}")
    await until("the PULL has a peer", lambda: len(pull.peers()) == 1)
    return push, pull


async def next_turn() -> None:
    """Goes on in a turn that is known to be another one."""
    await asyncio.sleep(0)
    from fastmq import _core

    _core.turn_passed(_core.turn_number())


def in_asyncio(test: Callable[..., Any]) -> Callable[..., None]:
    """Makes a test of a coroutine function in asyncio's own loop, which tells who is ready."""

    def call(amake: Make) -> None:
        run(test(amake))

    call.__name__ = test.__name__
    return call


@in_loops
async def test_a_message_that_comes_while_a_receive_spins_is_the_one_it_gets(amake: Make) -> None:
    push, pull = await connected(amake)
    for n in range(300):
        waiting = pull.recv()
        await soon(push.send(b"%d" % n))
        assert await soon(waiting) == b"%d" % n
    waiting = pull.recv()
    waiting.cancel()
    await soon(push.send(b"last"))
    assert await soon(pull.recv()) == b"last"


@in_asyncio
async def test_a_receive_spins_where_nobody_else_is_ready(amake: Make) -> None:
    push, pull = await connected(amake)
    await next_turn()
    before = time.perf_counter_ns()
    waiting = pull.recv()
    took = time.perf_counter_ns() - before
    assert not waiting.done()
    assert BUDGET <= turn_spun() <= took
    await soon(push.send(b"x"))
    assert await soon(waiting) == b"x"


async def spun_while_waiting(amake: Make) -> list[int]:
    """How long receives that wait have spun in the last turn of the loop in which they did, ns."""
    spun = []
    for _ in range(10):
        _, pull = await connected(amake)
        await next_turn()
        waiting = pull.recv()
        await asyncio.sleep(0.01)
        spun.append(turn_spun())
        waiting.cancel()
    return spun


@in_asyncio
async def test_a_receive_that_waits_spins_on_while_a_turn_would_find_nothing(amake: Make) -> None:
    assert max(await spun_while_waiting(amake)) > 3 * BUDGET  # twice SPIN_US less BUDGET


@in_asyncio
async def test_a_receive_that_waits_does_not_spin_on_while_others_are_ready(amake: Make) -> None:
    _, pull = await connected(amake)
    await next_turn()
    waiting = pull.recv()
    await asyncio.sleep(0)
    assert turn_spun() == 0
    waiting.cancel()


@in_asyncio
async def test_a_receive_in_a_loop_that_may_hide_others_spins_on_in_pieces(amake: Make) -> None:
    selector: Any = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    selector.__class__ = type("Selector", (type(selector),), {})
    # Not each: the last one of a wait may have little left of its time.
    spun = sorted(ns for ns in await spun_while_waiting(amake) if ns)
    assert BUDGET <= spun[len(spun) // 2] < 2 * BUDGET


@in_asyncio
async def test_a_receive_does_not_spin_while_others_are_ready(amake: Make) -> None:
    push, pull = await connected(amake)
    for _ in range(20):
        await next_turn()
        asyncio.get_running_loop().call_soon(lambda: None)
        waiting = pull.recv()
        assert turn_spun() == 0
        await soon(push.send(b"x"))
        assert await soon(waiting) == b"x"


@in_asyncio
async def test_receives_spin_once_a_turn(amake: Make) -> None:
    sides = [await connected(amake) for _ in range(5)]
    await next_turn()
    waiting = [sides[0][1].recv()]
    first = turn_spun()
    assert first >= BUDGET
    waiting += [pull.recv() for _, pull in sides[1:]]
    assert turn_spun() == first
    for push, _ in sides:
        await soon(push.send(b"x"))
    assert await soon(asyncio.gather(*waiting)) == [b"x"] * 5


@in_asyncio
async def test_receives_spin_less_and_less_often_in_vain(amake: Make) -> None:
    push, pull = await connected(amake)
    spun = 0
    for _ in range(40):
        await next_turn()
        waiting = pull.recv()
        spun += turn_spun() > 0
        await asyncio.sleep(0.001)  # longer than a wait that counts as short
        await soon(push.send(b"x"))
        assert await soon(waiting) == b"x"
    assert 1 <= spun <= 7


async def least_spun(pull: Any) -> int:
    """How long a receive spins, at least: what the machine does meanwhile counts, too."""
    least = 10 * BUDGET
    for _ in range(20):
        await next_turn()
        waiting = pull.recv()
        if turn_spun():
            least = min(least, turn_spun())
        waiting.cancel()
    return least


@in_asyncio
async def test_others_wait_at_most_30_us_longer(amake: Make) -> None:
    sides = [await connected(amake) for _ in range(4)]
    assert min([await least_spun(pull) for _, pull in sides]) < 30_000


def at_a_time(loop: asyncio.AbstractEventLoop, called: Callable[[float], None]) -> None:
    due = loop.time() + LATER
    loop.call_at(due, called, due)


def by_a_descriptor(loop: asyncio.AbstractEventLoop, called: Callable[[float], None]) -> None:
    ours, theirs = socket.socketpair()

    def arrived() -> None:
        loop.remove_reader(ours)
        called(struct.unpack("d", ours.recv(8))[0])
        ours.close()

    def write() -> None:
        time.sleep(LATER)
        theirs.send(struct.pack("d", time.monotonic()))
        theirs.close()

    loop.add_reader(ours, arrived)
    threading.Thread(target=write).start()


def by_another_thread(loop: asyncio.AbstractEventLoop, called: Callable[[float], None]) -> None:
    def call() -> None:
        time.sleep(LATER)
        loop.call_soon_threadsafe(called, time.monotonic())

    threading.Thread(target=call).start()


@pytest.mark.parametrize("calls", [at_a_time, by_a_descriptor, by_another_thread])
def test_what_becomes_ready_soon_ends_the_spinning_of_a_receive_that_waits(
    amake: Make, calls: Callable[..., None]
) -> None:
    async def least_late(spin_us: int, rounds: int, enough: float = 0) -> float:
        """What the machine does meanwhile counts, too."""
        least = 1.0
        loop = asyncio.get_running_loop()
        _, silent = await connected(amake)
        receiving = silent.recv()  # the loop watches already
        for _ in range(rounds):
            push, pull = await connected(amake, spin_us=spin_us)
            late: asyncio.Future[float] = loop.create_future()
            await next_turn()
            calls(loop, lambda since, late=late: late.set_result(loop.time() - since))  # type: ignore[misc]
            waiting = pull.recv()
            least = min(least, await soon(late))
            waiting.cancel()
            push.close()
            pull.close()
            if least < enough:
                break
        receiving.cancel()
        return least

    # This receive may spin for a second, so 0.3 ms tell whether it was ended; a busy machine and a
    # sanitizer take longer for both.
    most = 2 * run(least_late(0, 20)) + 300e-6
    assert run(least_late(500_000, 200, most)) < most


ROUND_TRIPS = """
import asyncio, os, sys, fastmq.asyncio as za

async def answer(address):
    with za.Context() as context, context.socket(zmq.REP) as rep:
        rep.connect(address)
        while message := await rep.recv():
            await rep.send(message)

async def ask(port):
    with za.Context() as context, context.socket(zmq.REQ) as req:
        os.write(port, b"%d" % req.bind_to_random_port("tcp://127.0.0.1"))
        req.linger = 0
        while sum(req._spins()) < 500:
            await req.send(b"x")
            await req.recv()
        print(*req._spins())

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
read, write = os.pipe()
if child := os.fork():
    try:
        asyncio.run(ask(write))
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
else:
    asyncio.run(answer("tcp://127.0.0.1:" + os.read(read, 10).decode()))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no choice of processors here")
@pytest.mark.skipif(
    os.environ.get("FASTMQ_POLLER") == "poll", reason="poll(2) has loops look every 10 ms"
)
@pytest.mark.parametrize("shm", [0, 1])
def test_two_ends_on_one_processor_find_most_messages_while_they_spin(
    monkeypatch: pytest.MonkeyPatch, shm: int
) -> None:
    monkeypatch.setenv("FASTMQ_SHM", str(shm))
    done = run_python(ROUND_TRIPS, timeout=60)
    assert done.returncode == 0, done.stderr
    found, failed = map(int, done.stdout.split())
    assert found > 2 * failed


@in_asyncio
async def test_spin_us_of_nought_is_never(amake: Make) -> None:
    _, pull = await connected(amake)
    pull.spin_us = 0
    for _ in range(20):
        await next_turn()
        waiting = pull.recv()
        assert turn_spun() == 0
        waiting.cancel()


@in_asyncio
async def test_a_receive_that_does_not_wait_does_not_spin(amake: Make) -> None:
    _, pull = await connected(amake)
    await next_turn()
    for options in ({"flags": zmq.DONTWAIT}, {"timeout": 0}):
        with pytest.raises(zmq.Again):
            await pull.recv(**options)
    assert turn_spun() == 0
