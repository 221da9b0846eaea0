# SPDX-License-Identifier: MIT
"""ZMTP in plain Python over blocking sockets, for tests: independent of the engine.

Speaks 3.1, 3.0, 2.0 and 1.0 as the side that connects or accepts, and sends any bytes at all. It
checks what it reads and raises AssertionError where the other side is wrong.
"""

import contextlib
import socket
import struct
from dataclasses import dataclass, field

MORE, LONG, COMMAND = 1, 2, 4
TIMEOUT = 8.0

TYPE_IDS = {
    "PAIR": 0,
    "PUB": 1,
    "SUB": 2,
    "REQ": 3,
    "REP": 4,
    "DEALER": 5,
    "ROUTER": 6,
    "PULL": 7,
    "PUSH": 8,
    "XPUB": 9,
    "XSUB": 10,
    "SERVER": 12,
    "CLIENT": 13,
    "RADIO": 14,
    "DISH": 15,
    "GATHER": 16,
    "SCATTER": 17,
    "PEER": 19,
    "CHANNEL": 20,
}


def signature(id_len: int = 0) -> bytes:
    return b"\xff" + struct.pack(">Q", id_len + 1) + b"\x7f"


def greeting(
    minor: int = 1, mechanism: bytes = b"NULL", major: int = 3, as_server: int = 0
) -> bytes:
    head = signature() + bytes([major, minor]) + mechanism.ljust(20, b"\0") + bytes([as_server])
    return head + bytes(31)


def frame(body: bytes, flags: int = 0, long: bool | None = None) -> bytes:
    """A frame of ZMTP 2.0 and later. `long` forces the form of the length."""
    if long if long is not None else len(body) > 255:
        return bytes([flags | LONG]) + struct.pack(">Q", len(body)) + body
    return bytes([flags, len(body)]) + body


def frame_v1(body: bytes, flags: int = 0) -> bytes:
    if len(body) + 1 < 255:
        return bytes([len(body) + 1, flags]) + body
    return b"\xff" + struct.pack(">Q", len(body) + 1) + bytes([flags]) + body


def command(name: bytes, data: bytes = b"") -> bytes:
    return frame(bytes([len(name)]) + name + data, COMMAND)


