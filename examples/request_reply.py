#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A request-reply service: JSON in, JSON out, errors included.

    python examples/request_reply.py serve tcp://127.0.0.1:5555
    python examples/request_reply.py call tcp://127.0.0.1:5555 add 2 3

Without arguments it does both, in two processes. What a service needs beyond the few lines of a
REP socket: an answer to every request, also to a broken one, or the client waits for ever; a time
limit on the client's side; a clean end on Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import fastmq as zmq
from fastmq.utils.printable import printable


def add(*numbers: float) -> float:
    return sum(numbers)


def longest(*words: str) -> str:
    return max(words, key=len)


FUNCTIONS: dict[str, Callable[..., Any]] = {"add": add, "longest": longest}


def answer(parts: list[bytes]) -> bytes:
    """What the service says to a request; never raises."""
    try:
        (request,) = parts
        name, *arguments = json.loads(request)
        return json.dumps({"result": FUNCTIONS[name](*arguments)}).encode()
    except KeyError as error:
        text = f"no function {error}; there are {', '.join(FUNCTIONS)}"
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
    return json.dumps({"error": text}).encode()


def serve(address: str) -> None:
    """Answers until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        rep.bind(address)
        print("serving at", rep.last_endpoint.rstrip(b"\0").decode(), flush=True)
        try:
            while True:
                rep.send(answer(rep.recv_multipart()))
        except KeyboardInterrupt:
            print("the service ends")


class Client:
    """Calls the service's functions by name."""

    def __init__(self, context: zmq.Context[Any], address: str, timeout_ms: int = 2000) -> None:
        self.req = context.socket(zmq.REQ)
        self.req.linger = 0
        self.req.sndtimeo = self.req.rcvtimeo = timeout_ms
        self.req.req_relaxed = self.req.req_correlate = True  # after a time-out it can ask again
        self.req.connect(address)

    def call(self, name: str, *arguments: Any) -> Any:
        """The function's result. Raises ValueError for what the service refused, zmq.Again when
        no answer came in time."""
        self.req.send_json([name, *arguments])
        reply = self.req.recv_json()
        if "error" in reply:
            raise ValueError(reply["error"])
        return reply["result"]


def demonstrate() -> None:
    service = subprocess.Popen(
        [sys.executable, __file__, "serve", "tcp://127.0.0.1:*"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert service.stdout
        address = service.stdout.readline().split()[-1]
        with zmq.Context() as context:
            client = Client(context, address)
            print("add 2 3 =", client.call("add", 2, 3))
            print("longest:", client.call("longest", "to", "whom", "it", "may", "concern"))
            for call in (("divide", 1, 2), ("add", 1, "two")):
                try:
                    client.call(*call)
                except ValueError as error:
                    print("refused:", printable(str(error)))
            client.req.close()
    finally:
        service.terminate()
        service.wait()
        service.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description="a request-reply service")
    roles = parser.add_subparsers(dest="role")
    roles.add_parser("serve").add_argument("address")
    caller = roles.add_parser("call")
    caller.add_argument("address")
    caller.add_argument("function")
    caller.add_argument(
        "arguments", nargs="*", type=lambda a: json.loads(a) if a[:1].isdigit() else a
    )
    args = parser.parse_args()
    if args.role == "serve":
        serve(args.address)
    elif args.role == "call":
        with zmq.Context() as context:
            client = Client(context, args.address)
            try:
                print(printable(str(client.call(args.function, *args.arguments))))
            except (ValueError, zmq.Again) as error:
                sys.exit(f"{args.function}: {printable(str(error))}")
            finally:
                client.req.close()
    else:
        demonstrate()


if __name__ == "__main__":
    main()
