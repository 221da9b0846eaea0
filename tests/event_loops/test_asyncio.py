# SPDX-License-Identifier: MIT
"""fastmq.asyncio: Futures, eager completion, order, ends, cancellation."""

import asyncio
import contextlib
import errno
import gc
import os
import pickle
import random
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from helpers import raises_errno, unique
from loops import KINDS, SOON, in_loops, new_loop, run, soon, turns, until
from target import fastmq_only, submodule, zmq

za = submodule("asyncio")

ours = fastmq_only("beyond pyzmq")


Make = Callable[..., Any]


@pytest.fixture(params=["tcp", "inproc"])
def pair(request: pytest.FixtureRequest, amake: Make) -> Callable[..., tuple[Any, Any]]:
    """pair(zmq.PUSH, zmq.PULL): two sockets, the second bound and the first connected to it."""

    def new(connected: int, bound: int, **options: Any) -> tuple[Any, Any]:
        a, b = amake(connected, **options), amake(bound, **options)
        b.bind("tcp://127.0.0.1:*" if request.param == "tcp" else f"inproc://{unique('aio')}")
        a.connect(b.last_endpoint.decode().rstrip("\0"))
        return a, b

    return new


@pytest.fixture
def tcp(amake: Make) -> Callable[..., tuple[Any, Any]]:
    def new(connected: int, bound: int, **options: Any) -> tuple[Any, Any]:
        a, b = amake(connected, **options), amake(bound, **options)
        b.bind("tcp://127.0.0.1:*")
        a.connect(b.last_endpoint.decode().rstrip("\0"))
        return a, b

    return new


# ---- forms ----


@in_loops
async def test_verbs_return_futures_that_gather_and_wait_take(pair: Any) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL)
    futures = [b.recv(), a.send(b"1"), a.send(b"2"), b.recv()]
    assert all(isinstance(f, asyncio.Future) and asyncio.isfuture(f) for f in futures)
    assert await soon(asyncio.gather(*futures)) == [b"1", None, None, b"2"]
    called = []
    futures[0].add_done_callback(called.append)
    await turns()
    assert called == [futures[0]]
    assert futures[3].result() == b"2" and futures[3].exception() is None


@in_loops
async def test_sockets_are_sockets_of_the_blocking_kind_too(amake: Make) -> None:
    sock = amake(zmq.PUSH)
    assert isinstance(sock, zmq.Socket) and isinstance(sock, za.Socket)
    assert isinstance(sock.context, zmq.Context)
    assert za.Context.instance() is not zmq.Context.instance()
    za.Context.instance().term()
    zmq.Context.instance().term()


@in_loops
async def test_a_receive_that_finds_a_message_is_done_at_once(pair: Any) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL)
    assert await soon(asyncio.gather(b.recv(), a.send(b"first"))) == [b"first", None]
    await a.send(b"second")
    assert await b.poll(SOON * 1000) == zmq.POLLIN
    future = b.recv()
    assert future.done() and future.result() == b"second"
    assert a.send(b"third").done()


@pytest.mark.parametrize("wait", [True, False], ids=["waiting", "there"])
@in_loops
async def test_every_form_of_a_message_passes(pair: Any, wait: bool) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL)

    async def both(received: Callable[[], Any], sent: Any) -> Any:
        if wait:
            future = received()
            assert not future.done()
            await sent()
            return await soon(future)
        await sent()
        await soon(b.poll())
        return await soon(received())

    assert await both(lambda: b.recv(), lambda: a.send(b"x")) == b"x"
    frame = await both(lambda: b.recv(copy=False), lambda: a.send(b"x"))
    assert isinstance(frame, zmq.Frame) and frame.bytes == b"x"
    parts = [b"1", b"", b"3"]
    assert await both(b.recv_multipart, lambda: a.send_multipart(parts)) == parts
    frames = await both(
        lambda: b.recv_multipart(copy=False), lambda: a.send_multipart(parts, copy=False)
    )
    assert [f.bytes for f in frames] == parts
    assert [f.more for f in frames] == [True, True, False]
    assert await both(b.recv_string, lambda: a.send_string("grün")) == "grün"
    latin = lambda: a.send_string("grün", encoding="latin-1")  # noqa: E731
    assert await both(lambda: b.recv_string(encoding="latin-1"), latin) == "grün"
    assert await both(b.recv_json, lambda: a.send_json({"a": [1]})) == {"a": [1]}
    assert await both(b.recv_pyobj, lambda: a.send_pyobj((1, {2}))) == (1, {2})
    serialize = lambda obj: [b"p", pickle.dumps(obj)]  # noqa: E731
    assert await both(
        lambda: b.recv_serialized(lambda got: pickle.loads(got[1])),
        lambda: a.send_serialized("obj", serialize),
    ) == ("obj")
    buffer = bytearray(8)
    assert await both(lambda: b.recv_into(buffer), lambda: a.send(b"hello")) == 5
    assert buffer == b"hello\0\0\0"
    assert await both(lambda: b.recv_into(buffer, nbytes=2), lambda: a.send(b"ABC")) == 3
    assert buffer == b"ABllo\0\0\0"


@in_loops
async def test_parts_come_one_by_one(pair: Any) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL)
    waiting = [b.recv() for _ in range(3)]
    await a.send(b"1", zmq.SNDMORE)
    await a.send(b"2", zmq.SNDMORE)
    await turns()
    assert not waiting[0].done()
    await a.send(b"3")
    assert await soon(asyncio.gather(*waiting)) == [b"1", b"2", b"3"]