def prop(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def ready(socket_type: str, identity: bytes | None = None, **more: bytes) -> bytes:
    props = prop(b"Socket-Type", socket_type.encode())
    if identity is not None:
        props += prop(b"Identity", identity)
    for name, value in more.items():
        props += prop(name.replace("_", "-").encode(), value)
    return command(b"READY", props)


def split_command(body: bytes) -> tuple[bytes, bytes]:
    n = body[0]
    assert len(body) > n, f"command name runs past the frame: {body!r}"
    return body[1 : 1 + n], body[1 + n :]


def parse_props(data: bytes) -> dict[str, bytes]:
    found = {}
    while data:
        n = data[0]
        name, data = data[1 : 1 + n].decode(), data[1 + n :]
        (size,) = struct.unpack(">I", data[:4])
        assert len(data) >= 4 + size, "property value runs past the command"
        found[name], data = data[4 : 4 + size], data[4 + size :]
    return found


@dataclass
class Wire:
    """One end of a connection."""

    sock: socket.socket
    version: tuple[int, int] = (3, 1)
    peer_greeting: bytes = b""
    peer_props: dict[str, bytes] = field(default_factory=dict)
    peer_type: int | None = None  # ZMTP 2.0: the byte
    peer_identity: bytes = b""

    def __post_init__(self) -> None:
        self.sock.settimeout(TIMEOUT)
        if self.sock.family != socket.AF_UNIX:
            # Otherwise the second of two pieces waits 40 ms for the acknowledgement of the first.
            with contextlib.suppress(OSError):  # it may have been reset
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    # ---- bytes ----

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read(self, n: int) -> bytes:
        """Exactly n bytes."""
        got = b""
        while len(got) < n:
            piece = self.sock.recv(n - len(got))
            assert piece, f"connection closed after {len(got)} of {n} bytes: {got!r}"
            got += piece
        return got

    def silent(self, seconds: float = 0.05) -> bool:
        """True when nothing comes for a moment, not even the end of the connection."""
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
            return False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(TIMEOUT)

    def wait_closed(self) -> bytes:
        """Waits until the other side closes; what it had still sent."""
        rest = b""
        try:
            while piece := self.sock.recv(65536):
                rest += piece
        except ConnectionError:
            pass
        except TimeoutError:
            raise AssertionError(f"connection not closed within {TIMEOUT} s") from None
        return rest

    # ---- frames ----

    def read_frame(self) -> tuple[int, bytes]:
        """(flags without LONG, body) in the framing of the connection's version."""
        if self.version < (2, 0):
            size = self.read(1)[0]
            if size == 255:
                (size,) = struct.unpack(">Q", self.read(8))
            assert size >= 1, "a 1.0 frame counts its flags byte"
            flags = self.read(1)[0]
            return flags, self.read(size - 1)
        flags = self.read(1)[0]
        if flags & LONG:
            (size,) = struct.unpack(">Q", self.read(8))
        else:
            size = self.read(1)[0]
        return flags & ~LONG, self.read(size)

    def read_message(self) -> list[bytes]:
        """A whole message; PINGs and other commands are an error here."""
        parts = []
        while True:
            flags, body = self.read_frame()
            assert not flags & COMMAND, f"a command instead of a message: {body!r}"
            parts.append(body)
            if not flags & MORE:
                return parts

    def read_command(self) -> tuple[bytes, bytes]:
        """(name, data)"""
        flags, body = self.read_frame()
        assert flags == COMMAND, f"flags {flags:#x} instead of a command: {body!r}"
        return split_command(body)

    def send_message(self, *parts: bytes) -> None:
        encode = frame_v1 if self.version < (2, 0) else frame
        last = len(parts) - 1
        self.send(b"".join(encode(p, MORE if i < last else 0) for i, p in enumerate(parts)))

    # ---- handshakes ----

    def greet(self) -> None:
        """Exchanges the 64 bytes of ZMTP 3."""
        self.send(greeting(self.version[1]))
        self.peer_greeting = self.read(64)

    def handshake(self, socket_type: str, identity: bytes | None = None, **props: bytes) -> "Wire":
        if self.version >= (3, 0):
            self.greet()
            self.send(ready(socket_type, identity, **props))
            name, data = self.read_command()
            assert name == b"READY", f"{name!r} instead of READY"
            self.peer_props = parse_props(data)
            self.peer_identity = self.peer_props.get("Identity", b"")
        elif self.version >= (2, 0):
            self.send(signature(len(identity or b"")) + bytes([1, TYPE_IDS[socket_type]]))
            self.send(frame(identity or b""))
            self.peer_greeting = self.read(12)
            self.peer_type = self.peer_greeting[11]
            _, self.peer_identity = self.read_frame()
        else:
            self.send(frame_v1(identity or b""))
            # What came before the answer to a 1.0 peer is to it the head of a long frame.
            head = self.read(10)
            assert head[0] == 0xFF and head[9] & 1, head
            (size,) = struct.unpack(">Q", head[1:9])
            self.peer_greeting = head
            self.peer_identity = self.read(size - 1)
        return self


def connect(address: str, version: tuple[int, int] = (3, 1)) -> Wire:
    """Connects to tcp://host:port or ipc://path."""
    scheme, rest = address.split("://", 1)
    if scheme == "ipc":
        sock = socket.socket(socket.AF_UNIX)
        # With a timeout it would not wait for room in a full backlog but fail.
        sock.connect("\0" + rest[1:] if rest.startswith("@") else rest)
        return Wire(sock, version)
    host, port = rest.rsplit(":", 1)
    return Wire(socket.create_connection((host.strip("[]"), int(port)), TIMEOUT), version)


class Listener:
    """Waits on 127.0.0.1 for the engine to connect."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.settimeout(TIMEOUT)
        self.address = f"tcp://127.0.0.1:{self.sock.getsockname()[1]}"

    def accept(self, version: tuple[int, int] = (3, 1)) -> Wire:
        return Wire(self.sock.accept()[0], version)

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
