# SPDX-License-Identifier: MIT
"""Several threads on one socket: libzmq forbids it, here it is a promise."""

import threading
from collections import Counter

import pytest
from helpers import WAIT_MS, at_once, eventually, last_endpoint, recv_multipart
from target import fastmq_only, zmq

pytestmark = fastmq_only("sockets may not be shared by threads")


def test_several_senders_send_whole_messages(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    each = 500

    def sender(n):
        def send():
            for i in range(each):
                push.send_multipart([b"%d" % n, b"%d" % i, b"%d" % n])

        return send

    got = []

    def receive():
        for _ in range(4 * each):
            got.append(recv_multipart(pull))

    at_once(receive, *(sender(n) for n in range(4)))
    expected = Counter((n, i) for n in range(4) for i in range(each))
    assert Counter((int(a), int(b)) for a, b, _ in got) == expected
    assert all(a == c for a, _, c in got)
    for n in range(4):
        mine = [int(i) for a, i, _ in got if int(a) == n]
        assert mine == sorted(mine), "the order of one thread is kept"


def test_several_receivers_each_get_whole_messages(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    total = 1200
    got = [[] for _ in range(3)]

    def receiver(n):
        def receive():
            while (m := pull.recv_multipart()) != [b"end"]:
                got[n].append(m)

        return receive

    def send():
        for i in range(total):
            push.send_multipart([b"%d" % i] * 3)
        for _ in range(3):
            push.send(b"end")

    at_once(send, *(receiver(n) for n in range(3)))
    everything = [m for part in got for m in part]
    assert all(len(m) == 3 and len(set(m)) == 1 for m in everything)
    assert sorted(int(m[0]) for m in everything) == list(range(total))


def test_sending_and_receiving_on_one_socket_at_once(pair_of):
    a, b = pair_of(zmq.DEALER, zmq.DEALER)
    total = 1000
    counts = {}

    def sender(sock):
        def send():
            for i in range(total):
                sock.send(b"%d" % i)

        return send

    def receiver(name, sock):
        def receive():
            counts[name] = [int(sock.recv()) for _ in range(total)]

        return receive

    at_once(sender(a), sender(b), receiver("a", a), receiver("b", b))
    assert counts == {"a": list(range(total)), "b": list(range(total))}


def test_parts_sent_one_by_one_stay_together(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)
    each = 200

    def sender(n):
        def send():
            for _ in range(each):
                push.send(b"%d" % n, zmq.SNDMORE)
                push.send(b"%d" % n, zmq.SNDMORE)
                push.send(b"%d" % n)

        return send

    got = []

    def receive():
        got.extend(recv_multipart(pull) for _ in range(3 * each))

    at_once(receive, *(sender(n) for n in range(3)))
    assert all(len(m) == 3 and len(set(m)) == 1 for m in got)


def test_a_router_served_by_several_threads(make, endpoint):
    router = make(zmq.ROUTER)
    address = endpoint.bind(router)
    each = 200

    def serve():
        for _ in range(each):
            peer, empty, body = router.recv_multipart()
            router.send_multipart([peer, empty, b"re " + body])

    def client(n):
        def ask():
            req = make(zmq.REQ)
            endpoint.connect(req, address)
            for i in range(each):
                req.send(b"%d.%d" % (n, i))
                assert req.recv() == b"re %d.%d" % (n, i)

        return ask

    at_once(serve, serve, serve, client(0), client(1), client(2))


def test_publishing_and_subscribing_from_several_threads(make, endpoint):
    pub = make(zmq.PUB)
    address = endpoint.bind(pub)
    sub = make(zmq.SUB, subscribe=b"", rcvhwm=0)
    pub.setsockopt(zmq.SNDHWM, 0)
    endpoint.connect(sub, address)

    def came():
        pub.send(b"probe")
        return sub.poll(5)

    eventually("subscribed", came)
    each = 500

    def publisher(n):
        def publish():
            for i in range(each):
                pub.send(b"%d %d" % (n, i))

        return publish

    def churn():
        for i in range(300):
            sub.setsockopt(zmq.SUBSCRIBE, b"x%d" % i)
            sub.setsockopt(zmq.UNSUBSCRIBE, b"x%d" % i)

    got = []

    def receive():
        while len(got) < 3 * each:
            m = sub.recv()
            if m != b"probe":
                got.append(m)

    at_once(receive, churn, *(publisher(n) for n in range(3)))
    assert len(set(got)) == 3 * each


def test_options_may_be_read_and_set_while_others_send(pair_of):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)

    def send():
        for i in range(1000):
            push.send(b"%d" % i)

    def receive():
        assert [int(pull.recv()) for _ in range(1000)] == list(range(1000))

    def options():
        for i in range(300):
            push.setsockopt(zmq.SNDHWM, 100 + i)
            assert push.getsockopt(zmq.SNDHWM) == 100 + i
            push.getsockopt(zmq.EVENTS)
            pull.getsockopt(zmq.EVENTS)

    at_once(send, receive, options)


def test_connecting_and_disconnecting_while_others_send(make, endpoint):
    push, pull, other = make(zmq.PUSH), make(zmq.PULL), make(zmq.PULL)
    endpoint.connect(push, endpoint.bind(pull))
    other_address = endpoint.bind(other)
    total = 1000
    got = []
    stop = threading.Event()

    def send():
        for i in range(total):
            push.send(b"%d" % i)
        stop.set()

    def churn():
        while not stop.is_set():
            endpoint.connect(push, other_address)
            push.disconnect(other_address)

    def receive(sock):
        def run():
            while not (stop.is_set() and not sock.poll(50)):
                if sock.poll(5):
                    got.append(sock.recv())

        return run

    at_once(send, churn, receive(pull), receive(other))
    # Those on a connection that was cut are lost with LINGER 0; none comes twice.
    assert max(Counter(got).values()) == 1


@pytest.mark.parametrize("what", ["recv", "send", "poll", "recv_many"])
def test_close_from_another_thread_ends_the_call(make, endpoint, what):
    sock = make(zmq.DEALER, sndtimeo=-1, rcvtimeo=-1)
    endpoint.bind(sock)
    calls = {
        "recv": sock.recv,
        "send": lambda: sock.send(b"x"),
        "poll": lambda: sock.poll(),
        "recv_many": lambda: sock.recv_many(10),
    }
    ends = []
    started = threading.Event()

    def blocked():
        started.set()
        try:
            calls[what]()
        except zmq.ZMQError as e:
            ends.append(e.errno)

    t = threading.Thread(target=blocked)
    t.start()
    assert started.wait(WAIT_MS / 1000)
    t.join(0.02)
    sock.close()
    t.join(WAIT_MS / 1000)
    assert not t.is_alive()
    assert ends == [zmq.ENOTSOCK]


def test_close_while_many_threads_use_the_socket(pair_of):
    a, _ = pair_of(zmq.DEALER, zmq.DEALER)
    ends = []

    def use(call):
        def loop():
            try:
                while True:
                    call()
            except zmq.ZMQError as e:
                ends.append(e.errno)

        return loop

    a.setsockopt(zmq.RCVTIMEO, -1)
    a.setsockopt(zmq.SNDTIMEO, -1)
    closer = threading.Timer(0.05, a.close)
    closer.start()
    at_once(*(use(c) for c in [a.recv, a.recv, lambda: a.send(b"x"), lambda: a.send(b"y")]))
    closer.join()
    assert ends == [zmq.ENOTSOCK] * 4


def test_closing_twice_at_once_is_harmless(make):
    for _ in range(50):
        sock = make(zmq.PULL)
        sock.bind("tcp://127.0.0.1:*")
        at_once(sock.close, sock.close, sock.close)
        assert sock.closed


def test_term_ends_all_threads_with_eterm(endpoint):
    ctx = zmq.Context()
    sock = ctx.socket(zmq.DEALER)
    endpoint.bind(sock)
    ends = []

    def blocked():
        try:
            sock.recv()
        except zmq.ContextTerminated as e:
            ends.append(e.errno)

    threads = [threading.Thread(target=blocked) for _ in range(4)]
    for t in threads:
        t.start()
    with pytest.raises(zmq.TermTimeout):
        ctx.term(timeout=50)
    for t in threads:
        t.join(WAIT_MS / 1000)
    assert ends == [zmq.ETERM] * 4
    sock.close()
    ctx.term()


def test_sockets_made_used_and_closed_by_many_threads(ctx):
    server = ctx.socket(zmq.PULL)
    server.bind("tcp://127.0.0.1:*")
    address = last_endpoint(server)

    def worker(n):
        def work():
            for i in range(20):
                with ctx.socket(zmq.PUSH) as s:
                    s.connect(address)
                    s.send(b"%d %d" % (n, i))

        return work

    got = set()

    def receive():
        while len(got) < 80:
            got.add(server.recv())

    at_once(receive, *(worker(n) for n in range(4)))
    server.close()


def test_two_sockets_joined_over_inproc_in_both_orders_do_not_deadlock(make, name):
    a_name, b_name = name(), name()
    a, b = make(zmq.DEALER), make(zmq.DEALER)
    a.bind(a_name)
    b.bind(b_name)

    def join(sock, address):
        def work():
            for _ in range(100):
                sock.connect(address)
                try:
                    sock.send(b"x", zmq.DONTWAIT)
                except zmq.Again:
                    pass
                sock.disconnect(address)

        return work

    at_once(join(a, b_name), join(b, a_name))
