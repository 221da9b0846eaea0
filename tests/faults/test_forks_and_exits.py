# SPDX-License-Identifier: MIT
"""fork and the end of the process, in the middle of traffic."""

import os
import signal
import sys

import pytest
from helpers import WAIT_MS, last_endpoint, recv_multipart
from target import fastmq_only, zmq

streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)

TRAFFIC = """
ctx = zmq.Context()
pull, push = ctx.socket(zmq.PULL), ctx.socket(zmq.PUSH)
pull.bind(sys.argv[1])
push.connect(last_endpoint(pull))
stop = threading.Event()
came = 0

def send():
    for n in itertools.count():
        push.send_multipart([b"%d" % n, bytes(n * 37 % 9000)])
        if stop.is_set():
            return push.send_multipart([b"%d" % (n + 1), b"end"])

def receive():
    global came
    for n in itertools.count():
        number, body = pull.recv_multipart()
        assert int(number) == n, (number, n)
        came = n
        if body == b"end":
            return
        assert len(body) == n * 37 % 9000

threads = [threading.Thread(target=send), threading.Thread(target=receive)]
for one in threads:
    one.start()

def moved():
    '''Waits for some traffic.'''
    goal = came + 200
    while came < goal:
        assert all(t.is_alive() for t in threads)
        time.sleep(0.001)
"""


@pytest.mark.slow
@pytest.mark.forks
@streams
@fastmq_only("hangs or crashes in the child")
def test_fork_in_the_middle_of_traffic_disturbs_nobody(endpoint, child):
    """The child's calls raise, closing is harmless there, and it can begin anew; the parent sees
    nothing of all that."""
    one = child(
        TRAFFIC
        + """
import signal
frame = zmq.Frame(b"x" * 100_000)
for _ in range(10):
    moved()
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        assert status == 0, status
        continue
    signal.alarm(10)
    code = 1
    try:
        for call in (
            lambda: push.send(b"x"), lambda: pull.recv(zmq.DONTWAIT), lambda: pull.poll(0),
            lambda: ctx.socket(zmq.PULL), lambda: pull.getsockopt(zmq.EVENTS),
            lambda: push.bind("tcp://127.0.0.1:*"),
        ):
            try:
                call()
                os._exit(2)
            except zmq.ZMQError:
                pass
        push.close(); pull.close(); ctx.term()
        del push, pull, ctx, frame
        with zmq.Context() as new, new.socket(zmq.PAIR) as a, new.socket(zmq.PAIR) as b:
            a.bind("tcp://127.0.0.1:*")
            b.connect(last_endpoint(a))
            b.send(b"the child's own")
            code = a.recv() != b"the child's own"
    finally:
        os._exit(code)
stop.set()
for t in threads:
    t.join()
push.close(); pull.close(); ctx.term(timeout=5000)
say("end")
""",
        endpoint.wildcard,
    )
    assert one.says("end of it", 20_000) == "end"
    assert one.ends() == 0


@pytest.mark.forks
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl")
def test_a_child_that_lives_on_does_not_keep_its_parents_connections_open(make, watch, child):
    """The peer hears at once when the parent is gone, though the child of its fork is there."""
    pull = make(zmq.PULL)
    events = watch(pull)
    pull.bind("tcp://127.0.0.1:*")
    one = child(
        """
push = zmq.Context().socket(zmq.PUSH)
push.connect(sys.argv[1])
push.send(b"x")
pid = os.fork()
if pid == 0:
    libc.prctl(1, 0, 0, 0, 0)
    os.close(0); os.close(1); os.close(2)
    time.sleep(60)
    os._exit(0)
say(pid)
hear()
""",
        last_endpoint(pull),
    )
    assert recv_multipart(pull) == [b"x"]
    grandchild = one.says()
    try:
        one.kill()
        events.wait(zmq.EVENT_DISCONNECTED)
    finally:
        os.kill(grandchild, signal.SIGKILL)


WAYS = {
    "end of the program": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "os._exit": ("os._exit(4)", 4),
    "exception": ("raise RuntimeError('on purpose')", 1),
    "signal": ("import signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
}


@pytest.mark.slow
@streams
@pytest.mark.parametrize("way", WAYS)
def test_a_process_ends_in_the_middle_of_traffic(make, endpoint, child, way):
    """With daemon threads inside of calls, sockets open, and a peer that goes on sending."""
    code, status = WAYS[way]
    router = make(zmq.ROUTER)
    address = endpoint.bind(router)
    one = child(
        """
ctx = zmq.Context()
dealer, idle = ctx.socket(zmq.DEALER), ctx.socket(zmq.PULL)
idle.bind("inproc://idle")
dealer.setsockopt(zmq.LINGER, 0)
dealer.connect(sys.argv[1])

def send():
    while True:
        dealer.send(bytes(5000))

def receive(sock):
    while True:
        sock.recv()

for target, args in ((send, ()), (receive, (dealer,)), (receive, (idle,))):
    threading.Thread(target=target, args=args, daemon=True).start()
time.sleep(0.1)
"""
        + code,
        address,
    )
    answered = 0
    while one.process.poll() is None:
        if router.poll(10):
            who, body = router.recv_multipart()
            assert len(body) == 5000
            try:
                router.send_multipart([who, body], zmq.DONTWAIT)
                answered += 1
            except zmq.ZMQError:
                pass
    assert answered > 0
    assert one.ends() == status


@streams
def test_what_was_sent_before_the_end_arrives(make, endpoint, child):
    """The end of the interpreter waits for LINGER, a second at most."""
    pull = make(zmq.PULL)
    one = child(
        """
push = zmq.Context.instance().socket(zmq.PUSH)
push.connect(sys.argv[1])
for n in range(500):
    push.send_multipart([b"%d" % n, bytes(1000)])
""",
        endpoint.bind(pull),
    )
    for n in range(500):
        assert recv_multipart(pull) == [b"%d" % n, bytes(1000)]
    assert one.ends() == 0


@pytest.mark.slow
@fastmq_only("waits for ever")
@pytest.mark.parametrize("state", ["full", "absent"])
def test_the_end_does_not_wait_for_a_peer_that_takes_nothing(make, child, state):
    pull = make(zmq.PULL, rcvhwm=1)
    pull.bind("tcp://127.0.0.1:*")
    address = last_endpoint(pull)
    if state == "absent":
        pull.close()
    one = child(
        """
push = zmq.Context.instance().socket(zmq.PUSH)
push.setsockopt(zmq.SNDHWM, 0)
push.connect(sys.argv[1])
for n in range(400):
    push.send(bytes(100_000))
""",
        address,
    )
    assert one.ends(WAIT_MS) == 0


def test_an_event_loop_may_be_left_with_everything_pending(child):
    one = child(
        """
import asyncio
asyncio_of = __import__(zmq.__name__ + ".asyncio", fromlist=["x"])

async def main():
    ctx = asyncio_of.Context()
    pull, push = ctx.socket(zmq.PULL), ctx.socket(zmq.PUSH)
    pull.bind("tcp://127.0.0.1:*")
    push.linger = 0
    push.connect(last_endpoint(pull))
    await push.send(b"x")
    assert await pull.recv() == b"x"
    waiting = [asyncio.ensure_future(pull.recv()) for _ in range(10)]
    await asyncio.sleep(0.01)
    say("pending")
    sys.exit(7)

asyncio.run(main())
"""
    )
    assert one.says() == "pending"
    assert one.ends() == 7
