# SPDX-License-Identifier: MIT
"""Actors that await the verbs of asynchronous sockets, and cut many of their waits short."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from . import plan as p
from .ledger import Broken, Flow

if TYPE_CHECKING:
    from .world import World

PLAIN, TIMEOUT, WAIT_FOR, CANCEL, DROP, DONTWAIT, POLL, HOLD = (
    "plain", "timeout", "wait_for", "cancel", "drop", "dontwait", "poll", "hold",
)  # fmt: skip
CUTS = (TIMEOUT, WAIT_FOR, CANCEL, CANCEL, DROP, DONTWAIT, POLL, HOLD)
"""How a wait is cut short: by the verb's own timeout, by asyncio.wait_for, by cancelling the task
or the Future, by not waiting, by polling first; or it is kept, and awaited later."""


def text(part: Any) -> bytes:
    return part if isinstance(part, bytes) else bytes(part)


class Actor:
    """What receivers and senders have in common."""

    def __init__(self, world: "World", actor: p.Actor) -> None:
        self.world = world
        self.zmq = world.zmq
        self.me = actor
        self.socket = world.sockets[actor.socket]
        self.flow: Flow = world.flows[actor.flow]
        self.rng = random.Random(f"{world.plan.seed}/{actor.name}")
        self.held: tuple[Any, Callable[[Any], Any]] | None = None  # a Future to be awaited later

    async def run(self) -> None:
        try:
            if self.me.after:
                await self.world.until_complete(self.me.after)
            if not self.cut_off():
                await self.prepare()
            while not self.done():
                try:
                    await self.step()
                except self.zmq.Again:
                    pass
                if self.rng.random() < self.me.pause:
                    await self.pause()
        except (self.zmq.ZMQError, StopAsyncIteration, asyncio.CancelledError) as e:
            if not self.cut_off():
                raise Broken(f"ended: {self.me.name} got {e!r}, and nobody closed") from e
        finally:
            self.left()

    async def prepare(self) -> None:
        """What is done once, at the beginning."""

    def done(self) -> bool:
        return self.cut_off()

    def left(self) -> None:
        """It will not go on."""

    def cut_off(self) -> bool:
        """Whether its calls may fail: its socket is being closed, or nobody receives any more."""
        return self.world.cut_off(self.me)

    def restless(self) -> bool:
        return not self.flow.complete() and self.rng.random() < self.me.restless

    def tell(self, *what: Any) -> None:
        if self.world.verbose:
            self.world.tell(self.me.name, *what)

    async def pause(self) -> None:
        """Nothing, some turns of the loop, or a while."""
        turns = self.rng.choice((0, 1, 1, 2, 3, 5, -1, -1))
        if turns < 0:
            await asyncio.sleep(self.rng.choice((0.0002, 0.001, 0.005, 0.02)))
        for _ in range(turns):
            await asyncio.sleep(0)

    def watched(self, future: Any, what: str) -> Any:
        """A Future that has to end."""
        return self.world.future(future, f"{self.me.name}: {what}")

    async def cut(
        self,
        cut: str,
        start: Callable[..., Any],
        have: Callable[[Any], Any],
        what: str,
    ) -> None:
        """Calls a verb and cuts the wait short, or not. have(Future): what the call brought, called
        once it is known and before anything else can happen; nothing for a call that failed."""
        rng = self.rng
        self.tell(what, cut)
        if cut == TIMEOUT:
            have(await self.ended(start(timeout=rng.choice((0, 1, 3, 20)))))
        elif cut == DONTWAIT:
            have(await self.ended(start(flags=self.zmq.DONTWAIT)))
        elif cut == WAIT_FOR:
            limit = rng.choice((0, 0.0005, 0.003, 0.02))
            try:
                await self.attempt(start, have, lambda f: asyncio.wait_for(f, limit))
            except asyncio.TimeoutError:
                pass
        elif cut == CANCEL:
            await self.cut_short(asyncio.ensure_future(self.attempt(start, have)))
        elif cut == DROP:
            future = start()
            await self.pause()
            future.cancel()
            self.settle(future, have)
        elif cut == HOLD:
            future = start()
            await asyncio.wait({future}, timeout=rng.choice((0.0005, 0.003)))
            if future.done():
                self.settle(future, have)
            else:
                self.held = (future, have)
        else:
            await self.attempt(start, have)

    async def cut_short(self, task: "asyncio.Task[Any]") -> None:
        """Cancels a task in a while, also when this one is cancelled before."""
        try:
            await self.pause()
        finally:
            task.cancel()
            await asyncio.wait({task})
            error = None if task.cancelled() else task.exception()
        if error is not None:
            raise error

    async def take_held(self, limit: float | None = None) -> bool:
        """Goes on waiting for a Future that was kept. False: none was."""
        if self.held is None:
            return False
        future, have = self.held
        await asyncio.wait({future}, timeout=limit)
        if future.done():
            self.held = None
            self.settle(future, have)
            if future.cancelled():
                raise asyncio.CancelledError
        return True

    async def ended(self, future: Any) -> Any:
        await future
        return future

    async def attempt(
        self,
        start: Callable[..., Any],
        have: Callable[[Any], Any],
        wait: Callable[[Any], Awaitable[Any]] = lambda future: future,
    ) -> None:
        future = start()
        delivered = False
        try:
            await wait(future)
            delivered = True
        finally:
            # A receive that was cancelled after its end has given its message back.
            if delivered or self.counts_when_cancelled:
                self.settle(future, have)

    counts_when_cancelled = False

    def settle(self, future: Any, have: Callable[[Any], Any]) -> None:
        """A Future that nobody awaits any more: what it brought."""
        if not future.done() or future.cancelled():
            return
        if future.exception() is None:
            have(future)
        elif not isinstance(future.exception(), self.zmq.Again):
            raise future.exception()


class Receiver(Actor):
    """Receives until the program ends, with every verb there is."""

    def __init__(self, world: "World", actor: p.Actor) -> None:
        super().__init__(world, actor)
        self.parts: list[bytes] = []  # of a message that is received part by part
        single = self.flow.shape.most_parts == 1
        self.verbs = ["recv_multipart", "frames", "recv_many", "recv_serialized"]
        if single:
            self.verbs += ["recv", "recv", "frame", "recv_into", "recv_string", "burst"]
        elif actor.alone:
            self.verbs += ["part", "part"]
        if getattr(self.socket, "only_multipart", False):  # a planted fault knows no other
            self.verbs = ["recv_multipart"]

    async def step(self) -> None:
        if await self.take_held(None if self.flow.complete() else 0.02):
            return
        verb = "part" if self.parts else self.rng.choice(self.verbs)
        cut = self.rng.choice(CUTS) if self.restless() else PLAIN
        if verb == "burst":
            await self.burst()
            return
        if cut == POLL:
            await self.polled()
            cut = DONTWAIT
        await self.cut(cut, *self.start(verb), verb)

    async def polled(self) -> None:
        poll = self.watched(self.socket.poll(self.rng.choice((0, 1, 20))), "poll")
        if self.rng.random() < 0.3:
            await self.pause()
            poll.cancel()
        else:
            await poll

    def start(self, verb: str) -> tuple[Callable[..., Any], Callable[[Any], None]]:
        """A call of the verb, and what to do with its Future when that is done."""
        socket = self.socket
        buffer = bytearray()

        def call(**options: Any) -> Any:
            if verb == "recv_multipart":
                future = socket.recv_multipart(**options)
            elif verb == "frames":
                future = socket.recv_multipart(copy=False, **options)
            elif verb == "recv_many":
                most = self.rng.choice((1, 2, 10, 1000))
                future = socket.recv_many(most, multipart=self.rng.random() < 0.5, **options)
            elif verb == "recv_serialized":
                future = socket.recv_serialized(list, **options)
            elif verb == "recv":
                future = socket.recv(**options)
            elif verb in ("frame", "part"):
                future = socket.recv(copy=False, **options)
            elif verb == "recv_into":
                buffer.extend(bytes(100 + max(self.flow.shape.sizes)))
                future = socket.recv_into(buffer, **options)
            else:
                future = socket.recv_string(**options)
            return self.watched(future, verb)

        def have(future: Any) -> None:
            value = future.result()
            if verb == "recv_many":
                for message in value:
                    self.have_one(message)
            elif verb == "part":
                self.have_part(value)
            elif verb == "recv_into":
                self.have_one(bytes(buffer[:value]))
            elif verb == "recv_string":
                self.have_one(value.encode())
            else:
                self.have_one(value)

        return call, have

    def have_one(self, message: Any) -> None:
        parts = message if isinstance(message, list) else [message]
        self.accept([text(part) for part in parts])

    def have_part(self, frame: Any) -> None:
        self.parts.append(text(frame))
        if not frame.more:
            parts, self.parts = self.parts, []
            self.accept(parts)

    async def burst(self) -> None:
        """Several receives at once: their messages are in their order."""
        call, have = self.start("recv")
        futures = [call() for _ in range(self.rng.choice((2, 3, 8)))]
        for future in futures:
            await asyncio.wait({future})
            self.settle(future, have)
            if future.cancelled():
                raise asyncio.CancelledError

    def accept(self, parts: list[bytes]) -> None:
        self.tell("has", parts[0][:40])
        self.world.accept(self.flow, self.me, parts)


class PollerReceiver(Receiver):
    """Waits with a Poller, receives without waiting."""

    poller: Any = None

    async def step(self) -> None:
        if self.poller is None or self.rng.random() < 0.3:
            self.poller = self.world.aio.Poller()
            self.poller.register(self.socket, self.zmq.POLLIN)
        future = self.poller.poll(self.rng.choice((0, 1, 20)) if self.restless() else None)
        self.watched(future, "Poller.poll")
        if self.restless() and self.rng.random() < 0.3:
            await self.pause()
            future.cancel()
            return
        if not await future:
            return
        for _ in range(self.rng.choice((1, 1, 3))):
            await self.cut(DONTWAIT, *self.start("recv_multipart"), "recv_multipart")


class Iterator(Receiver):
    """`async for`, which cancellations interrupt."""

    async def step(self) -> None:
        if self.restless():
            cut = self.rng.choice((CANCEL, WAIT_FOR, DROP))
            await self.cut(cut, self.next, lambda f: self.have_one(f.result()), "anext")
            return
        async for message in self.socket:
            self.have_one(message)
            if self.restless():
                return
        raise StopAsyncIteration

    def next(self, **_: Any) -> Any:
        return self.watched(self.socket.__anext__(), "anext")


class Sender(Actor):
    """Sends its messages, each again until it is on its way."""

    counts_when_cancelled = True

    def __init__(self, world: "World", actor: p.Actor) -> None:
        super().__init__(world, actor)
        self.begun: list[bytes] = []  # parts of a message that is sent part by part
        single = self.flow.shape.most_parts == 1
        self.verbs = ["send_multipart", "frames", "send_serialized"]
        if not actor.to:
            self.verbs += ["send_many", "burst"]
            if single:
                self.verbs += ["send", "send", "send", "send_string", "tracked"]
            elif actor.alone:
                self.verbs += ["part", "part"]
        if getattr(self.socket, "only_multipart", False):
            self.verbs = ["send_multipart"]

    def done(self) -> bool:
        return self.number() >= self.me.count or self.cut_off()

    def left(self) -> None:
        if self.number() < self.me.count:
            self.flow.stop(self.me.name)

    def number(self) -> int:
        return self.flow.sent[self.me.name]

    def message(self, number: int) -> list[bytes]:
        parts = self.flow.shape.message(self.me.name, number)
        return [self.me.to, *parts] if self.me.to else parts

    async def prepare(self) -> None:
        if self.world.plan.sockets[self.me.socket].type in ("PUB", "XPUB"):
            await self.socket.wait_for_subscribers(len(self.flow.addresses))

    async def step(self) -> None:
        if await self.take_held():
            return
        verb = "part" if self.begun else self.rng.choice(self.verbs)
        cut = self.rng.choice(CUTS) if self.restless() else PLAIN
        if verb == "burst":
            await self.burst()
            return
        if verb == "send_many":
            await self.send_many(cut)
            return
        if cut == POLL:
            await self.watched(
                self.socket.poll(self.rng.choice((0, 1, 20)), self.zmq.POLLOUT), "poll"
            )
            cut = DONTWAIT
        have = self.have_part if verb == "part" else self.have_sent
        if verb == "part" and cut == HOLD:
            cut = PLAIN
        try:
            await self.cut(cut, self.start(verb), have, verb)
        except self.zmq.ZMQError as e:
            if e.errno != self.zmq.EHOSTUNREACH:
                raise
            await asyncio.sleep(0.002)  # the peer is not yet there

    def start(self, verb: str) -> Callable[..., Any]:
        socket = self.socket
        message = self.message(self.number())

        def call(**options: Any) -> Any:
            if verb == "send":
                future = socket.send(message[0], **options)
            elif verb == "send_string":
                future = socket.send_string(message[0].decode(), **options)
            elif verb == "tracked":
                future = socket.send(message[0], copy=False, track=True, **options)
            elif verb == "frames":
                future = socket.send_multipart(
                    [self.zmq.Frame(part) for part in message], copy=False, **options
                )
            elif verb == "send_serialized":
                future = socket.send_serialized(message, list, **options)
            elif verb == "part":
                part = message[len(self.begun)]
                more = len(self.begun) + 1 < len(message)
                flags = options.pop("flags", 0) | (self.zmq.SNDMORE if more else 0)
                future = socket.send(part, flags, **options)
            else:
                future = socket.send_multipart(message, **options)
            return self.watched(future, verb)

        return call

    def have_sent(self, _: Any) -> None:
        self.tell("sent", self.number())
        self.world.confirm(self.flow, self.me)

    def have_part(self, _: Any) -> None:
        message = self.message(self.number())
        self.begun.append(message[len(self.begun)])
        if len(self.begun) == len(message):
            self.begun = []
            self.have_sent(None)

    async def burst(self) -> None:
        """Several sends at once: they go out in their order."""
        first = self.number()
        last = min(self.me.count, first + self.rng.choice((2, 3, 8)))
        futures = [
            self.watched(self.socket.send_multipart(self.message(n)), "burst")
            for n in range(first, last)
        ]
        try:
            await asyncio.wait(futures)
        finally:
            for future in futures:
                self.settle(future, self.have_sent)
        if any(future.cancelled() for future in futures):
            raise asyncio.CancelledError

    async def send_many(self, cut: str) -> None:
        first = self.number()
        last = min(self.me.count, first + self.rng.choice((1, 3, 10)))
        messages = [self.message(n) for n in range(first, last)]
        batch: list[Any] = messages
        if self.flow.shape.most_parts == 1:
            batch = [message[0] for message in messages]
        self.tell("send_many", len(batch), cut)
        timeout = self.rng.choice((0, 1, 3, 20)) if cut in (TIMEOUT, DONTWAIT) else None

        async def attempt() -> None:
            try:
                sent = await self.socket.send_many(batch, timeout=timeout)
            except (self.zmq.ZMQError, asyncio.CancelledError) as e:
                # CancelledError has it only if send_many had begun to run.
                self.world.confirm(self.flow, self.me, getattr(e, "sent", 0))
                raise
            if sent != len(batch):
                raise Broken(f"lost: send_many said {sent} of {len(batch)} without an error")
            self.world.confirm(self.flow, self.me, sent)

        if cut in (CANCEL, DROP, WAIT_FOR, HOLD):
            await self.cut_short(asyncio.ensure_future(attempt()))
        else:
            await attempt()


class Server(Actor):
    """Answers each message with the same, to whom it came from."""

    def __init__(self, world: "World", actor: p.Actor) -> None:
        super().__init__(world, actor)
        self.back: Flow = world.flows[actor.back]
        self.answer: list[bytes] | None = None
        self.kind = world.plan.sockets[actor.socket].type
        self.delimited = any(
            other.type == "REQ" and actor.socket in other.peers
            for other in world.plan.sockets.values()
        ) or any(
            world.plan.sockets[peer].type == "REQ"
            for peer in world.plan.sockets[actor.socket].peers
        )

    async def step(self) -> None:
        if await self.take_held(None if self.flow.complete() else 0.02):
            return
        cut = self.rng.choice(CUTS) if self.restless() else PLAIN
        if cut == POLL:
            cut = DONTWAIT
        self.counts_when_cancelled = self.answer is not None  # it sends
        if self.answer is None:
            await self.cut(cut, self.receive, self.have_one, "question")
            return
        try:
            await self.cut(cut, self.send, self.have_sent, "answer")
        except self.zmq.ZMQError as e:
            if e.errno != self.zmq.EHOSTUNREACH or not self.back.lossy:
                raise
            self.answer = None

    def receive(self, **options: Any) -> Any:
        copy = self.rng.random() < 0.5
        return self.watched(self.socket.recv_multipart(copy=copy, **options), "question")

    def send(self, **options: Any) -> Any:
        return self.watched(self.socket.send_multipart(self.answer, **options), "answer")

    def body(self, parts: list[bytes]) -> list[bytes]:
        """A message without the addresses before it."""
        if self.kind == "REP":
            return parts
        return parts[parts.index(b"", 1) + 1 :] if self.delimited else parts[1:]

    def have_one(self, future: Any) -> None:
        parts = [text(part) for part in future.result()]
        body = self.body(parts)
        self.tell("asked", body[0][:40])
        self.world.accept(self.flow, self.me, body)
        self.answer = parts

    def have_sent(self, _: Any) -> None:
        assert self.answer is not None
        sender, number = self.flow.shape.parse(self.body(self.answer))
        self.tell("answered", sender, number)
        self.answer = None
        self.back.confirm(sender)
        self.world.progress()


class Asker(Actor):
    """A REQ: asks and has the answer. A relaxed one may ask anew instead."""

    def __init__(self, world: "World", actor: p.Actor) -> None:
        super().__init__(world, actor)
        self.back: Flow = world.flows[actor.back]
        self.relaxed = bool(world.plan.sockets[actor.socket].options.get("REQ_RELAXED"))
        self.asked: list[bytes] | None = None

    def number(self) -> int:
        return self.flow.sent[self.me.name]

    def done(self) -> bool:
        return (self.number() >= self.me.count and self.asked is None) or self.cut_off()

    def left(self) -> None:
        if self.number() < self.me.count:
            self.flow.stop(self.me.name)
        self.back.stop(self.me.name)

    async def step(self) -> None:
        if await self.take_held(0.1 if self.relaxed else None):
            if self.held is not None:
                self.held[0].cancel()
                self.held = None
            return
        cut = self.rng.choice(CUTS) if self.restless() else PLAIN
        if cut == POLL:
            cut = DONTWAIT
        self.counts_when_cancelled = self.asked is None  # it sends
        if self.asked is None:
            await self.cut(cut, self.send, self.have_sent, "question")
            return
        if not self.relaxed:
            await self.cut(cut, self.receive, self.have_one, "answer")
            return
        if cut == PLAIN:
            cut = WAIT_FOR
        before = self.asked
        try:
            await self.cut(cut, self.receive, self.have_one, "answer")
        finally:
            if self.asked is before and self.held is None and self.rng.random() < 0.7:
                self.asked = None  # it may ask anew
                self.world.progress()

    def send(self, **options: Any) -> Any:
        message = self.flow.shape.message(self.me.name, self.number())
        return self.watched(self.socket.send_multipart(message, **options), "question")

    def receive(self, **options: Any) -> Any:
        return self.watched(self.socket.recv_multipart(**options), "answer")

    def have_sent(self, _: Any) -> None:
        self.asked = self.flow.shape.message(self.me.name, self.number())
        self.tell("asks", self.number())
        self.world.confirm(self.flow, self.me)

    def have_one(self, future: Any) -> None:
        parts = future.result()
        self.tell("is told", parts[0][:40])
        if parts != self.asked:
            raise Broken(f"answer: {self.me.name} asked {self.asked!r} and was told {parts!r}")
        self.asked = None
        self.world.accept(self.back, self.me, parts)


def make(world: "World", actor: p.Actor) -> Any:
    """The actor of a plan."""
    from . import others

    if actor.role == "ask":
        return Asker(world, actor)
    if actor.role == "serve":
        return Server(world, actor)
    sends = actor.role == "send"
    if actor.way == p.SHADOW:
        return (others.ShadowSender if sends else others.ShadowReceiver)(world, actor)
    if actor.way == p.STREAM:
        return (others.StreamSender if sends else others.StreamReceiver)(world, actor)
    if actor.way == p.POLLER:
        return PollerReceiver(world, actor)
    if actor.way == p.ITERATE:
        return Iterator(world, actor)
    return Sender(world, actor) if sends else Receiver(world, actor)


__all__ = ["Actor", "Awaitable", "make"]
