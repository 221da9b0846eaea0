# SPDX-License-Identifier: MIT
"""RADIO and DISH over connections: groups, who is sent what, limits. Over udp: transports/."""

import threading

import pytest
import wire
from helpers import (
    eventually,
    last_endpoint,
    nothing_arrives,
    raises_errno,
    recv,
    wait_readable,
)
from target import IS_FASTMQ, fastmq_only, zmq

pytestmark = pytest.mark.skipif(not zmq.DRAFT_API, reason="the module has no draft types")


def take(dish):
    """The group and the body of the next message."""
    wait_readable(dish, "message of a group")
    frame = dish.recv(zmq.DONTWAIT, copy=False)
    return frame.group, frame.bytes


def joined(radio, dish, *groups):
    """Waits until everything that `dish` joined so far has reached `radio`."""
    for group in groups:
        dish.join(group)
    dish.join("sync")

    def probe():
        radio.send(b"?", group="sync")
        return dish.poll(5)

    eventually("groups at the radio", probe)
    dish.leave(b"sync")
    radio.send(b"", group="sync")
    while dish.poll(20):
        dish.recv()


@pytest.fixture(params=["radio binds", "dish binds"])
def station(request, make, endpoint):
    """A RADIO and a DISH that are connected, over every transport and both ways round."""
    radio, dish = make(zmq.RADIO), make(zmq.DISH)
    first, second = (radio, dish) if request.param == "radio binds" else (dish, radio)
    endpoint.connect(second, endpoint.bind(first))
    return radio, dish


def test_a_dish_hears_the_groups_it_joined_and_no_others(station):
    radio, dish = station
    joined(radio, dish, "weather", "news")
    for group in ("weather", "weathe", "weather2", "", "traffic", "news"):
        radio.send(group.encode() + b"!", group=group)
    assert [take(dish), take(dish)] == [("weather", b"weather!"), ("news", b"news!")]
    assert nothing_arrives(dish)


def test_a_group_that_was_left_is_heard_no_more(station):
    radio, dish = station
    joined(radio, dish, "a", "b")
    dish.leave(b"a")
    joined(radio, dish)
    radio.send(b"1", group="a")
    radio.send(b"2", group="b")
    assert take(dish) == ("b", b"2")
    dish.join("a")
    joined(radio, dish)
    radio.send(b"3", group="a")
    assert take(dish) == ("a", b"3")


