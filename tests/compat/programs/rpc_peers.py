# SPDX-License-Identifier: MIT
"""callosum, an asyncio RPC library over zmq.asyncio, between two processes.

Run as `rpc_peers.py serve ADDRESS` or `rpc_peers.py call ADDRESS`; see test_third_party.py.
"""

import asyncio
import json
import sys

from callosum.lower.zeromq import ZeroMQAddress, ZeroMQRPCTransport
from callosum.rpc import Peer, RPCUserError

CALLS = 200


def peer(**where):
    return Peer(
        serializer=lambda o: json.dumps(o).encode(),
        deserializer=json.loads,
        transport=ZeroMQRPCTransport,
        transport_opts={"attach_monitor": True},
        compress=False,
        invoke_timeout=10,
        **where,
    )


async def serve(address):
    done = asyncio.Event()

    async def add(request):
        return sum(request.body)

    async def fail(request):
        raise ValueError("mine")

    async def stop(request):
        done.set()
        return "stopping"

    server = peer(bind=ZeroMQAddress(address))
    for function in (add, fail, stop):
        server.handle_function(function.__name__, function)
    async with server:
        await done.wait()
        await asyncio.sleep(0.1)  # the answer is still on its way out of the library


async def call(address):
    async with peer(connect=ZeroMQAddress(address)) as client:
        sums = await asyncio.gather(*(client.invoke("add", [i, i]) for i in range(CALLS)))
        assert sums == [2 * i for i in range(CALLS)]
        try:
            await client.invoke("fail", None)
        except RPCUserError as e:
            assert "mine" in str(e.args)
        else:
            raise AssertionError("no error came")
        assert await client.invoke("stop", None) == "stopping"


async def main():
    await {"serve": serve, "call": call}[sys.argv[1]](sys.argv[2])


asyncio.run(main())

import zmq  # noqa: E402 (the last word: what all of it ran on)

print(zmq.__name__, zmq.asyncio.Socket.__module__, type(zmq.asyncio.Context.instance()).__module__)
zmq.asyncio.Context.instance().term()
