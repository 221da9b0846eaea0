# SPDX-License-Identifier: MIT
"""Signals in the middle of waits: handlers run, times are kept, Ctrl-C ends the call."""

import os
import signal
import threading
import time

import pytest
from helpers import eventually, run_python
from target import fastmq_only, zmq


@pytest.fixture
def ticking():
    """SIGUSR1 every few milliseconds while the test runs; counts the handler's calls."""
    hits = []
    old = signal.signal(signal.SIGUSR1, lambda *_: hits.append(1))
    stop = threading.Event()

    def tick():
        while not stop.wait(0.01):
            os.kill(os.getpid(), signal.SIGUSR1)

    t = threading.Thread(target=tick)
    t.start()
    yield hits
    stop.set()
    t.join()
    signal.signal(signal.SIGUSR1, old)


@fastmq_only("starts the whole timeout anew after each signal")
@pytest.mark.parametrize("what", ["recv", "send", "poll", "poller"])
def test_signals_do_not_lengthen_a_timeout(make, endpoint, ticking, what):
    sock = make(zmq.DEALER, rcvtimeo=150, sndtimeo=150)
    endpoint.bind(sock)
    poller = zmq.Poller()
    poller.register(sock, zmq.POLLIN)

    def disturbed():
        ticks = len(ticking)
        start = time.monotonic()
        if what == "recv":
            with pytest.raises(zmq.Again):
                sock.recv()
        elif what == "send":
            with pytest.raises(zmq.Again):
                sock.send(b"x")
        elif what == "poll":
            assert sock.poll(150) == 0
        else:
            assert poller.poll(150) == []
        assert time.monotonic() - start >= 0.14
        return len(ticking) > ticks

    eventually("a call during which a signal came", disturbed)


def test_handlers_run_while_a_call_waits(pair_of, ticking):
    pull, push = pair_of(zmq.PULL, zmq.PUSH)

    def send_after_some():
        while len(ticking) < 5:
            time.sleep(0.005)
        push.send(b"x")

    t = threading.Thread(target=send_after_some)
    t.start()
    assert pull.recv() == b"x"
    t.join()
    assert len(ticking) >= 5


def test_traffic_survives_signals(pair_of, ticking):
    a, b = pair_of(zmq.PAIR, zmq.PAIR)

    def echo():
        for _ in range(1000):
            b.send(b.recv())

    t = threading.Thread(target=echo)
    t.start()
    for i in range(1000):
        a.send(b"%d" % i)
        assert a.recv() == b"%d" % i
    t.join()


@fastmq_only("libzmq does not spin")
@pytest.mark.parametrize("wait", ["recv", "poller"])
def test_a_signal_that_comes_between_the_sleeps_is_not_missed(make, wait):
    """While it spins a thread is in no call that a signal would end."""

    class Stop(Exception):
        pass

    def handler(*_):
        raise Stop

    a, b = make(zmq.PAIR, spin_us=1_000_000, rcvtimeo=-1), make(zmq.PAIR, rcvtimeo=-1)
    a.bind("tcp://127.0.0.1:*")
    b.connect(a.last_endpoint)
    poller = zmq.Poller()
    poller.register(a, zmq.POLLIN)

    def receive():
        if wait == "poller":
            poller.poll()
        return a.recv()

    def echo():
        for _ in range(100):
            b.send(b.recv())

    t = threading.Thread(target=echo)
    t.start()
    for _ in range(100):  # short waits: from now on it spins
        a.send(b"x")
        receive()
    t.join()
    old = signal.signal(signal.SIGUSR1, handler)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(Stop):
            receive()
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, old)


@fastmq_only("libzmq sleeps until a signal comes to the very thread")
def test_a_signal_that_ends_no_sleep_of_a_proxy_is_handled_all_the_same(make, name):
    """As one that comes just before the sleep: here another thread gets it."""

    class Stop(Exception):
        pass

    def handler(*_):
        raise Stop

    inward, onward = make(zmq.PULL), make(zmq.PUSH)
    source, sink = make(zmq.PUSH), make(zmq.PULL, rcvtimeo=8000)
    for inner, outer in ((inward, source), (onward, sink)):
        inner.bind(name())
        outer.connect(inner.last_endpoint)
    over = threading.Event()
    rescued = []

    def signals():
        source.send(b"x")
        sink.recv()  # the proxy runs
        over.wait(0.1)  # and sleeps by now
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        if not over.wait(8):
            rescued.append(True)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    old = signal.signal(signal.SIGUSR1, handler)
    thread = threading.Thread(target=signals)
    thread.start()
    try:
        with pytest.raises(Stop):
            zmq.proxy(inward, onward)
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, old)
    assert not rescued


