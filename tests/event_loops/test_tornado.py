# SPDX-License-Identifier: MIT
"""fastmq.eventloop under tornado."""

import asyncio
import importlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers import WAIT_MS, sockets_of, unique
from loops import SOON, run, turns, until
from target import fastmq_only, submodule, zmq

tornado_ioloop = pytest.importorskip("tornado.ioloop")
zmqstream = submodule("eventloop.zmqstream")


@pytest.fixture
def pair(make: Any) -> Callable[..., tuple[Any, Any]]:
    def new(bound: int, connected: int, **options: Any) -> tuple[Any, Any]:
        a, b = make(bound, **options), make(connected, **options)
        a.bind("inproc://" + unique("tornado") if options else "tcp://127.0.0.1:*")
        b.connect(a.last_endpoint.decode().rstrip("\0"))
        return a, b

    return new


def test_messages_are_called_back_in_order(pair: Any) -> None:
    pull, push = pair(zmq.PULL, zmq.PUSH)

    async def main() -> None:
        got: list[Any] = []
        sent: list[Any] = []
        receiver, sender = zmqstream.ZMQStream(pull), zmqstream.ZMQStream(push)
        assert not receiver.receiving() and not sender.sending()
        receiver.on_recv(got.append)
        sender.on_send(lambda parts, status: sent.append((parts, status)))
        assert receiver.receiving()
        for i in range(100):
            sender.send_multipart([b"%d" % i, b"x"])
        assert sender.sending() and not sent
        await until("all came", lambda: len(got) == 100)
        assert got == [[b"%d" % i, b"x"] for i in range(100)]
        assert [row[0] for row in sent] == got
        assert all(status is None for _, status in sent)
        receiver.close()
        sender.close()
        assert receiver.closed() and pull.closed

    run(main())


def test_every_form_of_a_message_is_sent(pair: Any) -> None:
    pull, push = pair(zmq.PULL, zmq.PUSH)

    async def main() -> None:
        got: list[Any] = []
        receiver, sender = zmqstream.ZMQStream(pull), zmqstream.ZMQStream(push)
        receiver.on_recv_stream(lambda stream, parts: got.append((stream, parts)))
        sender.send(b"1")
        sender.send_string("grün")
        sender.send_unicode("x", encoding="latin-1")
        sender.send_json({"a": [1]})
        sender.send_pyobj((1, 2))
        await until("all came", lambda: len(got) == 5)
        assert all(stream is receiver for stream, _ in got)
        texts = [parts[0] for _, parts in got]
        assert texts[:3] == [b"1", "grün".encode(), b"x"]
        assert (
            zmq.utils.jsonapi.loads(texts[3]) == {"a": [1]}
            if hasattr(zmq.utils, "jsonapi")
            else texts[3] == b'{"a": [1]}'
        )
        with pytest.raises(TypeError):
            sender.send_string(b"bytes")
        receiver.close()
        sender.close()

    run(main())


def test_frames_are_called_back_on_demand(pair: Any) -> None:
    pull, push = pair(zmq.PULL, zmq.PUSH)

    async def main() -> None:
        got: list[Any] = []
        receiver = zmqstream.ZMQStream(pull)
        receiver.on_recv(got.append, copy=False)
        push.send_multipart([b"1", b"2"])
        await until("it came", lambda: bool(got))
        assert [part.bytes for part in got[0]] == [b"1", b"2"]
        receiver.close()

    run(main())


def test_callbacks_may_be_coroutines_and_be_taken_away(pair: Any) -> None:
    pull, push = pair(zmq.PULL, zmq.PUSH)

    async def main() -> None:
        got: list[Any] = []
        receiver = zmqstream.ZMQStream(pull)

        async def on_recv(parts: Any) -> None:
            await asyncio.sleep(0)
            got.append(parts)

        receiver.on_recv(on_recv)
        push.send(b"1")
        await until("it came", lambda: got == [[b"1"]])
        receiver.stop_on_recv()
        assert not receiver.receiving()
        push.send(b"2")
        await asyncio.sleep(0.02)
        assert got == [[b"1"]]
        receiver.on_recv(on_recv)
        await until("the next came", lambda: got == [[b"1"], [b"2"]])
        receiver.close()

    run(main())


def test_sends_wait_for_room(pair: Any) -> None:
    pull, push = pair(zmq.PULL, zmq.PUSH, hwm=2)

    async def main() -> None:
        sender = zmqstream.ZMQStream(push)
        for i in range(20):
            sender.send(b"%d" % i)
        await asyncio.sleep(0.02)
        assert sender.sending()
        for i in range(20):
            await until("one is there", lambda: pull.poll(0) != 0)
            assert pull.recv() == b"%d" % i
        sender.close()

    run(main())