@in_loops
async def test_a_tracker_tells_when_a_tracked_send_is_over(tcp: Any) -> None:
    a, b = tcp(zmq.PUSH, zmq.PULL)
    big = bytearray(b"x" * 200_000)
    tracker = await a.send(big, copy=False, track=True)
    assert isinstance(tracker, zmq.MessageTracker)
    assert await soon(b.recv()) == big
    await until("the buffer is free", lambda: tracker.done)
    assert (await a.send(b"small", copy=False, track=True)).done


@in_loops
async def test_deserialization_errors_end_the_future(pair: Any) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL)
    future = b.recv_json()
    await a.send(b"{")
    with pytest.raises(ValueError):
        await soon(future)
    await a.send(b"\xff")
    await soon(b.poll())
    with pytest.raises(UnicodeDecodeError):
        await b.recv_string()
    await a.send(b"next")
    assert await soon(b.recv()) == b"next"


@in_loops
async def test_wrong_arguments_raise(amake: Make) -> None:
    sock = amake(zmq.DEALER)
    sock.bind("inproc://" + unique("w"))
    with pytest.raises(TypeError):
        await sock.send("text")
    with pytest.raises(TypeError):
        await sock.send_multipart([b"a", 1])
    with pytest.raises((TypeError, ValueError, BufferError)):
        await sock.recv_into(b"read-only")
    with pytest.raises(ValueError):
        await sock.recv_into(bytearray(2), nbytes=3)
    with pytest.raises(TypeError):
        sock.send_string(b"bytes")


@ours
@in_loops
async def test_sockets_are_not_iterated_without_async(amake: Make) -> None:
    with pytest.raises(TypeError, match="async for"):
        iter(amake(zmq.PULL))


@ours
@in_loops
async def test_batches_pass(pair: Any) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL)
    waiting = b.recv_many()
    sent = [b"%d" % i for i in range(50)] + [[b"a", b"b"]]
    assert await a.send_many(sent) == 51
    got = await soon(waiting)
    while len(got) < 51:
        got += await soon(b.recv_many(7))
    assert got == sent
    await a.send_many([b"x"])
    assert await soon(b.recv_many(multipart=True)) == [[b"x"]]
    with pytest.raises(ValueError):
        b.recv_many(0)


@ours
@in_loops
async def test_send_many_waits_for_room_and_counts_what_it_sent(amake: Make) -> None:
    a, b = amake(zmq.PUSH, sndhwm=5), amake(zmq.PULL, rcvhwm=5)
    b.bind("inproc://" + unique("many"))
    a.connect(b.last_endpoint.decode())
    messages = [b"%d" % i for i in range(100)]
    task = asyncio.ensure_future(a.send_many(iter(messages)))
    got = [await soon(b.recv()) for _ in range(100)]
    assert got == messages and await soon(task) == 100
    with pytest.raises(zmq.BatchError) as caught:
        await a.send_many(messages, timeout=20)
    assert caught.value.errno == zmq.EAGAIN
    sent = caught.value.sent
    assert 5 <= sent < 100
    assert [await soon(b.recv()) for _ in range(sent)] == messages[:sent]
    with pytest.raises(TypeError) as wrong:
        await a.send_many([b"ok", 3])
    assert wrong.value.sent == 1
    assert await soon(b.recv()) == b"ok"


@ours
@in_loops
async def test_async_for_ends_with_the_socket(pair: Any) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL)
    got: list[Any] = []

    async def collect() -> None:
        async for parts in b:
            got.append(parts)

    task = asyncio.ensure_future(collect())
    await a.send(b"1")
    await a.send_multipart([b"2", b"3"])
    await until("both came", lambda: len(got) == 2)
    b.close()
    await soon(task)
    assert got == [[b"1"], [b"2", b"3"]]


@ours
@in_loops
async def test_async_with_closes(accounting: None) -> None:
    async with za.Context() as ctx:
        async with ctx.socket(zmq.PULL) as sock:
            assert not sock.closed
        assert sock.closed
    assert ctx.closed


# ---- order and room ----


@in_loops
async def test_waiters_are_served_in_order(pair: Any) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL)
    waiting = [b.recv() for _ in range(200)]
    for i in range(200):
        await a.send(b"%d" % i)
    assert await soon(asyncio.gather(*waiting)) == [b"%d" % i for i in range(200)]


@in_loops
async def test_senders_wait_for_room_in_order(amake: Make) -> None:
    a, b = amake(zmq.PUSH, sndhwm=2), amake(zmq.PULL, rcvhwm=2)
    b.bind("inproc://" + unique("room"))
    a.connect(b.last_endpoint.decode().rstrip("\0"))
    waiting = [a.send(b"%d" % i) for i in range(100)]
    assert waiting[0].done() and not waiting[99].done()
    got = [await soon(b.recv()) for _ in range(100)]
    assert got == [b"%d" % i for i in range(100)]
    assert await soon(asyncio.gather(*waiting)) == [None] * 100


@in_loops
async def test_senders_wait_for_a_peer(amake: Make) -> None:
    a = amake(zmq.DEALER)
    waiting = [a.send(b"1"), a.send_multipart([b"2", b"3"])]
    await turns()
    assert not waiting[0].done()
    b = amake(zmq.DEALER)
    b.bind("tcp://127.0.0.1:*")
    a.connect(b.last_endpoint.decode().rstrip("\0"))
    await soon(asyncio.gather(*waiting))
    assert await soon(b.recv_multipart()) == [b"1"]
    assert await soon(b.recv_multipart()) == [b"2", b"3"]


