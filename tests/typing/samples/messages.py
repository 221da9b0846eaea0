# SPDX-License-Identifier: MIT
"""What sending and receiving return."""

from typing_extensions import reveal_type

import fastmq as zmq


def receiving(s: zmq.Socket[bytes], flag: bool) -> None:
    reveal_type(s.recv())  # bytes
    reveal_type(s.recv(zmq.DONTWAIT))  # bytes
    reveal_type(s.recv(copy=True))  # bytes
    reveal_type(s.recv(copy=False))  # Frame
    reveal_type(s.recv(0, False))  # Frame
    reveal_type(s.recv(copy=flag))  # bytes | Frame
    reveal_type(s.recv(timeout=10))  # bytes
    reveal_type(s.recv_multipart())  # list[bytes]
    reveal_type(s.recv_multipart(copy=False, track=True))  # list[Frame]
    reveal_type(s.recv_multipart(0, False))  # list[Frame]
    reveal_type(s.recv_multipart(copy=flag))  # list[bytes] | list[Frame]
    reveal_type(s.recv_into(bytearray(5)))  # int
    reveal_type(s.recv_string())  # str
    reveal_type(s.recv_unicode())  # str
    reveal_type(s.recv_json())  # Any
    reveal_type(s.recv_pyobj())  # Any
    reveal_type(s.recv_many())  # list[Any]
    reveal_type(s.recv_many(5, multipart=True))  # list[list[bytes]]
    reveal_type(s.recv_many(multipart=True, copy=False))  # list[list[Frame]]
    for parts in s:
        reveal_type(parts)  # list[bytes]


def sending(s: zmq.Socket[bytes], flag: bool) -> None:
    reveal_type(s.send(b""))  # MessageTracker | None
    reveal_type(s.send(memoryview(b""), zmq.SNDMORE))  # MessageTracker | None
    reveal_type(s.send(b"", copy=False, track=True))  # MessageTracker
    reveal_type(s.send(b"", copy=False, track=flag))  # MessageTracker | None
    reveal_type(s.send_multipart([b"", zmq.Frame(b"")]))  # MessageTracker | None
    reveal_type(s.send_multipart([b""], copy=False, track=True))  # MessageTracker
    reveal_type(s.send_string(""))  # MessageTracker | None
    reveal_type(s.send_many([b"", [b"", b""]]))  # int


def frames(frame: zmq.Frame) -> None:
    reveal_type(frame.bytes)  # bytes
    reveal_type(frame.buffer)  # memoryview[int]
    reveal_type(frame.more)  # bool
    reveal_type(frame.tracker)  # MessageTracker | None
    reveal_type(frame["User-Id"])  # int | str


def events(s: zmq.Socket[bytes]) -> None:
    reveal_type(s.poll())  # int
    reveal_type(s.type)  # SocketType
    reveal_type(s.fileno())  # int
    reveal_type(s.linger)  # int
    reveal_type(s.last_endpoint)  # bytes