def test_an_exception_in_a_handler_ends_the_call(make, endpoint):
    class Stop(Exception):
        pass

    def handler(*_):
        raise Stop

    sock = make(zmq.PULL, rcvtimeo=-1)
    endpoint.bind(sock)
    old = signal.signal(signal.SIGUSR2, handler)
    t = threading.Timer(0.03, os.kill, (os.getpid(), signal.SIGUSR2))
    t.start()
    try:
        with pytest.raises(Stop):
            sock.recv()
    finally:
        t.join()
        signal.signal(signal.SIGUSR2, old)


@pytest.mark.parametrize(
    "call",
    [
        "s.recv()",
        "s.recv_multipart()",
        "s.send(b'x')",
        "s.poll()",
        "p.poll()",
        "zmq.select([s], [], [])",
        "zmq.proxy(s, t)",
        "c.term()",
    ],
)
def test_ctrl_c_ends_every_wait(call):
    result = run_python(
        f"""
import os, signal, threading, sys, time
c = zmq.Context()
s = c.socket(zmq.DEALER); s.bind("tcp://127.0.0.1:*"); s.linger = 0
t = c.socket(zmq.ROUTER); t.bind("tcp://127.0.0.1:*"); t.linger = 0
p = zmq.Poller(); p.register(s, zmq.POLLIN)
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    {call}
except KeyboardInterrupt:
    print("interrupted")
    s.close(); t.close()
    c.term()
"""
    )
    assert result.stdout.strip() == "interrupted", result.stderr
    assert result.returncode == 0, result.stderr


def test_signals_reach_only_the_main_thread_and_others_wait_on(make, endpoint, ticking):
    sock = make(zmq.PULL, rcvtimeo=150)
    endpoint.bind(sock)
    ends = []

    def wait():
        try:
            sock.recv()
        except zmq.Again:
            ends.append("again")

    t = threading.Thread(target=wait)
    t.start()
    t.join()
    assert ends == ["again"]


BUSY_PROXY = """
import os, signal, threading
ctx = zmq.Context()
front, back = ctx.socket(zmq.PULL), ctx.socket(zmq.PUSH)
front.bind("inproc://front")
back.bind("inproc://back")
stop = threading.Event()

def push():
    with ctx.socket(zmq.PUSH) as s:
        s.linger = 0
        s.connect("inproc://front")
        while not stop.is_set():
            try:
                s.send(b"x" * 100, zmq.DONTWAIT)
            except zmq.Again:
                stop.wait(0.0001)

def pull():
    with ctx.socket(zmq.PULL) as s:
        s.connect("inproc://back")
        seen = 0
        while not stop.is_set():
            if s.poll(10):
                s.recv()
                seen += 1
                if seen == 2000:
                    os.kill(os.getpid(), signal.SIGINT)

threads = [threading.Thread(target=f) for f in (push, pull)]
for t in threads:
    t.start()
try:
    zmq.proxy(front, back)
except KeyboardInterrupt:
    print("interrupted", flush=True)
stop.set()
for t in threads:
    t.join()
ctx.destroy(0)
"""

FULL_PROXY = """
import os, signal, threading
ctx = zmq.Context()
front, back = ctx.socket(zmq.PULL), ctx.socket(zmq.ROUTER)
front.bind("inproc://front")
back.router_mandatory, back.sndhwm = 1, 1
back.bind("inproc://back")
dealer = ctx.socket(zmq.DEALER)
dealer.routing_id, dealer.rcvhwm = b"full", 1
dealer.connect("inproc://back")
dealer.send(b"here")
back.recv_multipart()
push = ctx.socket(zmq.PUSH)
push.connect("inproc://front")
for number in range(10):
    push.send_multipart([b"full", b"%d" % number])
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    zmq.proxy(front, back)
except KeyboardInterrupt:
    print("interrupted", flush=True)
ctx.destroy(0)
"""


@fastmq_only("its own code")
@pytest.mark.parametrize("code", [BUSY_PROXY, FULL_PROXY], ids=["busy", "full"])
def test_ctrl_c_ends_a_proxy_that_never_sleeps(code):
    done = run_python(code, timeout=20)
    assert done.stdout == "interrupted\n", done.stderr
    assert done.returncode == 0
