# SPDX-License-Identifier: MIT
"""Faults to be planted in a small program, so that tests can show which check finds which fault."""

import asyncio
import os
import signal
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

from .plan import TASK, Draw, Fork, Plan

kept: list[Any] = []
"""What a leak leaves behind."""


def program(kind: str) -> Plan:
    """PUSH to PULL, and a REQ with its REP: a task each, none of which cuts a wait short."""
    draw = Draw(1, kind)
    plan = draw.plan
    push, pull, req, rep = (draw.socket(name) for name in ("PUSH", "PULL", "REQ", "REP"))
    for socket in (push, pull, req, rep):
        socket.options.clear()
    draw.link([pull], [push])
    draw.link([rep], [req])
    work, asked, told = draw.flow("work"), draw.flow("asked"), draw.flow("told")
    for flow in (work, asked, told):
        flow.addresses.append(flow.name)
        flow.most_parts, flow.sizes = 3, (3, 30)
    draw.sender(push, work, way=TASK).count = 20
    draw.actor("receive", pull, work, TASK)
    asker = draw.actor("ask", req, asked, TASK)
    asker.count, asker.back = 5, told.name
    asked.senders.append(asker.name)
    told.senders.append(asker.name)
    draw.servers(rep, asked, told, 1)
    for actor in plan.actors:
        actor.restless, actor.pause, actor.loop = 0.0, 0.1, 0
    plan.end = "close"
    return plan


class Fault:
    """What is wrong: with sockets, when everything idles, at the end."""

    def __init__(self) -> None:
        self.calls = 0

    def due(self, call: int = 4) -> bool:
        """Once, at this call."""
        self.calls += 1
        return self.calls == call

    def verbs(self, base: type) -> dict[str, Any]:
        """Methods that take the place of a socket's."""
        return {}

    def idle(self, world: Any) -> None:
        """Called before the idle phase."""

    def plan(self, plan: Plan) -> None:
        """Changes the program."""


FAULTS: dict[str, tuple[Callable[[], Fault], str]] = {}
"""Name: (the fault, what the report must say)."""
NOTHING = "nothing"


def fault(says: str) -> Callable[[type[Fault]], type[Fault]]:
    def add(made: type[Fault]) -> type[Fault]:
        name = "".join(c if c.islower() else f"-{c.lower()}" for c in made.__name__)[1:]
        FAULTS[name] = (made, says)
        return made

    return add


@fault("")
class Nothing(Fault):
    """The program as it is."""


class Sending(Fault):
    """One send of the PUSH goes wrong: send(base, socket, parts) instead of the right one."""

    def send(self, base: Any, socket: Any, parts: list[bytes]) -> Any:
        raise NotImplementedError

    def verbs(self, base: Any) -> dict[str, Any]:
        def send_multipart(socket: Any, parts: Any, *args: Any, **kwargs: Any) -> Any:
            if socket.socket_type == socket.context_module.PUSH:
                message = [bytes(part) for part in parts]
                return self.send(base, socket, message)
            return base.send_multipart(socket, parts, *args, **kwargs)

        return {"send_multipart": send_multipart, "only_multipart": True}


def finished() -> Any:
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


@fault("missing {'work5 from send8': [3]}")
class Drops(Sending):
    def send(self, base: Any, socket: Any, parts: list[bytes]) -> Any:
        return finished() if self.due() else base.send_multipart(socket, parts)


@fault("doubled: ")
class Doubles(Sending):
    def send(self, base: Any, socket: Any, parts: list[bytes]) -> Any:
        if self.due():
            base.send_multipart(socket, parts)
        return base.send_multipart(socket, parts)


@fault("doubled: ")
class SendsThoughItFailed(Sending):
    """The caller, who is told that nothing was sent, tries again."""

    def send(self, base: Any, socket: Any, parts: list[bytes]) -> Any:
        if not self.due():
            return base.send_multipart(socket, parts)
        base.send_multipart(socket, parts)
        future = asyncio.get_running_loop().create_future()
        future.set_exception(socket.context_module.Again())
        return future


@fault("order: ")
class Reorders(Sending):
    held: list[bytes] | None = None

    def send(self, base: Any, socket: Any, parts: list[bytes]) -> Any:
        if self.due():
            self.held = parts
            return finished()
        future = base.send_multipart(socket, parts)
        if self.held is not None:
            held, self.held = self.held, None
            base.send_multipart(socket, held)
        return future