@pytest.mark.parametrize("size", [0, 1, 24, 25, 255, 256, 70_000])
def test_bodies_of_any_size_come_whole(station, size):
    radio, dish = station
    joined(radio, dish, "x" * 255, "y")
    body = bytes(range(256)) * (size // 256 + 1)
    for group in ("x" * 255, "y"):
        radio.send(body[:size], group=group)
        assert take(dish) == (group, body[:size])


def test_joining_twice_and_leaving_unjoined_are_errors(make):
    dish = make(zmq.DISH)
    dish.join("a")
    with raises_errno(zmq.EINVAL):
        dish.join("a")
    with raises_errno(zmq.EINVAL):
        dish.leave(b"b")
    dish.leave(b"a")
    with raises_errno(zmq.EINVAL):
        dish.leave(b"a")
    dish.join("a")


def test_a_group_has_at_most_255_bytes(make):
    dish, radio = make(zmq.DISH), make(zmq.RADIO)
    dish.join("g" * 255)
    for group in ("g" * 256, "\u00e9" * 128):
        with raises_errno(zmq.EINVAL):
            dish.join(group)
    radio.send(b"x", group="g" * 255)
    if IS_FASTMQ:  # pyzmq cuts it
        with raises_errno(zmq.EINVAL):
            radio.send(b"x", group="g" * 256)


def test_each_has_one_direction(make):
    radio, dish = make(zmq.RADIO), make(zmq.DISH)
    for call in (radio.recv, lambda: radio.join("a"), lambda: dish.send(b"x")):
        with raises_errno(zmq.ENOTSUP):
            call()


def test_a_message_has_one_part(make):
    radio = make(zmq.RADIO)
    with raises_errno(zmq.EINVAL):
        radio.send(b"x", zmq.SNDMORE)
    with raises_errno(zmq.EINVAL):
        radio.send_multipart([b"x", b"y"])


def test_a_radio_without_peers_drops_and_never_waits(make):
    radio = make(zmq.RADIO, sndtimeo=0)
    for _ in range(10):
        radio.send(b"x", group="a")
    assert radio.poll(0, zmq.POLLOUT)


def test_a_frame_received_is_sent_on_in_its_group(make, name):
    first, relay_in, relay_out, last = (
        make(zmq.RADIO),
        make(zmq.DISH),
        make(zmq.RADIO),
        make(zmq.DISH),
    )
    one, two = f"inproc://{name()}", f"inproc://{name()}"
    first.bind(one)
    relay_in.connect(one)
    relay_out.bind(two)
    last.connect(two)
    joined(first, relay_in, "a")
    joined(relay_out, last, "a")
    first.send(b"through", group="a")
    wait_readable(relay_in, "message")
    relay_out.send(relay_in.recv(copy=False))
    assert take(last) == ("a", b"through")


def test_every_dish_of_a_group_hears_each_message_once(make, endpoint):
    radio = make(zmq.RADIO)
    address = endpoint.bind(radio)
    dishes = [make(zmq.DISH) for _ in range(4)]
    for n, dish in enumerate(dishes):
        endpoint.connect(dish, address)
        joined(radio, dish, "all", f"only {n}")
    radio.send(b"1", group="all")
    radio.send(b"2", group="only 2")
    radio.send(b"3", group="all")
    for n, dish in enumerate(dishes):
        heard = [take(dish) for _ in range(2 + (n == 2))]
        assert [body for _, body in heard] == ([b"1", b"2", b"3"] if n == 2 else [b"1", b"3"])
        assert nothing_arrives(dish)


@fastmq_only("has no such verb")
def test_a_radio_waits_for_the_dishes_of_a_group(make, endpoint):
    radio, dish = make(zmq.RADIO), make(zmq.DISH)
    address = endpoint.bind(radio)
    assert radio.wait_for_subscribers(0) == 0
    with pytest.raises(zmq.Again):
        radio.wait_for_subscribers(1, "a", timeout=10)
    endpoint.connect(dish, address)
    later = threading.Timer(0.02, dish.join, ["a"])
    later.start()
    assert radio.wait_for_subscribers(1, "a", timeout=8000) == 1
    later.join()
    assert radio.wait_for_subscribers(0, "ab") == 0
    assert radio.wait_for_subscribers(0) == 1
    assert radio.peers()[0].subscriptions == 1
    assert radio.stats().subscriptions == dish.stats().subscriptions == 1


@fastmq_only("has room again when half of its queue was read")
@pytest.mark.parametrize("copy", [True, False])
def test_a_full_dish_misses_messages_and_the_radio_goes_on(make, name, copy):
    radio, dish = make(zmq.RADIO, sndhwm=5), make(zmq.DISH, rcvhwm=5)
    address = f"inproc://{name()}"
    radio.bind(address)
    dish.connect(address)
    joined(radio, dish, "a")
    for n in range(30):
        radio.send(b"%d" % n, group="a", copy=copy)
    assert [take(dish)[1] for _ in range(10)] == [b"%d" % n for n in range(10)]
    assert nothing_arrives(dish)
    assert radio.stats().dropped == 20
    radio.send(b"again", group="a")
    assert take(dish) == ("a", b"again")


@fastmq_only("counts otherwise")
def test_nodrop_makes_a_radio_wait_for_a_full_dish(make, name):
    radio, dish = make(zmq.RADIO, sndhwm=3, xpub_nodrop=1), make(zmq.DISH, rcvhwm=3)
    address = f"inproc://{name()}"
    radio.bind(address)
    dish.connect(address)
    joined(radio, dish, "a")
    for n in range(6):
        radio.send(b"%d" % n, zmq.DONTWAIT, group="a")
    with pytest.raises(zmq.Again):
        radio.send(b"6", zmq.DONTWAIT, group="a")
    radio.send(b"elsewhere", zmq.DONTWAIT, group="b")
    sender = threading.Thread(target=radio.send, args=(b"6",), kwargs={"group": "a"})
    sender.start()
    assert [take(dish)[1] for _ in range(7)] == [b"%d" % n for n in range(7)]
    sender.join()
    assert radio.stats().dropped == 0


def test_groups_are_told_again_after_a_reconnection(make):
    dish, radio = make(zmq.DISH, reconnect_ivl=1), make(zmq.RADIO)
    radio.bind("tcp://127.0.0.1:*")
    address = last_endpoint(radio)
    dish.connect(address)
    joined(radio, dish, "a", "b")
    dish.leave(b"b")
    radio.close()
    again = make(zmq.RADIO)
    eventually("the address is free", lambda: bound(again, address))
    joined(again, dish)
    again.send(b"1", group="b")
    again.send(b"2", group="a")
    assert take(dish) == ("a", b"2")


def bound(sock, address):
    try:
        sock.bind(address)
    except zmq.ZMQError:
        return False
    return True


# ---- on the wire ----


def test_a_dish_joins_and_leaves_by_commands(make):
    with wire.Listener() as listener:
        dish = make(zmq.DISH)
        dish.join("early")
        dish.connect(listener.address)
        with listener.accept() as peer:
            peer.handshake("RADIO")
            assert peer.read_command() == (b"JOIN", b"early")
            dish.join("g" * 255)
            assert peer.read_command() == (b"JOIN", b"g" * 255)
            dish.leave(b"early")
            assert peer.read_command() == (b"LEAVE", b"early")
            for parts in ([b"early", b"0"], [b"", b"1"], [b"g" * 255, b"2"]):
                peer.send_message(*parts)
            assert take(dish) == ("g" * 255, b"2")
            dish.join("")
            assert peer.read_command() == (b"JOIN", b"")
            peer.send_message(b"", b"3")
            assert take(dish) == ("", b"3")


@fastmq_only("ends the connection")
def test_a_group_that_cannot_be_is_a_counted_drop(make):
    with wire.Listener() as listener:
        dish = make(zmq.DISH)
        dish.join("a")
        dish.connect(listener.address)
        with listener.accept() as peer:
            peer.handshake("RADIO")
            for parts in ([b"g" * 256, b"1"], [b"a"], [b"a", b"b", b"c"], [b"a", b"2"]):
                peer.send_message(*parts)
            assert take(dish) == ("a", b"2")
    assert dish.stats().dropped == 3


def test_a_radio_sends_a_group_and_a_body(make):
    radio = make(zmq.RADIO)
    radio.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(radio)) as peer:
        peer.handshake("DISH")
        peer.send(wire.command(b"JOIN", b"a"))
        eventually("the group at the radio", lambda: sent(radio, b"body", "a", peer))
        peer.send(wire.command(b"LEAVE", b"a"))


