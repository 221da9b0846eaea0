# SPDX-License-Identifier: MIT
"""Runs one program in its kind of loop, and checks that nothing is lost, stuck, burning or left."""

import asyncio
import concurrent.futures
import importlib
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from . import faults, forks, kinds, tasks
from .idle import WINDOW, WINDOWS, Idle
from .ledger import Broken, Flow, Shape
from .levels import Level
from .plan import Actor, Closing, Plan

STUCK = float(os.environ.get("FASTMQ_RANDOM_STUCK", "15"))
"""Seconds without any progress after which a program is stuck. No wait in a program that gets on is
longer than some tens of milliseconds, but machines can be busy."""
TERM_MS = STUCK * 1000 * 2 / 3


class Pulse:
    """Wakes the tasks of one loop that wait for anything to change. Any thread may beat."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future: asyncio.Future[None] | None = None
        self.waiters = 0
        self.beating = False
        self.beats = 0

    async def wait(self, seen: int) -> None:
        """Until there were more beats than seen."""
        if self.future is None:
            self.future = self.loop.create_future()
        self.waiters += 1  # first this, then the look: no beat can come unnoticed between the two
        try:
            if self.beats == seen:
                await asyncio.shield(self.future)
        finally:
            self.waiters -= 1

    def beat(self) -> None:
        self.beats += 1
        if self.waiters and not self.beating:
            self.beating = True
            try:
                self.loop.call_soon_threadsafe(self._wake)
            except RuntimeError:  # the loop is closed
                pass

    def _wake(self) -> None:
        self.beating = False
        future, self.future = self.future, None
        if future is not None:
            future.set_result(None)


class World:
    """A program that runs."""

    def __init__(
        self,
        plan: Plan,
        module: str = "fastmq",
        verbose: bool = False,
        fault: faults.Fault | None = None,
    ) -> None:
        self.plan = plan
        self.fault = fault
        self.verbose = verbose
        self.zmq: Any = importlib.import_module(module)
        variant = "eventloop.future" if plan.kind == "tornado" else "asyncio"
        self.aio = self.module(variant)
        self.sockets: dict[str, Any] = {}
        self.flows: dict[str, Flow] = {}
        self.futures: list[tuple[Any, str]] = []
        self.closed: set[str] = set()  # sockets that are being closed, or are
        self.abandoned: set[str] = set()  # flows whose receivers were closed
        self.ending = False
        self.errors: list[BaseException] = []
        self.phase = "begins"
        self.messages = 0
        self.start = self.moved = time.monotonic()
        self.folder = tempfile.mkdtemp(prefix="random-loops-")
        self.executor = concurrent.futures.ThreadPoolExecutor(40, "shadow")
        self.threads: list[kinds.LoopThread] = []
        self.pulses: dict[Any, Pulse] = {}
        self.lock = threading.Lock()
        self.running: dict[str, tuple[asyncio.AbstractEventLoop, Any]] = {}

    def module(self, name: str) -> Any:
        return importlib.import_module(f"{self.zmq.__name__}.{name}")

    # -- what actors tell --

    def progress(self) -> None:
        """Something happened: the program is not stuck."""
        self.moved = time.monotonic()
        for pulse in list(self.pulses.values()):
            pulse.beat()

    def tell(self, *what: Any) -> None:
        print(f"{time.monotonic() - self.start:9.5f}", *what, flush=True)

    def fail(self, error: BaseException) -> None:
        """An invariant does not hold; the program ends."""
        self.errors.append(error)
        self.progress()

    def future(self, future: Any, what: str) -> Any:
        """Remembers a Future that has to end."""
        with self.lock:
            if len(self.futures) > 2000:
                self.futures = [row for row in self.futures if not row[0].done()]
            self.futures.append((future, what))
        return future

    def accept(self, flow: Flow, actor: Actor, parts: list[bytes]) -> None:
        """A receiver has a message."""
        try:
            flow.accept(self.address(flow, actor), actor.name, parts, actor.ordered)
        except Broken as e:
            self.fail(e)
            raise
        self.messages += 1

    def address(self, flow: Flow, actor: Actor) -> str:
        return actor.socket if actor.socket in flow.addresses else flow.addresses[0]

    def confirm(self, flow: Flow, actor: Actor, count: int = 1) -> None:
        """A sender's messages are on their way."""
        flow.confirm(actor.name, count)

    def cut_off(self, actor: Actor) -> bool:
        return (
            self.ending
            or bool(self.errors)
            or actor.socket in self.closed
            or (actor.flow in self.abandoned and actor.role == "send")
        )

    def pulse(self) -> Pulse:
        """The running loop's."""
        loop = asyncio.get_running_loop()
        if loop not in self.pulses:
            self.pulses[loop] = Pulse(loop)
        return self.pulses[loop]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until something is so; looked at whenever anything has changed."""
        pulse = self.pulse()
        while True:
            seen = pulse.beats
            if condition():
                return
            await pulse.wait(seen)

    async def until_complete(self, flow: str) -> None:
        await self.until(lambda: self.flows[flow].complete() or self.ending or bool(self.errors))

    # -- the program --

    def run(self) -> None:
        """Broken: what does not hold. It does not return while a loop hangs: see watch()."""
        loop, counter = kinds.new_loop(self.plan.kind)
        loops = [loop]
        counters = [counter]
        for n in range(1, self.plan.loops):
            thread = kinds.LoopThread(self.plan.kind, f"loop {n}")
            self.threads.append(thread)
            loops.append(thread.loop)
            counters.append(thread.counter)
        for each in loops:
            each.set_exception_handler(self.loop_error)
        for thread in self.threads:
            thread.start()
        try:
            kinds.run(self.plan.kind, loop, self.main(loops, counters))
        finally:
            for thread in self.threads:
                thread.stop()
            for thread in self.threads:
                thread.join()
            self.executor.shutdown()
            shutil.rmtree(self.folder)
        if self.errors:
            raise self.errors[0]

    def loop_error(self, _: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Broken):
            self.fail(error)
            return
        trace = "".join(traceback.format_exception(error)) if error else ""
        self.fail(Broken(f"callback: the loop was told {context.get('message')}: {trace}"))

    async def main(
        self, loops: list[asyncio.AbstractEventLoop], counters: list[kinds.Counter]
    ) -> None:
        self.context = self.aio.Context()
        self.make_sockets()
        for actor in self.plan.actors:
            self.spawn(actor, loops[actor.loop])
        background = [asyncio.ensure_future(forks.fork(self, fork)) for fork in self.plan.forks]
        self.phase = "runs"
        closings = list(self.plan.closings)
        pulse = self.pulse()
        while not self.errors:
            seen = pulse.beats
            for closing in list(closings):
                if self.flow_count(closing.flow) >= closing.after:
                    closings.remove(closing)
                    await self.close_early(closing)
            if all(flow.complete() for flow in self.flows.values()):
                break
            await pulse.wait(seen)
        for task in background:
            await task
        if not self.errors:
            self.phase = "idles"
            if self.fault is not None:
                self.fault.idle(self)
            await self.idle(counters)
        self.phase = f"ends by {self.plan.end}"
        self.progress()
        await self.end()
        await self.check_end()

    def make_sockets(self) -> None:
        for flow in self.plan.flows.values():
            shape = Shape(f"{self.plan.seed}", flow.most_parts, flow.sizes)
            counts = {a.name: a.count for a in self.plan.actors if a.name in flow.senders}
            made = Flow(flow.name, shape, counts, flow.addresses, self.progress)
            made.lossy = flow.lossy
            self.flows[flow.name] = made
        endpoints = {}
        for socket in sorted(self.plan.sockets.values(), key=lambda s: not s.binds):
            made = self.sockets[socket.name] = self.context.socket(
                getattr(self.zmq, socket.type), socket_class=self.socket_class()
            )
            for name, value in socket.options.items():
                made.setsockopt(getattr(self.zmq, name), value)
            if socket.type == "SUB":
                made.setsockopt(self.zmq.SUBSCRIBE, b"")
            if socket.binds:
                made.bind(
                    {
                        "tcp": "tcp://127.0.0.1:*",
                        "ipc": f"ipc://{self.folder}/{socket.name}",
                        "inproc": f"inproc://{socket.name}",
                    }[socket.transport]
                )
                endpoints[socket.name] = made.getsockopt(self.zmq.LAST_ENDPOINT).rstrip(b"\0")
            for peer in socket.peers:
                made.connect(endpoints[peer].decode())
            if socket.type == "XSUB":
                self.zmq.Socket.shadow(made).send(b"\x01")

    def socket_class(self) -> Any:
        """The class of sockets, with the planted fault's verbs."""
        if self.fault is None:
            return None
        base = self.aio.Socket
        verbs = {"world": self, "context_module": self.zmq, **self.fault.verbs(base)}
        return type(base.__name__, (base,), verbs)

    def spawn(self, actor: Actor, loop: asyncio.AbstractEventLoop) -> None:
        done = concurrent.futures.Future[None]()

        async def play() -> None:
            try:
                await tasks.make(self, actor).run()
            except asyncio.CancelledError:
                if not self.cut_off(actor):
                    self.fail(Broken(f"ended: {actor.name} was cancelled, and nobody closed"))
            except BaseException as e:
                if self.verbose:
                    traceback.print_exc()
                self.fail(e)
            finally:
                done.set_result(None)
                self.progress()

        def begin() -> None:
            self.running[actor.name] = (loop, loop.create_task(play()), done)

        loop.call_soon_threadsafe(begin)

    def flow_count(self, name: str) -> int:
        return sum(
            len(numbers) for rows in self.flows[name].got.values() for numbers in rows.values()
        )

    async def close_early(self, closing: Closing) -> None:
        name = closing.socket
        receives = {a.flow for a in self.plan.actors if a.socket == name and a.role == "receive"}
        if self.verbose:
            self.tell("closing", closing)
        self.closed.add(name)
        for flow in receives:
            self.flows[flow].lossy = True
        await self.close(name, closing.by, None)
        for flow in receives:
            self.abandoned.add(flow)
            for actor in self.plan.actors:
                if actor.flow == flow and actor.role == "send" and actor.name in self.running:
                    self.cancel(actor.name)
        self.progress()

    async def close(self, name: str, by: str, linger: int | None) -> None:
        """Closes a socket from this loop, from another thread, or through a shadow."""
        socket = self.sockets[name]
        here = asyncio.get_running_loop()
        if by == "thread":
            await here.run_in_executor(self.executor, socket.close, linger)
        elif by == "shadow":
            shadow = self.zmq.Socket.shadow(socket)
            await here.run_in_executor(self.executor, shadow.close, linger)
        else:
            socket.close(linger)

    def cancel(self, name: str) -> None:
        loop, task, done = self.running[name]
        if not done.done():
            try:
                loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:
                pass

    async def idle(self, counters: list[kinds.Counter]) -> None:
        """Everything was received, everybody waits: nothing may happen."""
        spare = self.context.socket(self.zmq.PUSH)
        spare.linger = 0
        waits = [spare.send(b"to nobody"), spare.poll(None, self.zmq.POLLOUT)]
        poller = self.aio.Poller()
        poller.register(spare, self.zmq.POLLOUT)
        waits.append(asyncio.ensure_future(poller.poll(None)))
        idle = Idle([(lambda c=c: c.count) for c in counters])
        for _ in range(WINDOWS):
            idle.begin()
            await asyncio.sleep(WINDOW)
            self.moved = time.monotonic()
            if idle.quiet():
                break
        else:
            self.fail(Broken(idle.complaint()))
        if any(wait.done() for wait in waits):
            self.fail(Broken("ended: a wait for a socket without peers ended"))
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
        spare.close()

    async def end(self) -> None:
        """Everybody waits; now all of it ends."""
        lossy = bool(self.errors) or any(flow.lossy for flow in self.flows.values())
        linger = 0 if lossy else None
        self.ending = True
        here = asyncio.get_running_loop()
        if self.plan.end == "cancel":
            for name in list(self.running):
                self.cancel(name)
            for name, (_, _, done) in list(self.running.items()):
                actor = next(a for a in self.plan.actors if a.name == name)
                if actor.way not in ("shadow",):
                    await asyncio.wrap_future(done)
        elif self.plan.end == "shutdown":
            await here.run_in_executor(self.executor, self.context.shutdown)
        for name in self.sockets:
            self.closed.add(name)
            by = self.plan.end if self.plan.end in ("thread", "shadow") else "loop"
            await self.close(name, by, linger)
        self.progress()
        for _, _, done in list(self.running.values()):
            await asyncio.wrap_future(done)
        self.progress()
        self.phase = "terminates"
        try:
            await here.run_in_executor(self.executor, lambda: self.context.term(timeout=TERM_MS))
        except self.zmq.TermTimeout as e:
            self.fail(Broken(f"stuck: the context did not end: {e.pending}"))
            await here.run_in_executor(self.executor, lambda: self.context.destroy(linger=0))

    async def check_end(self) -> None:
        """Every Future has ended, every message has come."""
        deadline = time.monotonic() + STUCK / 2
        while pending := [what for future, what in self.futures if not future.done()]:
            if time.monotonic() > deadline:
                self.fail(Broken(f"pending: Futures that do not end: {pending[:10]}"))
                break
            await asyncio.sleep(0.005)
        for future, _ in self.futures:
            if future.done() and not future.cancelled():
                future.exception()  # whoever looks at it is not warned of it
        self.futures.clear()
        if not self.errors:
            for flow in self.flows.values():
                flow.verdict()

    # -- watched from outside --

    def state(self) -> str:
        """Where everything stands."""
        rows = [str(self.plan), f"phase: {self.phase}; {self.messages} messages"]
        rows += [flow.state() for flow in self.flows.values()]
        rows += [f"pending: {what}" for future, what in list(self.futures) if not future.done()]
        for name, (_, task, done) in list(self.running.items()):
            if not done.done():
                rows.append(f"{name} runs: {_where(task)}")
        for ident, frame in sys._current_frames().items():
            rows.append(f"thread {ident}: " + "".join(traceback.format_stack(frame)[-4:]))
        return "\n".join(rows)


