# SPDX-License-Identifier: MIT
"""What a program in an event loop may do to its sockets: nothing sticks, starves or crashes."""

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from helpers import raises_errno, unique
from loops import KINDS, SOON, in_loops, new_loop, run, soon, turns, until
from target import fastmq_only, submodule, zmq

za = submodule("asyncio")

pytestmark = fastmq_only("beyond pyzmq")

Make = Callable[..., Any]


def join(connecting: Any, binding: Any, transport: str = "inproc") -> None:
    binding.bind("tcp://127.0.0.1:*" if transport == "tcp" else f"inproc://{unique('el')}")
    connecting.connect(binding.last_endpoint.decode().rstrip("\0"))


async def awaited(future: Any) -> Any:
    return await future


def alone(program: str, seconds: float = 30.0) -> str:
    """Runs a program in a process of its own: what it printed. It has to end by itself."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def cancelled_too_late(receive: Callable[[], Any], send: Callable[[], Any]) -> Any:
    """A task awaits receive(), whose Future is done by send(), and is cancelled before it runs."""
    future = receive()
    task = asyncio.ensure_future(awaited(future))
    await turns()
    await send()
    while not future.done():
        asyncio.get_running_loop().call_soon(lambda: future.done() and task.cancel())
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert future.done() and not future.cancelled()


# ---- closed by another thread ----


@pytest.mark.parametrize("verb", ["recv", "send", "poll", "iteration", "timed"])
@pytest.mark.parametrize("point", ["add_reader", "remove_reader", "call_soon", "call_later"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_socket_may_be_closed_whenever_the_loop_is_called(
    verb: str, point: str, place: str
) -> None:
    """Another thread closes it while a method of the loop runs, the first time or a later one."""
    if os.environ.get("FASTMQ_POLLER") == "poll" and (point, verb) == ("call_later", "poll"):
        pytest.skip("where loops have no adapter the loop is given a descriptor that is gone")
    program = f"""
    import asyncio, threading
    import fastmq, fastmq.asyncio

    class Loop(asyncio.SelectorEventLoop):
        left, sock = None, None

        def closing(self, name, call, args, kwargs):
            mine = name == {point!r} and self.sock is not None
            if mine:
                self.left -= 1
                mine = self.left == 0
            close = lambda: self.sock._close(0)
            if mine and {place!r} == "before":
                thread = threading.Thread(target=close); thread.start(); thread.join()
            result = call(*args, **kwargs)
            if mine and {place!r} == "after":
                thread = threading.Thread(target=close); thread.start(); thread.join()
            return result

        def add_reader(self, *args):
            return self.closing("add_reader", super().add_reader, args, {{}})

        def remove_reader(self, *args):
            return self.closing("remove_reader", super().remove_reader, args, {{}})

        def call_soon(self, *args, **kwargs):
            return self.closing("call_soon", super().call_soon, args, kwargs)

        def call_later(self, *args, **kwargs):
            return self.closing("call_later", super().call_later, args, kwargs)

    async def use(sock, other):
        if {verb!r} == "recv":
            await sock.recv()
        elif {verb!r} == "send":
            await other.send(b"x", timeout=300)
        elif {verb!r} == "poll":
            await sock.poll(300)
        elif {verb!r} == "timed":
            await sock.recv(timeout=50)
        else:
            async for _ in sock:
                pass

    async def main(loop, nth):
        ctx = fastmq.asyncio.Context()
        sock, other = ctx.socket(fastmq.PULL), ctx.socket(fastmq.PUSH)
        for s in (sock, other):
            s.linger = 0
        sock.bind("inproc://p%d" % nth)
        closed = sock
        if {verb!r} == "send":
            closed = other
        else:
            other.connect("inproc://p%d" % nth)
            loop.call_later(0.02, lambda: other.send(b"x"))
        loop.left, loop.sock = nth, closed
        try:
            await asyncio.wait_for(use(sock, other), 0.2)
        except (fastmq.ZMQError, asyncio.CancelledError, asyncio.TimeoutError) as e:
            ended = e
        fired = loop.left <= 0
        loop.sock = None
        sock.close(); other.close()
        await asyncio.sleep(0)
        ctx.destroy(linger=0)
        return fired

    for nth in (1, 2, 3, 5, 8):
        loop = Loop()
        fired = loop.run_until_complete(main(loop, nth))
        loop.close()
        if not fired:
            break
    print("ended")
    """
    assert alone(program).strip() == "ended"


@in_loops
async def test_a_socket_closed_as_the_loop_begins_to_watch_ends_its_receive(amake: Make) -> None:
    loop = asyncio.get_running_loop()
    if "uvloop" in type(loop).__module__:
        pytest.skip("the methods of its loops cannot be replaced")
    sock = amake(zmq.PULL)
    add_reader = loop.add_reader

    def closing(*args: Any) -> None:
        thread = threading.Thread(target=lambda: sock._close(0))
        thread.start()
        thread.join()
        add_reader(*args)

    loop.add_reader = closing  # type: ignore[method-assign]
    with raises_errno(zmq.ENOTSOCK):
        await soon(sock.recv())
    assert sock.closed


# ---- senders ----


@pytest.mark.parametrize("how", ["timeout", "cancel", "close"])
@in_loops
async def test_a_full_peer_does_not_hold_up_what_is_for_others(amake: Make, how: str) -> None:
    router = amake(zmq.ROUTER, router_mandatory=1, sndhwm=2)
    router.bind("inproc://" + unique("full"))
    peers = {}
    for name in (b"A", b"B"):
        peers[name] = amake(zmq.DEALER, routing_id=name, rcvhwm=2)
        peers[name].connect(router.last_endpoint.decode().rstrip("\0"))
        await peers[name].send(b"here")
        await soon(router.recv_multipart())
    sent = 0
    while (first := router.send_multipart([b"A", b"%d" % sent])).done():
        sent += 1
    second = router.send_multipart([b"A", b"behind"], timeout=100 if how == "timeout" else None)
    await soon(router.send_multipart([b"B", b"past"]))
    assert await soon(peers[b"B"].recv()) == b"past"
    assert not first.done() and not second.done()
    third = router.send_multipart([b"A", b"last"])
    if how == "timeout":
        with pytest.raises(zmq.Again):
            await soon(second)
    elif how == "cancel":
        second.cancel()
    else:
        router.close()
        await asyncio.wait([first, second, third], timeout=SOON)
        assert first.cancelled() and second.cancelled() and third.cancelled()
        return
    got = [await soon(peers[b"A"].recv()) for _ in range(sent + 2)]
    assert got == [b"%d" % i for i in range(sent + 1)] + [b"last"]
    await soon(asyncio.gather(first, third))


@pytest.mark.parametrize("how", ["timeout", "cancel"])
@in_loops
async def test_when_the_first_sender_gives_up_the_next_is_served(amake: Make, how: str) -> None:
    push, pull = amake(zmq.PUSH), amake(zmq.PULL)
    push.set(zmq.SocketOption.SNDHWM_BYTES, 1000)
    pull.set(zmq.SocketOption.RCVHWM_BYTES, 1000)
    join(push, pull)
    while (more := push.send(b"f" * 300)).done():
        pass
    more.cancel()
    large = push.send(b"L" * 900, timeout=100 if how == "timeout" else None)
    small = push.send(b"s")
    assert not small.done()
    if how == "timeout":
        with pytest.raises(zmq.Again):
            await soon(large)
    else:
        large.cancel()
    await soon(small)


@in_loops
async def test_messages_for_one_peer_keep_their_order(amake: Make) -> None:
    """Whole messages and parts, some of which wait."""
    router = amake(zmq.ROUTER, router_mandatory=1, sndhwm=1)
    dealer = amake(zmq.DEALER, routing_id=b"A", rcvhwm=1)
    join(dealer, router)
    await dealer.send(b"here")
    await soon(router.recv_multipart())
    futures = []
    for i in range(30):
        if i % 3:
            futures.append(router.send_multipart([b"A", b"%d" % i]))
        else:
            futures += [router.send(b"A", zmq.SNDMORE), router.send(b"%d" % i)]
    got = [await soon(dealer.recv_multipart()) for _ in range(30)]
    assert got == [[b"%d" % i] for i in range(30)]
    await soon(asyncio.gather(*futures))


@in_loops
async def test_what_a_cancelled_send_held_is_let_go_at_once(amake: Make) -> None:
    class Message(bytearray):
        pass

    push = amake(zmq.PUSH)
    first, message = push.send(b"first"), Message(b"second")
    gone = weakref.ref(message)
    future = push.send(message, copy=False)
    del message
    future.cancel()
    assert gone() is None
    first.cancel()


@in_loops
async def test_after_a_cancelled_recv_into_the_buffer_can_be_resized(amake: Make) -> None:
    pull = amake(zmq.PULL)
    stay, buffer = pull.recv(), bytearray(10)
    future = pull.recv_into(buffer)
    with pytest.raises(BufferError):
        buffer.append(1)
    future.cancel()
    buffer.append(1)
    late = pull.recv_into(buffer, timeout=1)
    with pytest.raises(zmq.Again):
        await soon(late)
    buffer.append(2)
    stay.cancel()


@in_loops
async def test_the_count_of_a_cancelled_send_many_is_what_was_sent(amake: Make) -> None:
    """It is cancelled in the turn its waiting send was done: what a caller resumes with is not
    sent twice."""
    push, pull = amake(zmq.PUSH, sndhwm=2), amake(zmq.PULL, rcvhwm=2)
    join(push, pull)
    messages = [b"%d" % i for i in range(50)]
    got: list[bytes] = []
    start = 0

    async def send_rest() -> int | None:
        try:
            await push.send_many(messages[start:])
        except asyncio.CancelledError as e:
            # Here: before Python 3.11 who awaits the task gets an exception of its own.
            return e.sent  # type: ignore[attr-defined, no-any-return]
        return None

    while start < len(messages):
        task = asyncio.ensure_future(send_rest())
        await turns()
        got.append(await soon(pull.recv()))
        for _ in range(len(got) % 4):
            await asyncio.sleep(0)
        task.cancel()
        sent = await task
        if sent is None:
            break
        start += sent
    while len(got) < len(messages):
        got.append(await soon(pull.recv()))
    assert got == messages and await pull.poll(0) == 0


# ---- what came back ----


@in_loops
async def test_a_relaxed_req_sends_although_its_reply_came_back(amake: Make) -> None:
    req, rep = amake(zmq.REQ, req_relaxed=1, req_correlate=1), amake(zmq.REP)
    join(req, rep)
    await req.send(b"1")

    async def reply() -> None:
        await rep.send(b"re: " + await soon(rep.recv()))

    await cancelled_too_late(req.recv, reply)
    assert await req.poll(0, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLIN | zmq.POLLOUT
    await req.send(b"2")
    await reply()
    assert await soon(req.recv()) == b"re: 2"


@in_loops
async def test_a_strict_req_whose_reply_came_back_is_not_writable(amake: Make) -> None:
    req, rep = amake(zmq.REQ), amake(zmq.REP)
    join(req, rep)
    await req.send(b"1")

    async def reply() -> None:
        await rep.send(b"re: " + await soon(rep.recv()))

    await cancelled_too_late(req.recv, reply)
    assert await req.poll(0, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLIN
    with raises_errno(zmq.EFSM):
        await req.send(b"2")
    assert await req.recv() == b"re: 1"
    assert await req.poll(0, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLOUT


@in_loops
async def test_every_receiver_of_the_handle_sees_what_came_back(amake: Make) -> None:
    push, pull = amake(zmq.PUSH), amake(zmq.PULL)
    join(push, pull)
    shadow = zmq.Socket.shadow(pull.underlying)
    poller = zmq.Poller()
    poller.register(shadow, zmq.POLLIN)

    async def come_back(parts: list[bytes]) -> None:
        await cancelled_too_late(pull.recv_multipart, lambda: push.send_multipart(parts))

    await come_back([b"1"])
    assert shadow.poll(0) == zmq.POLLIN and poller.poll(0) == [(shadow, zmq.POLLIN)]
    assert shadow.recv(zmq.DONTWAIT) == b"1"
    assert shadow.poll(0) == 0 and poller.poll(0) == []
    await come_back([b"2", b"3"])
    assert shadow.get(zmq.EVENTS) & zmq.POLLIN and not shadow.get(zmq.RCVMORE)
    assert shadow.recv(zmq.DONTWAIT) == b"2" and shadow.get(zmq.RCVMORE)
    assert shadow.recv(zmq.DONTWAIT) == b"3" and not shadow.get(zmq.RCVMORE)
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(shadow.recv_multipart()))
    future = pull.recv_multipart()
    task = asyncio.ensure_future(awaited(future))
    await turns()
    await push.send(b"4")

    def between() -> None:
        if future.done():
            waiting.start()
            task.cancel()
        else:
            asyncio.get_running_loop().call_soon(between)

    asyncio.get_running_loop().call_soon(between)
    await asyncio.wait([task])
    await until("the blocking receiver has it", lambda: not waiting.is_alive())
    assert got == [[b"4"]]
    await come_back([b"5"])
    assert shadow.recv_many(timeout=0) == [b"5"]


@in_loops
async def test_what_came_back_keeps_its_shape(amake: Make) -> None:
    """Parts, `more` and what a Frame knows of its connection, in whatever form it is received."""
    push, pull = amake(zmq.PUSH), amake(zmq.PULL)
    join(push, pull, "tcp")
    parts = [b"1", b"2", b"3"]

    def send() -> Any:
        return push.send_multipart(parts)

    for receive in (
        pull.recv_multipart,
        pull.recv,
        lambda: pull.recv(copy=False),
        lambda: pull.recv_into(bytearray(5)),
        pull.recv_many,
        pull.__anext__,
    ):
        await cancelled_too_late(receive, send)
        frames = await soon(pull.recv_multipart(copy=False))
        assert [f.bytes for f in frames] == parts
        assert [f.more for f in frames] == [True, True, False]
        assert frames[0].get("Peer-Address") == frames[2].get("Peer-Address") == "127.0.0.1"
        await cancelled_too_late(receive, send)
        got = []
        for i in range(3):
            assert bool(pull.get(zmq.RCVMORE)) == (i > 0)
            got.append(await soon(pull.recv()))
        assert got == parts and not pull.get(zmq.RCVMORE)
        await cancelled_too_late(receive, send)
        assert await soon(pull.recv_many(multipart=True)) == [parts]
    # In the middle of a message.
    await send()
    assert await soon(pull.recv()) == b"1"
    inner = pull.recv()
    assert inner.done() and await inner == b"2" and await pull.recv() == b"3"


@in_loops
async def test_what_came_back_keeps_its_order(amake: Make) -> None:
    push, pull = amake(zmq.PUSH), amake(zmq.PULL)
    join(push, pull)
    futures = [pull.recv() if i % 2 else pull.recv_many(1) for i in range(6)]
    tasks = [asyncio.ensure_future(awaited(f)) for f in futures]
    await turns()
    assert all(push.send(b"%d" % i).done() for i in range(8))

    def cancel() -> None:
        if all(f.done() for f in futures):
            for i in (4, 1, 5, 2):
                tasks[i].cancel()
        else:
            asyncio.get_running_loop().call_soon(cancel)

    asyncio.get_running_loop().call_soon(cancel)
    done = await asyncio.gather(*tasks, return_exceptions=True)
    kept = [i for i, r in enumerate(done) if not isinstance(r, asyncio.CancelledError)]
    came_back = [i for i in range(6) if i not in kept]
    assert came_back
    got = [int(await soon(pull.recv())) for _ in range(len(came_back) + 2)]
    assert got == [*came_back, 6, 7]


# ---- forks ----


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.skipif(
    os.environ.get("FASTMQ_POLLER") == "poll", reason="without adapters it cannot yet"
)
@pytest.mark.parametrize("kind", ["asyncio", "gevent"])
def test_a_child_waits_in_its_parents_loop(kind: str) -> None:
    """With a context of its own."""
    if kind == "gevent":
        pytest.importorskip("gevent")
    program = """
    import asyncio, os, sys
    import fastmq, fastmq.asyncio

    async def exchange(name):
        ctx = fastmq.asyncio.Context()
        a, b = ctx.socket(fastmq.PUSH), ctx.socket(fastmq.PULL)
        b.bind("tcp://127.0.0.1:*")
        a.connect(b.last_endpoint.decode())
        waiting = asyncio.ensure_future(asyncio.wait_for(b.recv(), 8))
        await asyncio.sleep(0.05)
        await a.send(name)
        assert await waiting == name
        idle = b.recv()
        await asyncio.sleep(0)
        return ctx, a, b, idle

    loop = asyncio.SelectorEventLoop()
    asyncio.set_event_loop(loop)
    kept = loop.run_until_complete(exchange(b"parent"))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            loop.run_until_complete(exchange(b"child"))
            loop.run_until_complete(exchange(b"again"))
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0, status

    async def main():
        kept[1].send(b"still")
        assert await asyncio.wait_for(kept[3], 8) == b"still"
        kept[1].close(); kept[2].close()
        kept[0].term()

    loop.run_until_complete(main())
    loop.close()
    print("ended")
    """
    green = """
    import os
    import gevent
    import fastmq.green as fastmq

    def exchange(name):
        ctx = fastmq.Context()
        a, b = ctx.socket(fastmq.PUSH), ctx.socket(fastmq.PULL)
        b.bind("tcp://127.0.0.1:*")
        a.connect(b.last_endpoint.decode())
        waiting = gevent.spawn(b.recv)
        gevent.sleep(0.05)
        a.send(name)
        assert waiting.get(timeout=8) == name
        idle = gevent.spawn(b.recv)
        gevent.sleep(0.01)
        return ctx, a, b, idle

    kept = exchange(b"parent")
    child = gevent.fork()
    if child == 0:
        status = 1
        try:
            exchange(b"child")
            exchange(b"again")
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    kept[1].send(b"still")
    assert kept[3].get(timeout=8) == b"still"
    print("ended")
    """
    assert alone(program if kind == "asyncio" else green).strip().endswith("ended")


# ---- the end ----


def test_a_cancelled_async_with_does_not_keep_the_process() -> None:
    """The context has a message for a peer that never comes, and LINGER without end."""
    start = time.monotonic()
    program = """
    import asyncio, os
    import fastmq, fastmq.asyncio

    async def main():
        async with fastmq.asyncio.Context() as ctx:
            push = ctx.socket(fastmq.PUSH)
            push.linger = -1
            push.connect("tcp://127.0.0.1:1")
            await push.send(b"never taken")

    async def both():
        task = asyncio.ensure_future(main())
        await asyncio.sleep(0.3)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            print("cancelled", flush=True)

    asyncio.run(both())
    """
    os.environ["FASTMQ_EXIT_LINGER"] = "100"
    try:
        assert alone(program).strip() == "cancelled"
    finally:
        del os.environ["FASTMQ_EXIT_LINGER"]
    assert time.monotonic() - start < 25


@in_loops
async def test_closed_sockets_do_not_wait_for_the_garbage_collector(accounting: None) -> None:
    context = za.Context()
    gc.collect()
    gc.disable()
    try:
        gone = []
        for _ in range(20):
            push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
            join(push, pull)
            waiting = pull.recv()
            await push.send(b"x")
            assert await soon(waiting) == b"x"
            idle = [pull.recv(), pull.poll(), pull.recv(timeout=100_000)]
            task = asyncio.ensure_future(awaited(idle[0]))
            await asyncio.sleep(0)
            push.close(0)
            pull.close()
            await asyncio.wait([task, *idle])
            gone += [weakref.ref(push), weakref.ref(pull)]
            del push, pull, waiting, idle, task
        await turns()
        assert [ref for ref in gone if ref() is not None] == []
        unreachable = gc.collect()
        assert unreachable < 20, "cycles were left"
    finally:
        gc.enable()
    context.term()


@in_loops
async def test_the_context_of_the_first_waiter_is_not_kept_by_others(amake: Make) -> None:
    class Held:
        pass

    variable: contextvars.ContextVar[Any] = contextvars.ContextVar("held")
    gone: list[Any] = []
    push, pull, other = amake(zmq.PUSH), amake(zmq.PULL), amake(zmq.PULL)
    join(push, pull)

    def first() -> Any:
        held = Held()
        gone.append(weakref.ref(held))
        variable.set(held)
        return pull.recv(timeout=1_000_000)

    future = contextvars.copy_context().run(first)
    waiting = other.recv()
    await push.send(b"x")
    assert await soon(future) == b"x"
    del future
    await turns()
    gc.collect()
    assert gone[0]() is None
    waiting.cancel()


# ---- deserializers ----


class OfTasks(za.Socket):  # type: ignore[name-defined,misc]
    """Its receives are coroutines in Tasks."""

    def recv(self, *args: Any, **kwargs: Any) -> Any:
        return asyncio.ensure_future(awaited(super().recv(*args, **kwargs)))

    def recv_multipart(self, *args: Any, **kwargs: Any) -> Any:
        return asyncio.ensure_future(awaited(super().recv_multipart(*args, **kwargs)))


class OfCoroutines(za.Socket):  # type: ignore[name-defined,misc]
    async def recv(self, *args: Any, **kwargs: Any) -> Any:
        return await super().recv(*args, **kwargs)

    async def recv_multipart(self, *args: Any, **kwargs: Any) -> Any:
        return await super().recv_multipart(*args, **kwargs)


@pytest.mark.parametrize("cls", [OfTasks, OfCoroutines])
@in_loops
async def test_forms_take_whatever_a_subclass_returns_from_recv(amake: Make, cls: Any) -> None:
    push, pull = amake(zmq.PUSH), amake(zmq.PULL, cls)
    join(push, pull)
    for wait in (True, False):
        for receive, sent, expected in (
            (lambda: pull.recv_string(), b"text", "text"),
            (lambda: pull.recv_json(), b"[1]", [1]),
            (lambda: pull.recv_serialized(lambda parts: parts[0] * 2), b"x", b"xx"),
        ):
            if not wait:
                await push.send(sent)
            future = receive()
            await turns()
            if wait:
                await push.send(sent)
            assert await soon(future) == expected
    task = asyncio.ensure_future(pull.recv_string())
    await turns()
    task.cancel()
    await asyncio.wait([task])
    await push.send(b"kept")
    assert await soon(pull.recv_string()) == "kept"


@in_loops
async def test_deserializers_run_in_the_context_of_their_caller(amake: Make) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")
    push, pull = amake(zmq.PUSH), amake(zmq.PULL)
    join(push, pull)

    async def one(name: str) -> tuple[str, str]:
        who.set(name)
        return name, await pull.recv_serialized(lambda _: who.get())

    tasks = [asyncio.ensure_future(one(name)) for name in ("a", "b", "c")]
    await turns()
    await push.send_many([b"1", b"2", b"3", b"4"])
    assert await soon(asyncio.gather(*tasks)) == [("a", "a"), ("b", "b"), ("c", "c")]
    assert await soon(asyncio.ensure_future(one("d"))) == ("d", "d")


@pytest.mark.parametrize("wait", [True, False], ids=["waiting", "there"])
@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (StopIteration, RuntimeError),
        (StopAsyncIteration, StopAsyncIteration),
        (asyncio.CancelledError, asyncio.CancelledError),
        (GeneratorExit, GeneratorExit),
        (KeyError, KeyError),
    ],
)
@in_loops
async def test_whatever_a_deserializer_raises_ends_its_future(
    amake: Make, raised: Any, seen: Any, wait: bool
) -> None:
    push, pull = amake(zmq.PUSH), amake(zmq.PULL)
    join(push, pull)

    def load(_: Any) -> Any:
        raise raised("by the deserializer")

    if not wait:
        await push.send(b"x")
    future = pull.recv_serialized(load)
    following = pull.recv()
    await push.send_many([b"y"] if not wait else [b"x", b"y"])
    # A task that awaits it might give the message back.
    task = asyncio.ensure_future(awaited(future))
    await asyncio.wait([task], timeout=SOON)
    assert future.done() and (task.cancelled() or task.exception() is not None)
    with pytest.raises(seen):
        future.result()
    assert await soon(following) == b"y"


@pytest.mark.parametrize("raised", ["SystemExit(3)", "KeyboardInterrupt()"])
def test_a_deserializer_that_ends_the_program_ends_it(raised: str) -> None:
    program = f"""
    import asyncio
    import fastmq, fastmq.asyncio

    async def main():
        ctx = fastmq.asyncio.Context()
        push, pull = ctx.socket(fastmq.PUSH), ctx.socket(fastmq.PULL)
        pull.bind("inproc://p")
        push.connect("inproc://p")
        def load(_):
            raise {raised}
        global future, following
        future = pull.recv_serialized(load)
        following = pull.recv()
        await push.send(b"x")
        await push.send(b"y")
        await asyncio.sleep(8)

    loop = asyncio.SelectorEventLoop()
    try:
        loop.run_until_complete(main())
    except BaseException as e:
        print(type(e).__name__, type(future.exception()).__name__, following.result())
    """
    name = raised.partition("(")[0]
    assert alone(program).strip() == f"{name} {name} b'y'"


# ---- turns of the loop ----


VERBS: dict[str, Callable[[Any, Any], Any]] = {
    "recv": lambda push, pull: pull.recv(),
    "recv a frame": lambda push, pull: pull.recv(copy=False),
    "recv_multipart": lambda push, pull: pull.recv_multipart(),
    "recv_string": lambda push, pull: pull.recv_string(),
    "recv_into": lambda push, pull: pull.recv_into(bytearray(9)),
    "recv_many": lambda push, pull: pull.recv_many(1),
    "recv DONTWAIT": lambda push, pull: pull.recv(zmq.DONTWAIT),
    "anext": lambda push, pull: pull.__anext__(),
    "send": lambda push, pull: push.send(b"x"),
    "send_multipart": lambda push, pull: push.send_multipart([b"x", b"y"]),
    "send_many": lambda push, pull: push.send_many([b"x"]),
    "poll": lambda push, pull: pull.poll(),
    "poll 0": lambda push, pull: pull.poll(0),
}


async def makes_progress(push: Any, pull: Any, step: Callable[[], Any]) -> None:
    """Another task runs beside a loop of awaits that complete at once."""
    steps, others = 0, 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    for _ in range(20):
        if await pull.poll(0) == 0:
            await push.send(b"x")
    seen, longest, gap = 0, 0, 0
    for steps in range(1000):  # noqa: B007
        await step()
        gap = 0 if others != seen else gap + 1
        seen = others
        longest = max(longest, gap)
    task.cancel()
    assert steps == 999 and others > 5 and longest <= 70, (others, longest)


@pytest.mark.parametrize("verb", VERBS)
@in_loops
async def test_awaits_that_complete_at_once_let_other_tasks_run(amake: Make, verb: str) -> None:
    push, pull = amake(zmq.PUSH, sndhwm=0), amake(zmq.PULL, rcvhwm=0)
    join(push, pull)
    if "send" not in verb:
        await push.send_many([b"x"] * 1100)
    await makes_progress(push, pull, lambda: VERBS[verb](push, pull))


FAILURES: dict[str, Callable[[Any, Any], Any]] = {
    "recv DONTWAIT": lambda push, pull: pull.recv(zmq.DONTWAIT),
    "recv_multipart DONTWAIT": lambda push, pull: pull.recv_multipart(zmq.DONTWAIT),
    "recv_string DONTWAIT": lambda push, pull: pull.recv_string(zmq.DONTWAIT),
    "send DONTWAIT": lambda push, pull: push.send(b"x", zmq.DONTWAIT),
    "send_multipart DONTWAIT": lambda push, pull: push.send_multipart([b"x", b"y"], zmq.DONTWAIT),
}


@pytest.mark.parametrize("verb", FAILURES)
@in_loops
async def test_awaits_that_fail_at_once_let_other_tasks_run(amake: Make, verb: str) -> None:
    full, empty = amake(zmq.PUSH), amake(zmq.PULL)  # without a peer
    push, pull = amake(zmq.PUSH), amake(zmq.PULL)
    join(push, pull)

    async def step() -> None:
        with pytest.raises(zmq.ZMQError):
            await FAILURES[verb](full, empty)

    await makes_progress(push, pull, step)


@in_loops
async def test_timers_and_other_sockets_are_heard_beside_awaits_that_complete_at_once(
    amake: Make,
) -> None:
    """No other task is ready to run: the loop finds them in its next turn only."""
    push, pull = amake(zmq.PUSH, sndhwm=0), amake(zmq.PULL, rcvhwm=0)
    join(push, pull)
    left, right = amake(zmq.PUSH), amake(zmq.PULL)
    join(left, right)
    for _ in range(3):
        fired: list[bool] = []
        asyncio.get_running_loop().call_later(0.005, fired.append, True)
        other = asyncio.ensure_future(right.recv())
        await turns()
        assert not other.done()
        await left.send(b"x")
        while not (fired and other.done()):
            await push.send(b"x")
            await pull.recv()


@pytest.mark.parametrize("timeout", [None, 0, 1000])
@in_loops
async def test_polls_always_let_other_tasks_run(amake: Make, timeout: Any) -> None:
    push, pull = amake(zmq.PUSH), amake(zmq.PULL)
    join(push, pull)
    await push.send(b"x")
    poller = za.Poller()
    poller.register(pull, zmq.POLLIN)
    for poll in (lambda: poller.poll(timeout), lambda: pull.poll(timeout)):
        ran: list[int] = []
        for i in range(20):
            asyncio.get_running_loop().call_soon(ran.append, i)
            assert await poll() in (1, [(pull, zmq.POLLIN)])
            assert len(ran) == i + 1


@pytest.mark.parametrize("verb", VERBS)
def test_tornado_runs_other_coroutines_beside_each_verb(verb: str, accounting: None) -> None:
    ioloop = pytest.importorskip("tornado.ioloop")
    future = submodule("eventloop.future")

    async def main() -> None:
        context = future.Context()
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        push.linger = push.sndhwm = pull.rcvhwm = 0
        join(push, pull)
        if "send" not in verb:
            await push.send_many([b"x"] * 1100)
        await makes_progress(push, pull, lambda: VERBS[verb](push, pull))
        push.close()
        pull.close()
        context.term()

    loop = ioloop.IOLoop(make_current=False)
    try:
        loop.run_sync(main, timeout=SOON)
    finally:
        loop.close()


@in_loops
async def test_sends_that_nobody_awaits_are_sent_at_once(amake: Make) -> None:
    """However many, in one turn of the loop."""
    push, pull = amake(zmq.PUSH, sndhwm=0), amake(zmq.PULL, rcvhwm=0)
    join(push, pull)
    assert all(push.send(b"%d" % i).done() for i in range(500))
    assert [int(f.result()) for f in [pull.recv() for _ in range(500)]] == list(range(500))


@in_loops
async def test_a_message_of_a_turn_too_full_comes_back_from_a_cancelled_task(amake: Make) -> None:
    push, pull = amake(zmq.PUSH, sndhwm=0), amake(zmq.PULL, rcvhwm=0)
    join(push, pull)
    for i in range(200):
        push.send(b"%d" % i)

    got: list[bytes] = []

    async def drain() -> None:
        while True:
            got.append(await pull.recv())

    while len(got) < 200:
        task = asyncio.ensure_future(drain())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert got == [b"%d" % i for i in range(200)]


# ---- pollers ----


@in_loops
async def test_a_poller_without_members_ends(amake: Make) -> None:
    poller = za.Poller()
    for timeout in (None, -1, 0, 1):
        assert await soon(poller.poll(timeout)) == []


@in_loops
async def test_thousands_of_polls_on_one_socket_are_all_told(amake: Make) -> None:
    push, pull = amake(zmq.PUSH), amake(zmq.PULL)
    join(push, pull)
    polls = [pull.poll() for _ in range(5000)]
    for future in polls[::2]:
        future.cancel()
    await push.send(b"x")
    done = await soon(asyncio.gather(*polls, return_exceptions=True))
    assert done[1::2] == [zmq.POLLIN] * 2500
    assert all(isinstance(e, asyncio.CancelledError) for e in done[::2])


@in_loops
async def test_a_cancelled_poll_leaves_nothing_behind(amake: Make) -> None:
    pull = amake(zmq.PULL)
    poller = za.Poller()
    poller.register(pull, zmq.POLLIN)
    stay = pull.poll()
    gone = []
    for _ in range(50):
        for future in (pull.poll(), poller.poll()):
            await turns()
            future.cancel()
            await asyncio.wait([future])
            gone.append(weakref.ref(future))
            del future
    await turns()
    gc.collect()
    assert [ref for ref in gone if ref() is not None] == []
    stay.cancel()


@pytest.mark.parametrize("wait", [True, False], ids=["waiting", "there"])
@in_loops
async def test_a_batch_of_one_is_a_list_of_one_message(amake: Make, wait: bool) -> None:
    push, pull = amake(zmq.PUSH), amake(zmq.PULL)
    join(push, pull)
    for parts in ([b"1"], [b"1", b"2"]):
        for multipart in (False, True):
            future = pull.recv_many(1, multipart=multipart) if wait else None
            await push.send_multipart(parts)
            future = future or pull.recv_many(1, multipart=multipart)
            expected = parts if multipart or len(parts) > 1 else parts[0]
            assert await soon(future) == [expected]


# ---- one socket, several threads ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_two_loops_and_a_blocking_thread_share_what_comes_back(kind: str, accounting: None) -> None:
    """Tasks that are cancelled at any moment: nothing is lost or doubled."""
    context = za.Context()
    push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    join(push, pull)
    total, got, lock = 3000, [], threading.Lock()

    def took(message: bytes) -> None:
        with lock:
            got.append(int(message))

    async def receive() -> None:
        async def one() -> None:
            took(await pull.recv())

        while len(got) < total:
            task = asyncio.ensure_future(one())
            await turns(2)
            task.cancel()
            await asyncio.wait([task])

    def in_loop() -> None:
        loop = new_loop(kind)
        loop.run_until_complete(asyncio.wait_for(receive(), 4 * SOON))
        loop.close()

    def blocking() -> None:
        shadow = zmq.Socket.shadow(pull.underlying)
        while len(got) < total:
            try:
                took(shadow.recv(timeout=5))
            except zmq.Again:
                pass

    threads = [threading.Thread(target=call) for call in (in_loop, in_loop, blocking)]
    for thread in threads:
        thread.start()

    async def send() -> None:
        for i in range(total):
            await push.send(b"%d" % i)

    run(send(), kind)
    for thread in threads:
        thread.join(6 * SOON)
    assert sorted(got) == list(range(total))
    push.close(0)
    pull.close()
    context.term()
