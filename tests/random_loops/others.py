# SPDX-License-Identifier: MIT
"""Actors that use a socket otherwise: blocking shadows in threads, and ZMQStreams."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

from . import plan as p
from .ledger import Broken
from .tasks import Actor, text

if TYPE_CHECKING:
    from .world import World

STEP_MS = 30
"""How long a thread waits at most before it looks whether it is still wanted."""


class Shadow(Actor):
    """Works with a blocking shadow in a thread of an executor."""

    def __init__(self, world: "World", actor: p.Actor) -> None:
        super().__init__(world, actor)
        self.shadow = self.zmq.Socket.shadow(self.socket)

    async def run(self) -> None:
        if self.me.after:
            await self.world.until_complete(self.me.after)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self.world.executor, self.work)
        finally:
            self.left()  # cancelled, the thread may not even have begun

    def work(self) -> None:
        try:
            while not self.done():
                try:
                    self.blocking_step()
                except self.zmq.Again:
                    pass
                if self.rng.random() < self.me.pause:
                    time.sleep(self.rng.choice((0, 0.0005, 0.003)))
        except self.zmq.ZMQError as e:
            if not self.cut_off():
                self.world.fail(Broken(f"ended: {self.me.name} got {e!r}, and nobody closed"))
        except Broken as e:
            self.world.fail(e)

    def blocking_step(self) -> None:
        raise NotImplementedError


class ShadowReceiver(Shadow):
    def blocking_step(self) -> None:
        shadow, rng = self.shadow, self.rng
        if self.flow.complete():
            self.accept(shadow.recv_multipart())  # until it is closed
            return
        how = rng.choice(("poll", "timeout", "dontwait", "many"))
        if how == "poll":
            if shadow.poll(STEP_MS):
                self.accept(shadow.recv_multipart(self.zmq.DONTWAIT))
        elif how == "timeout":
            self.accept(shadow.recv_multipart(timeout=rng.choice((1, STEP_MS))))
        elif how == "many":
            for message in shadow.recv_many(3, timeout=STEP_MS, multipart=True):
                self.accept(message)
        else:
            time.sleep(0.001)
            self.accept(shadow.recv_multipart(self.zmq.DONTWAIT))

    def accept(self, parts: list[bytes]) -> None:
        self.tell("has", parts[0][:40])
        self.world.accept(self.flow, self.me, parts)


class ShadowSender(Shadow):
    def done(self) -> bool:
        return self.number() >= self.me.count or self.cut_off()

    def left(self) -> None:
        if self.number() < self.me.count:
            self.flow.stop(self.me.name)

    def number(self) -> int:
        return self.flow.sent[self.me.name]

    def blocking_step(self) -> None:
        shadow, rng = self.shadow, self.rng
        kind = self.world.plan.sockets[self.me.socket].type
        if kind in ("PUB", "XPUB") and self.number() == 0:
            shadow.wait_for_subscribers(len(self.flow.addresses), timeout=STEP_MS)
        message = self.flow.shape.message(self.me.name, self.number())
        if rng.random() < 0.2:
            shadow.send_multipart(message, self.zmq.DONTWAIT)
        else:
            shadow.send_multipart(message, timeout=rng.choice((0, 1, STEP_MS)))
        self.tell("sent", self.number())
        self.world.confirm(self.flow, self.me)


class Stream(Actor):
    """Works with a ZMQStream in the loop."""

    async def run(self) -> None:
        from tornado.ioloop import IOLoop

        if self.me.after:
            await self.world.until_complete(self.me.after)
        if self.cut_off():
            self.left()
            return
        shadow = self.zmq.Socket.shadow(self.socket)
        self.stream = self.world.module("eventloop.zmqstream").ZMQStream(shadow, IOLoop.current())
        try:
            await self.flowing()
        finally:
            self.left()

    async def flowing(self) -> None:
        raise NotImplementedError


class StreamReceiver(Stream):
    async def flowing(self) -> None:
        self.stream.on_recv(self.received, copy=self.rng.random() < 0.5)
        pulse = self.world.pulse()
        while not self.cut_off():
            seen = pulse.beats
            if self.restless():
                # Stops for a while.
                await self.pause()
                if not self.cut_off() and not self.stream.closed():
                    self.stream.stop_on_recv()
                    await self.pause()
                    if not self.cut_off() and not self.stream.closed():
                        self.stream.on_recv(self.received, copy=self.rng.random() < 0.5)
            else:
                await pulse.wait(seen)

    def received(self, parts: list[Any]) -> None:
        self.tell("has", text(parts[0])[:40])
        self.world.accept(self.flow, self.me, [text(part) for part in parts])


class StreamSender(Stream):
    def left(self) -> None:
        if self.flow.sent[self.me.name] < self.me.count:
            self.flow.stop(self.me.name)

    async def flowing(self) -> None:
        self.stream.on_send(self.sent)
        for number in range(self.me.count):
            if self.cut_off() or self.stream.closed():
                return
            self.stream.send_multipart(self.flow.shape.message(self.me.name, number))
            if self.rng.random() < self.me.pause:
                await self.pause()
        await self.world.until(
            lambda: self.cut_off() or self.flow.sent[self.me.name] >= self.me.count
        )

    def sent(self, parts: list[bytes], status: Any) -> None:
        if isinstance(status, self.zmq.ZMQError):
            if not self.cut_off():
                self.world.fail(Broken(f"ended: {self.me.name} could not send: {status!r}"))
            return
        self.tell("sent", self.flow.sent[self.me.name])
        self.world.confirm(self.flow, self.me)
