# SPDX-License-Identifier: MIT
"""What a libzmq with drafts says on the wire: the engine in the place of either side says the same.

drafts.json was recorded by record_drafts.py; no such libzmq is needed here.
"""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import wire
from helpers import last_endpoint, wait_readable
from target import fastmq_only, zmq

pytestmark = fastmq_only("is what was recorded")

RECORD = json.loads(Path(__file__).with_name("drafts.json").read_text(encoding="utf-8"))
BODIES = [body.encode() for body in RECORD["bodies"]]
SCENES = [
    pytest.param(scene, id="-".join([scene["connecting"], scene["binding"], *scene["options"]]))
    for scene in RECORD["scenes"]
]


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """(flags without LONG, body) of what follows a greeting."""
    found = []
    while data:
        flags, size, at = data[0], data[1], 2
        if flags & wire.LONG:
            (size,) = struct.unpack(">Q", data[1:9])
            at = 9
        found.append((flags & ~wire.LONG, data[at : at + size]))
        data = data[at + size :]
    return found


def spoken(data: bytes) -> tuple[bytes, dict[str, bytes], list[tuple[int, bytes]]]:
    """Of all that one side has said: its greeting without padding, the properties of its READY, and
    the frames behind that."""
    (flags, body), *rest = frames(data[64:])
    name, properties = wire.split_command(body)
    assert (flags, name) == (wire.COMMAND, b"READY")
    # The padding of the signature is free, and libzmq has a length there.
    return data[:1] + data[9:64], wire.parse_props(properties), rest


@pytest.mark.parametrize("side", ["connecting", "binding"])
@pytest.mark.parametrize("scene", SCENES)
def test_the_engine_says_what_libzmq_said(make: Any, scene: dict[str, Any], side: str) -> None:
    """The engine plays one side; the other says what it said then."""
    kind = scene[side]
    sock = make(getattr(zmq, kind))
    number = None
    for name, value in scene["options"].items():
        sock.setsockopt(getattr(zmq, name), value.encode())
    other = "binding" if side == "connecting" else "connecting"
    theirs = bytes.fromhex(scene["said"][other])
    wanted = spoken(bytes.fromhex(scene["said"][side]))
    if side == "binding":
        sock.bind("tcp://127.0.0.1:*")
        peer = wire.connect(last_endpoint(sock))
    else:
        with wire.Listener() as listener:
            if kind == "PEER":
                number = sock.connect_peer(listener.address)
            else:
                sock.connect(listener.address)
            peer = listener.accept()
    with peer:
        # Not behind one another: each waits for what the other says, as then.
        peer.send(theirs[:64])
        greeting = peer.read(64)
        ready = peer.read_frame()
        (flags, body), *traffic = frames(theirs[64:])
        peer.send(wire.frame(body, flags))
        heard: list[tuple[int, bytes]] = []
        sent = wanted[2]
        greets = len(scene["options"])
        heard += [peer.read_frame() for _ in range(greets)]
        for flags, body in traffic[:greets]:
            peer.send(wire.frame(body, flags))
            wait_readable(sock, "its greeting")
            assert sock.recv() == body
        for body in BODIES:
            frame = zmq.Frame(body)
            if side == "binding" or kind in ("SERVER", "GATHER"):
                peer.send(wire.frame(body))
                wait_readable(sock, "a message")
                frame = sock.recv(copy=False)
                assert frame.bytes == body
                if len(sent) > greets:
                    sock.send(frame)
                    heard.append(peer.read_frame())
            else:
                sock.send(frame, routing_id=number)
                heard.append(peer.read_frame())
                if len(traffic) > greets:
                    peer.send(wire.frame(body))
                    wait_readable(sock, "a message")
                    assert sock.recv() == body
        ours = greeting + wire.frame(ready[1], ready[0])
        assert (*spoken(ours)[:2], heard) == wanted
        assert peer.silent()


def test_the_record_has_every_type_of_single_parts_that_speaks_alone() -> None:
    types = {scene[side] for scene in RECORD["scenes"] for side in ("connecting", "binding")}
    assert types == {"CLIENT", "SERVER", "SCATTER", "GATHER", "CHANNEL", "PEER"}
    assert all(len(scene["said"]["binding"]) > 128 for scene in RECORD["scenes"])
