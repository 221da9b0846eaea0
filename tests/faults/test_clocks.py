# SPDX-License-Identifier: MIT
"""Clocks that are set: no wait, heartbeat or linger may notice."""

import os
import shutil
import subprocess
import sys

import pytest
from process import PRELUDE
from target import IS_FASTMQ

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs LD_PRELOAD"),
    pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="something else is preloaded"),
]

# The time of day as it is seen while somebody sets the clock a week back and forth all the time.
RESTLESS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

static long jump(void)
{
    static int calls;
    return __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % 2 ? 600000 : -600000;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(id, t);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
        t->tv_sec += jump();
    return rc;
}

int gettimeofday(struct timeval *t, void *zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
"""

# Everything that has a time limit, used and measured.
LIMITS = """
import asyncio
asyncio_of = __import__(zmq.__name__ + ".asyncio", fromlist=["x"])

def within(what, low, high, call):
    began = time.monotonic()
    try:
        call()
    except zmq.Again:
        pass
    took = time.monotonic() - began
    if not low <= took < high:
        say(f"{what} took {took} s")
        os._exit(1)

ctx = zmq.Context()
a, b = ctx.socket(zmq.PAIR), ctx.socket(zmq.PAIR)
for s in (a, b):
    s.setsockopt(zmq.HEARTBEAT_IVL, 30)
    s.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3000)
    s.setsockopt(zmq.HEARTBEAT_TTL, 3000)
    s.setsockopt(zmq.LINGER, 0)
a.monitor("inproc://events", zmq.EVENT_DISCONNECTED)
events = ctx.socket(zmq.PAIR)
events.connect("inproc://events")
a.bind("tcp://127.0.0.1:*")
b.connect(last_endpoint(a))
b.send(b"x")
assert a.recv() == b"x"
a.setsockopt(zmq.RCVTIMEO, 200)
within("recv", 0.19, 2, a.recv)
within("recv by another thread", 0.19, 2, lambda: (
    t := threading.Thread(target=lambda: within("recv", 0.19, 2, a.recv)), t.start(), t.join()))
pair = [threading.Thread(target=within, args=("two receivers", 0.19, 2, a.recv)) for _ in "12"]
[t.start() for t in pair], [t.join() for t in pair]
within("poll", 0.19, 2, lambda: a.poll(200))
poller = zmq.Poller()
poller.register(a, zmq.POLLIN)
within("Poller.poll", 0.19, 2, lambda: poller.poll(200))
full = ctx.socket(zmq.PUSH)
full.setsockopt(zmq.SNDTIMEO, 200)
within("send", 0.19, 2, lambda: full.send(b"x"))
full.setsockopt(zmq.LINGER, 0)
full.connect("ipc://" + sys.argv[1] + "-nobody")
tracker = full.send(bytes(100_000), copy=False, track=True)

def wait_for_tracker():
    try:
        tracker.wait(0.2)
    except zmq.NotDone:
        pass

within("tracker", 0.19, 2, wait_for_tracker)
if zmq.__name__ == "fastmq":  # two that wait for different times on one socket
    longer = threading.Thread(target=lambda: within("longer", 2.9, 6, lambda: a.recv(timeout=3000)))
    longer.start()
    time.sleep(0.1)
    within("shorter", 0.19, 2, lambda: a.recv(timeout=200))
    longer.join()

async def main():
    c = asyncio_of.Context.shadow(ctx.underlying).socket(zmq.PULL)
    assert await c.poll(200) == 0
    c.close()

within("asyncio", 0.19, 2, lambda: asyncio.run(main()))
assert not events.poll(300), "heartbeats lost a connection that is well"
b.send(b"y")
assert a.recv() == b"y"

late = ctx.socket(zmq.PUSH)
late.setsockopt(zmq.RECONNECT_IVL, 20)
late.setsockopt(zmq.LINGER, 200)
late.connect("ipc://" + sys.argv[1])
late.send(b"late")
time.sleep(0.1)
pull = ctx.socket(zmq.PULL)
pull.bind("ipc://" + sys.argv[1])
within("reconnection", 0, 2, pull.recv)
pull.close()
late.send(b"never taken")
for s in (a, b, full, late, events):
    s.close()
within("linger", 0.05, 2, ctx.term)
say("kept")
"""


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_setting_the_time_of_day_changes_no_limit(child, tmp_path):
    source, library = tmp_path / "restless.c", tmp_path / "restless.so"
    source.write_text(RESTLESS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    one = child(LIMITS, tmp_path / "s", LD_PRELOAD=str(library))
    assert one.says("verdict", 20_000) == "kept"
    assert one.ends() == 0


@pytest.mark.skipif(not IS_FASTMQ, reason="is about the engine's clock")
def test_a_monotonic_clock_of_another_beginning_serves_as_well(child, tmp_path):
    """As in a container that was moved here: a time namespace whose clock is months ahead."""
    enter = """
if libc.unshare(0x80):  # CLONE_NEWTIME
    say("sorry: " + os.strerror(ctypes.get_errno()))
    os._exit(0)
before = time.monotonic()
with open("/proc/self/timens_offsets", "w") as f:
    f.write("monotonic 9000000 0\\n")
pid = os.fork()
if pid:
    os._exit(os.waitpid(pid, 0)[1])
libc.prctl(1, 9, 0, 0, 0)
assert time.monotonic() > before + 8999999
"""
    # Before the module under test is there: it may look at the clock as soon as it is loaded.
    prelude = PRELUDE.replace("from target import zmq", enter + "from target import zmq")
    one = child(LIMITS, tmp_path / "s", prelude=prelude)
    said = one.says("verdict", 20_000)
    if str(said).startswith("sorry"):
        pytest.skip(f"no time namespaces: {said}")
    assert said == "kept"
