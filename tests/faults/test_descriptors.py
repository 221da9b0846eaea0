# SPDX-License-Identifier: MIT
"""Running out of descriptors: in accept, in connect, and wherever a socket needs some."""

import errno
import os
import socket
import sys
import time

import pytest
from helpers import WAIT_MS, eventually, last_endpoint, recv, run_python
from target import fastmq_only, zmq

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
    fastmq_only("aborts the process, or burns a core"),
]

streams = pytest.mark.parametrize("endpoint", ["tcp", "ipc"], indirect=True)

LIMITED = """
import errno, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
hoard = []

def take_all(but=0):
    try:
        while True:
            hoard.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as e:
        assert e.errno == errno.EMFILE
    for _ in range(but):
        os.close(hoard.pop())

def give_back():
    while hoard:
        os.close(hoard.pop())
"""

BUSY = 0.25
"""Processor time in a second that a process may use which can do nothing but wait."""


def idles(one):
    before = one.cpu_seconds()
    time.sleep(1)
    assert one.cpu_seconds() - before < BUSY, "it keeps the processor busy"


SERVER = (
    LIMITED
    + """
ctx = zmq.Context()
rep = ctx.socket(zmq.REP)
rep.monitor("inproc://events", zmq.EVENT_ACCEPT_FAILED)
events = ctx.socket(zmq.PAIR)
events.connect("inproc://events")
rep.bind(sys.argv[1])
say(last_endpoint(rep))

def answer():
    while True:
        rep.send(rep.recv())

threading.Thread(target=answer, daemon=True).start()
hear()
take_all()
say("nothing is left")
event, _ = events.recv_multipart()
say(int.from_bytes(event[2:6], sys.byteorder))
hear()
give_back()
failures = 0
while events.poll(0):
    events.recv_multipart()
    failures += 1
say(failures)
hear()
"""
)

MANY = 100
"""Accept does not fail so often where each failure is followed by a rest."""


@pytest.mark.slow
@streams
def test_who_cannot_be_accepted_waits_and_gets_in_later(make, endpoint, child):
    server = child(SERVER, endpoint.wildcard)
    address = server.says("address")
    old, new = make(zmq.REQ), make(zmq.REQ)
    old.connect(address)
    old.send(b"1")
    assert recv(old) == b"1"
    server.hears("take all")
    server.says()
    new.connect(address)
    new.send(b"waits")
    assert server.says("ACCEPT_FAILED") == errno.EMFILE
    idles(server)
    assert not new.poll(0)
    old.send(b"2")
    assert recv(old, "answer meanwhile") == b"2"
    server.hears("give back")
    assert server.says("number of failures") < MANY
    assert recv(new, "answer to the one that waited") == b"waits"


@pytest.mark.slow
def test_a_server_full_of_peers_takes_the_next_when_one_leaves(make, child):
    """Descriptors that peers hold come back one by one, at no event of the listener's."""
    server = child(SERVER, "tcp://127.0.0.1:*")
    address = server.says("address")
    host, port = address.removeprefix("tcp://").split(":")
    crowd = []
    try:
        for _ in range(300):
            crowd.append(socket.create_connection((host, int(port))))
        server.hears("take all, which is nothing")
        server.says()
        assert server.says("ACCEPT_FAILED") == errno.EMFILE
        idles(server)
        req = make(zmq.REQ)
        req.connect(address)
        req.send(b"let me in")
        assert not req.poll(100)
        while crowd:
            crowd.pop().close()
        assert recv(req, "answer") == b"let me in"
        server.hears("end")
        assert server.says("number of failures") < MANY
    finally:
        for one in crowd:
            one.close()


@pytest.mark.slow
@streams
def test_connect_without_descriptors_tries_again_until_it_has_one(make, endpoint, child):
    pull = make(zmq.PULL)
    one = child(
        LIMITED
        + """
push = zmq.Context().socket(zmq.PUSH)
push.setsockopt(zmq.RECONNECT_IVL, 10)
take_all()
push.connect(sys.argv[1])
push.send(b"first")
say("connected")
hear()
give_back()
push.send(b"second")
hear()
""",
        endpoint.bind(pull),
    )
    one.says()
    idles(one)
    assert not pull.poll(0)
    one.hears("give back")
    assert [recv(pull), recv(pull)] == [b"first", b"second"]


