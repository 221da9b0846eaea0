# SPDX-License-Identifier: MIT
import warnings

import pytest
from helpers import (
    bind_when_free,
    drain,
    eventually,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
)
from target import fastmq_only, zmq

PAIRS = [
    ("PAIR", "PAIR"),
    ("PUSH", "PULL"),
    ("PULL", "PUSH"),
    ("DEALER", "DEALER"),
    ("DEALER", "ROUTER"),
    ("REQ", "REP"),
    ("REP", "REQ"),
    ("XPUB", "XSUB"),
    ("XSUB", "XPUB"),
    ("SUB", "PUB"),
    ("PUB", "SUB"),
]


def exchange(a, b):
    """One message from whichever side can begin."""
    kinds = {a.type: a, b.type: b}
    if zmq.REQ in kinds:
        sender, receiver = kinds[zmq.REQ], kinds[zmq.REP]
    elif zmq.PUSH in kinds:
        sender, receiver = kinds[zmq.PUSH], kinds[zmq.PULL]
    elif zmq.XSUB in kinds:
        sender, receiver = kinds[zmq.XSUB], kinds[zmq.XPUB]
    elif zmq.SUB in kinds:
        sub, pub = kinds[zmq.SUB], kinds[zmq.PUB]

        def came():
            pub.send(b"x")
            return sub.poll(5)

        eventually("the subscription counts", came)
        assert recv(sub) == b"x"
        return
    elif zmq.ROUTER in kinds:
        sender, receiver = kinds[zmq.DEALER], kinds[zmq.ROUTER]
    else:
        sender, receiver = a, b
    sender.send(b"x")
    assert recv_multipart(receiver)[-1] == b"x"


@pytest.mark.parametrize("first,second", PAIRS)
@pytest.mark.parametrize("early", [False, True], ids=["bind-first", "connect-first"])
def test_either_side_may_come_first(make, name, first, second, early):
    a, b = make(getattr(zmq, first)), make(getattr(zmq, second))
    for s in (a, b):
        if s.type == zmq.SUB:
            s.setsockopt(zmq.SUBSCRIBE, b"")
    address = name()
    if early:
        b.connect(address)
        a.bind(address)
    else:
        a.bind(address)
        b.connect(address)
    exchange(a, b)


def test_messages_sent_before_the_bind_arrive(make, name):
    address = name()
    pushes = [make(zmq.PUSH) for _ in range(3)]
    for i, push in enumerate(pushes):
        push.connect(address)
        push.send_multipart([b"%d" % i, b"early"])
    pull = make(zmq.PULL)
    pull.bind(address)
    assert {recv_multipart(pull)[0] for _ in pushes} == {b"0", b"1", b"2"}


def test_a_connector_that_closed_before_the_bind_leaves_what_it_sent(make, name):
    address = name()
    push = make(zmq.PUSH, linger=-1)
    push.connect(address)
    push.send(b"legacy")
    push.close()
    pull = make(zmq.PULL)
    pull.bind(address)
    assert recv(pull) == b"legacy"


def test_names_belong_to_their_context(make, name):
    address = name()
    mine = make(zmq.PULL)
    mine.bind(address)
    with zmq.Context() as other, other.socket(zmq.PULL) as same_name:
        same_name.bind(address)
        push = make(zmq.PUSH)
        push.connect(address)
        push.send(b"x")
        assert recv(mine) == b"x"
        assert same_name.poll(0) == 0


def test_a_name_is_free_again_after_close(make, name):
    for _ in range(3):
        address = name()
        a = make(zmq.PULL)
        a.bind(address)
        with raises_errno(zmq.EADDRINUSE):
            make(zmq.PULL).bind(address)
        a.close()
        b = make(zmq.PULL)
        bind_when_free(b, address)
        b.close()


def test_long_and_odd_names(make):
    for text in ("x" * 256, "with space", "ünïcode", "a/b/c:d", "#1"):
        pull, push = make(zmq.PULL), make(zmq.PUSH)
        pull.bind(f"inproc://{text}")
        push.connect(f"inproc://{text}")
        push.send(b"x")
        assert recv(pull) == b"x"


def test_identities_are_exchanged(make, name):
    address = name()
    router, dealer = make(zmq.ROUTER, routing_id=b"R"), make(zmq.DEALER, routing_id=b"D")
    router.bind(address)
    dealer.connect(address)
    dealer.send(b"x")
    assert recv_multipart(router) == [b"D", b"x"]


def test_connecting_twice_makes_two_connections_for_types_that_allow_it(make, name):
    address = name()
    pull, push = make(zmq.PULL, rcvhwm=1), make(zmq.PUSH, sndhwm=1)
    pull.bind(address)
    push.connect(address)
    push.connect(address)
    for _ in range(4):
        push.send(b"x", zmq.DONTWAIT)
    with pytest.raises(zmq.Again):
        push.send(b"x", zmq.DONTWAIT)


def test_closing_one_side_lets_the_other_go_on(make, name):
    address = name()
    pull, a, b = make(zmq.PULL), make(zmq.PUSH), make(zmq.PUSH)
    pull.bind(address)
    a.connect(address)
    b.connect(address)
    a.send(b"a")
    a.close()
    b.send(b"b")
    assert {recv(pull), recv(pull)} == {b"a", b"b"}
    b.send(b"still")
    assert recv(pull) == b"still"


def test_closing_the_bound_side_is_noticed(make, name):
    address = name()
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind(address)
    push.connect(address)
    push.send(b"x")
    assert recv(pull) == b"x"
    pull.close()
    eventually("nobody to send to", lambda: push.poll(0, zmq.POLLOUT) == 0)