def test_flush_handles_what_is_there_at_once(pair: Any) -> None:
    pull, push = pair(zmq.PULL, zmq.PUSH)

    async def main() -> None:
        got: list[Any] = []
        receiver, sender = zmqstream.ZMQStream(pull), zmqstream.ZMQStream(push)
        for i in range(10):
            sender.send(b"%d" % i)
        assert sender.flush() == 10
        assert not sender.sending()
        assert pull.poll(SOON * 1000)
        receiver.on_recv(got.append)
        assert receiver.flush(limit=1) == 1
        assert got == [[b"0"]]
        await until("the rest came", lambda: len(got) == 10)
        receiver.stop_on_recv()
        push.send(b"thrown away")
        assert pull.poll(SOON * 1000)
        assert receiver.flush(zmq.POLLIN) == 1
        assert len(got) == 10
        sender.close()
        receiver.close()

    run(main())


def test_the_end_is_called_back_and_calls_after_it_raise(pair: Any) -> None:
    pull, _ = pair(zmq.PULL, zmq.PUSH)

    async def main() -> None:
        closed: list[bool] = []
        stream = zmqstream.ZMQStream(pull)
        stream.on_recv(lambda parts: None)
        stream.set_close_callback(lambda: closed.append(True))
        await turns()
        stream.close()
        stream.close()
        assert closed == [True] and stream.closed() and pull.closed
        with pytest.raises(OSError):
            stream.on_recv(lambda parts: None)
        with pytest.raises(OSError):
            stream.flush()

    run(main())


@fastmq_only("pyzmq only warns")
def test_a_socket_closed_elsewhere_closes_the_stream(pair: Any) -> None:
    pull, _ = pair(zmq.PULL, zmq.PUSH)

    async def main() -> None:
        stream = zmqstream.ZMQStream(pull)
        stream.on_recv(lambda parts: None)
        await turns()
        pull.close()
        with pytest.warns(UserWarning, match="after closing socket"):
            await until("the stream is closed", lambda: stream.socket is None)

    run(main())


def test_a_socket_closed_elsewhere_with_a_message_to_come_closes_the_stream(
    pair: Any, caplog: Any
) -> None:
    pull, push = pair(zmq.PULL, zmq.PUSH)

    async def main() -> None:
        push.send(b"x")
        assert pull.poll(WAIT_MS)
        stream = zmqstream.ZMQStream(zmq.Socket.shadow(pull))
        stream.on_recv(lambda parts: None)
        pull.close()
        with pytest.warns(UserWarning, match="after closing socket"):
            await until("the stream is closed", lambda: stream.socket is None)

    run(main())
    assert "closed socket" in caplog.text


def test_an_ioloop_that_closes_all_closes_the_sockets_of_its_streams(make: Any) -> None:
    """As programs rely on that end their context afterwards."""
    if os.environ.get("FASTMQ_POLLER") == "poll":
        pytest.skip("where loops have no adapter the descriptors stay until they are collected")
    loop = tornado_ioloop.IOLoop(make_current=False)
    sockets = [make(zmq.PULL) for _ in range(3)]
    streams = [zmqstream.ZMQStream(sock, loop) for sock in sockets]
    streams[0].on_recv(lambda parts: None)
    streams[2].close()
    assert len(loop.handlers) == 2
    loop.close(all_fds=True)
    assert all(sock.closed for sock in sockets)
    streams[0].close()
    assert streams[1].closed()


def test_an_ioloop_that_closes_leaves_the_sockets_otherwise(make: Any) -> None:
    loop = tornado_ioloop.IOLoop(make_current=False)
    sock = make(zmq.PULL)
    stream = zmqstream.ZMQStream(sock, loop)
    loop.close()
    assert not sock.closed
    stream.close()
    assert sock.closed


@pytest.mark.parametrize("verb", ["recv", "poll", "recv_string", "recv_multipart"])
def test_an_ioloop_that_closes_all_closes_the_sockets_that_coroutines_used(verb: str) -> None:
    future = submodule("eventloop.future")
    ctx = future.Context()
    used, unused, closed = (ctx.socket(zmq.PULL) for _ in range(3))
    loop = tornado_ioloop.IOLoop(make_current=False)

    async def main() -> None:
        for sock in (used, closed):
            waiting = getattr(sock, verb)()
            await asyncio.sleep(0)
            waiting.cancel()
        closed.close()

    loop.run_sync(main)
    loop.close(all_fds=True)
    assert used.closed and closed.closed and not unused.closed
    ctx.destroy(linger=0)


