# SPDX-License-Identifier: MIT
"""What the RADIO, DISH and DGRAM of a libzmq with drafts say: the engine says the same.

groups.json was recorded by record_groups.py; no such libzmq is needed here.
"""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import wire
from helpers import WAIT_MS, eventually, last_endpoint, recv_multipart, wait_readable
from target import fastmq_only, zmq
from test_wire_drafts import frames, spoken

pytestmark = fastmq_only("is what was recorded")

RECORD = json.loads(Path(__file__).with_name("groups.json").read_text(encoding="utf-8"))
GROUPS = RECORD["groups"]
MESSAGES = [(group, body.encode()) for group, body in RECORD["messages"]]
HEARD = [(group, body) for group, body in MESSAGES if group in GROUPS]
scenes = pytest.mark.parametrize(
    "scene", RECORD["tcp"], ids=[s["connecting"] + "-" + s["binding"] for s in RECORD["tcp"]]
)


def said_by(scene: dict[str, Any], kind: str) -> bytes:
    side = "connecting" if scene["connecting"] == kind else "binding"
    return bytes.fromhex(scene["said"][side])


def meet(sock: Any, binds: bool) -> wire.Wire:
    if binds:
        sock.bind("tcp://127.0.0.1:*")
        return wire.connect(last_endpoint(sock))
    with wire.Listener() as listener:
        sock.connect(listener.address)
        return listener.accept()


def shake(peer: wire.Wire, theirs: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Plays the handshake of the recorded side; the greeting and the properties of the other."""
    peer.send(theirs[:64])
    greeting = peer.read(64)
    flags, body = peer.read_frame()
    ready, *_ = frames(theirs[64:])
    peer.send(wire.frame(ready[1], ready[0]))
    assert flags == wire.COMMAND
    return greeting[:1] + greeting[9:], wire.parse_props(wire.split_command(body)[1])


@scenes
def test_a_dish_says_what_libzmq_s_said(make: Any, scene: dict[str, Any]) -> None:
    dish = make(zmq.DISH)
    for group in GROUPS:
        dish.join(group)
    greeting, properties, wanted = spoken(said_by(scene, "DISH"))
    radio = said_by(scene, "RADIO")
    with meet(dish, scene["binding"] == "DISH") as peer:
        assert shake(peer, radio) == (greeting, properties)
        joins = [peer.read_frame() for _ in GROUPS]
        assert sorted(joins) == sorted(wanted[: len(GROUPS)])
        for flags, body in spoken(radio)[2]:
            peer.send(wire.frame(body, flags))
        for group, body in HEARD:
            wait_readable(dish, "message of the RADIO")
            frame = dish.recv(copy=False)
            assert (frame.group, frame.bytes) == (group, body)
        dish.leave(GROUPS[0])
        assert [peer.read_frame()] == wanted[len(GROUPS) :]


@scenes
def test_a_radio_says_what_libzmq_s_said(make: Any, scene: dict[str, Any]) -> None:
    radio = make(zmq.RADIO)
    greeting, properties, wanted = spoken(said_by(scene, "RADIO"))
    dish = said_by(scene, "DISH")
    *joins, leave = spoken(dish)[2]
    with meet(radio, scene["binding"] == "RADIO") as peer:
        assert shake(peer, dish) == (greeting, properties)
        for flags, body in joins:
            peer.send(wire.frame(body, flags))
        for group in GROUPS:
            assert radio.wait_for_subscribers(1, group, timeout=WAIT_MS) == 1
        for group, body in MESSAGES:
            radio.send(body, group=group)
        assert [peer.read_frame() for _ in wanted] == wanted
        peer.send(wire.frame(leave[1], leave[0]))
        eventually("it left", lambda: radio.wait_for_subscribers(0, GROUPS[0]) == 0)


@pytest.fixture
def plain() -> Any:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(WAIT_MS / 1000)
        yield s


def test_a_radio_sends_the_datagrams_that_libzmq_s_sent(make: Any, plain: Any) -> None:
    radio = make(zmq.RADIO)
    radio.connect("udp://{}:{}".format(*plain.getsockname()))
    for (group, body), datagram in zip(MESSAGES, RECORD["udp"]["radio"], strict=True):
        radio.send(body, group=group)
        assert plain.recv(1000).hex() == datagram


def test_a_dish_hears_the_datagrams_that_libzmq_s_radio_sent(make: Any, plain: Any) -> None:
    dish = make(zmq.DISH)
    for group in GROUPS:
        dish.join(group)
    dish.bind("udp://127.0.0.1:*")
    port = int(last_endpoint(dish).rpartition(":")[2])
    for datagram in RECORD["udp"]["radio"]:
        plain.sendto(bytes.fromhex(datagram), ("127.0.0.1", port))
    for group, body in HEARD:
        wait_readable(dish, "datagram")
        frame = dish.recv(copy=False)
        assert (frame.group, frame.bytes) == (group, body)
    assert dish.stats().dropped == 0


def test_a_dgram_sends_and_hears_what_libzmq_s_did(make: Any, plain: Any) -> None:
    ping, pong, behind = map(bytes.fromhex, RECORD["udp"]["dgram"])
    dgram = make(zmq.DGRAM)
    dgram.bind("udp://127.0.0.1:*")
    address = "{}:{}".format(*plain.getsockname()).encode()
    dgram.send_multipart([address, b"ping"])
    body, where = plain.recvfrom(1000)
    assert body == ping
    plain.sendto(b"pong", where)
    assert recv_multipart(dgram) == [address + behind, pong]