@fastmq_only("copies")
def test_bytes_arrive_as_the_same_object(make, name):
    address = name()
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind(address)
    push.connect(address)
    for size in (100, 5000, 1 << 20):
        data = bytes(size)
        push.send(data)
        assert recv(pull) is not None
        push.send(data)
        assert pull.recv() is data


# Pairings that other transports refuse: what connects, what is bound, and which way messages pass.
MISMATCHED = {
    ("PAIR", "PULL"): ["there"],
    ("PAIR", "DEALER"): ["there", "back"],
    ("PUSH", "DEALER"): ["there"],
    ("DEALER", "PULL"): ["there"],
    ("PULL", "PUB"): [],
    ("PUSH", "PUSH"): [],
    ("SUB", "PUSH"): ["back"],
}


@pytest.fixture
def join(make, name):
    def new(connecting, bound, first):
        there, here = make(getattr(zmq, connecting)), make(getattr(zmq, bound))
        if there.type == zmq.SUB:
            there.setsockopt(zmq.SUBSCRIBE, b"")
        address = name()
        steps = [lambda: here.bind(address), lambda: there.connect(address)]
        return there, here, steps if first == "bind" else steps[::-1]

    return new


@pytest.mark.filterwarnings("ignore:a .* socket is connected to")
@pytest.mark.parametrize("first", ["bind", "connect"])
@pytest.mark.parametrize("pair", MISMATCHED, ids=" to ".join)
def test_types_that_tcp_keeps_apart_exchange_what_they_can(join, pair, first):
    there, here, steps = join(*pair, first)
    for step in steps:
        step()
    for way, sender, receiver in (("there", there, here), ("back", here, there)):
        if way in MISMATCHED[pair]:
            sender.send(b"x")
            assert recv(receiver) == b"x"


@pytest.mark.filterwarnings("ignore:a .* socket is connected to")
def test_a_subscription_is_a_message_to_who_publishes_nothing(join):
    sub, dealer, steps = join("SUB", "DEALER", "bind")
    for step in steps:
        step()
    assert recv(dealer) == b""
    sub.setsockopt(zmq.SUBSCRIBE, b"topic")
    assert recv(dealer) == b"topic"


@fastmq_only("tells nothing")
@pytest.mark.parametrize("first", ["bind", "connect"])
def test_such_a_pairing_is_told_on_both_sides_and_warned_of_once(join, watch, first):
    pair, pull, steps = join("PAIR", "PULL", first)
    events = [watch(pair), watch(pull)]
    steps[0]()
    with pytest.warns(RuntimeWarning) as caught:
        steps[1]()
    assert len(caught) == 1
    assert "a PAIR socket is connected to the PULL socket bound at inproc://" in str(
        caught[0].message
    )
    assert caught[0].filename == __file__
    for seen in events:
        event, value, endpoint = seen.next()
        assert event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        assert value == zmq.PROTOCOL_ERROR_ZMTP_INVALID_METADATA
        assert endpoint == pull.last_endpoint.decode()
        assert seen.silent(zmq.EVENT_ALL)
    pair.send(b"x")
    assert recv(pull) == b"x"


def test_types_that_belong_together_are_not_warned_of(join, watch):
    push, pull, steps = join("PUSH", "PULL", "bind")
    events = watch(push)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in steps:
            step()
    push.send(b"x")
    assert recv(pull) == b"x"
    assert events.silent(zmq.EVENT_ALL)


@fastmq_only("aborts")
@pytest.mark.filterwarnings("ignore:a .* socket is connected to")
@pytest.mark.parametrize("other", ["REQ", "ROUTER", "STREAM"])
def test_a_stream_meets_what_libzmq_aborts_at(join, other):
    _, stream, steps = join(other, "STREAM", "bind")
    for step in steps:
        step()
    assert nothing_arrives(stream)


def test_a_context_without_io_threads_carries_inproc(name):
    ctx = zmq.Context(io_threads=0)
    with ctx.socket(zmq.PULL) as pull, ctx.socket(zmq.PUSH) as push:
        address = name()
        pull.bind(address)
        push.connect(address)
        push.send(b"x")
        assert recv(pull) == b"x"
    ctx.term()


def test_ping_pong_over_inproc_between_threads(make, name):
    import threading

    address = name()
    a, b = make(zmq.PAIR), make(zmq.PAIR)
    a.bind(address)
    b.connect(address)

    def echo():
        for _ in range(2000):
            b.send(b.recv())

    t = threading.Thread(target=echo)
    t.start()
    for i in range(2000):
        a.send(b"%d" % i)
        assert a.recv() == b"%d" % i
    t.join()
    assert nothing_arrives(a)


def test_many_connections_that_come_and_go(make, name):
    address = name()
    pull = make(zmq.PULL)
    pull.bind(address)
    for i in range(100):
        push = make(zmq.PUSH, linger=-1)
        push.connect(address)
        push.send(b"%d" % i)
        push.close()
    assert sorted(int(m) for m in drain(pull)) == list(range(100))


def test_who_conflates_gets_the_newest_though_an_older_one_was_taken_over(make, name):
    """The I/O thread takes over what comes while nobody receives."""
    pull, push = make(zmq.PULL, conflate=1), make(zmq.PUSH)
    where = name()
    pull.bind(where)
    push.connect(where)
    for n in range(20):
        push.send(b"old %d" % n)
        assert pull.poll(1000)  # it is taken over
        push.send(b"new %d" % n)
        assert recv(pull) == b"new %d" % n
        assert not pull.poll(0)