@pytest.mark.parametrize("wrong", [1, "text", zmq])
def test_a_callback_has_to_be_callable(make: Any, wrong: Any) -> None:
    async def main() -> None:
        stream = zmqstream.ZMQStream(make(zmq.PULL))
        for register in (stream.on_recv, stream.on_send):
            register(print)
            with pytest.raises(AssertionError):
                register(wrong)
        assert stream.receiving()
        stream.close()

    run(main())


@fastmq_only("pyzmq only warns")
def test_a_socket_closed_in_the_turn_its_message_came_closes_the_stream(pair: Any) -> None:
    pull, push = pair(zmq.PULL, zmq.PUSH)

    async def main() -> None:
        got: list[Any] = []
        streams = [zmqstream.ZMQStream(zmq.Socket.shadow(pull)) for _ in range(3)]

        def received(parts: list[bytes]) -> None:
            got.append(parts)
            pull.close()

        for stream in streams:
            stream.on_recv(received)
        await turns()
        push.send(b"x")
        push.send(b"y")
        await until("the streams closed", lambda: all(stream.socket is None for stream in streams))
        assert got == [[b"x"]]

    run(main())


def test_a_failing_callback_is_told_and_the_stream_goes_on(pair: Any, caplog: Any) -> None:
    pull, push = pair(zmq.PULL, zmq.PUSH)

    async def main() -> None:
        got: list[Any] = []
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        stream = zmqstream.ZMQStream(pull)

        def callback(parts: Any) -> None:
            got.append(parts)
            if len(got) == 1:
                raise RuntimeError("on purpose")

        stream.on_recv(callback)
        push.send(b"1")
        push.send(b"2")
        await until("both came", lambda: len(got) == 2)
        assert "on purpose" in caplog.text
        stream.close()

    run(main())


def test_a_stream_is_made_before_its_loop_runs_in_another_thread(pair: Any) -> None:
    pull, push = pair(zmq.PULL, zmq.PUSH)
    got: list[Any] = []
    came = threading.Event()
    loop = tornado_ioloop.IOLoop(make_current=False)
    stream = zmqstream.ZMQStream(pull, loop)

    def callback(parts: Any) -> None:
        got.append(parts)
        came.set()

    stream.on_recv(callback)
    thread = threading.Thread(target=loop.start)
    thread.start()
    try:
        push.send(b"x")
        assert came.wait(SOON)
        assert got == [[b"x"]]
    finally:
        loop.add_callback(stream.close)
        loop.add_callback(loop.stop)
        thread.join()
        loop.close(all_fds=False)


def test_an_asynchronous_socket_is_taken_as_a_blocking_one(accounting: None) -> None:
    za = submodule("asyncio")

    async def main() -> None:
        ctx = za.Context()
        pull = ctx.socket(zmq.PULL)
        with pytest.warns(RuntimeWarning):
            stream = zmqstream.ZMQStream(pull)
        assert type(stream.socket) is not za.Socket
        stream.close()
        ctx.term()

    run(main())


def test_tornado_futures_are_awaited(accounting: None) -> None:
    future = submodule("eventloop.future")

    async def main() -> None:
        ctx = future.Context()
        a, b = ctx.socket(zmq.PUSH), ctx.socket(zmq.PULL)
        assert isinstance(a, future.Socket)
        b.bind("inproc://" + unique("future"))
        a.connect(b.last_endpoint.decode().rstrip("\0"))
        poller = future.Poller()
        poller.register(b, zmq.POLLIN)
        await a.send(b"x")
        assert dict(await poller.poll(SOON * 1000)) == {b: zmq.POLLIN}
        assert await b.recv() == b"x"
        waiting = b.recv()
        waiting.cancel()
        with pytest.raises(future.CancelledError):
            await waiting
        a.close()
        b.close()
        ctx.term()

    loop = tornado_ioloop.IOLoop(make_current=False)
    try:
        loop.run_sync(main, timeout=SOON)
    finally:
        loop.close()


def test_a_context_of_futures_is_left_by_async_with(accounting: None) -> None:
    future = submodule("eventloop.future")

    async def main() -> None:
        async with future.Context() as ctx:
            async with ctx.socket(zmq.PULL) as sock:
                assert isinstance(sock, future.Socket)
        assert ctx.closed

    run(main())


def test_deprecated_modules_warn() -> None:
    name = zmq.__name__ + ".eventloop.ioloop"
    with pytest.warns(DeprecationWarning):
        module = importlib.import_module(name)
        importlib.reload(module)
    with pytest.warns(DeprecationWarning):
        module.install()
    assert submodule("eventloop").IOLoop is tornado_ioloop.IOLoop