@ours
@in_loops
async def test_a_waiting_send_costs_no_turns_while_messages_pile_up(amake: Make) -> None:
    """The descriptor shows what is waited for, not that messages are there."""
    a, b = amake(zmq.DEALER, sndhwm=1), amake(zmq.DEALER, rcvhwm=1)
    b.bind("inproc://" + unique("pile"))
    a.connect(b.last_endpoint.decode())
    waiting = [a.send(b"%d" % i) for i in range(10)]
    await soon(b.send(b"unread"))
    await asyncio.sleep(0.02)
    loop = asyncio.get_running_loop()
    served = 0

    def count() -> None:
        nonlocal served
        served += 1

    # A loop that has nothing to do goes round only for its timers.
    selected = getattr(loop, "_selector", None)
    if selected is None:
        await asyncio.sleep(0.02)
    else:
        plain = selected.select

        def select(timeout: float | None = None) -> Any:
            count()
            return plain(timeout)

        selected.select = select
        await asyncio.sleep(0.05)
        selected.select = plain
        assert served < 10
    for _ in range(10):
        await soon(b.recv())
    await soon(asyncio.gather(*waiting))
    assert await soon(a.recv()) == b"unread"


@ours
@in_loops
async def test_a_mandatory_router_waits_for_the_peer_that_is_full(amake: Make) -> None:
    router = amake(zmq.ROUTER, sndhwm=1, router_mandatory=1)
    router.bind("inproc://" + unique("mandatory"))
    peers = []
    for name in (b"full", b"free"):
        dealer = amake(zmq.DEALER, rcvhwm=1, routing_id=name)
        dealer.connect(router.last_endpoint.decode())
        await dealer.send(b"hello")
        await soon(router.recv_multipart())
        peers.append(dealer)
    sent = 0
    while True:
        future = router.send_multipart([b"full", b"%d" % sent])
        sent += 1
        if not future.done():
            break
        await future
    await asyncio.sleep(0.02)
    assert not future.done()
    got = [await soon(peers[0].recv()) for _ in range(sent)]
    await soon(future)
    assert got == [b"%d" % i for i in range(sent)]


@in_loops
async def test_a_thousand_sockets_wait_at_once(actx: Any) -> None:
    n = 200
    router = actx.socket(zmq.ROUTER)
    router.bind("inproc://" + unique("many"))
    dealers = [actx.socket(zmq.DEALER) for _ in range(n)]
    for i, dealer in enumerate(dealers):
        dealer.connect(router.last_endpoint.decode().rstrip("\0"))
        await dealer.send(b"%d" % i)
    waiting = [dealer.recv() for dealer in dealers]
    for _ in range(n):
        await router.send_multipart(await soon(router.recv_multipart()))
    assert await soon(asyncio.gather(*waiting)) == [b"%d" % i for i in range(n)]
    for sock in (router, *dealers):
        sock.close(0)


@in_loops
async def test_many_sockets_of_one_loop_come_and_go(actx: Any) -> None:
    pushes, pulls = [], []
    for _ in range(100):
        push, pull = actx.socket(zmq.PUSH), actx.socket(zmq.PULL)
        pull.bind("inproc://" + unique("crowd"))
        push.connect(pull.last_endpoint.decode().rstrip("\0"))
        pushes.append(push)
        pulls.append(pull)
    for _ in range(3):
        waiting = [pull.recv() for pull in pulls]
        await turns()
        for pull in pulls[50:]:
            pull.close()
        for push in pushes[:50]:
            await push.send(b"x")
        assert await soon(asyncio.gather(*waiting[:50])) == [b"x"] * 50
        assert all(future.cancelled() for future in waiting[50:])
        for n in range(50, 100):
            pulls[n] = actx.socket(zmq.PULL)
            pulls[n].bind("inproc://" + unique("crowd"))
    for sock in (*pushes, *pulls):
        sock.close(0)


# ---- time ----


@in_loops
async def test_rcvtimeo_and_sndtimeo_hold(amake: Make) -> None:
    sock = amake(zmq.DEALER, rcvtimeo=20, sndtimeo=20)
    loop = asyncio.get_running_loop()
    for verb in (sock.recv, sock.recv_multipart, sock.recv_string, lambda: sock.send(b"x")):
        start = loop.time()
        with pytest.raises(zmq.Again):
            await soon(verb())
        assert loop.time() - start > 0.015
    sock.rcvtimeo = sock.sndtimeo = 0
    with pytest.raises(zmq.Again):
        await sock.recv()
    with pytest.raises(zmq.Again):
        await sock.send(b"x")


@ours
@in_loops
async def test_timeouts_of_single_calls_come_first(amake: Make) -> None:
    sock = amake(zmq.DEALER, rcvtimeo=60_000, sndtimeo=60_000)
    with pytest.raises(zmq.Again):
        await sock.recv(timeout=10)
    with pytest.raises(zmq.Again):
        await sock.send(b"x", timeout=10)
    with pytest.raises(zmq.Again):
        await sock.recv_json(timeout=10)
    assert await sock.poll(timeout=10) == 0


@in_loops
async def test_dontwait_never_waits(amake: Make) -> None:
    sock = amake(zmq.DEALER)
    with pytest.raises(zmq.Again):
        await sock.recv(zmq.DONTWAIT)
    with pytest.raises(zmq.Again):
        await sock.send(b"x", zmq.DONTWAIT)
    with pytest.raises(zmq.Again):
        await sock.send_multipart([b"x"], zmq.DONTWAIT)


@in_loops
async def test_a_message_after_a_timeout_goes_to_the_next_receive(pair: Any) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL, rcvtimeo=10)
    with pytest.raises(zmq.Again):
        await b.recv()
    await a.send(b"x")
    b.rcvtimeo = -1
    assert await soon(b.recv()) == b"x"


# ---- ends ----


