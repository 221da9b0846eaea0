# SPDX-License-Identifier: MIT
"""Green sockets of eventlet: REQ and REP, and a sender at its high-water mark that waits."""

import eventlet
import zmq as plain
from eventlet.green import zmq

REQUESTS = 100
MESSAGES = 400


def main() -> None:
    context = zmq.Context()
    server, client = context.socket(zmq.REP), context.socket(zmq.REQ)
    port = server.bind_to_random_port("tcp://127.0.0.1")
    client.connect(f"tcp://127.0.0.1:{port}")
    ticks = []

    def serve() -> None:
        for _ in range(REQUESTS):
            server.send_multipart([b"did", *server.recv_multipart()])

    def tick() -> None:
        while True:
            eventlet.sleep(0.001)
            ticks.append(None)

    serving = eventlet.spawn(serve)
    ticking = eventlet.spawn(tick)
    for number in range(REQUESTS):
        client.send(b"%d" % number)
        assert client.recv_multipart() == [b"did", b"%d" % number]
    serving.wait()

    push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    push.set_hwm(2)
    pull.set_hwm(2)
    push.sndbuf = pull.rcvbuf = 65536
    push.connect(f"tcp://127.0.0.1:{pull.bind_to_random_port('tcp://127.0.0.1')}")
    sent = []

    def fill() -> None:
        for number in range(MESSAGES):
            push.send_multipart([b"%d" % number, bytes(50_000)])
            sent.append(number)

    filling = eventlet.spawn(fill)
    with eventlet.Timeout(30):
        while not sent:  # until it is connected
            eventlet.sleep(0.001)
        before = -1
        while before != len(sent):  # until no more go in
            before = len(sent)
            eventlet.sleep(0.2)
    assert 0 < len(sent) < MESSAGES, len(sent)
    seen = len(ticks)
    eventlet.sleep(0.05)
    assert len(ticks) > seen  # what waits to send lets others run
    with eventlet.Timeout(30):
        got = [int(pull.recv_multipart()[0]) for _ in range(MESSAGES)]
        filling.wait()
    assert got == sent == list(range(MESSAGES))
    ticking.kill()
    for sock in (server, client, push, pull):
        sock.close()
    context.term()
    print(plain.__name__, REQUESTS, MESSAGES)


if __name__ == "__main__":
    main()
