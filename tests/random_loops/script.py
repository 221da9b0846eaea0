# SPDX-License-Identifier: MIT
"""Scripts for two sockets in one loop, a step at a time, and what comes of each step.

The outcome of every step is defined, so that two implementations can be compared: a step that waits
gives what is under way all the time it needs, and what cannot come is not waited for long.
"""

import asyncio
import importlib
import random
import tempfile
from dataclasses import dataclass
from typing import Any

PAIRS = (
    ("PUSH", "PULL"), ("PAIR", "PAIR"), ("DEALER", "DEALER"), ("REQ", "REP"), ("DEALER", "ROUTER"),
    ("REQ", "ROUTER"), ("DEALER", "REP"), ("PUB", "SUB"), ("XPUB", "SUB"), ("PUB", "XSUB"),
)  # fmt: skip
"""The first connects, the second binds."""
STEPS = (
    ("send", 8), ("recv", 8), ("send parts", 4), ("recv first", 3), ("recv now", 3),
    ("cancelled recv", 4), ("cancelled recv then send", 3), ("limited recv", 2), ("poll", 4),
    ("cancelled poll", 2), ("poller", 2), ("events", 4), ("send text", 1), ("send nothing", 1),
    ("recv twice", 2), ("burst", 3), ("cancelled poller", 1), ("close and recv", 1),
    ("recv and close", 1), ("poll closed", 1),
)  # fmt: skip
COMES = 1.0
"""Seconds that a message may be under way."""
PATIENCE = 12.0
"""Seconds that a script may take."""
HANGS = "hangs"
NOTHING = 0.03
"""Seconds for which nothing is waited for."""


@dataclass
class Script:
    seed: int
    types: tuple[str, str]
    transport: str
    steps: list[tuple[str, int]]  # what, and which of the two sockets does it

    def __str__(self) -> str:
        rows = [f"script {self.seed}: {' -> '.join(self.types)} over {self.transport}"]
        return "\n".join(
            rows + [f"  {n}: {self.types[who]} {what}" for n, (what, who) in enumerate(self.steps)]
        )


def draw(seed: int) -> Script:
    rng = random.Random(f"script {seed}")
    names, weights = zip(*STEPS, strict=True)
    steps = []
    for _ in range(rng.randrange(5, 40)):
        steps.append((str(rng.choices(names, weights)[0]), rng.randrange(2)))
    return Script(seed, rng.choice(PAIRS), rng.choice(("inproc", "ipc", "tcp")), steps)


