# SPDX-License-Identifier: MIT
"""What pyzmq has not: batches, iteration, times per call."""

import threading

import pytest
from helpers import WAIT_MS, drain, eventually, raises_errno, recv, recv_multipart
from target import fastmq_only, zmq

pytestmark = fastmq_only("has none of this")


def test_send_many_sends_all_and_counts(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    assert push.send_many([b"%d" % i for i in range(500)]) == 500
    assert [recv(pull) for _ in range(500)] == [b"%d" % i for i in range(500)]


def test_send_many_takes_any_iterable(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    assert push.send_many(b"%d" % i for i in range(10)) == 10
    assert push.send_many((bytearray(b"a"), memoryview(b"b"), zmq.Frame(b"c"))) == 3
    assert push.send_many([]) == 0
    assert [recv(pull) for _ in range(13)][10:] == [b"a", b"b", b"c"]


def test_send_many_takes_multipart_messages(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    assert push.send_many([[b"a", b"b"], (b"c", b""), b"d"]) == 3
    assert [recv_multipart(pull) for _ in range(3)] == [[b"a", b"b"], [b"c", b""], [b"d"]]


def test_send_many_that_is_stopped_tells_how_far_it_came(make, name):
    push, pull = make(zmq.PUSH, sndhwm=3), make(zmq.PULL, rcvhwm=4)
    address = name()
    pull.bind(address)
    push.connect(address)
    with pytest.raises(zmq.BatchError) as info:
        push.send_many([b"%d" % i for i in range(20)], zmq.DONTWAIT)
    assert info.value.sent == 7
    assert info.value.errno == zmq.EAGAIN
    assert isinstance(info.value, zmq.ZMQError)
    assert drain(pull) == [b"%d" % i for i in range(7)]


def test_send_many_leaves_the_rest_of_the_iterator_untouched(make, name):
    push, pull = make(zmq.PUSH, sndhwm=2), make(zmq.PULL, rcvhwm=2)
    address = name()
    pull.bind(address)
    push.connect(address)
    items = [b"%d" % i for i in range(50)]
    with pytest.raises(zmq.BatchError) as info:
        push.send_many(items, timeout=5)
    sent = info.value.sent
    assert sent == 4
    got = drain(pull)
    while sent < len(items):
        try:
            sent += push.send_many(items[sent:], zmq.DONTWAIT)
        except zmq.BatchError as e:
            sent += e.sent
        got += drain(pull)
    assert got == items


def test_send_many_that_cannot_send_anything_says_again(make):
    push = make(zmq.PUSH)
    with pytest.raises(zmq.Again):
        push.send_many([b"x"], zmq.DONTWAIT)
    with pytest.raises(zmq.Again):
        push.send_many([b"x"], timeout=5)


def test_a_bad_item_stops_send_many_where_it_stands(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    with pytest.raises((TypeError, zmq.BatchError)):
        push.send_many([b"1", b"2", "text", b"4"])
    push.send(b"end")
    got = [recv(pull)]
    while got[-1] != b"end":
        got.append(recv(pull))
    assert got[:-1] == [b"1", b"2"][: len(got) - 1]
    assert b"4" not in got


def test_an_exception_of_the_iterator_comes_through(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)

    class Broken(Exception):
        pass

    def items():
        yield b"1"
        raise Broken

    with pytest.raises((Broken, zmq.BatchError)):
        push.send_many(items())
    push.send(b"end")
    got = [recv(pull)]
    while got[-1] != b"end":
        got.append(recv(pull))
    assert got in ([b"1", b"end"], [b"end"])


@pytest.mark.parametrize("wrong", [5, None])
def test_send_many_wants_an_iterable(make, wrong):
    with pytest.raises(TypeError):
        make(zmq.PUSH).send_many(wrong)


def test_send_many_to_a_slow_receiver_waits(pair_of):
    pull, push = pair_of(
        zmq.PULL, zmq.PUSH, {"rcvhwm": 10, "rcvbuf": 4096}, {"sndhwm": 10, "sndbuf": 4096}
    )
    total = 3000
    t = threading.Thread(target=lambda: push.send_many(b"%d" % i for i in range(total)))
    t.start()
    assert [int(recv(pull)) for _ in range(total)] == list(range(total))
    t.join()


def test_recv_many_takes_what_is_there(make, name):
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    address = name()
    pull.bind(address)
    push.connect(address)
    for i in range(10):
        push.send(b"%d" % i)
    assert pull.recv_many(4) == [b"0", b"1", b"2", b"3"]
    assert pull.recv_many(max=100) == [b"%d" % i for i in range(4, 10)]


def test_recv_many_waits_only_for_the_first(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    push.send(b"only")
    assert pull.recv_many(1000, timeout=WAIT_MS) == [b"only"]


def test_recv_many_loses_nothing(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    total = 5000
    t = threading.Thread(target=lambda: push.send_many(b"%d" % i for i in range(total)))
    t.start()
    got = []
    while len(got) < total:
        batch = pull.recv_many(100, timeout=WAIT_MS)
        assert 0 < len(batch) <= 100
        got += batch
    t.join()
    assert [int(m) for m in got] == list(range(total))


def test_recv_many_says_again_in_time(make, endpoint):
    pull = make(zmq.PULL)
    endpoint.bind(pull)
    for timeout in (0, 5):
        with pytest.raises(zmq.Again):
            pull.recv_many(10, timeout=timeout)
    with pytest.raises((ValueError, zmq.ZMQError)):
        pull.recv_many(0)
    with pytest.raises((ValueError, zmq.ZMQError)):
        pull.recv_many(-1)


def test_recv_many_of_multipart_messages(make, name):
    push, pull = make(zmq.PUSH), make(zmq.PULL)
    address = name()
    pull.bind(address)
    push.connect(address)
    messages = [[b"a", b"b"], [b"c"], [b"d", b"", b"e"]]
    for _ in range(2):
        for m in messages:
            push.send_multipart(m)
    assert pull.recv_many(3) == [[b"a", b"b"], b"c", [b"d", b"", b"e"]]
    assert pull.recv_many(3, multipart=True) == messages


def test_recv_many_without_copy_gives_frames(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    push.send(b"x" * 100_000)
    [frame] = pull.recv_many(1, copy=False, timeout=WAIT_MS)
    assert isinstance(frame, zmq.Frame) and frame.bytes == b"x" * 100_000


def test_iterating_over_a_socket_receives(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    push.send_many(b"%d" % i for i in range(20))
    got = []
    push.send_multipart([b"several", b"parts"])
    for parts in pull:
        got.append(parts)
        if len(got) == 21:
            break
    assert got == [*([b"%d" % i] for i in range(20)), [b"several", b"parts"]]


@pytest.mark.parametrize("end", ["close", "term"])
def test_iteration_ends_with_the_socket_or_the_context(end):
    ctx = zmq.Context()
    pull, push = ctx.socket(zmq.PULL), ctx.socket(zmq.PUSH)
    pull.bind("inproc://iterate")
    push.connect("inproc://iterate")
    push.send(b"1")
    push.send(b"2")
    got = []

    def iterate():
        got.extend(pull)
        got.append("ended")

    t = threading.Thread(target=iterate)
    t.start()
    eventually("both received", lambda: len(got) == 2 or not t.is_alive() or pull.poll(0) == 0)
    push.close()
    if end == "close":
        t.join(0.02)
        pull.close()
    else:
        with pytest.raises(zmq.TermTimeout):
            ctx.term(timeout=20)
    t.join(WAIT_MS / 1000)
    assert not t.is_alive()
    assert got == [[b"1"], [b"2"], "ended"]
    pull.close()
    ctx.term()


def test_iteration_over_a_socket_that_cannot_receive_is_an_error(make):
    with raises_errno(zmq.ENOTSUP):
        next(iter(make(zmq.PUSH)))


def test_rep_in_a_loop(make, name):
    rep, req = make(zmq.REP, rcvtimeo=-1), make(zmq.REQ)
    address = name()
    rep.bind(address)
    req.connect(address)

    def serve():
        for (question,) in rep:
            rep.send(b"re " + question)

    t = threading.Thread(target=serve)
    t.start()
    for i in range(100):
        req.send(b"%d" % i)
        assert recv(req) == b"re %d" % i
    rep.close()
    t.join()


def test_send_many_on_a_router_and_req(make, name):
    router, dealer = make(zmq.ROUTER), make(zmq.DEALER, routing_id=b"D")
    address = name()
    router.bind(address)
    dealer.connect(address)
    dealer.send(b"hi")
    recv_multipart(router)
    assert router.send_many([[b"D", b"%d" % i] for i in range(5)]) == 5
    assert dealer.recv_many(5) == [b"%d" % i for i in range(5)]
    req = make(zmq.REQ)
    req.bind(name())
    with pytest.raises(zmq.ZMQError):
        req.send_many([b"1", b"2"], zmq.DONTWAIT)


def test_send_many_tells_how_far_it_came_when_ctrl_c_stops_it(make, name):
    address = name()
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind(address)
    push.connect(address)

    def messages():
        yield b"sent"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        push.send_many(messages())
    assert caught.value.sent == 1


def test_parts_that_a_list_makes_as_it_is_iterated_are_sent_whole(make, name):
    class Maker(list):
        def __iter__(self):
            return (bytes([65 + i]) * 200_000 for i in range(3))

    address = name()
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind(address)
    push.connect(address)
    push.send_multipart(Maker([1, 2, 3]))
    assert [(len(part), part[:1]) for part in recv_multipart(pull)] == [
        (200_000, b"A"),
        (200_000, b"B"),
        (200_000, b"C"),
    ]
    empty = Maker([1])
    type(empty).__iter__ = lambda self: iter(())
    with pytest.raises(IndexError):
        push.send_multipart(empty)