@pytest.mark.slow
def test_a_lost_connection_is_made_again_when_descriptors_are_back(make, child, watch):
    """The one that was lost is taken by somebody else before the reconnection."""
    router = make(zmq.ROUTER)
    router.bind("tcp://127.0.0.1:*")
    address = last_endpoint(router)
    events = watch(router)
    one = child(
        LIMITED
        + """
ctx = zmq.Context()
dealer = ctx.socket(zmq.DEALER)
dealer.setsockopt(zmq.RECONNECT_IVL, 300)
dealer.setsockopt(zmq.ROUTING_ID, b"D")
dealer.monitor("inproc://events", zmq.EVENT_DISCONNECTED)
events = ctx.socket(zmq.PAIR)
events.connect("inproc://events")
dealer.connect(sys.argv[1])
dealer.send(b"first")
take_all()
say("ready")
events.recv_multipart()
had = len(hoard)
while len(hoard) == had:
    take_all()
say("taken")
hear()
give_back()
dealer.send(b"second")
hear()
""",
        address,
    )
    assert router.recv_multipart() == [b"D", b"first"]
    events.wait(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    one.says()
    router.unbind(address)
    assert one.says() == "taken"
    router.bind(address)
    idles(one)
    assert events.silent(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    one.hears("give back")
    assert router.poll(WAIT_MS)
    assert router.recv_multipart() == [b"D", b"second"]


EVERY_STEP = (
    LIMITED
    + """
from fastmq import _core
folder = sys.argv[1]

def use():
    '''A bit of everything that needs descriptors.'''
    ctx = zmq.Context()
    made = []
    try:
        def socket(kind):
            made.append(ctx.socket(kind))
            made[-1].linger = 0
            made[-1].rcvtimeo = made[-1].sndtimeo = 5000
            return made[-1]
        a, b = socket(zmq.PAIR), socket(zmq.PAIR)
        events = a.get_monitor_socket()
        made.append(events)
        a.bind("ipc://" + folder + "/a")
        a.bind("tcp://127.0.0.1:*")
        a.FD, b.FD
        poller = zmq.Poller()
        poller.register(a, zmq.POLLIN)
        poller.poll(0)
        with open("/dev/null") as f:
            pass
        b.connect("inproc://nobody")
        wild = socket(zmq.PULL)
        wild.bind("ipc://*")
        wild.bind("inproc://wild")
        auth = socket(zmq.REP)
        auth.setsockopt(zmq.ZAP_DOMAIN, b"global")
        auth.bind("tcp://127.0.0.1:*")
    finally:
        for sock in made:
            sock.close()
        ctx.term(timeout=5000)

use()
before = sorted(os.listdir("/proc/self/fd")), _core.open_fds()
failures = 0
for left in range(80):
    take_all(but=left)
    try:
        use()
        done = True
    except (OSError, zmq.ZMQError) as e:
        assert e.errno == errno.EMFILE, (left, e)
        done = False
        failures += 1
    give_back()
    assert (sorted(os.listdir("/proc/self/fd")), _core.open_fds()) == before, left
    assert not os.listdir(folder), left
    if done:
        break
say(failures)
"""
)


def test_every_call_that_finds_no_descriptor_says_so_and_leaves_none(child, tmp_path):
    failures = child(EVERY_STEP, tmp_path, TMPDIR=str(tmp_path)).says("verdict", 20_000)
    assert 10 < failures < 79


def test_an_event_loop_survives_a_shortage(child):
    one = child(
        LIMITED
        + """
import asyncio
import fastmq.asyncio as aio

async def main():
    ctx = aio.Context()
    a, b = ctx.socket(zmq.PAIR), ctx.socket(zmq.PAIR)
    a.bind("tcp://127.0.0.1:*")
    b.connect(last_endpoint(a))
    await b.send(b"1")
    assert await a.recv() == b"1"
    take_all()
    c = ctx.socket(zmq.PAIR)  # takes none
    for call in (lambda: c.bind("tcp://127.0.0.1:*"), lambda: aio.Context().socket(zmq.PAIR)):
        try:
            call()
            say("done without a descriptor")
        except zmq.ZMQError as e:
            assert e.errno == errno.EMFILE
    await b.send(b"2")
    assert await asyncio.wait_for(a.recv(), 5) == b"2"
    give_back()
    a.bind("inproc://x")
    a.close(); b.close(); c.close(); ctx.term()

asyncio.run(main())
say("end")
"""
    )
    assert one.says() == "end"
    assert one.ends() == 0


def test_a_full_process_does_not_take_an_ipc_path_for_served(child, tmp_path):
    """Whether a server lives behind a path takes a descriptor to find out."""
    path = tmp_path / "left over"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    one = child(
        LIMITED
        + """
pull = zmq.Context().socket(zmq.PULL)
take_all(but=1)
try:
    pull.bind("ipc://" + sys.argv[1])
except zmq.ZMQError as e:
    say([e.errno, str(e)])
give_back()
pull.bind("ipc://" + sys.argv[1])
say("bound")
""",
        path,
    )
    number, text = one.says()
    assert number == errno.EMFILE, text
    assert one.says() == "bound"
    assert eventually("it ended", lambda: one.process.poll() is not None)


CLOSES = """
import os, sys, time

def ours(before):
    names = {}
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            names[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            pass
    return {fd: name for fd, name in names.items() if before.get(fd) != name}

def close_ours(before, kinds):
    for fd, name in ours(before).items():
        if any(kind in name for kind in kinds.split(",")):
            os.close(fd)

before = ours({})
ctx = zmq.Context()
a, b = ctx.socket(zmq.DEALER), ctx.socket(zmq.DEALER)
a.bind("tcp://127.0.0.1:*")
b.connect(a.last_endpoint)
b.send(b"1")
assert a.recv(timeout=8000) == b"1"
for s in a, b:
    s.rcvtimeo = 8000
"""

# poll(2) has no descriptor that could be closed, and says nothing of one that it is to watch.
needs_a_poller_descriptor = pytest.mark.skipif(
    os.environ.get("FASTMQ_POLLER") == "poll", reason="this poller has no descriptor"
)
KINDS_OF_DESCRIPTORS = ["eventpoll", "eventfd", "eventpoll,eventfd", "eventpoll,eventfd,socket"]


@needs_a_poller_descriptor
@pytest.mark.parametrize("kinds", KINDS_OF_DESCRIPTORS)
def test_a_program_that_closes_what_is_not_its_own_is_told_and_ends(kinds):
    """As closing all descriptors above 2 does, in a program that becomes a daemon."""
    done = run_python(
        CLOSES
        + """
close_ours(before, sys.argv[1])
try:
    a.recv()
    print("received")
except zmq.ZMQError as e:
    print(type(e).__name__, e)
used = time.process_time()
time.sleep(0.3)
print(time.process_time() - used < 0.1)
for s in a, b:
    s.close()
ctx.term()
print("ended")
""",
        kinds,
        timeout=30,
    )
    lines = done.stdout.splitlines()
    assert lines[-2:] == ["True", "ended"], (done.stdout, done.stderr)
    if "eventpoll" in kinds:
        assert "was closed by another part of the program" in lines[0]
    assert done.returncode == 0
    assert done.stderr.count("was closed by another part") <= 1


@needs_a_poller_descriptor
@pytest.mark.parametrize("kinds", KINDS_OF_DESCRIPTORS)
def test_messages_that_wait_do_not_keep_such_a_program_alive(kinds):
    done = run_python(
        CLOSES
        + """
c = ctx.socket(zmq.DEALER)
c.connect("tcp://127.0.0.1:1")
c.send(b"never")
close_ours(before, sys.argv[1])
for s in a, b, c:
    s.close()
ctx.term()
print("ended")
""",
        kinds,
        timeout=30,
    )
    assert done.stdout == "ended\n", done.stderr
