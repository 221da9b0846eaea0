# SPDX-License-Identifier: MIT
"""CLIENT, SERVER, PEER and the other types of single parts in event loops."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers import unique
from loops import SOON, in_loops, run, until
from target import fastmq_only, submodule, zmq

za = submodule("asyncio")

pytestmark = fastmq_only("the wheel has no draft types")

Make = Callable[..., Any]


@pytest.fixture
def amake(accounting: None) -> Iterator[Make]:
    context = za.Context()
    made: list[Any] = []

    def new(kind: int, **options: Any) -> Any:
        sock = context.socket(kind)
        made.append(sock)
        sock.linger = 0
        for name, value in options.items():
            setattr(sock, name, value)
        return sock

    yield new
    for sock in reversed(made):
        sock.close()
    context.destroy(linger=0)


def join(connecting: Any, binding: Any, transport: str = "tcp") -> None:
    binding.bind("tcp://127.0.0.1:*" if transport == "tcp" else f"inproc://{unique('el')}")
    connecting.connect(binding.last_endpoint)


async def soon(awaitable: Any) -> Any:
    return await asyncio.wait_for(awaitable, SOON)


transports = pytest.mark.parametrize("transport", ["tcp", "inproc"])


@transports
@in_loops
async def test_frames_bring_the_number_that_answers_go_to(amake: Make, transport: str) -> None:
    server, client = amake(zmq.SERVER), amake(zmq.CLIENT)
    join(client, server, transport)
    receiving = server.recv(copy=False)  # it waits
    await soon(client.send(b"1"))
    frame = await soon(receiving)
    number = frame.routing_id
    assert frame.bytes == b"1" and number
    await soon(server.send(frame))
    assert await soon(client.recv()) == b"1"
    await soon(server.send(b"2", routing_id=number))
    await soon(server.send_multipart([b"3"], routing_id=number))
    await soon(server.send_string("4", routing_id=number))
    assert [await soon(client.recv()) for _ in range(3)] == [b"2", b"3", b"4"]
    for i in range(10):
        await soon(client.send(b"%d" % i))
    frames = []
    while len(frames) < 10:
        frames += await soon(server.recv_many(copy=False))
    assert {f.routing_id for f in frames} == {number}
    assert await soon(server.send_many(frames)) == 10
    assert [await soon(client.recv()) for _ in range(10)] == [b"%d" % i for i in range(10)]
    await soon(client.send(b"5"))
    (frame,) = await soon(server.recv_multipart(copy=False))
    assert frame.routing_id == number


@in_loops
async def test_what_cannot_be_sent_is_an_error_of_the_future(amake: Make) -> None:
    server, client = amake(zmq.SERVER), amake(zmq.CLIENT)
    join(client, server)
    for future, error in [
        (server.send(b"x"), zmq.EHOSTUNREACH),
        (server.send(b"x", routing_id=7), zmq.EHOSTUNREACH),
        (server.send(b"x", routing_id=0), zmq.EINVAL),
        (client.send(b"x", zmq.SNDMORE), zmq.EINVAL),
        (client.send_multipart([b"x", b"y"]), zmq.EINVAL),
    ]:
        with pytest.raises(zmq.ZMQError) as info:
            await soon(future)
        assert info.value.errno == error


@in_loops
async def test_a_cancelled_receive_gives_the_number_back(amake: Make) -> None:
    server, client = amake(zmq.SERVER), amake(zmq.CLIENT)
    join(client, server, "inproc")
    await soon(client.send(b"0"))
    number = (await soon(server.recv(copy=False))).routing_id

    async def receive() -> Any:
        return await server.recv(copy=False)

    for _ in range(20):
        task = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await soon(client.send(b"x"))
        task.cancel()
        try:
            frame = await soon(task)
        except asyncio.CancelledError:
            frame = await soon(server.recv(copy=False))
        assert (frame.bytes, frame.routing_id) == (b"x", number)


def ask_for_bytes(sock: Any) -> Any:
    return sock.recv()


def ask_for_a_frame(sock: Any) -> Any:
    return sock.recv(copy=False)


def ask_for_parts(sock: Any) -> Any:
    return sock.recv_multipart()


def ask_for_many(sock: Any) -> Any:
    return sock.recv_many(copy=False)


def ask_for_room(sock: Any) -> Any:
    return sock.recv_into(bytearray(8))


@pytest.mark.parametrize(
    "ask", [ask_for_bytes, ask_for_a_frame, ask_for_parts, ask_for_many, ask_for_room]
)
@pytest.mark.parametrize("kinds", ["CLIENT SERVER", "RADIO DISH"])
@in_loops
async def test_what_is_given_back_keeps_its_number_and_its_group(
    amake: Make, kinds: str, ask: Callable[[Any], Any]
) -> None:
    source, sink = (amake(getattr(zmq, kind)) for kind in kinds.split())
    given = {}
    if kinds == "RADIO DISH":
        sink.join("group")
        given["group"] = "group"
    join(source, sink)
    if given:
        await soon(source.wait_for_subscribers(1, "group"))

    async def receive() -> Any:
        return await waiting

    waiting = ask(sink)
    assert not waiting.done()
    # The message is there when the task is cancelled, and the task has not seen it.
    waiting.add_done_callback(lambda _: task.cancel())
    task = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    await soon(source.send(b"first", **given))
    with pytest.raises(asyncio.CancelledError):
        await soon(task)
    assert not waiting.cancelled()
    await soon(source.send(b"second", **given))
    first, second = [await soon(sink.recv(copy=False)) for _ in range(2)]
    assert (first.bytes, second.bytes) == (b"first", b"second")
    assert (first.routing_id, first.group) == (second.routing_id, second.group)
    assert second.group == "group" if given else second.routing_id


@pytest.mark.parametrize("form", ["frame", "keyword", "multipart"])
@in_loops
async def test_a_full_client_does_not_hold_up_the_others(amake: Make, form: str) -> None:
    server = amake(zmq.SERVER, sndhwm=2)
    server.bind("inproc://" + unique("full"))
    clients, numbers = [], []
    for _ in range(2):
        client = amake(zmq.CLIENT, rcvhwm=2)
        client.connect(server.last_endpoint)
        await soon(client.send(b"here"))
        numbers.append((await soon(server.recv(copy=False))).routing_id)
        clients.append(client)

    def send(number: int, body: bytes) -> Any:
        if form == "keyword":
            return server.send(body, routing_id=number)
        frame = zmq.Frame(body)
        frame.routing_id = number
        return server.send(frame) if form == "frame" else server.send_multipart([frame])

    sent = 0
    while (first := send(numbers[0], b"%d" % sent)).done():
        sent += 1
    second = send(numbers[0], b"behind")
    await soon(send(numbers[1], b"past"))
    assert await soon(clients[1].recv()) == b"past"
    assert not first.done() and not second.done()
    got = [await soon(clients[0].recv()) for _ in range(sent + 2)]
    assert got == [*(b"%d" % i for i in range(sent + 1)), b"behind"]
    await soon(asyncio.gather(first, second))


@in_loops
async def test_a_waiting_send_ends_when_its_client_goes(amake: Make) -> None:
    server, client = amake(zmq.SERVER, sndhwm=1), amake(zmq.CLIENT, rcvhwm=1)
    join(client, server, "inproc")
    await soon(client.send(b"here"))
    number = (await soon(server.recv(copy=False))).routing_id
    while (waiting := server.send(b"x", routing_id=number)).done():
        pass
    client.close()
    with pytest.raises(zmq.ZMQError) as info:
        await soon(waiting)
    assert info.value.errno == zmq.EHOSTUNREACH


@transports
@in_loops
async def test_peers_find_one_another(amake: Make, transport: str) -> None:
    a, b = amake(zmq.PEER), amake(zmq.PEER)
    a.bind("tcp://127.0.0.1:*" if transport == "tcp" else f"inproc://{unique('el')}")
    number = b.connect_peer(a.last_endpoint)
    await soon(b.send(b"hello", routing_id=number))
    await soon(a.send(await soon(a.recv(copy=False))))
    assert (await soon(b.recv(copy=False))).routing_id == number
    b.disconnect_peer(number)
    with pytest.raises(zmq.ZMQError):
        await soon(b.send(b"x", routing_id=number))


@pytest.mark.parametrize(("send", "receive"), [("SCATTER", "GATHER"), ("CHANNEL", "CHANNEL")])
@in_loops
async def test_single_parts_stream_through_a_loop(amake: Make, send: str, receive: str) -> None:
    sink, source = amake(getattr(zmq, receive)), amake(getattr(zmq, send))
    join(source, sink)

    async def produce() -> None:
        for i in range(500):
            await source.send(b"%d" % i)

    producing = asyncio.ensure_future(produce())
    got = []
    async for parts in sink:
        got += parts
        if len(got) == 500:
            break
    await soon(producing)
    assert got == [b"%d" % i for i in range(500)]


@in_loops
async def test_a_poller_sees_them_all(amake: Make) -> None:
    server, client = amake(zmq.SERVER), amake(zmq.CLIENT)
    gather, scatter = amake(zmq.GATHER), amake(zmq.SCATTER)
    join(client, server)
    join(scatter, gather)
    poller = za.Poller()
    for sock in (server, gather):
        poller.register(sock, zmq.POLLIN)
    assert await poller.poll(0) == []
    await soon(client.send(b"x"))
    assert await soon(poller.poll()) == [(server, zmq.POLLIN)]
    await soon(scatter.send(b"x"))
    await soon(server.recv())
    assert await soon(poller.poll()) == [(gather, zmq.POLLIN)]


def test_a_tornado_stream_answers_frames(make: Make) -> None:
    zmqstream = submodule("eventloop.zmqstream")
    pytest.importorskip("tornado.ioloop")
    server, client = make(zmq.SERVER), make(zmq.CLIENT)
    server.bind("tcp://127.0.0.1:*")
    client.connect(server.last_endpoint)

    async def main() -> None:
        there, here = zmqstream.ZMQStream(server), zmqstream.ZMQStream(client)
        got: list[Any] = []

        def answer(parts: Any) -> None:
            (frame,) = parts
            there.send(frame)
            there.send(b"again", routing_id=frame.routing_id)

        there.on_recv(answer, copy=False)
        here.on_recv(got.append)
        for i in range(20):
            here.send(b"%d" % i)
        await until("all answers came", lambda: len(got) == 40)
        assert got == [[text] for i in range(20) for text in (b"%d" % i, b"again")]
        there.close()
        here.close()

    run(main())