def _where(task: Any) -> str:
    """Where a task stands, from the outside in."""
    rows = []
    inner = task.get_coro()
    while inner is not None:
        frame = getattr(inner, "cr_frame", None)
        if frame is None:
            rows.append(repr(inner)[:200])
            break
        rows.append(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}")
        inner = inner.cr_await
    return " > ".join(rows)


class Watchdog(threading.Thread):
    """Reports a program that gets nowhere, even when its loop hangs: then the process must end."""

    def __init__(self, world: World, stuck: Callable[[str], None]) -> None:
        super().__init__(name="watchdog", daemon=True)
        self.world = world
        self.stuck = stuck
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            if time.monotonic() - self.world.moved > STUCK:
                self.stuck(f"stuck: nothing happened for {STUCK:g} s\n{self.world.state()}")
                return


def run(
    plan: Plan,
    stuck: Callable[[str], None],
    module: str = "fastmq",
    verbose: bool = False,
    fault: faults.Fault | None = None,
) -> dict[str, Any]:
    """Runs a program; facts about the run. Broken or another error: an invariant does not hold.

    stuck(text) is called in another thread when the program gets nowhere, and has to end the
    process.
    """
    kinds.warm_up(plan.kind)
    level = Level(importlib.import_module(module))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        world = World(plan, module, verbose, fault)
        dog = Watchdog(world, stuck)
        dog.start()
        try:
            world.run()
        finally:
            dog.over.set()
            dog.join()
        facts = {"messages": world.messages, "seconds": time.monotonic() - world.start}
        del world, dog
        level.check()
    return facts
