# SPDX-License-Identifier: MIT
"""One end of a WebSocket with nothing but the standard library: what a browser does, and what none
would do."""

import base64
import hashlib
import os
import re
import socket as pysocket
from typing import Any

from helpers import WAIT_MS

BINARY, CLOSE, PING, PONG = 2, 8, 9, 10
FINAL = 0x80


def accept_of(key: str) -> str:
    text = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()


def place_of(endpoint: str) -> tuple[str, int, str]:
    """The host, port and path of a ws:// endpoint."""
    found = re.fullmatch(r"ws://(.*):(\d+)(/.*)", endpoint)
    assert found, endpoint
    return found[1].strip("[]"), int(found[2]), found[3]


def frame(
    body: bytes, opcode: int = BINARY, *, mask: bytes | None = None, first: int = FINAL
) -> bytes:
    size = len(body)
    bit = 0x80 if mask is not None else 0
    if size <= 125:
        head = bytes([first | opcode, bit | size])
    elif size <= 0xFFFF:
        head = bytes([first | opcode, bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first | opcode, bit | 127]) + size.to_bytes(8, "big")
    if mask is None:
        return head + body
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(body))


class WebSocket:
    """A connection. `client`: what is sent is masked."""

    def __init__(self, sock: pysocket.socket, client: bool = True) -> None:
        self.sock = sock
        self.client = client
        self.buffer = b""
        sock.settimeout(WAIT_MS / 1000)

    def more(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError(f"the connection ended, with {self.buffer!r} unread")
        self.buffer += data

    def take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self.more()
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def head(self) -> str:
        """A request or an answer, up to the empty line."""
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        return head.decode()

    def send(self, body: bytes, opcode: int = BINARY, first: int = FINAL) -> None:
        self.sock.sendall(
            frame(body, opcode, first=first, mask=os.urandom(4) if self.client else None)
        )

    def recv(self) -> tuple[int, bytes]:
        """The opcode and the body of a frame."""
        first, size = self.take(2)
        assert first & FINAL
        assert not first & 0x70
        masked = size & 0x80
        assert bool(masked) != self.client
        size &= 127
        if size == 126:
            size = int.from_bytes(self.take(2), "big")
            assert size >= 126
        elif size == 127:
            size = int.from_bytes(self.take(8), "big")
            assert size > 0xFFFF
        mask = self.take(4) if masked else bytes(4)
        body = self.take(size)
        return first & 15, bytes(b ^ mask[i % 4] for i, b in enumerate(body))

    def recv_message(self) -> bytes:
        """A binary message; PINGs are answered."""
        while True:
            opcode, body = self.recv()
            if opcode == BINARY:
                return body
            assert opcode in (PING, PONG), (opcode, body)
            if opcode == PING:
                self.send(body, PONG)

    def recv_close(self) -> int:
        """The code of the close frame that comes, before the end."""
        opcode, body = self.recv()
        assert opcode == CLOSE, (opcode, body)
        return int.from_bytes(body, "big")

    def ended(self) -> bool:
        try:
            self.more()
        except (EOFError, ConnectionResetError):
            return True
        return False

    def close(self) -> None:
        self.sock.close()


def request_text(path: str, protocols: str | None = "ZWS2.0", **fields: str | None) -> bytes:
    """A request as a browser writes it; fields (with _ for -) change lines or, as None, drop
    them."""
    lines: dict[str, Any] = {
        "Host": "127.0.0.1",
        "Origin": "http://127.0.0.1",
        "Connection": "keep-alive, Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        "Sec-WebSocket-Protocol": protocols,
    }
    lines.update({name.replace("_", "-"): value for name, value in fields.items()})
    text = "".join(f"{n}: {v}\r\n" for n, v in lines.items() if v is not None)
    return f"GET {path} HTTP/1.1\r\n{text}\r\n".encode()


def dial(endpoint: str) -> WebSocket:
    """A connection without a handshake."""
    host, port, _ = place_of(endpoint)
    return WebSocket(pysocket.create_connection((host, port), WAIT_MS / 1000))


def browse(endpoint: str, protocol: str = "ZWS2.0", identity: bytes | None = b"") -> WebSocket:
    """As `new WebSocket(endpoint, protocol)`; then the routing id is sent, and the other's taken,
    unless `identity` is None."""
    ws = dial(endpoint)
    ws.sock.sendall(request_text(place_of(endpoint)[2], protocol))
    head = ws.head()
    assert head.startswith("HTTP/1.1 101 "), head
    assert f"Sec-WebSocket-Accept: {accept_of('A' * 22 + '==')}" in head
    assert head.endswith(f"Sec-WebSocket-Protocol: {protocol}")
    if identity is not None:
        ws.send(b"\0" + identity)
        assert ws.recv_message()[:1] == b"\0"
    return ws


def serve(listener: pysocket.socket, protocol: str = "ZWS2.0", **changed: str | None) -> WebSocket:
    """Accepts one and answers its request; fields change or remove lines of the answer."""
    sock, _ = listener.accept()
    ws = WebSocket(sock, client=False)
    found = re.search(r"Sec-WebSocket-Key: (.*)", ws.head())
    assert found
    lines: dict[str, str | None] = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_of(found[1].strip()),
        "Sec-WebSocket-Protocol": protocol,
    }
    lines.update({name.replace("_", "-"): value for name, value in changed.items()})
    text = "".join(f"{n}: {v}\r\n" for n, v in lines.items() if v is not None)
    ws.sock.sendall(f"HTTP/1.1 101 Switching Protocols\r\n{text}\r\n".encode())
    return ws
