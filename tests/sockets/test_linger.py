# SPDX-License-Identifier: MIT
import socket as pysocket
import threading

import pytest
from helpers import WAIT_MS, eventually, last_endpoint, raises_errno, recv
from target import fastmq_only, zmq
from wire import Listener

streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)


class Apart(list):
    """Two contexts, so that one can end while the other receives; keeps the sockets alive."""

    def __init__(self):
        super().__init__([zmq.Context(), zmq.Context()])
        self.made = []

    def socket(self, which, kind):
        self.made.append(self[which].socket(kind))
        return self.made[-1]


@pytest.fixture
def apart():
    both = Apart()
    yield both
    for s in both.made:
        s.close(0)
    for c in both:
        c.term()


def connected(apart, endpoint, **options):
    pull, push = apart.socket(1, zmq.PULL), apart.socket(0, zmq.PUSH)
    for name, value in options.items():
        push.setsockopt(getattr(zmq, name.upper()), value)
    endpoint.connect(push, endpoint.bind(pull))
    return push, pull


@streams
@pytest.mark.parametrize("linger", [-1, 20_000])
def test_term_waits_until_all_is_sent(apart, endpoint, linger):
    push, pull = connected(apart, endpoint, linger=linger)
    got = []

    def receive():
        for _ in range(500):
            got.append(pull.recv())

    receiver = threading.Thread(target=receive)
    for i in range(500):
        push.send(b"%04d" % i + bytes(2000))
    push.close()
    receiver.start()
    apart[0].term()
    receiver.join()
    assert [int(m[:4]) for m in got] == list(range(500))


@streams
def test_linger_zero_discards_at_once(make, endpoint, ctx):
    push = make(zmq.PUSH)
    endpoint.connect(push, endpoint.fixed())
    for _ in range(100):
        push.send(b"x")
    push.close()
    ctx.term()


@streams
def test_a_limited_linger_ends(endpoint):
    ctx = zmq.Context()
    push = ctx.socket(zmq.PUSH)
    push.setsockopt(zmq.LINGER, 60)
    endpoint.connect(push, endpoint.fixed())
    push.send(b"nobody takes this")
    push.close()
    ctx.term()


def test_close_takes_a_linger_of_its_own(endpoint):
    ctx = zmq.Context()
    push = ctx.socket(zmq.PUSH)
    push.setsockopt(zmq.LINGER, -1)
    endpoint.connect(push, endpoint.fixed())
    push.send(b"x")
    push.close(linger=0)
    ctx.term()


@fastmq_only("the option cannot be set then, and term() waits for ever")
@pytest.mark.parametrize("ending", ["shutdown", "term"])
def test_close_takes_a_linger_also_while_the_context_ends(endpoint, ending):
    ctx = zmq.Context()
    push = ctx.socket(zmq.PUSH)
    endpoint.connect(push, endpoint.fixed())
    push.send(b"to nobody")
    if ending == "shutdown":
        ctx.shutdown()
    thread = threading.Thread(target=ctx.term)
    thread.start()
    with raises_errno(zmq.ETERM):
        push.poll(WAIT_MS, zmq.POLLIN)
    push.close(0)
    thread.join(WAIT_MS / 1000)
    assert not thread.is_alive()


@streams
def test_close_never_waits(endpoint, apart):
    push, pull = connected(apart, endpoint, linger=-1)
    for i in range(100):
        push.send(b"%d" % i)
    push.close()
    assert push.closed
    assert [recv(pull) for _ in range(100)] == [b"%d" % i for i in range(100)]


@streams
def test_the_linger_of_a_socket_may_be_set_after_sending(endpoint):
    ctx = zmq.Context()
    push = ctx.socket(zmq.PUSH)
    endpoint.connect(push, endpoint.fixed())
    push.send(b"x")
    push.setsockopt(zmq.LINGER, 0)
    push.close()
    ctx.term()


@streams
def test_messages_sent_to_a_late_server_during_linger_arrive(apart, endpoint):
    push = apart.socket(0, zmq.PUSH)
    push.setsockopt(zmq.RECONNECT_IVL, 10)
    address = endpoint.fixed()
    endpoint.connect(push, address)
    push.send(b"patience")
    push.close()
    pull = apart.socket(1, zmq.PULL)
    endpoint.bind(pull, address)
    assert recv(pull) == b"patience"
    apart[0].term()


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_the_last_message_before_close_arrives_whole(make, endpoint, size):
    pull = make(zmq.PULL)
    address = endpoint.bind(pull)
    for i in range(10):
        push = make(zmq.PUSH, linger=-1)
        endpoint.connect(push, address)
        push.send(b"%d" % i * size)
        push.close()
        assert recv(pull) == b"%d" % i * size


