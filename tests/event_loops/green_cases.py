# SPDX-License-Identifier: MIT
"""What test_green.py runs, each in a process of its own that gevent has patched."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
import time  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import gevent.socket  # noqa: E402

import fastmq  # noqa: E402
import fastmq.green as zmq  # noqa: E402

SOON = 8


def pair(ctx: Any, bound: int, connected: int, **options: Any) -> tuple[Any, Any]:
    a, b = ctx.socket(bound), ctx.socket(connected)
    for name, value in options.items():
        setattr(a, name, value)
        setattr(b, name, value)
    a.bind("tcp://127.0.0.1:*")
    b.connect(a.last_endpoint.decode())
    return a, b


def waits_let_others_run() -> None:
    with zmq.Context() as ctx:
        pull, push = pair(ctx, zmq.PULL, zmq.PUSH)
        ran = []
        ticker = gevent.spawn(lambda: [ran.append(gevent.sleep(0.001)) for _ in range(5)])
        late = gevent.spawn(lambda: ticker.join() or push.send(b"x"))
        assert pull.recv() == b"x"
        assert len(ran) == 5, ran
        gevent.joinall([ticker, late], raise_error=True)
        assert isinstance(pull, fastmq.Socket) and isinstance(ctx, fastmq.Context)
        pull.close()
        push.close()


def a_request_survives_its_server() -> None:
    with zmq.Context() as ctx:
        req, both = ctx.socket(zmq.REQ), [ctx.socket(zmq.REP) for _ in range(2)]
        req.req_resend_ivl = 50
        for server in both:
            server.linger = 0
            server.bind("tcp://127.0.0.1:*")
            req.connect(server.last_endpoint.decode().rstrip("\0"))
        req.send(b"q")
        answer = gevent.spawn(req.recv)
        assert [gevent.spawn(s.recv).get(timeout=SOON) for s in both] == [b"q", b"q"]
        both[0].send(b"a")
        assert answer.get(timeout=SOON) == b"a"
        for sock in (req, *both):
            sock.close()


def every_form_passes() -> None:
    with zmq.Context() as ctx:
        pull, push = pair(ctx, zmq.PULL, zmq.PUSH)
        for sent, send, receive, got in [
            ("one part", lambda: push.send(b"x"), pull.recv, b"x"),
            ("parts", lambda: push.send_multipart([b"1", b"2"]), pull.recv_multipart, [b"1", b"2"]),
            ("text", lambda: push.send_string("grün"), pull.recv_string, "grün"),
            ("json", lambda: push.send_json({"a": 1}), pull.recv_json, {"a": 1}),
            ("object", lambda: push.send_pyobj((1,)), pull.recv_pyobj, (1,)),
            ("batch", lambda: push.send_many([b"1", [b"2", b"3"]]), None, None),
        ]:
            gevent.spawn_later(0.01, send)
            if receive is not None:
                assert receive() == got, sent
        batch = pull.recv_many()
        while len(batch) < 2:
            batch += pull.recv_many()
        assert batch == [b"1", [b"2", b"3"]]
        buffer = bytearray(4)
        gevent.spawn_later(0.01, push.send, b"abc")
        assert pull.recv_into(buffer) == 3 and buffer == b"abc\0"
        gevent.spawn_later(0.01, push.send, b"last")
        assert next(pull) == [b"last"]
        pull.close()
        push.close()


def a_server_answers_its_clients() -> None:
    with zmq.Context() as ctx:
        server, client = pair(ctx, zmq.SERVER, zmq.CLIENT)

        def serve() -> None:
            for _ in range(50):
                frame = server.recv(copy=False)
                server.send(frame)
                server.send(b"again", routing_id=frame.routing_id)

        serving = gevent.spawn(serve)
        for i in range(50):
            client.send(b"%d" % i)
            assert [client.recv(), client.recv()] == [b"%d" % i, b"again"]
        serving.get(timeout=SOON)
        server.close()
        client.close()


def groups_come_by_datagrams() -> None:
    with zmq.Context() as ctx:
        dish, radio = ctx.socket(zmq.DISH), ctx.socket(zmq.RADIO)
        dish.bind("udp://127.0.0.1:*")
        dish.join("a")
        radio.connect(dish.last_endpoint)
        for i in range(20):
            gevent.spawn_later(0.001, radio.send, b"%d" % i, group="a")
            frame = dish.recv(copy=False)
            assert (frame.group, frame.bytes) == ("a", b"%d" % i)
        dish.close()
        radio.close()


def a_full_client_is_waited_for() -> None:
    with zmq.Context() as ctx:
        server, client = ctx.socket(zmq.SERVER), ctx.socket(zmq.CLIENT)
        server.sndhwm = client.rcvhwm = 2
        server.bind("inproc://numbers")
        client.connect("inproc://numbers")
        client.send(b"here")
        number = server.recv(copy=False).routing_id
        sending = gevent.spawn(
            lambda: [server.send(b"%d" % i, routing_id=number) for i in range(50)]
        )
        gevent.sleep(0.02)
        assert not sending.dead
        assert [client.recv() for _ in range(50)] == [b"%d" % i for i in range(50)]
        sending.get(timeout=SOON)
        server.close()
        client.close()


def senders_wait_for_room() -> None:
    with zmq.Context() as ctx:
        pull, push = ctx.socket(zmq.PULL), ctx.socket(zmq.PUSH)
        pull.rcvhwm = push.sndhwm = 2
        pull.bind("inproc://room")
        push.connect("inproc://room")
        sending = gevent.spawn(lambda: [push.send(b"%d" % i) for i in range(50)])
        gevent.sleep(0.02)
        assert not sending.dead
        assert [pull.recv() for _ in range(50)] == [b"%d" % i for i in range(50)]
        sending.get(timeout=SOON)
        pull.close()
        push.close()


def timeouts_hold() -> None:
    with zmq.Context() as ctx:
        sock = ctx.socket(zmq.DEALER)
        sock.rcvtimeo = sock.sndtimeo = 20
        for call in (sock.recv, sock.recv_multipart, lambda: sock.send(b"x")):
            start = time.monotonic()
            try:
                call()
            except zmq.Again:
                assert time.monotonic() - start > 0.015
            else:
                raise AssertionError("no Again")
        assert sock.poll(10) == 0
        try:
            sock.recv(zmq.DONTWAIT)
        except zmq.Again:
            pass
        else:
            raise AssertionError("no Again")
        with gevent.Timeout(0.02, False):
            sock.recv(timeout=-1)
            raise AssertionError("it received")
        sock.close()


def close_ends_who_waits() -> None:
    with zmq.Context() as ctx:
        sock = ctx.socket(zmq.PULL)
        errors = []

        def wait() -> None:
            try:
                sock.recv()
            except zmq.ZMQError as e:
                errors.append(e.errno)

        waiting = [gevent.spawn(wait) for _ in range(3)]
        gevent.sleep(0.01)
        sock.close()
        gevent.joinall(waiting, timeout=SOON, raise_error=True)
        assert errors == [zmq.ENOTSOCK] * 3, errors


def several_greenlets_receive() -> None:
    with zmq.Context() as ctx:
        pull, push = pair(ctx, zmq.PULL, zmq.PUSH)
        got: list[int] = []

        def work() -> None:
            while True:
                message = pull.recv()
                if not message:
                    return
                got.append(int(message))

        workers = [gevent.spawn(work) for _ in range(5)]
        for i in range(500):
            push.send(b"%d" % i)
        for _ in workers:
            push.send(b"")
        gevent.joinall(workers, timeout=SOON, raise_error=True)
        assert sorted(got) == list(range(500))
        pull.close()
        push.close()


def pollers_wait_for_sockets_and_descriptors() -> None:
    with zmq.Context() as ctx:
        pull, push = pair(ctx, zmq.PULL, zmq.PUSH)
        left, right = gevent.socket.socketpair()
        poller = zmq.Poller()
        poller.register(pull, zmq.POLLIN)
        poller.register(right, zmq.POLLIN)
        assert poller.poll(10) == []
        gevent.spawn_later(0.01, push.send, b"x")
        assert poller.poll(SOON * 1000) == [(pull, zmq.POLLIN)]
        assert pull.recv() == b"x"
        gevent.spawn_later(0.01, left.send, b"y")
        assert poller.poll() == [(right.fileno(), zmq.POLLIN)]
        right.recv(1)
        gevent.spawn_later(0.01, push.send, b"x")
        assert zmq.zmq_poll([(pull, zmq.POLLIN)], SOON * 1000) == [(pull, zmq.POLLIN)]
        for s in (left, right, pull, push):
            s.close()


def devices_forward() -> None:
    with zmq.Context() as ctx:
        front, back = ctx.socket(zmq.ROUTER), ctx.socket(zmq.DEALER)
        capture, seen = ctx.socket(zmq.PUSH), ctx.socket(zmq.PULL)
        front.bind("inproc://front")
        back.bind("inproc://back")
        seen.bind("inproc://seen")
        capture.connect("inproc://seen")
        errors = []

        def forward() -> None:
            try:
                zmq.proxy(front, back, capture)
            except zmq.ZMQError as e:
                errors.append(e.errno)

        forwarding = gevent.spawn(forward)
        req, rep = ctx.socket(zmq.REQ), ctx.socket(zmq.REP)
        req.connect("inproc://front")
        rep.connect("inproc://back")
        req.send(b"q")
        assert rep.recv() == b"q"
        rep.send(b"r")
        assert req.recv() == b"r"
        assert seen.recv_multipart()[-1] == b"q"
        assert seen.recv_multipart()[-1] == b"r"
        front.close()
        forwarding.join(SOON)
        assert errors == [zmq.ENOTSOCK]
        for s in (back, capture, seen, req, rep):
            s.close()


def waiting_for_subscribers_lets_others_run() -> None:
    with zmq.Context() as ctx:
        pub, sub = ctx.socket(zmq.PUB), ctx.socket(zmq.SUB)
        pub.bind("tcp://127.0.0.1:*")
        ran = []

        def subscribe() -> None:
            for _ in range(5):
                ran.append(gevent.sleep(0.001))
            sub.subscribe(b"a")
            sub.connect(pub.last_endpoint.decode())

        late = gevent.spawn(subscribe)
        assert pub.wait_for_subscribers(1, b"abc", timeout=SOON * 1000) == 1
        assert len(ran) == 5, ran
        late.get(timeout=SOON)
        ticker = gevent.spawn(lambda: [ran.append(gevent.sleep(0.001)) for _ in range(5)])
        start = time.monotonic()
        try:
            pub.wait_for_subscribers(2, b"a", timeout=50)
        except zmq.Again:
            assert time.monotonic() - start > 0.045
        else:
            raise AssertionError("no Again")
        assert len(ran) == 10, ran
        ticker.get(timeout=SOON)
        errors = []

        def wait() -> None:
            try:
                pub.wait_for_subscribers(2)
            except zmq.ZMQError as e:
                errors.append(e.errno)

        waiting = gevent.spawn(wait)
        gevent.sleep(0.01)
        pub.close()
        waiting.join(SOON)
        assert errors == [zmq.ENOTSOCK], errors
        sub.close()


def a_context_ends_while_others_run() -> None:
    ctx = zmq.Context()
    pull, push = pair(ctx, zmq.PULL, zmq.PUSH)
    gevent.spawn_later(0.02, pull.close)
    gevent.spawn_later(0.02, push.close)
    ctx.term()
    assert ctx.closed


def a_waiting_greenlet_costs_nothing() -> None:
    """Messages that nobody receives do not keep the hub busy while a send waits."""
    with zmq.Context() as ctx:
        a, b = ctx.socket(zmq.DEALER), ctx.socket(zmq.DEALER)
        a.sndhwm = b.rcvhwm = 1
        a.bind("inproc://idle")
        b.connect("inproc://idle")
        b.send(b"unread")
        sending = gevent.spawn(lambda: [a.send(b"x") for _ in range(10)])
        gevent.sleep(0.02)
        before = time.process_time()
        gevent.sleep(0.2)
        assert time.process_time() - before < 0.1
        assert not sending.dead
        for _ in range(10):
            b.recv()
        sending.get(timeout=SOON)
        a.close()
        b.close()


if __name__ == "__main__":
    with gevent.Timeout(4 * SOON):
        globals()[sys.argv[1]]()
    print("done")
