# SPDX-License-Identifier: MIT
"""RADIO, DISH and DGRAM in event loops, poll sets, proxies, and under pyzmq's names."""

import asyncio
import threading
from typing import Any

import pytest
from helpers import WAIT_MS, recv_multipart, run_python, unique, wait_readable
from loops import in_loops, run, until
from target import fastmq_only, submodule, zmq
from test_numbered_peers import Make, amake, soon  # noqa: F401

za = submodule("asyncio")

pytestmark = fastmq_only("the wheel has no draft types")


def tune(dish: Any, radio: Any, transport: str) -> None:
    """Joins "a", and returns when the RADIO sends to it."""
    dish.join("a")
    if transport == "udp":
        dish.bind("udp://127.0.0.1:*")
        radio.connect(dish.last_endpoint)
    else:
        dish.bind("tcp://127.0.0.1:*" if transport == "tcp" else f"inproc://{unique('groups')}")
        radio.connect(dish.last_endpoint)


transports = pytest.mark.parametrize("transport", ["udp", "tcp", "inproc"])


@transports
@in_loops
async def test_groups_are_awaited(amake: Make, transport: str) -> None:  # noqa: F811
    dish, radio = amake(zmq.DISH), amake(zmq.RADIO)
    tune(dish, radio, transport)
    receiving = dish.recv(copy=False)  # it waits
    while not receiving.done():
        await soon(radio.send(b"1", group="a"))
        await asyncio.sleep(0.005)
    assert (receiving.result().group, receiving.result().bytes) == ("a", b"1")
    await soon(radio.send(b"end", group="a"))
    while await soon(dish.recv()) != b"end":
        pass
    for i in range(100):
        await soon(radio.send(b"%d" % i, group="a" if i % 2 else "b"))
    assert [await soon(dish.recv()) for _ in range(50)] == [b"%d" % i for i in range(1, 100, 2)]
    await soon(radio.send_string("text", group="a"))
    assert await soon(dish.recv_string()) == "text"
    frame = zmq.Frame(b"frame")
    frame.group = "a"
    await soon(radio.send(frame))
    assert (await soon(dish.recv(copy=False))).group == "a"


@in_loops
async def test_a_receive_that_was_cancelled_loses_no_datagram(amake: Make) -> None:  # noqa: F811
    dish, radio = amake(zmq.DISH), amake(zmq.RADIO)
    tune(dish, radio, "udp")
    for i in range(50):
        task = asyncio.ensure_future(dish.recv(copy=False))
        await asyncio.sleep(0)
        await soon(radio.send(b"%d" % i, group="a"))
        if i % 3 == 0:
            await asyncio.sleep(0.001)
        task.cancel()
        try:
            frame = await task
        except asyncio.CancelledError:
            frame = await soon(dish.recv(copy=False))
        assert (frame.group, frame.bytes) == ("a", b"%d" % i)


@in_loops
async def test_datagrams_are_awaited(amake: Make) -> None:  # noqa: F811
    one, two = amake(zmq.DGRAM), amake(zmq.DGRAM)
    one.bind("udp://127.0.0.1:*")
    two.bind("udp://127.0.0.1:*")
    to = two.last_endpoint[len(b"udp://") :]
    receiving = two.recv_multipart()
    for i in range(20):
        await soon(one.send_multipart([to, b"%d" % i]))
        address, body = await soon(receiving)
        assert body == b"%d" % i
        await soon(two.send_multipart([address, b"back"]))
        assert (await soon(one.recv_multipart()))[1] == b"back"
        receiving = two.recv_multipart()
    receiving.cancel()


@in_loops
async def test_an_asynchronous_poller_sees_groups(amake: Make) -> None:  # noqa: F811
    dish, radio = amake(zmq.DISH), amake(zmq.RADIO)
    tune(dish, radio, "udp")
    poller = za.Poller()
    poller.register(dish, zmq.POLLIN)
    poller.register(radio, zmq.POLLOUT)
    assert await soon(poller.poll()) == [(radio, zmq.POLLOUT)]
    poller.unregister(radio)
    assert await poller.poll(0) == []
    await soon(radio.send(b"unheard", group="b"))
    await soon(radio.send(b"x", group="a"))
    assert await soon(poller.poll()) == [(dish, zmq.POLLIN)]
    assert await soon(dish.recv()) == b"x"


