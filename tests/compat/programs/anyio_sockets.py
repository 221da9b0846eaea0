# SPDX-License-Identifier: MIT
"""Sockets and a Poller of zmq-anyio. Argument: the backend of anyio."""

import sys

import anyio
import zmq
import zmq_anyio

COUNT = 50


async def main() -> None:
    context = zmq.Context()
    async with (
        anyio.create_task_group() as group,
        zmq_anyio.Socket(context, zmq.REP) as server,
        zmq_anyio.Socket(context, zmq.REQ) as client,
        zmq_anyio.Socket(context.socket(zmq.PUSH)) as push,
        zmq_anyio.Socket(context.socket(zmq.PULL)) as pull,
    ):
        assert client.context is context
        client.connect(f"tcp://127.0.0.1:{server.bind_to_random_port('tcp://127.0.0.1')}")
        push.connect(f"tcp://127.0.0.1:{pull.bind_to_random_port('tcp://127.0.0.1')}")

        async def serve() -> None:
            for _ in range(COUNT):
                message = await server.arecv_multipart()
                await server.asend_multipart([b"did", *message])

        group.start_soon(serve)
        for number in range(COUNT):
            await client.asend_multipart([b"%d" % number, b""])
            assert await client.arecv_multipart() == [b"did", b"%d" % number, b""]
        poller = zmq_anyio.Poller()
        poller.register(pull, zmq.POLLIN)
        assert await poller.apoll(group, 20) == []
        await push.asend_json({"a": [1, 2]})
        assert await poller.apoll(group, 20_000) == [(pull, zmq.POLLIN)]
        assert await pull.arecv_json() == {"a": [1, 2]}
        await push.asend_string("ü" * 100_000)
        assert len(await pull.arecv_string()) == 100_000
    context.term()
    print(zmq.__name__, COUNT)


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