def sent(radio, body, group, peer):
    radio.send(body, group=group)
    if peer.silent():
        return False
    assert peer.read_message() == [group.encode(), body]
    return True


@fastmq_only("has no such limits")
@pytest.mark.parametrize("name", [b"JOIN", b"LEAVE"])
def test_groups_that_cannot_be_are_ignored(make, name):
    radio = make(zmq.RADIO)
    radio.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(radio)) as peer:
        peer.handshake("DISH")
        peer.send(wire.command(name, b"g" * 256))
        peer.send(wire.command(name, b"never joined" * 5000))
        peer.send(wire.command(b"JOIN", b"a"))
        peer.send(wire.command(b"JOIN", b"a"))
        assert radio.wait_for_subscribers(1, "a", timeout=8000) == 1
        assert radio.stats().subscriptions == 1


@fastmq_only("has no such limit")
def test_a_peer_that_joins_too_many_groups_is_cut_off(make, watch):
    radio = make(zmq.RADIO, max_subscriptions=3)
    events = watch(radio)
    radio.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(radio)) as peer:
        peer.handshake("DISH")
        for n in range(4):
            peer.send(wire.command(b"JOIN", b"%d" % n))
        events.wait(zmq.EVENT_PROTOCOL_VIOLATION)
    eventually("the groups are gone", lambda: radio.stats().subscriptions == 0)


def test_what_a_dish_sends_to_a_radio_is_dropped(make):
    radio = make(zmq.RADIO)
    radio.bind("tcp://127.0.0.1:*")
    with wire.connect(last_endpoint(radio)) as peer:
        peer.handshake("DISH")
        for parts in ([b"\x01a"], [b"a", b"b"], [b"\x01a", b"", b"x" * 1000]):
            peer.send_message(*parts)
        peer.send(wire.command(b"JOIN", b"b"))
        eventually("the group at the radio", lambda: sent(radio, b"body", "b", peer))
    if IS_FASTMQ:
        assert radio.stats().dropped == 3


@fastmq_only("reports no such event here")
def test_a_type_that_is_no_peer_is_refused(make, watch):
    radio = make(zmq.RADIO)
    events = watch(radio)
    radio.bind("tcp://127.0.0.1:*")
    sub = make(zmq.SUB)
    sub.connect(last_endpoint(radio))
    events.wait(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)


def test_recv_multipart_gives_the_body_alone(station):
    radio, dish = station
    joined(radio, dish, "a")
    radio.send(b"body", group="a")
    wait_readable(dish, "message")
    assert dish.recv_multipart() == [b"body"]
    radio.send(b"next", group="a")
    assert recv(dish) == b"next"
