# SPDX-License-Identifier: MIT
"""CURVE (ZeroMQ RFC 26) in plain Python over wire.py, either role: independent of the engine.

Each command can be had as bytes before it is sent, so that a test may spoil it.
"""

import os
import struct

import wire
from nacl import bindings as nacl

Pair = tuple[bytes, bytes]
"""(public, secret), 32 bytes each."""


def keypair() -> Pair:
    return nacl.crypto_box_keypair()


def _nonce(name: bytes, counter: int) -> bytes:
    return name + struct.pack(">Q", counter)


class _Side:
    """The short-term keys of one end, and MESSAGE both ways."""

    def __init__(self, outgoing: bytes, incoming: bytes) -> None:
        self.short = keypair()
        self.counter = 0
        self.seen = 0
        self._names = (outgoing, incoming)
        self._shared = b""

    def agree(self, peer_short: bytes) -> None:
        self._shared = nacl.crypto_box_beforenm(peer_short, self.short[1])

    def next(self) -> bytes:
        self.counter += 1
        return struct.pack(">Q", self.counter)

    def box(self, name: bytes, counter: bytes, content: bytes) -> bytes:
        return nacl.crypto_box_easy_afternm(content, name + counter, self._shared)

    def open(self, name: bytes, counter: bytes, box: bytes) -> bytes:
        return nacl.crypto_box_open_easy_afternm(box, name + counter, self._shared)

    def message(
        self, payload: bytes, more: bool = False, command: bool = False, counter: int | None = None
    ) -> bytes:
        """A frame of traffic. `counter` instead of the next nonce."""
        nonce = self.next() if counter is None else struct.pack(">Q", counter)
        content = bytes([more | command << 1]) + payload
        return wire.frame(b"\7MESSAGE" + nonce + self.box(self._names[0], nonce, content))

    def read_message(self, w: wire.Wire) -> tuple[int, bytes]:
        """(flags inside, payload)"""
        flags, body = w.read_frame()
        assert (flags, body[:8]) == (0, b"\7MESSAGE"), (flags, body)
        (value,) = struct.unpack(">Q", body[8:16])
        assert value > self.seen, "a nonce did not go up"
        self.seen = value
        content = self.open(self._names[1], body[8:16], body[16:])
        return content[0], content[1:]


class Client(_Side):
    def __init__(self, keys: Pair, server_key: bytes) -> None:
        super().__init__(b"CurveZMQMESSAGEC", b"CurveZMQMESSAGES")
        self.keys = keys
        self.server_key = server_key
        self.cookie = b""
        self.server_short = b""

    def hello(self) -> bytes:
        counter = self.next()
        nonce = b"CurveZMQHELLO---" + counter
        box = nacl.crypto_box_easy(bytes(64), nonce, self.server_key, self.short[1])
        body = b"\5HELLO\1\0" + bytes(72) + self.short[0] + counter + box
        return wire.frame(body, wire.COMMAND)

    def welcome(self, w: wire.Wire) -> None:
        flags, body = w.read_frame()
        assert (flags, body[:8], len(body)) == (wire.COMMAND, b"\7WELCOME", 168)
        nonce = b"WELCOME-" + body[8:24]
        content = nacl.crypto_box_open_easy(body[24:], nonce, self.server_key, self.short[1])
        self.server_short, self.cookie = content[:32], content[32:]
        self.agree(self.server_short)

    def initiate(self, properties: bytes) -> bytes:
        vouch_nonce = os.urandom(16)
        vouch = nacl.crypto_box_easy(
            self.short[0] + self.server_key,
            b"VOUCH---" + vouch_nonce,
            self.server_short,
            self.keys[1],
        )
        counter = self.next()
        content = self.keys[0] + vouch_nonce + vouch + properties
        box = self.box(b"CurveZMQINITIATE", counter, content)
        return wire.frame(b"\x08INITIATE" + self.cookie + counter + box, wire.COMMAND)

    def ready(self, w: wire.Wire) -> dict[str, bytes]:
        flags, body = w.read_frame()
        assert (flags, body[:6]) == (wire.COMMAND, b"\5READY"), body
        (self.seen,) = struct.unpack(">Q", body[6:14])
        return wire.parse_props(self.open(b"CurveZMQREADY---", body[6:14], body[14:]))


class Server(_Side):
    """Keeps its state in the object and not in the cookie."""

    def __init__(self, keys: Pair) -> None:
        super().__init__(b"CurveZMQMESSAGES", b"CurveZMQMESSAGEC")
        self.keys = keys
        self.client_short = b""
        self.cookie = os.urandom(96)

    def hello(self, w: wire.Wire) -> None:
        flags, body = w.read_frame()
        assert (flags, body[:8], len(body)) == (wire.COMMAND, b"\5HELLO\1\0", 200)
        self.client_short = body[80:112]
        nonce = b"CurveZMQHELLO---" + body[112:120]
        opened = nacl.crypto_box_open_easy(body[120:], nonce, self.client_short, self.keys[1])
        assert opened == bytes(64)
        self.agree(self.client_short)

    def welcome(self) -> bytes:
        tail = os.urandom(16)
        content = self.short[0] + self.cookie
        box = nacl.crypto_box_easy(content, b"WELCOME-" + tail, self.client_short, self.keys[1])
        return wire.frame(b"\7WELCOME" + tail + box, wire.COMMAND)

    def initiate(self, w: wire.Wire) -> dict[str, bytes]:
        flags, body = w.read_frame()
        assert (flags, body[:9]) == (wire.COMMAND, b"\x08INITIATE"), body
        assert body[9:105] == self.cookie
        (self.seen,) = struct.unpack(">Q", body[105:113])
        content = self.open(b"CurveZMQINITIATE", body[105:113], body[113:])
        return wire.parse_props(content[128:])

    def ready(self, properties: bytes) -> bytes:
        counter = self.next()
        box = self.box(b"CurveZMQREADY---", counter, properties)
        return wire.frame(b"\5READY" + counter + box, wire.COMMAND)