@in_loops
async def test_close_cancels_who_waits(amake: Make) -> None:
    sock = amake(zmq.DEALER)
    waiting = [sock.recv(), sock.recv_multipart(), sock.recv_string(), sock.send(b"x")]
    await turns()
    sock.close()
    for future in waiting:
        with pytest.raises(asyncio.CancelledError):
            await future
    with pytest.raises(zmq.ZMQError):
        await sock.recv()
    with pytest.raises(zmq.ZMQError):
        await sock.send(b"x")
    with pytest.raises(zmq.ZMQError):
        await sock.poll(0)


@ours
@in_loops
async def test_closing_the_handle_elsewhere_ends_who_waits(amake: Make) -> None:
    sock = amake(zmq.DEALER)
    waiting = [sock.recv(), sock.send(b"x"), sock.poll()]
    await turns()
    thread = threading.Thread(target=zmq.Socket.shadow(sock.underlying).close)
    thread.start()
    for future in waiting:
        with pytest.raises(zmq.ZMQError) as caught:
            await soon(future)
        assert caught.value.errno == zmq.ENOTSOCK
    thread.join()


@in_loops
async def test_close_in_another_thread_cancels_who_waits(amake: Make) -> None:
    sock = amake(zmq.DEALER)
    future = sock.recv()
    await turns()
    thread = threading.Thread(target=sock.close)
    thread.start()
    with pytest.raises((asyncio.CancelledError, zmq.ZMQError)):
        await soon(future)
    thread.join()


@ours
@in_loops
async def test_the_end_of_the_context_ends_who_waits(accounting: None) -> None:
    ctx = za.Context()
    a, b = ctx.socket(zmq.DEALER), ctx.socket(zmq.PULL)
    waiting = [a.recv(), a.send(b"x"), b.recv_multipart(), a.poll()]

    async def iterate() -> str:
        async for _ in b:
            pass
        return "ended"

    task = asyncio.ensure_future(iterate())
    await turns()
    thread = threading.Thread(target=ctx.term)
    thread.start()
    for future in waiting:
        with pytest.raises(zmq.ContextTerminated):
            await soon(future)
    assert await soon(task) == "ended"
    with pytest.raises(zmq.ContextTerminated):
        await a.recv()
    a.close()
    b.close()
    await until("the context ended", lambda: not thread.is_alive())


@pytest.mark.parametrize("kind", KINDS)
def test_a_socket_outlives_its_loop(amake: Make, kind: str) -> None:
    a, b = amake(zmq.PUSH), amake(zmq.PULL)
    b.bind("tcp://127.0.0.1:*")
    a.connect(b.last_endpoint.decode().rstrip("\0"))

    async def trip(message: bytes) -> None:
        future = b.recv()
        await a.send(message)
        assert await soon(future) == message
        b.recv().add_done_callback(lambda _: None)  # left behind
        await turns()

    for n in range(3):
        run(trip(b"%d" % n), kind)
    b.close()


@ours
def test_loops_take_turns_with_waiters_left_in_each(amake: Make) -> None:
    a, b = amake(zmq.PUSH), amake(zmq.PULL)
    b.bind("inproc://" + unique("turns"))
    a.connect(b.last_endpoint.decode())
    one, two = new_loop("asyncio"), new_loop("asyncio")
    waiting: list[Any] = []

    async def wait() -> None:
        waiting.append(b.recv())

    async def send(message: bytes) -> None:
        await a.send(message)

    async def result(n: int) -> bytes:
        return bytes(await soon(waiting[n]))

    one.run_until_complete(wait())
    two.run_until_complete(wait())
    two.run_until_complete(send(b"x"))
    assert two.run_until_complete(result(1)) == b"x"
    two.run_until_complete(send(b"y"))
    assert one.run_until_complete(result(0)) == b"y"
    one.close()
    two.close()


@ours
@in_loops
async def test_two_loops_in_two_threads_share_a_socket(pair: Any) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL)
    got: list[bytes] = []

    async def elsewhere() -> None:
        for _ in range(100):
            got.append(await b.recv())

    thread = threading.Thread(target=lambda: run(elsewhere()))
    thread.start()
    sending = asyncio.ensure_future(a.send_many(b"%d" % i for i in range(200)))
    here = [await soon(b.recv()) for _ in range(100)]
    await until("the other loop ended", lambda: not thread.is_alive())
    assert await sending == 200
    assert sorted(here + got) == sorted(b"%d" % i for i in range(200))


@contextlib.asynccontextmanager
async def blocked(socket: Any, call: Callable[[Any], Any]) -> AsyncIterator[None]:
    """A thread that blocks in call(shadow of the socket) until the socket is closed."""
    shadow = zmq.Socket.shadow(socket)

    def block() -> None:
        with pytest.raises(zmq.ZMQError):
            while True:
                call(shadow)

    thread = threading.Thread(target=block)
    thread.start()
    try:
        yield
    finally:
        socket.close(0)
        await until("the thread ended", lambda: not thread.is_alive())
        thread.join()


@ours
@in_loops
async def test_a_loop_hears_of_room_made_by_a_thread_that_blocks_in_recv(pair: Any) -> None:
    a, b = pair(zmq.DEALER, zmq.DEALER, sndhwm=1, sndbuf=4096, rcvbuf=4096)
    async with blocked(a, lambda shadow: shadow.recv()):
        for _ in range(20):
            sends = [a.send(b"x" * 5000) for _ in range(5)]
            for _ in sends:
                await soon(b.recv())
            await soon(asyncio.gather(*sends))


@ours
@in_loops
async def test_a_loop_hears_of_what_came_to_a_thread_that_blocks_in_send(pair: Any) -> None:
    a, b = pair(zmq.DEALER, zmq.DEALER, hwm=1, sndbuf=4096, rcvbuf=4096)
    async with blocked(a, lambda shadow: shadow.send(b"x" * 50_000)):
        await until("the socket is full", lambda: not zmq.Socket.poll(a, 0, zmq.POLLOUT))
        for n in range(20):
            message = a.recv()
            await turns()
            await b.send(b"%d" % n)
            assert await soon(message) == b"%d" % n


