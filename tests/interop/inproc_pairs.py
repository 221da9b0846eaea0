# SPDX-License-Identifier: MIT
"""python inproc_pairs.py MODULE: what passes between any two types over inproc, a line a pair.

Each pair has a process of its own, since libzmq aborts at some.
"""

import importlib
import itertools
import json
import os
import sys
import warnings
from typing import Any

zmq: Any = importlib.import_module(sys.argv[1])

TYPES = [kind.name for kind in zmq.SocketType if kind <= zmq.SocketType.STREAM]
WAIT_MS = 30


def attempt(call: Any, *args: Any) -> Any:
    try:
        result = call(*args)
    except zmq.ZMQError as e:
        return f"errno {e.errno}"
    if not isinstance(result, list):
        return None
    # The ids that a ROUTER or STREAM makes up differ.
    return ["id" if len(part) == 5 and part[:1] == b"\0" else part.decode() for part in result]


def message(kind: str, to: bytes, text: bytes) -> list[bytes]:
    return [to, b"", text] if kind == "ROUTER" else [text]


def meet(bound: str, connected: str, first: str) -> list[Any]:
    context = zmq.Context()
    b, c = (context.socket(getattr(zmq, kind)) for kind in (bound, connected))
    for sock, name in ((b, b"B"), (c, b"C")):
        sock.linger = 0
        sock.rcvtimeo = sock.sndtimeo = WAIT_MS
        sock.setsockopt(zmq.ROUTING_ID, name)
        if sock.type == zmq.SUB:
            sock.setsockopt(zmq.SUBSCRIBE, b"")
    steps = [(b.bind, "inproc://x"), (c.connect, "inproc://x")]
    for call, address in steps if first == "bind" else steps[::-1]:
        attempt(call, address)
    b.poll(1)
    c.poll(1)
    return [
        attempt(c.send_multipart, message(connected, b"B", b"1")),
        attempt(b.recv_multipart),
        attempt(b.send_multipart, message(bound, b"C", b"2")),
        attempt(c.recv_multipart),
    ]


def in_child(*pair: str) -> Any:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.write(write, json.dumps(meet(*pair)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as f:
        text = f.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else "died"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for pair in itertools.product(TYPES, TYPES, ("bind", "connect")):
        print(json.dumps([pair, in_child(*pair)]), flush=True)
