# SPDX-License-Identifier: MIT
"""RADIO, DISH and DGRAM against pyomq and against a libzmq built with drafts, over connections and
over udp. Where they come from: test_interop_drafts.py."""

import socket as pysocket
from typing import Any

import pytest
from helpers import Endpoint, eventually, nothing_arrives, recv_multipart, wait_readable
from target import zmq
from test_interop_drafts import other, process  # noqa: F401

endpoints = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)
GROUP = "g" * 255


def udp_port() -> int:
    with pysocket.socket(pysocket.AF_INET, pysocket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def take(dish: Any) -> tuple[str, bytes]:
    wait_readable(dish, "a message of the other implementation")
    frame = dish.recv(zmq.DONTWAIT, copy=False)
    return frame.group, frame.bytes


def hears_theirs(radio: Any, dish: Any) -> None:
    """Waits until what the RADIO of the others sends to "sync" arrives at our DISH."""
    dish.join("sync")

    def probe() -> bool:
        radio.send(b"?", "sync")
        return bool(dish.poll(20))

    eventually("the group at their RADIO", probe)
    dish.leave(b"sync")
    while dish.poll(50):
        dish.recv()


def hears_ours(radio: Any, dish: Any) -> None:
    dish.ask("join", group="sync")

    def probe() -> bool:
        radio.send(b"?", group="sync")
        return bool(dish.ask("poll", timeout=20))

    eventually("the group at our RADIO", probe)
    dish.ask("leave", group="sync")
    while dish.ask("poll", timeout=50):
        dish.recv()


@endpoints
@pytest.mark.parametrize("side", ["we-bind", "they-bind"])
def test_our_dish_hears_their_radio(make, other, endpoint: Endpoint, side):  # noqa: F811
    dish, radio = make(zmq.DISH), other("RADIO")
    dish.join("early")
    if side == "we-bind":
        radio.ask("connect", address=endpoint.bind(dish))
    else:
        endpoint.connect(dish, radio.ask("bind", address=endpoint.wildcard))
    dish.join("late")
    dish.join(GROUP)
    hears_theirs(radio, dish)
    for group in ("other", "early", "lat", "late", GROUP):
        radio.send(group.encode() * 2, group)
    assert take(dish) == ("early", b"earlyearly")
    assert take(dish) == ("late", b"latelate")
    assert take(dish) == (GROUP, GROUP.encode() * 2)
    dish.leave(b"early")
    hears_theirs(radio, dish)
    radio.send(b"1", "early")
    radio.send(bytes(100_000), "late")
    assert take(dish) == ("late", bytes(100_000))


@endpoints
@pytest.mark.parametrize("side", ["we-bind", "they-bind"])
def test_their_dish_hears_our_radio(make, other, endpoint: Endpoint, side):  # noqa: F811
    radio, dish = make(zmq.RADIO), other("DISH")
    dish.ask("join", group="early")
    if side == "we-bind":
        dish.ask("connect", address=endpoint.bind(radio))
    else:
        endpoint.connect(radio, dish.ask("bind", address=endpoint.wildcard))
    dish.ask("join", group="late")
    hears_ours(radio, dish)
    for group in ("other", "early", "lat", "late"):
        radio.send(group.encode() * 2, group=group)
    assert dish.recv() == (b"earlyearly", "early")
    assert dish.recv() == (b"latelate", "late")
    assert radio.wait_for_subscribers(0, "early") == 1
    dish.ask("leave", group="early")
    eventually("they left", lambda: radio.wait_for_subscribers(0, "early") == 0)
    radio.send(b"1", group="early")
    radio.send(bytes(100_000), group="late")
    assert dish.recv() == (bytes(100_000), "late")


@pytest.fixture
def by_udp(process):  # noqa: F811
    """Of those whose datagrams are libzmq's."""
    if "pyomq" in process.process.args:
        pytest.skip(
            "pyomq's datagrams begin with a byte that libzmq's have not, and it has no DGRAM"
        )


@pytest.mark.usefixtures("by_udp")
@pytest.mark.parametrize("size", [0, 1, 300, 8000])
def test_our_dish_hears_their_radio_over_udp(make, other, size):  # noqa: F811
    dish, radio = make(zmq.DISH), other("RADIO")
    dish.join("a")
    dish.join("sync")
    port = udp_port()
    dish.bind(f"udp://127.0.0.1:{port}")
    radio.ask("connect", address=f"udp://127.0.0.1:{port}")
    hears_theirs_by_datagram(radio, dish)
    radio.send(b"x", "b")
    radio.send(bytes(size), "a")
    assert take(dish) == ("a", bytes(size))
    assert nothing_arrives(dish)


def hears_theirs_by_datagram(radio, dish):
    def probe() -> bool:
        radio.send(b"?", "sync")
        return bool(dish.poll(20))

    eventually("a datagram of theirs", probe)
    while dish.poll(50):
        dish.recv()


@pytest.mark.usefixtures("by_udp")
@pytest.mark.parametrize("size", [0, 1, 300, 8000])
def test_their_dish_hears_our_radio_over_udp(make, other, size):  # noqa: F811
    radio, dish = make(zmq.RADIO), other("DISH")
    for group in ("a", "sync"):
        dish.ask("join", group=group)
    port = udp_port()
    dish.ask("bind", address=f"udp://127.0.0.1:{port}")
    radio.connect(f"udp://127.0.0.1:{port}")

    def probe() -> bool:
        radio.send(b"?", group="sync")
        return bool(dish.ask("poll", timeout=20))

    eventually("a datagram at their DISH", probe)
    while dish.ask("poll", timeout=50):
        dish.recv()
    radio.send(b"x", group="b")
    radio.send(bytes(size), group="a")
    assert dish.recv() == (bytes(size), "a")


@pytest.mark.usefixtures("by_udp")
def test_multicast_to_both_sorts_of_dish(make, other):  # noqa: F811
    """One RADIO here, a DISH of each; the port is shared."""
    ours, theirs, radio = make(zmq.DISH), other("DISH"), make(zmq.RADIO)
    address = f"udp://127.0.0.1;239.79.0.1:{udp_port()}"
    ours.join("a")
    theirs.ask("join", group="a")
    theirs.ask("bind", address=address)
    ours.bind(address)
    radio.connect(address)

    def probe() -> bool:
        radio.send(b"?", group="a")
        return bool(ours.poll(20)) and bool(theirs.ask("poll", timeout=20))

    eventually("a datagram at both", probe)


@pytest.mark.usefixtures("by_udp")
def test_dgram_to_dgram(make, other):  # noqa: F811
    ours, theirs = make(zmq.DGRAM), other("DGRAM")
    here, there = udp_port(), udp_port()
    ours.bind(f"udp://127.0.0.1:{here}")
    theirs.ask("bind", address=f"udp://127.0.0.1:{there}")

    def probe() -> bool:
        ours.send_multipart([b"127.0.0.1:%d" % there, b"ping"])
        return bool(theirs.ask("poll", timeout=20))

    eventually("a datagram of ours", probe)
    assert theirs.recv() == (b"ping", f"127.0.0.1:{here}\0")
    theirs.send(b"pong", f"127.0.0.1:{here}")
    # As it is received here, so it is there.
    assert recv_multipart(ours) == [b"127.0.0.1:%d\0" % there, b"pong"]