CAP = 10_000
"""Bytes that may be queued in the context of these streams."""


@pytest.fixture
def capped(accounting: None) -> Iterator[Any]:
    with zmq.Context() as context:
        context.max_queued_bytes = CAP
        with sockets_of(context) as new:
            yield new


def room_in_bytes(make: Any) -> tuple[Any, Any, list[Any], Callable[[], Any]]:
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    push.set(zmq.SocketOption.SNDHWM_BYTES, 1000)
    pull.set(zmq.SocketOption.RCVHWM_BYTES, 1000)
    pull.bind("inproc://" + unique("bytes"))
    push.connect(pull.last_endpoint)
    return push, pull, [b"f" * 300], lambda: pull.recv_multipart(zmq.DONTWAIT)


def room_in_the_context(make: Any) -> tuple[Any, Any, list[Any], Callable[[], Any]]:
    push, pull = make(zmq.PUSH, sndhwm=0), make(zmq.PULL, rcvhwm=0)
    assert push.context.max_queued_bytes == CAP
    pull.bind("inproc://" + unique("queued"))
    push.connect(pull.last_endpoint)
    return push, pull, [b"f" * 3000], lambda: pull.recv_multipart(zmq.DONTWAIT)


def room_of_one_peer(make: Any) -> tuple[Any, Any, list[Any], Callable[[], Any]]:
    router = make(zmq.ROUTER, router_mandatory=1, sndhwm=2)
    router.bind("inproc://" + unique("peer"))
    peers = []
    for name in (b"A", b"B"):  # there is always room for B: the socket is always writable
        peers.append(make(zmq.DEALER, routing_id=name, rcvhwm=2))
        peers[-1].connect(router.last_endpoint)
        peers[-1].send(b"here")
        router.recv_multipart()
    return router, peers[0], [b"A", b"f"], lambda: [b"A", *peers[0].recv_multipart(zmq.DONTWAIT)]


@fastmq_only("pyzmq's stream blocks its loop")
@pytest.mark.parametrize("room", [room_in_bytes, room_in_the_context, room_of_one_peer])
def test_a_stream_never_blocks_its_loop_where_a_writable_socket_has_no_room(
    capped: Any, room: Callable[[Any], Any]
) -> None:
    """The message that has no room stays the first, and is sent when there is some."""
    socket, peer, filler, receive = room(capped)
    socket.sndtimeo = int(SOON * 4000)  # a send that may wait would hold up the loop for as long

    async def main() -> None:
        sender = zmqstream.ZMQStream(socket)
        sent: list[Any] = []
        failed: list[Any] = []

        def on_send(parts: Any, status: Any) -> None:
            sent.append(parts[-1])
            if isinstance(status, Exception):
                failed.append(status)

        sender.on_send(on_send)
        wanted = [b"%d:" % i + filler[-1] for i in range(100)]
        for data in wanted:
            sender.send_multipart([*filler[:-1], data])
        assert sender.flush(zmq.POLLOUT) < len(wanted)  # it returns
        await until("the first message waits", lambda: sender._blocked or not socket.poll(0, 2))
        before = len(sent)
        await turns(50)
        assert sender.sending() and before <= len(sent) < len(wanted)
        got: list[Any] = []

        def receive_one() -> bool:
            if peer.poll(0):
                got.append(receive()[-1])
            return len(got) == len(wanted)

        await until("all came", receive_one)
        await until("all are sent", lambda: not sender.sending())
        assert got == wanted == sent and not failed
        sender.close()

    run(main())


@fastmq_only("pyzmq's stream blocks its loop")
def test_a_stream_never_blocks_its_loop_when_another_sender_took_the_room(pair: Any) -> None:
    """Between the loop's word that there is room and the send."""
    pull, push = pair(zmq.PULL, zmq.PUSH, hwm=2)
    push.sndtimeo = int(SOON * 4000)

    async def main() -> None:
        sender = zmqstream.ZMQStream(push)
        other: list[bytes] = []
        sender.send(b"of the stream")
        # The loop has been told that there is room; the stream sends in its next turn.
        with pytest.raises(zmq.Again):
            while True:
                push.send(b"other %d" % len(other), zmq.DONTWAIT)
                other.append(b"other %d" % len(other))
        await turns(50)
        assert sender.sending()
        got: list[bytes] = []

        def receive_one() -> bool:
            if pull.poll(0):
                got.append(pull.recv())
            return len(got) > len(other)

        await until("all came", receive_one)
        assert got == [*other, b"of the stream"] and not sender.sending()
        sender.close()

    run(main())