@ours
@in_loops
async def test_a_waiting_socket_that_is_dropped_lives_until_its_future(actx: Any) -> None:
    push = actx.socket(zmq.PUSH)
    pull = actx.socket(zmq.PULL)
    pull.bind("inproc://" + unique("drop"))
    push.connect(pull.last_endpoint.decode())
    future = pull.recv()
    del pull
    gc.collect()
    await push.send(b"x")
    with pytest.warns(ResourceWarning):  # as soon as a task has the message
        assert await soon(future) == b"x"
        await turns()  # what woke us has the future as its argument
        del future
        gc.collect()
    push.close(0)


# ---- polling ----


@in_loops
async def test_poll_tells_readiness_and_takes_nothing(pair: Any) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL)
    assert await soon(a.poll(flags=zmq.POLLOUT)) == zmq.POLLOUT
    assert await b.poll(0) == 0
    assert await b.poll(10) == 0
    future = b.poll()
    await turns()
    assert not future.done()
    await a.send(b"x")
    assert await soon(future) == zmq.POLLIN
    assert await soon(b.recv()) == b"x"


@in_loops
async def test_a_poller_waits_for_sockets_of_both_kinds_and_descriptors(
    actx: Any, pair: Any
) -> None:
    import socket as pysocket

    a, b = pair(zmq.PUSH, zmq.PULL)
    plain = zmq.Context.shadow(actx.underlying).socket(zmq.PULL)
    plain.bind("inproc://" + unique("plain"))
    push = actx.socket(zmq.PUSH)
    push.connect(plain.last_endpoint.decode().rstrip("\0"))
    left, right = pysocket.socketpair()
    poller = za.Poller()
    poller.register(b, zmq.POLLIN)
    poller.register(plain, zmq.POLLIN)
    poller.register(right, zmq.POLLIN)
    assert await poller.poll(0) == []
    assert await soon(poller.poll(10)) == []
    future = poller.poll()
    await turns()
    await a.send(b"x")
    assert await soon(future) == [(b, zmq.POLLIN)]
    await b.recv()
    future = asyncio.ensure_future(poller.poll(-1))
    await turns()
    await push.send(b"y")
    assert await soon(future) == [(plain, zmq.POLLIN)]
    assert plain.recv() == b"y"
    future = asyncio.ensure_future(poller.poll(None))
    await turns()
    left.send(b"z")
    assert await soon(future) == [(right.fileno(), zmq.POLLIN)]
    right.recv(1)
    future = asyncio.ensure_future(poller.poll(None))
    await turns()
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    for s in (left, right, plain, push):
        s.close()


@in_loops
async def test_from_socket_shares_the_handle(actx: Any, pair: Any) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL)
    plain = zmq.Socket.shadow(b.underlying)
    again = za.Socket.from_socket(plain)
    await a.send(b"x")
    assert await soon(again.recv()) == b"x"
    await a.send(b"y")
    assert await soon(b.poll()) == zmq.POLLIN
    assert plain.recv() == b"y"


@ours
@in_loops
async def test_objects_over_one_handle_wait_in_one_queue(pair: Any) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL)
    again = za.Socket.from_socket(b)
    waiting = [b.recv(), again.recv(), b.recv(), again.recv()]
    for i in range(4):
        await a.send(b"%d" % i)
    assert await soon(asyncio.gather(*waiting)) == [b"0", b"1", b"2", b"3"]


@in_loops
async def test_monitors_are_awaited(tcp: Any) -> None:
    monitor_utils = submodule("utils.monitor")
    _, b = tcp(zmq.PUSH, zmq.PULL)
    monitor = b.get_monitor_socket()
    assert isinstance(monitor, za.Socket)
    assert b.get_monitor_socket() is monitor
    c = za.Socket(b.context, zmq.PUSH)
    c.connect(b.last_endpoint.decode().rstrip("\0"))
    seen = []
    while not {zmq.Event.ACCEPTED, zmq.Event.HANDSHAKE_SUCCEEDED} <= set(seen):
        seen.append((await soon(monitor_utils.recv_monitor_message(monitor)))["event"])
    b.disable_monitor()
    monitor.close()
    c.close(0)


# ---- cancellation ----


@in_loops
async def test_a_cancelled_receive_takes_nothing(pair: Any) -> None:
    a, b = pair(zmq.PUSH, zmq.PULL)
    first, second = b.recv(), b.recv()
    first.cancel()
    await a.send(b"x")
    assert await soon(second) == b"x"


@in_loops
async def test_a_cancelled_send_sends_nothing(amake: Make) -> None:
    a = amake(zmq.PUSH)
    first, second = a.send(b"1"), a.send(b"2")
    first.cancel()
    b = amake(zmq.PULL)
    b.bind("inproc://" + unique("cancel"))
    a.connect(b.last_endpoint.decode().rstrip("\0"))
    await soon(second)
    assert await soon(b.recv()) == b"2"


FORMS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "recv": (lambda s: s.recv(), b"1"),
    "recv a frame": (lambda s: s.recv(copy=False), b"1"),
    "recv_multipart": (lambda s: s.recv_multipart(), [b"1", b"2"]),
    "recv_string": (lambda s: s.recv_string(), b"1"),
    "recv_into": (lambda s: s.recv_into(bytearray(9)), b"1"),
    "recv_many": (lambda s: s.recv_many(), [[b"1", b"2"]]),
    "anext": (lambda s: s.__anext__(), [b"1", b"2"]),
}


