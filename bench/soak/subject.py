# SPDX-License-Identifier: MIT
"""The process that the soak watches: a server of every pattern, and a life full of changes.

It prints its addresses, then what it has done, a JSON object a line each second, until its
standard input ends. Whatever breaks is told in `failures`; the exit status is 0 if nothing did.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import json
import os
import random
import socket as pysocket
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import traffic
from traffic import expect, socket

import fastmq as zmq
import fastmq.asyncio as zmqa
from fastmq import _core

STREAM_BYTES = 3000


class World:
    """What all parts share: the context, the end, the counts."""

    def __init__(self, folder: str) -> None:
        self.ctx: zmq.Context[Any] = zmq.Context()
        self.folder = folder
        self.addresses: dict[str, dict[str, str]] = {}
        self.stream_port = 0
        self.stop = threading.Event()  # for the guests
        self.closing = threading.Event()  # for the servers, when no guest is left
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.threads: list[threading.Thread] = []

    def running(self) -> bool:
        return not self.stop.is_set()

    def serving(self) -> bool:
        return not self.closing.is_set()

    def start(self, name: str, part: Callable[..., None], *args: Any) -> None:
        def run() -> None:
            try:
                part(self, *args)
            except Exception:
                self.failures.append(f"{name}: {traceback.format_exc()}")

        self.threads.append(threading.Thread(target=run, name=name))
        self.threads[-1].start()

    def end(self) -> None:
        """Waits for everything that was started."""
        for thread in self.threads:
            thread.join(30)
            if thread.is_alive():
                self.failures.append(f"{thread.name} did not end")
        self.threads.clear()

    def serve(self, name: str, kind: int, **options: Any) -> Any:
        """A socket that is bound over every transport."""
        sock = socket(self.ctx, kind, **options)
        given = {
            "tcp": "tcp://127.0.0.1:*",
            "ipc": f"ipc://{self.folder}/{name}",
            "inproc": f"inproc://{name}",
        }
        self.addresses[name] = {}
        for transport, address in given.items():
            sock.bind(address)
            self.addresses[name][transport] = str(sock.last_endpoint.rstrip(b"\0").decode())
        return sock


# ---- servers ----


def sink(world: World, sock: Any) -> None:
    checker = traffic.Sink()
    while world.serving():
        try:
            for message in sock.recv_many(500):
                checker.check(message)
                world.counts["pushed"] += 1
        except zmq.Again:
            continue


def source(world: World, sock: Any) -> None:
    dice = random.Random(0)
    for n in itertools.count():
        if not traffic.send(sock, [b"%d" % n, traffic.body(dice, n)], world.serving):
            return
        world.counts["dealt out"] += 1
        if n % 100 == 0:
            time.sleep(0.02)


def reply(world: World, sock: Any) -> None:
    while (question := traffic.receive(sock, world.serving)) is not None:
        traffic.send(sock, question, world.serving)
        world.counts["replied"] += 1


def route(world: World, sock: Any) -> None:
    while world.serving():
        try:
            frames = sock.recv_multipart(copy=False)
            sock.send_multipart(frames, copy=False)
            world.counts["routed"] += 1
        except zmq.Again:
            continue


def answer(world: World, sock: Any) -> None:
    while world.serving():
        try:
            sock.send(sock.recv(copy=False))
            world.counts["answered"] += 1
        except zmq.Again:
            continue
        except zmq.ZMQError as e:
            if e.errno != zmq.EHOSTUNREACH:  # who asked has gone
                raise


def publish(world: World, sock: Any) -> None:
    for n, message in enumerate(traffic.published()):
        if not world.serving():
            return
        sock.send_multipart(message)
        world.counts["published"] += 1
        if n % 40 == 0:
            time.sleep(0.02)


def stream(world: World, sock: Any) -> None:
    """Gives back to plain TCP clients what they say."""
    while world.serving():
        try:
            who, data = sock.recv_multipart()
            if data:
                sock.send_multipart([who, data])
        except zmq.Again:
            continue
        except zmq.ZMQError as e:
            if e.errno != zmq.EHOSTUNREACH:
                raise


def plain_client(world: World) -> None:
    """Talks to `stream`, and now and then says nonsense to a socket that expects ZMTP."""
    dice = random.Random(5)
    ports = [int(by["tcp"].rpartition(":")[2]) for by in world.addresses.values()]
    while world.running():
        with pysocket.create_connection(("127.0.0.1", world.stream_port), timeout=20) as tcp:
            data = dice.randbytes(STREAM_BYTES)
            tcp.sendall(data)
            got = b""
            while len(got) < len(data) and (more := tcp.recv(65536)):
                got += more
            expect(got == data, "STREAM gave back something else")
            world.counts["streamed"] += 1
        with pysocket.create_connection(("127.0.0.1", dice.choice(ports)), timeout=20) as tcp:
            # Without a signature it might be a message of a ZMTP 1.0 peer.
            head = (b"\xff" + bytes(8) + b"\x7f\x03")[: dice.randrange(1, 12)]
            tcp.sendall(head + dice.randbytes(40))
        time.sleep(0.1)


# ---- what changes all the time ----


def guest(world: World, kind: str, server: str) -> None:
    """The peers of traffic.py once more, over inproc, each for a few seconds."""
    dice = random.Random(kind + server)
    for n in itertools.count():
        if not world.running():
            return
        end = time.monotonic() + dice.uniform(0.2, 5)
        traffic.PEERS[kind](
            world.ctx,
            world.addresses[server]["inproc"],
            f"{kind}-{server}-{n}",
            lambda end=end: world.running() and time.monotonic() < end,  # type: ignore[misc]
        )
        world.counts["guests"] += 1


KINDS = (
    zmq.PAIR,
    zmq.PUB,
    zmq.SUB,
    zmq.REQ,
    zmq.REP,
    zmq.DEALER,
    zmq.ROUTER,
    zmq.PULL,
    zmq.PUSH,
    zmq.XPUB,
    zmq.XSUB,
    zmq.SERVER,
    zmq.CLIENT,
    zmq.GATHER,
    zmq.SCATTER,
    zmq.PEER,
    zmq.CHANNEL,
)


def visitors(world: World) -> None:
    """Sockets that come, look at what is there, and go, some in a hurry."""
    dice = random.Random(3)
    while world.running():
        kind = dice.choice(KINDS)
        with socket(world.ctx, kind, rcvtimeo=0, sndtimeo=0) as sock:
            events = sock.get_monitor_socket() if dice.random() < 0.3 else None
            poller = zmq.Poller()
            for _ in range(1 if kind in (zmq.PAIR, zmq.CHANNEL) else dice.randrange(1, 4)):
                if dice.random() < 0.3:
                    sock.bind("tcp://127.0.0.1:*")
                    continue
                by = world.addresses[dice.choice(list(world.addresses))]
                # To a socket of another type too: the two part in peace.
                sock.connect(by[dice.choice(("tcp", "ipc"))])
            poller.register(sock, zmq.POLLIN)
            poller.poll(dice.choice((0, 0, 1, 20)))
            if events is not None:
                sock.disable_monitor()
                events.close()
        world.counts["visitors"] += 1
        time.sleep(0.03)


def contexts(world: World) -> None:
    """Whole contexts with a conversation in them, ended in one of several ways."""
    dice = random.Random(4)
    while world.running():
        ctx: zmq.Context[Any] = zmq.Context()
        a = socket(ctx, zmq.PAIR, rcvtimeo=20_000)
        b = socket(ctx, zmq.PAIR, rcvtimeo=20_000)
        a.bind(dice.choice(("tcp://127.0.0.1:*", "inproc://a", "ipc://*")))
        b.connect(a.last_endpoint.rstrip(b"\0").decode())
        for size in (10, 100_000, 3_000_000):
            data = bytes(size)
            b.send(data, copy=False)
            expect(a.recv() == data, "PAIR lost or damaged a message")
        if dice.random() < 0.5:
            a.close()
            b.close()
            ctx.term(timeout=20_000)
        else:
            waiting = threading.Thread(target=wait_for_the_end, args=(a,))
            waiting.start()
            time.sleep(0.01)
            ctx.shutdown()
            waiting.join()
            b.close()
            ctx.term(timeout=20_000)
        world.counts["contexts"] += 1
        time.sleep(0.2)


def wait_for_the_end(sock: Any) -> None:
    try:
        sock.rcvtimeo = -1
        sock.recv()
    except zmq.ContextTerminated:
        pass
    finally:
        sock.close()


# ---- asyncio ----


async def echo(world: World, sock: Any) -> None:
    while True:
        message = await sock.recv_multipart()
        await sock.send_multipart(message)


async def impatient(world: World, ctx: Any, address: str, serial: int) -> None:
    """Gives up on many of its receives; nothing is lost by that, and the order stays."""
    dice = random.Random(serial)
    with ctx.socket(zmq.DEALER) as sock:
        sock.linger = 0
        sock.connect(address)
        for n in range(200):
            await sock.send(b"%d" % n)
        for n in range(200):
            while True:
                try:
                    got = await asyncio.wait_for(sock.recv(), dice.choice((0.0001, 0.002, 5)))
                    break
                except asyncio.TimeoutError:
                    continue
            expect(int(got) == n, f"asyncio: {got!r} came instead of {n}")
            world.counts["awaited"] += 1


async def subscribe_by_loop(world: World, ctx: Any, address: str) -> None:
    """A loop's SUB through a proxy that comes and goes with it."""
    with ctx.socket(zmq.SUB) as sock:
        sock.linger = 0
        sock.subscribe(b"A.")
        sock.connect(address)
        last = -1
        for _ in range(50):
            _, number, _ = await asyncio.wait_for(sock.recv_multipart(), 20)
            expect(int(number) > last, "asyncio: a topic went backwards")
            last = int(number)
            world.counts["awaited"] += 1


