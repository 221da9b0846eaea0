# SPDX-License-Identifier: MIT
"""Children forked off while a program runs: they end well, and do not disturb the parent."""

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from .ledger import Broken
from .plan import Fork

if TYPE_CHECKING:
    from .world import World

LIMIT = 25
"""Seconds that a child has."""


async def fork(world: "World", plan: Fork) -> None:
    """Forks, and waits for the child."""
    await asyncio.sleep(plan.after)
    loop = asyncio.get_running_loop()
    if plan.by == "loop":
        pid = _fork(world, plan)
    else:
        pid = await loop.run_in_executor(world.executor, _fork, world, plan)
    deadline = time.monotonic() + LIMIT + 5
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        world.progress()
        await asyncio.sleep(0.005)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        world.fail(Broken(f"fork: a child that {plan.child} ended with {code}"))


def _fork(world: "World", plan: Fork) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LIMIT)
        if plan.child == "closes":
            for socket in world.sockets.values():
                socket.close()
            world.context.term()
        elif plan.child == "works":
            asyncio.set_event_loop(None)
            asyncio._set_running_loop(None)
            _work(world)
        elif plan.child == "fails":
            raise RuntimeError
        code = 0
    except BaseException:
        if world.verbose:
            import traceback

            traceback.print_exc()
    finally:
        os._exit(code)


def _work(world: "World") -> None:
    """The child has sockets and a loop of its own."""
    from .kinds import new_loop

    loop, _ = new_loop(world.plan.kind)
    context = world.aio.Context()

    async def ping(address: str) -> None:
        a: Any = context.socket(world.zmq.PAIR)
        b: Any = context.socket(world.zmq.PAIR)
        a.bind(address)
        b.connect(a.getsockopt(world.zmq.LAST_ENDPOINT).rstrip(b"\0").decode())
        for n in range(10):
            waits = asyncio.ensure_future(b.recv())
            await asyncio.sleep(0)
            await a.send(b"%d" % n)
            if await waits != b"%d" % n:
                raise Broken("lost in the child")
        a.close()
        b.close()

    loop.run_until_complete(ping("inproc://child"))
    loop.run_until_complete(ping("tcp://127.0.0.1:*"))
    context.term()
    loop.close()