@ours
@pytest.mark.parametrize("form", FORMS)
def test_a_task_cancelled_in_the_turn_its_message_came_loses_nothing(
    form: str, accounting: None
) -> None:
    """The Future is done, but the task has not run yet: the message goes back, whole."""

    async def main() -> None:
        async with za.Context() as ctx:
            a, b = ctx.socket(zmq.PUSH), ctx.socket(zmq.PULL)
            b.bind("inproc://" + unique("turn"))
            a.connect(b.last_endpoint.decode())
            future = FORMS[form][0](b)

            async def receive() -> Any:
                return await future

            task = asyncio.ensure_future(receive())
            await turns()
            future.add_done_callback(lambda _: None)
            await a.send_multipart([b"1", b"2"])
            await a.send(b"last")
            while not future.done():  # a turn at a time, so that the task has not run yet
                asyncio.get_running_loop().call_soon(lambda: future.done() and task.cancel())
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert future.done() and not future.cancelled()
            assert await b.poll(0) == zmq.POLLIN
            assert b.get(zmq.EVENTS) & zmq.POLLIN
            assert await soon(b.recv_multipart()) == [b"1", b"2"]
            assert await soon(b.recv()) == b"last"
            a.close()
            b.close()

    run(main())


async def cancelled_when_done(future: Any, task: Any) -> None:
    """The task is cancelled in the turn in which its Future is done, before it has run."""
    while not future.done():
        asyncio.get_running_loop().call_soon(lambda: future.done() and task.cancel())
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@ours
@pytest.mark.parametrize("form", ["recv", "recv_multipart", "the second recv"])
def test_rcvmore_is_right_for_parts_that_came_back(form: str, accounting: None) -> None:
    async def main() -> None:
        async with za.Context() as ctx:
            a, b = ctx.socket(zmq.PUSH), ctx.socket(zmq.PULL)
            b.bind("inproc://" + unique("more"))
            a.connect(b.last_endpoint.decode())
            parts = [b"1", b"2", b"3"]
            first = asyncio.ensure_future(future_of(b.recv())) if "second" in form else None
            future = FORMS["recv" if first else form][0](b)
            task = asyncio.ensure_future(future_of(future))
            await turns()
            await a.send_multipart(parts)
            await cancelled_when_done(future, task)
            if first:
                assert await first == parts.pop(0)
            assert b.rcvmore == (first is not None)
            for part in parts:
                assert await soon(b.recv()) == part
                assert b.rcvmore == (part != parts[-1])
            a.close()
            b.close()

    run(main())


async def future_of(future: Any) -> Any:
    return await future


async def given_back(sock: Any, push: Any, message: bytes) -> None:
    """Has a message come for a task that is cancelled in the turn it came."""
    future = sock.recv()
    task = asyncio.ensure_future(future_of(future))
    await turns()
    await push.send(message)
    while not future.done():
        asyncio.get_running_loop().call_soon(lambda: future.done() and task.cancel())
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert future.done() and not future.cancelled()


@ours
@in_loops
async def test_a_poller_sees_a_message_that_came_back(actx: Any, amake: Make) -> None:
    """Polled before and after, beside others, in the order of registering."""
    pulls = [amake(zmq.PULL) for _ in range(3)]
    pushes = [amake(zmq.PUSH) for _ in range(3)]
    for pull, push in zip(pulls, pushes, strict=True):
        pull.bind("inproc://" + unique("back"))
        push.connect(pull.last_endpoint.decode())
    poller = za.Poller()
    for pull in pulls:
        poller.register(pull, zmq.POLLIN)
    poller.register(pushes[0], zmq.POLLIN)
    waiting, alone = poller.poll(), pulls[1].poll()
    late = poller.poll()  # its task has not begun when the message is there
    await turns()
    await given_back(pulls[1], pushes[1], b"back")
    assert await soon(waiting) == await soon(late) == [(pulls[1], zmq.POLLIN)]
    assert await soon(alone) == zmq.POLLIN
    assert await poller.poll(0) == [(pulls[1], zmq.POLLIN)]
    for push in (pushes[2], pushes[0]):
        await push.send(b"x")
    assert await poller.poll(0) == [(pull, zmq.POLLIN) for pull in pulls]
    poller.modify(pulls[1], zmq.POLLOUT)
    assert await poller.poll(0) == [(pulls[0], zmq.POLLIN), (pulls[2], zmq.POLLIN)]
    poller.modify(pulls[1], zmq.POLLIN)
    assert await soon(pulls[1].recv()) == b"back"
    assert await poller.poll(0) == [(pulls[0], zmq.POLLIN), (pulls[2], zmq.POLLIN)]


@ours
@in_loops
async def test_a_poll_that_begins_after_a_message_came_back_sees_it(actx: Any, amake: Make) -> None:
    """Its first look was before: nothing will come that could wake it."""
    pull, push = amake(zmq.PULL), amake(zmq.PUSH)
    pull.bind("inproc://" + unique("began"))
    push.connect(pull.last_endpoint.decode())
    poller = za.Poller()
    poller.register(pull, zmq.POLLIN)
    future = pull.recv()
    task = asyncio.ensure_future(future_of(future))
    await turns()
    await push.send(b"back")
    polls = []

    def between() -> None:
        if future.done() and not polls:
            polls.append(poller.poll())
            task.cancel()

    while not polls:
        asyncio.get_running_loop().call_soon(between)
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await soon(polls[0]) == [(pull, zmq.POLLIN)]
    assert await pull.recv() == b"back"


