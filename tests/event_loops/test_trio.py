# SPDX-License-Identifier: MIT
"""The recipe of docs/guide/asyncio.md: wait_readable on a socket's descriptor."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import not_readable, settled, unique
from target import fastmq_only, zmq

pytestmark = fastmq_only("libzmq's descriptor is not level-triggered")

SOON = 8
GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "asyncio.md"


def recipe(name: str) -> dict[str, Any]:
    """The functions of the guide's code block that imports `name`: what is tested is what is
    told."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if block.startswith(f"import {name}\n")]
    names: dict[str, Any] = {}
    exec(compile(code, str(GUIDE), "exec"), names)
    return names


def backend(kind: str) -> tuple[dict[str, Any], Callable[[Callable[[], Any]], Any], Any]:
    """The recipe, what runs a coroutine function, and the library."""
    names = recipe("trio" if kind == "trio" else "anyio")
    if kind == "trio":
        import trio

        return names, trio.run, trio
    import anyio

    return names, lambda main: anyio.run(main, backend=kind.partition("-")[2]), anyio


KINDS = pytest.mark.parametrize("kind", ["trio", "anyio-asyncio", "anyio-trio"])


@pytest.fixture
def pair(make: Any) -> Callable[..., tuple[Any, Any]]:
    def new(**options: Any) -> tuple[Any, Any]:
        pull, push = make(zmq.PULL, **options), make(zmq.PUSH, **options)
        pull.bind("inproc://" + unique("trio") if options else "tcp://127.0.0.1:*")
        push.connect(pull.last_endpoint.decode())
        return push, pull

    return new


@KINDS
def test_messages_pass_while_other_tasks_run(kind: str, pair: Any) -> None:
    names, run, lib = backend(kind)
    push, pull = pair()
    got: list[bytes] = []
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        for _ in range(5):
            await lib.sleep(0.001)
            ticks += 1

    async def receive() -> None:
        for _ in range(1000):
            got.append((await names["recv"](pull))[0])

    async def send() -> None:
        await lib.sleep(0.02)
        for i in range(1000):
            await names["send"](push, [b"%d" % i])

    async def main() -> None:
        with lib.fail_after(SOON):
            group = lib.open_nursery() if kind == "trio" else lib.create_task_group()
            async with group as tasks:
                for task in (tick, receive, send):
                    tasks.start_soon(task)

    run(main)
    assert got == [b"%d" % i for i in range(1000)]
    assert ticks == 5


@KINDS
def test_senders_wait_for_room(kind: str, pair: Any) -> None:
    names, run, lib = backend(kind)
    push, pull = pair(hwm=2)

    async def send() -> None:
        for i in range(50):
            await names["send"](push, [b"%d" % i])

    async def main() -> None:
        with lib.fail_after(SOON):
            group = lib.open_nursery() if kind == "trio" else lib.create_task_group()
            async with group as tasks:
                tasks.start_soon(send)
                await lib.sleep(0.02)
                for i in range(50):
                    assert await names["recv"](pull) == [b"%d" % i]

    run(main)


@KINDS
def test_a_cancelled_receive_takes_nothing(kind: str, pair: Any) -> None:
    names, run, lib = backend(kind)
    push, pull = pair()

    async def main() -> None:
        with lib.move_on_after(0.01) as scope:
            await names["recv"](pull)
        assert scope.cancelled_caught
        push.send(b"x")
        with lib.fail_after(SOON):
            assert await names["recv"](pull) == [b"x"]

    run(main)


def test_the_descriptor_is_readable_for_as_long_as_there_is_something(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Level-triggered: it tells the truth however often one looks."""
    import select

    monkeypatch.setenv("FASTMQ_SHM", "2")  # at once
    push, pull = pair()
    settled(push, pull)
    fd = pull.fileno()
    push.send(b"1")
    push.send(b"2")
    pull.recv()
    for _ in range(3):
        assert select.select([fd], [], [], SOON)[0] == [fd]
    pull.recv()
    assert pull.poll(0) == 0
    assert not_readable(pull)


@KINDS
def test_a_server_answers_frames(kind: str, make: Any) -> None:
    names, run, lib = backend(kind)
    server, client = make(zmq.SERVER), make(zmq.CLIENT)
    server.bind("tcp://127.0.0.1:*")
    client.connect(server.last_endpoint)

    async def serve() -> None:
        for _ in range(20):
            while not server.poll(0):
                await lib.sleep(0.001)
            await names["send"](server, server.recv_multipart(copy=False))

    async def main() -> None:
        with lib.fail_after(SOON):
            group = lib.open_nursery() if kind == "trio" else lib.create_task_group()
            async with group as tasks:
                tasks.start_soon(serve)
                for i in range(20):
                    await names["send"](client, [b"%d" % i])
                    assert await names["recv"](client) == [b"%d" % i]

    run(main)
