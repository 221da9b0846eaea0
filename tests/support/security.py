# SPDX-License-Identifier: MIT
"""What the tests of security share: keys, secured sockets, and a ZAP handler that says anything."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from helpers import eventually
from target import zmq

ZAP_ENDPOINT = "inproc://zeromq.zap.01"

needs_curve = pytest.mark.skipif(not zmq.has("curve"), reason="PyNaCl is not installed")


class Keys:
    """A key pair, made when it is first needed."""

    def __init__(self) -> None:
        self.public, self.secret = zmq.curve_keypair()


def curve_server(keys: Keys, **more: Any) -> dict[str, Any]:
    return {"curve_server": 1, "curve_secretkey": keys.secret, **more}


def curve_client(keys: Keys, server: bytes, **more: Any) -> dict[str, Any]:
    return {
        "curve_publickey": keys.public,
        "curve_secretkey": keys.secret,
        "curve_serverkey": server,
        **more,
    }


def plain_client(name: bytes = b"admin", password: bytes = b"secret") -> dict[str, Any]:
    return {"plain_username": name, "plain_password": password}


Answer = Callable[[list[bytes]], Any]


def ok(request: list[bytes]) -> list[bytes]:
    return reply(request)


def reply(
    request: list[bytes],
    status: bytes = b"200",
    user: bytes = b"somebody",
    metadata: bytes = b"",
) -> list[bytes]:
    return [b"1.0", request[1], status, b"because", user, metadata]


class Handler:
    """A ZAP handler in a thread. `answer` gives the frames of the reply, or None: none at all."""

    def __init__(self, ctx: Any, answer: Answer = ok) -> None:
        self.requests: list[list[bytes]] = []
        self.senders: list[bytes] = []
        self.answer = answer
        self._socket = ctx.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(ZAP_ENDPOINT)
        self._stop = ctx.socket(zmq.PAIR)
        self._stop.bind(f"inproc://stop-{id(self)}")
        self._stopper = ctx.socket(zmq.PAIR)
        self._stopper.connect(f"inproc://stop-{id(self)}")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._stop, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self._stop in ready:
                command = self._stop.recv()
                if not command:
                    return
                frames = [self.senders[int(command)], b"", *ok(self.requests[int(command)])]
                self._socket.send_multipart(frames)
                continue
            who, *frames = self._socket.recv_multipart()
            assert frames[0] == b""
            self.senders.append(who)
            self.requests.append(frames[1:])
            answer = self.answer(frames[1:])
            if answer is not None:
                self._socket.send_multipart([who, b"", *answer])

    def asked(self, times: int = 1) -> list[bytes]:
        """Waits for the question with that number; its frames."""
        eventually(f"question {times} of the handler", lambda: len(self.requests) >= times)
        return self.requests[times - 1]

    def admit(self, number: int) -> None:
        """Lets in the peer of a question that was left without an answer."""
        self._stopper.send(b"%d" % number)

    def close(self) -> None:
        if self._socket.closed:
            return
        self._stopper.send(b"")
        self._thread.join()
        for sock in (self._socket, self._stop, self._stopper):
            sock.close(0)