async def loop_main(world: World) -> None:
    ctx = zmqa.Context.shadow(world.ctx)
    with ctx.socket(zmq.ROUTER) as router:
        router.linger = 0
        router.bind("inproc://loop")
        router.bind("tcp://127.0.0.1:*")
        tcp = router.last_endpoint.rstrip(b"\0").decode()
        server = asyncio.ensure_future(echo(world, router))
        for serial in itertools.count():
            if not world.running():
                break
            await asyncio.gather(
                impatient(world, ctx, "inproc://loop", serial),
                impatient(world, ctx, tcp, serial),
                subscribe_by_loop(world, ctx, world.addresses["relay"]["tcp"]),
            )
            await asyncio.sleep(0.05)
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


def loop(world: World) -> None:
    asyncio.run(loop_main(world))


# ---- all of it ----


def give_back() -> None:
    """Lets malloc return what is free, so that the resident memory is what is in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def resident_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main() -> int:
    world = World(sys.argv[1])

    sinks = world.serve("sink", zmq.PULL)
    sources = world.serve("source", zmq.PUSH)
    rep = world.serve("rep", zmq.REP)
    router = world.serve("router", zmq.ROUTER, heartbeat_ivl=500, heartbeat_timeout=5000)
    shared = world.serve("shared", zmq.ROUTER)
    server = world.serve("server", zmq.SERVER, heartbeat_ivl=500, heartbeat_timeout=5000)
    pub = world.serve("pub", zmq.PUB)
    back = world.serve("relay", zmq.XPUB)
    front, talk = socket(world.ctx, zmq.XSUB), socket(world.ctx, zmq.STREAM)
    front.connect(world.addresses["pub"]["inproc"])
    talk.bind("tcp://127.0.0.1:*")
    world.stream_port = int(talk.last_endpoint.rstrip(b"\0").rpartition(b":")[2])
    control, steering = socket(world.ctx, zmq.PAIR), socket(world.ctx, zmq.PAIR)
    control.bind("inproc://control")
    steering.connect("inproc://control")

    def relay(_world: World) -> None:
        zmq.proxy_steerable(front, back, None, control)

    world.start("relay", relay)
    world.start("sink", sink, sinks)
    world.start("source", source, sources)
    world.start("rep", reply, rep)
    world.start("router", route, router)
    world.start("shared", route, shared)
    world.start("shared, too", route, shared)
    world.start("server", answer, server)
    world.start("pub", publish, pub)
    world.start("stream", stream, talk)
    servers, world.threads = world.threads, []

    for kind, server in (
        ("push", "sink"),
        ("pull", "source"),
        ("req", "rep"),
        ("dealer", "router"),
        ("dealer", "shared"),
        ("client", "server"),
        ("sub", "pub"),
        ("sub", "relay"),
    ):
        world.start(f"{kind} guest", guest, kind, server)
    world.start("plain client", plain_client)
    world.start("visitors", visitors)
    world.start("contexts", contexts)
    world.start("loop", loop)

    print(json.dumps(world.addresses), flush=True)

    def listen() -> None:
        sys.stdin.read()
        world.stop.set()

    threading.Thread(target=listen, daemon=True).start()

    def tell() -> None:
        give_back()
        said = {
            "rss": resident_mib(),
            "counts": world.counts,
            "failures": world.failures,
            "objects": sys.getallocatedblocks(),
            "blocks": _core.live_blocks(),
        }
        print(json.dumps(said), flush=True)

    tell()
    while not world.stop.wait(1):
        tell()
    world.end()
    world.threads = servers
    world.closing.set()
    steering.rcvtimeo = steering.sndtimeo = 10_000
    steering.send(b"TERMINATE")
    world.end()
    if not world.failures:
        for sock in (
            sinks,
            sources,
            rep,
            router,
            shared,
            pub,
            back,
            front,
            talk,
            control,
            steering,
        ):
            sock.close()
        world.ctx.term(timeout=20_000)
        if left := _core.open_fds():
            world.failures.append(f"{left} descriptors are left after the end")
    tell()
    return 1 if world.failures else 0


if __name__ == "__main__":
    sys.exit(main())