class Player:
    """Plays a script with one module."""

    def __init__(self, script: Script, module: str) -> None:
        self.script = script
        self.zmq: Any = importlib.import_module(module)
        self.aio: Any = importlib.import_module(f"{module}.asyncio")
        self.under_way = [0, 0]  # messages to each of the two
        self.serial = 0
        self.outcomes: list[str] = []

    async def play(self) -> list[str]:
        """The outcomes, up to where it hangs."""
        try:
            await asyncio.wait_for(self.all(), PATIENCE)
        except asyncio.TimeoutError:
            self.outcomes.append(HANGS)
            self.context.destroy(linger=0)
        return self.outcomes

    async def all(self) -> None:
        zmq = self.zmq
        self.context = self.aio.Context()
        self.sockets = [self.context.socket(getattr(zmq, t)) for t in self.script.types]
        for socket, kind in zip(self.sockets, self.script.types, strict=True):
            socket.setsockopt(zmq.LINGER, 0)
            if kind == "SUB":
                socket.setsockopt(zmq.SUBSCRIBE, b"")
            if kind in ("DEALER", "REQ"):
                socket.setsockopt(zmq.ROUTING_ID, b"first")
            if kind == "ROUTER":
                socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        with tempfile.TemporaryDirectory() as folder:
            address = {
                "tcp": "tcp://127.0.0.1:*",
                "ipc": f"ipc://{folder}/s",
                "inproc": "inproc://s",
            }
            self.sockets[1].bind(address[self.script.transport])
            endpoint = self.sockets[1].getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
            self.sockets[0].connect(endpoint)
            await self.connected()
            for what, who in self.script.steps:
                # When the other notices that its peer is gone is not defined.
                if any(s.closed for s in self.sockets) and what not in ("poll closed", "recv"):
                    continue
                if not self.sockets[who].closed and any(s.closed for s in self.sockets):
                    continue
                self.outcomes.append(
                    f"{self.script.types[who]} {what}: {await self.step(what, who)}"
                )
            for socket in self.sockets:
                socket.close()
            self.context.term()

    async def connected(self) -> None:
        """The two know each other: that is not part of the comparison."""
        if self.script.types[1] == "XSUB":
            await self.sockets[1].send(b"\1")
        if self.script.types[0] in ("PUB", "XPUB"):
            while True:  # until the subscription has come
                await self.sockets[0].send(b"probe")
                if await self.sockets[1].poll(10):
                    break
            await asyncio.sleep(0.05)
            while await self.sockets[1].poll(0):
                await self.sockets[1].recv()
        if self.script.types[0] == "XPUB":
            await self.sockets[0].recv()
        for socket, kind in zip(self.sockets, self.script.types, strict=True):
            if kind in ("PUSH", "PAIR", "DEALER", "REQ"):
                for _ in range(300):
                    if await socket.poll(10, self.zmq.POLLOUT):
                        break
        if self.script.types[1] == "ROUTER":
            await asyncio.sleep(0.1)

    # -- steps --

    async def step(self, what: str, who: int) -> str:
        call = getattr(self, what.replace(" ", "_"))
        try:
            return str(await asyncio.wait_for(call(who), 4 * COMES))
        except asyncio.TimeoutError:
            return HANGS
        except self.zmq.ZMQError as e:
            return f"{type(e).__name__} {e.errno}"
        except asyncio.CancelledError:
            return "cancelled"
        except (TypeError, ValueError, IndexError) as e:
            return type(e).__name__

    def limit(self, who: int) -> float:
        return COMES if self.under_way[who] else NOTHING

    def message(self, who: int, parts: int = 1) -> list[bytes]:
        self.serial += 1
        body = [b"%d.%d" % (self.serial, n) for n in range(parts)]
        kind, other = self.script.types[who], self.script.types[1 - who]
        if kind == "ROUTER":
            return [b"first", *([b""] if other == "REQ" else []), *body]
        return [b"", *body] if kind == "DEALER" and other == "REP" else body

    async def wait(self, future: Any, limit: float) -> str:
        """What a Future ends with; one that does not end is cancelled."""
        await asyncio.wait([future], timeout=limit)
        if not future.done():
            future.cancel()
            await asyncio.wait([future], timeout=1)
            return "nothing came"
        return repr(future.result())

    async def send(self, who: int, parts: int = 1) -> str:
        await self.asks(who)
        out = await self.wait(self.sockets[who].send_multipart(self.message(who, parts)), COMES / 6)
        if out == "None":
            self.under_way[1 - who] += 1
        return out

    async def asks(self, who: int) -> None:
        """A question drops what has come before it: that has come."""
        if self.under_way[who] and self.script.types[who] == "REQ":
            await asyncio.sleep(NOTHING)

    async def send_parts(self, who: int) -> str:
        return await self.send(who, 3)

    async def received(self, who: int, future: Any) -> str:
        try:
            out = await self.wait(future, self.limit(who))
        except self.zmq.ZMQError:
            self.under_way[who] = 0
            raise
        came = out != "nothing came"
        self.under_way[who] = max(0, self.under_way[who] - 1) if came else 0
        return out

    async def recv(self, who: int) -> str:
        return await self.received(who, self.sockets[who].recv_multipart())

    async def recv_first(self, who: int) -> str:
        """The first part, whether there are more, and those."""
        socket = self.sockets[who]
        out = await self.received(who, socket.recv())
        while out != "nothing came" and socket.getsockopt(self.zmq.RCVMORE):
            out += f" {await self.wait(socket.recv(), COMES)}"
        return out

    async def settled(self, who: int) -> None:
        """What is under way has come."""
        if self.under_way[who] and not await self.sockets[who].poll(int(COMES * 1000)):
            self.under_way[who] = 0  # a REQ without a question has dropped it

    async def recv_now(self, who: int) -> str:
        await self.settled(who)
        return await self.received(who, self.sockets[who].recv_multipart(self.zmq.DONTWAIT))

    async def cancelled_recv(self, who: int) -> str:
        """A receive that is cancelled while nothing is there."""
        if self.under_way[who]:
            return "not tried"
        future = self.sockets[who].recv()
        await asyncio.sleep(0)
        future.cancel()
        await asyncio.wait([future], timeout=1)
        return f"{future.cancelled()}"

    async def cancelled_recv_then_send(self, who: int) -> str:
        return f"{await self.cancelled_recv(who)}, {await self.step('send', 1 - who)}"

    async def limited_recv(self, who: int) -> str:
        if self.under_way[who]:
            return "not tried"
        socket = self.sockets[who]
        socket.setsockopt(self.zmq.RCVTIMEO, 15)
        try:
            return await self.wait(socket.recv(), COMES)
        finally:
            socket.setsockopt(self.zmq.RCVTIMEO, -1)

    async def poll(self, who: int) -> str:
        await self.settled(who)
        both = self.zmq.POLLIN | self.zmq.POLLOUT
        return str(int(await self.sockets[who].poll(NOTHING * 1000, both)))

    async def cancelled_poll(self, who: int) -> str:
        if self.under_way[who]:
            return "not tried"
        future = self.sockets[who].poll(None, self.zmq.POLLIN)
        await asyncio.sleep(0)
        future.cancel()
        await asyncio.wait([future], timeout=1)
        return f"{future.cancelled()}"

    async def poller(self, who: int) -> str:
        await self.settled(who)
        poller = self.aio.Poller()
        for socket in self.sockets:
            if not socket.closed:
                poller.register(socket, self.zmq.POLLIN)
        wait = (self.limit(0) if self.under_way[0] or self.under_way[1] else NOTHING) * 1000
        found = await poller.poll(int(wait))
        await self.settled(1 - who)
        return str([(self.sockets.index(socket), int(events)) for socket, events in found][:1])

    async def cancelled_poller(self, who: int) -> str:
        if self.under_way[who]:
            return "not tried"
        poller = self.aio.Poller()
        poller.register(self.sockets[who], self.zmq.POLLIN)
        future = asyncio.ensure_future(poller.poll(None))
        await asyncio.sleep(0.001)
        future.cancel()
        await asyncio.wait([future], timeout=1)
        return f"{future.cancelled()}"

    async def events(self, who: int) -> str:
        await self.settled(who)
        return str(int(self.sockets[who].getsockopt(self.zmq.EVENTS)))

    async def send_text(self, who: int) -> str:
        return await self.wait(self.sockets[who].send("text"), NOTHING)

    async def send_nothing(self, who: int) -> str:
        return await self.wait(self.sockets[who].send_multipart([]), NOTHING)

    async def recv_twice(self, who: int) -> str:
        """Two at once are served in their order."""
        first, second = self.sockets[who].recv_multipart(), self.sockets[who].recv_multipart()
        outs = []
        for future in (first, second):
            try:
                outs.append(await self.received(who, future))
            except self.zmq.ZMQError as e:
                outs.append(f"{type(e).__name__} {e.errno}")
        return ", ".join(outs)

    async def burst(self, who: int) -> str:
        """Several sends at once."""
        await self.asks(who)
        futures = [self.sockets[who].send_multipart(self.message(who)) for _ in range(4)]
        outs = []
        for future in futures:
            try:
                outs.append(await self.wait(future, COMES / 6))
                self.under_way[1 - who] += outs[-1] == "None"
            except self.zmq.ZMQError as e:
                outs.append(f"{type(e).__name__} {e.errno}")
        return ", ".join(outs)

    async def close_and_recv(self, who: int) -> str:
        self.sockets[who].close()
        await self.sockets[who].recv()
        return "received"

    async def recv_and_close(self, who: int) -> str:
        if self.under_way[who]:
            return "not tried"
        future = self.sockets[who].recv()
        await asyncio.sleep(0)
        self.sockets[who].close()
        await asyncio.wait([future], timeout=1)
        return f"done {future.done()}, cancelled {future.done() and future.cancelled()}"

    async def poll_closed(self, who: int) -> str:
        if not self.sockets[who].closed:
            return "not tried"
        return str(await self.sockets[who].poll(0))


def play(seeds: list[int], module: str) -> dict[int, list[str]]:
    """The outcomes of scripts; several are played at once, since most of each is waiting."""

    async def main() -> dict[int, list[str]]:
        room = asyncio.Semaphore(12)

        async def one(seed: int) -> list[str]:
            async with room:
                return await Player(draw(seed), module).play()

        return dict(zip(seeds, await asyncio.gather(*map(one, seeds)), strict=True))

    loop = asyncio.SelectorEventLoop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()
