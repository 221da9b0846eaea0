# SPDX-License-Identifier: MIT
"""fastmq.asyncio with a real libzmq on the other side."""

import asyncio
from typing import Any

import pytest
from loops import SOON, in_loops
from target import submodule, zmq

za = submodule("asyncio")


@pytest.mark.parametrize("ours,theirs", [("REQ", "REP"), ("DEALER", "DEALER")])
@in_loops
async def test_round_trips(libzmq: Any, ours: str, theirs: str) -> None:
    there = libzmq(theirs)
    async with za.Context() as ctx, ctx.socket(getattr(zmq, ours)) as here:
        here.connect(there.bind("tcp://127.0.0.1:*"))
        for n in range(20):
            await asyncio.wait_for(here.send_multipart([b"%d" % n, b"x" * n * 1000]), SOON)
            waiting = here.recv_multipart()
            request = there.recv()
            there.send(*request)
            assert await asyncio.wait_for(waiting, SOON) == [b"%d" % n, b"x" * n * 1000]


@in_loops
async def test_waiters_get_the_messages_of_a_burst_in_order(libzmq: Any) -> None:
    there = libzmq("PUSH")
    async with za.Context() as ctx, ctx.socket(zmq.PULL) as here:
        here.bind("tcp://127.0.0.1:*")
        there.connect(here.last_endpoint.decode())
        waiting = [here.recv() for _ in range(100)]
        for n in range(100):
            there.send(b"%d" % n)
        got = await asyncio.wait_for(asyncio.gather(*waiting), SOON)
        assert got == [b"%d" % n for n in range(100)]


@in_loops
async def test_a_sender_waits_for_a_reader_that_starts_late(libzmq: Any) -> None:
    async with za.Context() as ctx, ctx.socket(zmq.PUSH) as here:
        here.sndhwm = 1
        here.bind("tcp://127.0.0.1:*")
        waiting = [here.send(b"%d" % n + b"x" * 100_000) for n in range(50)]
        assert not waiting[0].done()
        there = libzmq("PULL", rcvhwm=1)
        there.connect(here.last_endpoint.decode())
        for n in range(50):
            await asyncio.wait_for(waiting[n], SOON) if n < 3 else await asyncio.sleep(0)
            assert there.recv()[0] == b"%d" % n + b"x" * 100_000
        await asyncio.wait_for(asyncio.gather(*waiting), SOON)