@fault("torn: ")
class CutsBytes(Sending):
    def send(self, base: Any, socket: Any, parts: list[bytes]) -> Any:
        return base.send_multipart(socket, [parts[0], b"?"] if self.due() else parts)


@fault("torn: ")
class CutsParts(Sending):
    def send(self, base: Any, socket: Any, parts: list[bytes]) -> Any:
        if self.due():
            return base.send_multipart(socket, parts[:-1])
        return base.send_multipart(socket, parts)


@fault("invented: ")
class Invents(Sending):
    def send(self, base: Any, socket: Any, parts: list[bytes]) -> Any:
        if self.due():
            shape = socket.world.flows["work5"].shape
            base.send_multipart(socket, shape.message("send8", 4000))
        return base.send_multipart(socket, parts)


@fault("answer: ")
class AnswersWrong(Fault):
    def verbs(self, base: Any) -> dict[str, Any]:
        def send_multipart(socket: Any, parts: Any, *args: Any, **kwargs: Any) -> Any:
            if socket.socket_type == socket.context_module.REP and self.due(2):
                parts = [b"wrong"]
            return base.send_multipart(socket, parts, *args, **kwargs)

        return {"send_multipart": send_multipart}


@fault("pending: receive9")
class ForgetsAReceive(Fault):
    """A receive whose Future never ends, whatever becomes of the socket."""

    def verbs(self, base: Any) -> dict[str, Any]:
        def recv_multipart(socket: Any, *args: Any, **kwargs: Any) -> Any:
            done = socket.world.flows["work5"].complete()
            if socket.socket_type == socket.context_module.PULL and done:
                return asyncio.get_running_loop().create_future()
            return base.recv_multipart(socket, *args, **kwargs)

        return {"recv_multipart": recv_multipart, "only_multipart": True}


@fault("pending: send8")
class ForgetsASend(Sending):
    """A send whose Future does not end although there is room."""

    def send(self, base: Any, socket: Any, parts: list[bytes]) -> Any:
        if self.due():
            return asyncio.get_running_loop().create_future()
        return base.send_multipart(socket, parts)


@fault("ended: ")
class EndsForNothing(Fault):
    def verbs(self, base: Any) -> dict[str, Any]:
        def recv_multipart(socket: Any, *args: Any, **kwargs: Any) -> Any:
            future = base.recv_multipart(socket, *args, **kwargs)
            if not future.done() and self.due(2):
                future.cancel()
            return future

        return {"recv_multipart": recv_multipart, "only_multipart": True}


@fault("burns: ")
class Burns(Fault):
    """The loop is called again and again."""

    def idle(self, world: Any) -> None:
        loop = asyncio.get_running_loop()

        def again() -> None:
            if not world.ending:
                loop.call_soon(again)

        again()


@fault("burns: ")
class BurnsInThreads(Fault):
    """No loop turns, but threads compute: several, to be seen on a busy machine, too."""

    def idle(self, world: Any) -> None:
        data = bytes(1_000_000)

        def compute() -> None:
            while not (world.ending or world.errors):
                zlib.crc32(data)

        for _ in range(4):
            threading.Thread(target=compute, daemon=True).start()


@fault("stuck: ")
class BlocksTheLoop(Fault):
    def idle(self, world: Any) -> None:
        time.sleep(1000)


@fault("crash: ")
class Crashes(Fault):
    def idle(self, world: Any) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


@fault("callback: ")
class FailsInACallback(Fault):
    def idle(self, world: Any) -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)


@fault("'descriptors': {'/dev/null': 1}")
class LeaksADescriptor(Fault):
    def idle(self, world: Any) -> None:
        kept.append(os.open(os.devnull, os.O_RDONLY))


@fault("'threads': {'left': 1}")
class LeaksAThread(Fault):
    def idle(self, world: Any) -> None:
        threading.Thread(target=time.sleep, args=(1000,), name="left", daemon=True).start()


@fault("'objects': {")
class LeaksASocket(Fault):
    def idle(self, world: Any) -> None:
        kept.append(next(iter(world.sockets.values())))


@fault("did not end")
class ForgetsToClose(Fault):
    def idle(self, world: Any) -> None:
        kept.append(world.context.socket(world.zmq.PUSH))


@fault("fork: ")
class BreaksAChild(Fault):
    def plan(self, plan: Plan) -> None:
        plan.forks.append(Fork(0.0, "loop", "fails"))
