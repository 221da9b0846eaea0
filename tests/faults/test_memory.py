# SPDX-License-Identifier: MIT
"""Running out of memory: a process whose address space is limited (RLIMIT_AS)."""

import os
import sys
import time

import pytest
from helpers import eventually
from target import fastmq_only, zmq

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS and /proc"),
    pytest.mark.skipif(
        "libasan" in os.environ.get("LD_PRELOAD", ""), reason="asan reserves memory"
    ),
    fastmq_only("aborts the process"),
]

MIB = 1 << 20

LIMITED = """
import resource
MIB = 1 << 20

def limit(more):
    '''From now on the process may take `more` bytes on top of what it has.'''
    has = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + more, resource.RLIM_INFINITY))

def lift():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def test_a_message_too_large_to_be_made_raises_and_the_socket_works_on(child, endpoint):
    """Of each form that takes memory; what is queued before it and after it arrives."""
    one = child(
        LIMITED
        + """
ctx = zmq.Context()
a, b = ctx.socket(zmq.PAIR), ctx.socket(zmq.PAIR)
a.rcvtimeo = b.sndtimeo = 5000
a.bind(sys.argv[1])
b.connect(last_endpoint(a))
b.send(b"first")
assert a.recv() == b"first"
big = bytes(40 * MIB)
limit(24 * MIB)
for n in range(3):
    for make in (
        lambda: b.send(bytearray(big)),
        lambda: b.send_string("x" * len(big)),
        lambda: b.send_multipart([b"head", bytes(len(big))]),
        lambda: b.send_pyobj([big]),
        lambda: zmq.Frame(memoryview(big)[1:], copy=True).bytes,
    ):
        b.send(b"before")
        try:
            make()
            say("no error")
        except (MemoryError, zmq.ZMQError) as e:
            assert isinstance(e, MemoryError) or e.errno == 12, e
        b.send_multipart([b"after", b"it"])
        assert a.recv() == b"before"
        assert a.recv_multipart() == [b"after", b"it"]
a.close(); b.close(); ctx.term(timeout=5000)
say("end")
""",
        endpoint.wildcard if endpoint.kind != "tcp6" else "tcp://127.0.0.1:*",
    )
    assert one.says("end of it", 15_000) == "end"
    assert one.ends() == 0


RECEIVER = (
    LIMITED
    + """
pull = zmq.Context().socket(zmq.PULL)
pull.bind(sys.argv[1])
say(last_endpoint(pull))
limit(24 * MIB)
while True:
    message = pull.recv_multipart()
    say([len(part) for part in message])
    del message
"""
)


@pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)
def test_a_message_too_large_to_be_received_harms_its_own_connection_alone(make, endpoint, child):
    server = child(RECEIVER, endpoint.wildcard)
    address = server.says("address")
    small, large = make(zmq.PUSH), make(zmq.PUSH)
    small.connect(address)
    large.connect(address)
    small.send(b"before")
    assert server.says() == [6]
    large.send_multipart([b"head", bytes(60 * MIB)])
    for n in range(3):
        small.send(bytes(n))
        assert server.says() == [n]
    eventually("nothing to do but wait", lambda: idles(server))
    large.close()
    for _ in range(3):  # the memory is there again
        third = make(zmq.PUSH)
        third.connect(address)
        third.send_multipart([b"fits", bytes(10 * MIB)])
        assert server.says() == [4, 10 * MIB]
        third.close()


def idles(one):
    before = one.cpu_seconds()
    time.sleep(0.3)
    return one.cpu_seconds() - before < 0.1


def test_sockets_that_there_is_no_memory_for_raise_and_leave_nothing(child):
    one = child(
        LIMITED
        + """
from fastmq import _core
def use():
    with zmq.Context(io_threads=8) as ctx, ctx.socket(zmq.PAIR) as a, ctx.socket(zmq.PAIR) as b:
        a.linger = b.linger = 0
        a.rcvtimeo = 5000
        a.bind("tcp://127.0.0.1:*")
        b.connect(last_endpoint(a))
        b.send(b"x")
        assert a.recv() == b"x"

before = _core.open_fds()
failures = 0
for more in range(MIB // 2, 12 * MIB, MIB):  # a thread takes 1 MiB
    limit(more)
    try:
        use()
    except (MemoryError, zmq.ZMQError):
        failures += 1
    finally:
        lift()
    assert _core.open_fds() == before, more
use()
say(failures)
"""
    )
    assert one.says("verdict", 15_000) > 0
    assert one.ends() == 0