def test_a_poller_and_fd_show_datagrams(make: Make) -> None:
    dish, radio = make(zmq.DISH), make(zmq.RADIO)
    tune(dish, radio, "udp")
    poller, by_fd = zmq.Poller(), zmq.Poller()
    poller.register(dish, zmq.POLLIN)
    by_fd.register(dish.fileno(), zmq.POLLIN)
    assert poller.poll(0) == []
    for i in range(20):
        radio.send(b"%d" % i, group="a")
        assert poller.poll(WAIT_MS) == [(dish, zmq.POLLIN)]
        assert by_fd.poll(WAIT_MS)
        assert dish.recv() == b"%d" % i
    assert poller.poll(0) == []


def test_a_tornado_stream_takes_groups(make: Make) -> None:
    zmqstream = submodule("eventloop.zmqstream")
    pytest.importorskip("tornado.ioloop")
    dish, radio = make(zmq.DISH), make(zmq.RADIO)
    tune(dish, radio, "udp")

    async def main() -> None:
        here, there = zmqstream.ZMQStream(dish), zmqstream.ZMQStream(radio)
        got: list[Any] = []
        here.on_recv(got.append, copy=False)
        for i in range(20):
            frame = zmq.Frame(b"%d" % i)
            frame.group = "a" if i % 2 else "b"
            there.send(frame)
        await until("all came", lambda: len(got) == 10)
        assert [(f.group, f.bytes) for (f,) in got] == [("a", b"%d" % i) for i in range(1, 20, 2)]
        here.close()
        there.close()

    run(main())


def test_a_proxy_passes_groups_on(make: Make) -> None:
    """From datagrams to connections: a DISH in front, a RADIO behind."""
    source, dish, radio, last = make(zmq.RADIO), make(zmq.DISH), make(zmq.RADIO), make(zmq.DISH)
    control, order = make(zmq.PAIR), make(zmq.PAIR)
    tune(dish, source, "udp")
    dish.join("b")
    radio.bind("tcp://127.0.0.1:*")
    last.connect(radio.last_endpoint)
    last.join("a")
    last.join("b")
    assert radio.wait_for_subscribers(1, "a", timeout=WAIT_MS)
    assert radio.wait_for_subscribers(1, "b", timeout=WAIT_MS)
    control.bind("inproc://" + unique("control"))
    order.connect(control.last_endpoint)
    proxy = threading.Thread(target=zmq.proxy_steerable, args=(dish, radio, None, control))
    proxy.start()
    for i in range(30):
        source.send(b"%d" % i, group="abc"[i % 3])
    for i in range(30):
        if i % 3 == 2:
            continue
        wait_readable(last, "message")
        frame = last.recv(copy=False)
        assert (frame.group, frame.bytes) == ("abc"[i % 3], b"%d" % i)
    order.send(b"TERMINATE")
    proxy.join()


def test_dgram_in_two_threads(make: Make) -> None:
    one, two = make(zmq.DGRAM), make(zmq.DGRAM)
    one.bind("udp://127.0.0.1:*")
    two.bind("udp://127.0.0.1:*")
    to = two.last_endpoint[len(b"udp://") :]

    def send(first: int) -> None:
        for i in range(first, first + 50):
            one.send(to, zmq.SNDMORE)
            one.send(b"%d" % i)

    threads = [threading.Thread(target=send, args=(first,)) for first in (0, 50)]
    for thread in threads:
        thread.start()
    got = sorted(int(recv_multipart(two)[1]) for _ in range(100))
    for thread in threads:
        thread.join()
    assert got == list(range(100))


def test_pyzmq_s_names_have_it_all() -> None:
    done = run_python(
        """
import fastmq.compat
fastmq.compat.install()
import zmq
assert zmq.DRAFT_API and zmq.has("draft")
with zmq.Context() as ctx, ctx.socket(zmq.DISH) as dish, ctx.socket(zmq.RADIO) as radio:
    dish.rcvtimeo = 8000
    dish.bind("udp://127.0.0.1:*")
    dish.join("g")
    radio.connect(dish.getsockopt(zmq.LAST_ENDPOINT).decode())
    radio.send(b"body", group="g")
    frame = dish.recv(copy=False)
    assert isinstance(frame, zmq.Frame) and frame.group == "g", frame.group
    print(bytes(frame).decode())
"""
    )
    assert done.stdout == "body\n", done.stderr