@ours
@in_loops
async def test_a_message_counts_until_a_task_has_it(amake: Make) -> None:
    a, b = amake(zmq.PUSH), amake(zmq.PULL)
    b.bind("inproc://" + unique("counts"))
    a.connect(b.last_endpoint.decode())
    waiting = b.recv()
    await a.send(b"x")
    assert await b.poll(0) == zmq.POLLIN
    assert await soon(waiting) == b"x"
    assert await b.poll(0) == 0


@ours
@in_loops
async def test_without_descriptors_waiting_fails_in_the_future(amake: Make) -> None:
    import resource

    a, b, other = amake(zmq.PUSH), amake(zmq.PULL), amake(zmq.PULL)
    b.bind("inproc://" + unique("lack"))
    a.connect(b.last_endpoint.decode())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = []
    try:
        highest = max(int(n) for n in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
        try:
            while True:
                spare.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        futures = [b.recv(), other.poll()]
    finally:
        for fd in spare:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for future in futures:
        with raises_errno(errno.EMFILE):
            await future
    await a.send(b"x")
    assert await soon(b.recv()) == b"x"


@ours
def test_a_reply_that_came_back_has_to_be_received_before_the_next_request(
    accounting: None,
) -> None:
    async def main() -> None:
        async with za.Context() as ctx:
            req, rep = ctx.socket(zmq.REQ), ctx.socket(zmq.REP)
            rep.bind("inproc://" + unique("reply"))
            req.connect(rep.last_endpoint.decode())
            await req.send(b"q")
            future = req.recv()

            async def receive() -> Any:
                return await future

            task = asyncio.ensure_future(receive())
            await turns()
            await rep.send(await soon(rep.recv()))
            while not future.done():
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(zmq.ZMQError) as caught:
                await req.send(b"too early")
            assert caught.value.errno == zmq.EFSM
            assert await req.recv() == b"q"
            await req.send(b"next")
            req.close(0)
            rep.close()

    run(main())


@ours
@in_loops
async def test_finished_waiters_do_not_pile_up(amake: Make) -> None:
    import sys

    sock = amake(zmq.PULL)
    stay = sock.recv()
    tail = sock.recv()
    refs = sys.getrefcount(sock)
    for _ in range(2000):
        following = sock.recv()
        tail.cancel()
        tail = following
    # Each waiter holds its socket.
    assert sys.getrefcount(sock) < refs + 300
    stay.cancel()
    tail.cancel()


@ours
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_random_cancellation_loses_and_duplicates_nothing(
    seed: int, kind: str, accounting: None
) -> None:
    """Receivers with random timeouts and cancellations: every message arrives once, and what one
    receiver got is in order."""
    dice = random.Random(seed)
    total = 2000

    async def main() -> None:
        ctx = za.Context()
        a, b = ctx.socket(zmq.PUSH), ctx.socket(zmq.PULL)
        b.bind(("tcp://127.0.0.1:*", "inproc://" + unique("stress"))[seed % 2])
        a.connect(b.last_endpoint.decode())
        got: list[int] = []

        async def send() -> None:
            for i in range(total):
                await a.send(b"%d" % i)
                if dice.random() < 0.2:
                    await asyncio.sleep(dice.choice([0, 0, 0.0001, 0.001]))

        async def one(style: int) -> None:
            if style == 0:
                got.append(int(await b.recv()))
            elif style == 1:
                got.append(int((await b.recv_multipart())[0]))
            elif style == 2:
                got.append(int(await b.recv_string()))
            elif style == 3:
                got.extend(int(m) for m in await b.recv_many(3))
            else:
                got.append(int(bytes(await b.recv(copy=False))))

        async def receive(me: int) -> None:
            while len(got) < total:
                task = asyncio.ensure_future(one(dice.randrange(5)))
                how = dice.random()
                if how < 0.3:
                    for _ in range(dice.randrange(4)):
                        await asyncio.sleep(0)
                    task.cancel()
                elif how < 0.6:
                    try:
                        await asyncio.wait_for(task, dice.choice([0.0001, 0.0005, 0.002]))
                    except asyncio.TimeoutError:
                        pass
                elif how < 0.7:
                    asyncio.get_running_loop().call_later(dice.random() / 1000, task.cancel)
                await asyncio.wait([task], timeout=0.05)
                if not task.done():
                    task.cancel()
                    await asyncio.wait([task])

        await asyncio.gather(send(), *(receive(n) for n in range(3)))
        assert sorted(got) == list(range(total))
        a.close()
        b.close()
        ctx.term(timeout=6000)

    run(main(), kind)


# ---- what is left of older interfaces ----


def test_deprecated_names_warn(accounting: None) -> None:
    with pytest.warns(DeprecationWarning):
        za.install()
    with pytest.warns(DeprecationWarning):
        za.ZMQEventLoop().close()


@ours
def test_without_a_running_loop_it_warns(amake: Make) -> None:
    sock = amake(zmq.PULL)
    loop = new_loop("asyncio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop(loop)
    try:
        with pytest.warns(RuntimeWarning, match="running"):
            future = sock.recv()
        assert future.get_loop() is loop
        future.cancel()
    finally:
        asyncio.set_event_loop(None)
        sock.close()
        loop.close()


# ---- many sockets in one loop ----


class CountingLoop(asyncio.SelectorEventLoop):
    """A loop that knows what it was asked to watch."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[int] = set()
        self.most = 0

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:  # type: ignore[override]
        super().add_reader(fd, callback, *args)
        self.readers.add(fd)
        self.most = max(self.most, len(self.readers))

    def remove_reader(self, fd: Any) -> bool:
        self.readers.discard(fd)
        return super().remove_reader(fd)


@ours
def test_a_loop_watches_one_descriptor_for_all_its_sockets(actx: Any, pair: Any) -> None:
    if zmq.poller_name() == "poll":
        pytest.skip("this poller has no descriptor")
    loop = CountingLoop()

    async def main() -> None:
        pairs = [pair(zmq.PUSH, zmq.PULL) for _ in range(200)]
        waiting = [pull.recv() for _, pull in pairs]
        for n, (push, _) in enumerate(pairs):
            await push.send(b"%d" % n)
        received = await asyncio.wait_for(asyncio.gather(*waiting), SOON)
        assert received == [b"%d" % n for n in range(200)]
        assert loop.most == 1
        for sockets in pairs:
            for sock in sockets:
                sock.close()
        assert not loop.readers

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


@ours
@in_loops
async def test_verbs_are_futures_and_no_coroutines(amake: Make) -> None:
    pull = amake(zmq.PULL)
    future = pull.recv()
    with pytest.raises(TypeError):
        await asyncio.create_task(future)
    assert asyncio.ensure_future(future) is future
    future.cancel()


class WakeCountingLoop(asyncio.SelectorEventLoop):
    """Counts how often it calls the readers of descriptors."""

    calls = 0

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        def counted() -> None:
            self.calls += 1
            callback(*args)

        super().add_reader(fd, counted)


@ours
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_a_sender_at_its_mark_wakes_the_loop_once_a_piece(
    transport: str, amake: Make, make: Make
) -> None:
    count, size, pieces = 10, 1 << 20, 50
    push = amake(zmq.PUSH, sndhwm=1)
    if transport == "tcp":
        push.sndbuf = 65536
    pull = make(zmq.PULL, rcvhwm=1)
    pull.bind("tcp://127.0.0.1:*" if transport == "tcp" else "ipc://*")
    push.connect(pull.last_endpoint)

    async def main() -> None:
        for _ in range(count):
            await push.send(bytes(size))

    reader = threading.Thread(target=lambda: [pull.recv() for _ in range(count)])
    reader.start()
    loop = WakeCountingLoop()
    loop.run_until_complete(asyncio.wait_for(main(), SOON))
    loop.close()
    reader.join()
    assert loop.calls < count * pieces


# ---- receives that state or type do not allow yet ----


@pytest.mark.parametrize("verb", ["recv", "recv_multipart", "recv_string", "recv_into"])
@in_loops
async def test_a_req_may_wait_for_its_reply_before_it_asks(verb: str, pair: Any) -> None:
    req, rep = pair(zmq.REQ, zmq.REP)
    room = bytearray(5)
    waiting = asyncio.ensure_future(getattr(req, verb)(*[room] * (verb == "recv_into")))
    second = asyncio.ensure_future(req.recv())
    await turns()
    await soon(req.send(b"first"))
    await soon(rep.send(await soon(rep.recv())))
    wanted = {"recv_multipart": [b"first"], "recv_string": "first", "recv_into": 5}
    assert await soon(waiting) == wanted.get(verb, b"first")
    await turns()
    assert not second.done()
    await soon(req.send(b"second"))
    await soon(rep.send(await soon(rep.recv())))
    assert await soon(second) == b"second"


@in_loops
async def test_a_rep_may_wait_for_the_next_request_before_it_replies(amake: Make) -> None:
    rep = amake(zmq.REP)
    rep.bind(name := f"inproc://{unique('early')}")
    askers = [amake(zmq.REQ) for _ in range(2)]
    for n, asker in enumerate(askers):
        asker.connect(name)
        await soon(asker.send(b"%d" % n))
    first = await soon(rep.recv())
    waiting = asyncio.ensure_future(rep.recv())
    await turns()
    assert not waiting.done()
    await soon(rep.send(first))
    assert {first, await soon(waiting)} == {b"0", b"1"}


@in_loops
async def test_a_cancelled_wait_gives_way_to_the_one_behind_it(pair: Any) -> None:
    req, rep = pair(zmq.REQ, zmq.REP)
    waits = [asyncio.ensure_future(req.recv()) for _ in range(2)]
    await turns()
    waits[0].cancel()
    await soon(req.send(b"q"))
    await soon(rep.send(await soon(rep.recv())))
    assert await soon(waits[1]) == b"q"
    assert waits[0].cancelled()


@pytest.mark.parametrize("kind", ["REQ", "PUSH", "PUB"])
@in_loops
async def test_a_forbidden_receive_ends_with_its_time(kind: str, amake: Make) -> None:
    sock = amake(getattr(zmq, kind))
    error = zmq.EFSM if kind == "REQ" else zmq.ENOTSUP
    for ms in (0, 5):
        sock.rcvtimeo = ms
        with pytest.raises(zmq.Again):
            await soon(sock.recv())
    with raises_errno(error):
        await soon(sock.recv(zmq.DONTWAIT))
    sock.rcvtimeo = -1
    waiting = asyncio.ensure_future(sock.recv())
    await turns()
    assert not waiting.done()
    assert await soon(sock.poll(0)) == 0
    sock.close()
    with pytest.raises(asyncio.CancelledError):
        await soon(waiting)


@in_loops
async def test_what_comes_while_a_receive_is_too_early_is_read(amake: Make) -> None:
    """A question drops what came before it: also what came while a receive waited."""
    router, req = amake(zmq.ROUTER, router_mandatory=1), amake(zmq.REQ, routing_id=b"q")
    req.connect(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
    early = asyncio.ensure_future(req.recv())
    while True:
        try:
            await soon(router.send_multipart([b"q", b"", b"stale"]))
            break
        except zmq.ZMQError:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    await soon(req.send(b"question"))
    assert (await soon(router.recv_multipart()))[2] == b"question"
    await soon(router.send_multipart([b"q", b"", b"answer"]))
    assert await soon(early) == b"answer"