def test_blocky_zero_makes_new_sockets_linger_not_at_all():
    ctx = zmq.Context()
    ctx.set(zmq.BLOCKY, 0)
    assert ctx.get(zmq.BLOCKY) == 0
    with ctx.socket(zmq.PUSH) as push:
        assert push.getsockopt(zmq.LINGER) == 0
        push.connect("tcp://127.0.0.1:9")
        push.send(b"x")
    ctx.term()


@fastmq_only("has no timeout for term")
def test_term_with_a_timeout_lists_what_still_holds_something():
    ctx = zmq.Context()
    push = ctx.socket(zmq.PUSH)
    push.setsockopt(zmq.LINGER, -1)
    push.connect("tcp://127.0.0.1:9")
    for _ in range(3):
        push.send(b"x")
    left_open = ctx.socket(zmq.PULL)
    left_open.bind("tcp://127.0.0.1:*")
    address = last_endpoint(left_open)
    push.close()
    with pytest.raises(zmq.TermTimeout) as info:
        ctx.term(timeout=30)
    assert isinstance(info.value, zmq.Again)
    rows = {p.type: p for p in info.value.pending}
    assert rows[zmq.PUSH].messages == 3 and not rows[zmq.PUSH].open
    assert "127.0.0.1:9" in rows[zmq.PUSH].endpoint
    assert rows[zmq.PULL].open and rows[zmq.PULL].endpoint == address
    assert "PULL" in str(info.value) or address in str(info.value)
    left_open.close()
    eventually("the open one is off the list", lambda: only_pending(ctx, zmq.PUSH))
    ctx.destroy(linger=0)


def only_pending(ctx, kind):
    try:
        ctx.term(timeout=5)
    except zmq.TermTimeout as e:
        return {p.type for p in e.pending} == {kind}
    return False


@fastmq_only("with linger -1 it tries for ever")
def test_a_peer_of_the_wrong_type_does_not_keep_a_closed_socket(tmp_path):
    server, ctx = zmq.Context(), zmq.Context()
    rep, push = server.socket(zmq.REP), ctx.socket(zmq.PUSH)
    # Bound when the message is queued: a socket that was refused takes none.
    push.reconnect_ivl = 10
    push.connect(f"ipc://{tmp_path}/socket")
    push.send(b"x")
    rep.bind(f"ipc://{tmp_path}/socket")
    push.close(linger=-1)
    ctx.term(timeout=WAIT_MS)
    rep.close()
    server.term(timeout=WAIT_MS)


@fastmq_only("Context.term takes no timeout")
def test_a_lingering_disconnect_goes_on_after_close(tcp_address):
    """Two deadlines, the endpoint's and the socket's: everything arrives once and in order."""
    ctx = zmq.Context()
    pull, push = ctx.socket(zmq.PULL), ctx.socket(zmq.PUSH)
    pull.rcvhwm = 2
    push.sndhwm = 0
    pull.bind(tcp_address)
    push.connect(last_endpoint(pull))
    body = bytes(200_000)
    for i in range(100):
        push.send(b"%d" % i + body)
    push.linger = 20_000
    push.disconnect(last_endpoint(pull))
    push.close(linger=30_000)
    for i in range(100):
        assert pull.poll(WAIT_MS)
        assert pull.recv() == b"%d" % i + body
    pull.close()
    ctx.term(timeout=WAIT_MS)


@streams
@pytest.mark.parametrize("linger", [-1, 20_000])
def test_unread_messages_cost_the_peer_none_of_what_was_sent(apart, endpoint, linger):
    """The kernel answers unread input with a reset when its descriptor is closed."""
    for _ in range(8):
        a, b = apart.socket(0, zmq.PAIR), apart.socket(1, zmq.PAIR)
        a.sndhwm = a.rcvhwm = 1
        endpoint.connect(b, endpoint.bind(a))
        a.send(b"hello")
        assert recv(b) == b"hello"
        for _ in range(200):
            b.send(bytes(3000))

        def sends(sock=a):
            for n in range(15):
                sock.send(b"%02d" % n + bytes(70_000))
            sock.close(linger)

        sender = threading.Thread(target=sends)
        sender.start()
        assert [recv(b)[:2] for _ in range(15)] == [b"%02d" % n for n in range(15)]
        sender.join()
        b.close(0)


@fastmq_only("closes at its own pace")
def test_a_peer_that_stops_reading_holds_no_close_up(apart):
    """What the kernel has is waited for as long as the peer takes of it."""
    sock = apart.socket(0, zmq.PAIR)
    sock.rcvhwm, sock.sndbuf = 1, 1_000_000
    with Listener() as listener:
        listener.sock.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_RCVBUF, 4096)
        sock.connect(listener.address)
        with listener.accept() as wire:
            wire.handshake("PAIR")
            for _ in range(50):
                wire.send_message(bytes(3000))
            sock.send(bytes(300_000))
            eventually("all in the kernel", lambda: sock.stats().bytes_sent > 300_000)
            sock.close(-1)
            apart[0].term(timeout=WAIT_MS)
