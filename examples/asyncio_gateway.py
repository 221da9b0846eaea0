#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A gateway: HTTP requests come in, workers behind a ROUTER/DEALER pair answer them.

    python examples/asyncio_gateway.py --port 8080 --workers 2
    curl http://127.0.0.1:8080/upper/hello

One asyncio process holds any number of open requests. Each gets a number, and the answers, which
come in any order, find their Future by it. With --demo the program asks itself and ends. A real
gateway would put a web framework in the place of `serve_http`; the class `Pool` stays as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import fastmq as zmq
import fastmq.asyncio

TIMEOUT_S = 2.0


def work(address: str) -> None:
    """A worker, a process of its own: answers [number, name, argument] with [number, result]."""
    functions: dict[bytes, Callable[[bytes], bytes]] = {
        b"upper": bytes.upper,
        b"reverse": lambda text: text[::-1],
        b"length": lambda text: b"%d" % len(text),
    }
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.connect(address)
        dealer.send_multipart([b"", b""])  # here I am
        for number, name, argument in iter(dealer.recv_multipart, [b""]):
            function = functions.get(name)
            dealer.send_multipart([number, function(argument) if function else b"no such function"])


class Pool:
    """Asks workers that connect to `address`, each in turn."""

    def __init__(self, context: fastmq.asyncio.Context, address: str) -> None:
        self.router = context.socket(zmq.ROUTER)
        self.router.bind(address)
        self.router.router_mandatory = True
        self.workers: list[bytes] = []
        self.turn = 0
        self.numbers = itertools.count(1)
        self.open: dict[bytes, asyncio.Future[bytes]] = {}
        self.joined = asyncio.Event()
        self.reader = asyncio.create_task(self.read())

    async def read(self) -> None:
        """Hands answers to those who wait for them."""
        while True:
            worker, number, *result = await self.router.recv_multipart()
            if not number:
                self.workers.append(worker)
                self.joined.set()
            elif result and (future := self.open.pop(number, None)) and not future.done():
                future.set_result(result[0])

    async def ask(self, name: bytes, argument: bytes) -> bytes:
        """A worker's answer. Raises asyncio.TimeoutError."""
        await self.joined.wait()
        number = b"%d" % next(self.numbers)
        future = self.open[number] = asyncio.get_running_loop().create_future()
        try:
            while self.workers:
                self.turn = (self.turn + 1) % len(self.workers)
                try:
                    await self.router.send_multipart(
                        [self.workers[self.turn], number, name, argument]
                    )
                    break
                except zmq.ZMQError as error:
                    if error.errno != zmq.EHOSTUNREACH:
                        raise
                    del self.workers[self.turn]  # it is gone
                    self.turn = 0
            return await asyncio.wait_for(future, TIMEOUT_S)
        finally:
            self.open.pop(number, None)

    async def close(self) -> None:
        for worker in self.workers:
            await self.router.send_multipart([worker, b""])
        self.reader.cancel()
        await asyncio.gather(self.reader, return_exceptions=True)
        self.router.close(linger=500)


async def serve_http(
    pool: Pool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One connection: GET /function/argument, as many times as the client likes."""
    try:
        while line := await reader.readline():
            while (await reader.readline()).strip():
                pass  # headers
            status, body = "400 Bad Request", b"GET /function/argument\n"
            method, path, _ = line.decode("latin-1").split(" ", 2)
            _, name, argument, *_ = [*path.split("/"), "", ""]
            if method == "GET" and name:
                try:
                    answer = await pool.ask(name.encode(), unquote(argument).encode())
                    status, body = "200 OK", answer + b"\n"
                except asyncio.TimeoutError:
                    status, body = "504 Gateway Timeout", b"no worker answered\n"
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
    except (ConnectionError, ValueError):
        pass  # gone, or not HTTP
    finally:
        writer.close()


async def get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.split(b"Content-Length: ")[1].split()[0])
    body = await reader.readexactly(length)
    writer.close()
    return body.strip()


async def run(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, fastmq.asyncio.Context() as context:
        address = f"ipc://{folder}/workers"
        pool = Pool(context, address)
        workers = [
            subprocess.Popen([sys.executable, __file__, "--work", address])
            for _ in range(args.workers)
        ]

        async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve_http(pool, reader, writer)

        server = await asyncio.start_server(connection, "127.0.0.1", args.port)
        port: int = server.sockets[0].getsockname()[1]
        try:
            if args.demo:
                print(await get(port, "/upper/hello"), await get(port, "/reverse/a%20b"))
                paths = [f"/length/{'x' * n}" for n in range(200)]
                lengths = await asyncio.gather(*(get(port, path) for path in paths))
                assert [int(n) for n in lengths] == list(range(200))
                print(len(lengths), "requests at once, each with its own answer")
            else:
                print(f"http://127.0.0.1:{port}/upper/hello", flush=True)
                await server.serve_forever()
        finally:
            server.close()
            await pool.close()
            for worker in workers:
                worker.wait(5)


def main() -> None:
    parser = argparse.ArgumentParser(description="HTTP in front of fastmq workers")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--demo", action="store_true", help="ask itself and end")
    parser.add_argument("--work", metavar="ADDRESS", help=argparse.SUPPRESS)
    args: Any = parser.parse_args()
    if args.work:
        work(args.work)
        return
    try:
        asyncio.run(run(args))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
