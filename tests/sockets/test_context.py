# SPDX-License-Identifier: MIT
import errno
import gc
import threading
import time
import warnings

import pytest
from helpers import eventually, raises_errno, recv, run_python
from target import IS_FASTMQ, fastmq_only, zmq

ZERO_COPY_RECV = 10  # has no name in pyzmq


def test_term_of_an_empty_context():
    ctx = zmq.Context()
    assert not ctx.closed
    ctx.term()
    assert ctx.closed
    ctx.term()


def test_context_manager_ends_the_context():
    with zmq.Context() as ctx:
        assert not ctx.closed
    assert ctx.closed


def test_destroy_closes_what_is_open():
    ctx = zmq.Context()
    socks = [ctx.socket(zmq.PUSH) for _ in range(5)]
    socks[0].connect("tcp://127.0.0.1:9")
    socks[0].send(b"x")
    ctx.destroy(linger=0)
    assert ctx.closed
    assert all(s.closed for s in socks)


WAITS = {
    "recv": lambda sock: sock.recv(),
    "recv_multipart": lambda sock: sock.recv_multipart(),
    "send": lambda sock: sock.send(b"x"),
    "poll": lambda sock: sock.poll(flags=zmq.POLLIN),
}


@fastmq_only("may hang or abort")
@pytest.mark.parametrize("wait", WAITS)
def test_destroy_ends_what_waits_with_context_terminated(wait):
    """A loop that ends on ContextTerminated ends by destroy() too."""
    ctx = zmq.Context()
    sock = ctx.socket(zmq.DEALER)
    ended = []

    def loop():
        with pytest.raises(zmq.ContextTerminated) as caught:
            WAITS[wait](sock)
        ended.append(caught.value.errno)

    thread = threading.Thread(target=loop)
    thread.start()
    # Until it waits: a polling thread is the only sign, and none that a program sees.
    time.sleep(0.1)
    ctx.destroy(linger=0)
    thread.join(8)
    assert ended == [zmq.ETERM]
    assert sock.closed
    with raises_errno(zmq.ENOTSOCK):
        sock.recv(zmq.DONTWAIT)


def test_a_socket_that_is_closed_alone_ends_what_waits_with_enotsock():
    if not IS_FASTMQ:
        pytest.skip("may abort")
    ctx = zmq.Context()
    sock = ctx.socket(zmq.PULL)
    ended = []

    def loop():
        with raises_errno(zmq.ENOTSOCK):
            sock.recv()
        ended.append(True)

    thread = threading.Thread(target=loop)
    thread.start()
    time.sleep(0.1)
    sock.close()
    thread.join(8)
    assert ended == [True]
    ctx.term()


def test_sockets_of_a_closed_context_cannot_be_made():
    ctx = zmq.Context()
    ctx.term()
    with pytest.raises(zmq.ZMQError):
        ctx.socket(zmq.PUSH)


def test_options_of_the_context():
    ctx = zmq.Context(io_threads=2)
    assert ctx.get(zmq.IO_THREADS) == 2
    assert ctx.get(zmq.MAX_SOCKETS) == 1023
    assert ctx.get(zmq.SOCKET_LIMIT) == 65535
    assert ctx.get(zmq.BLOCKY) == 1
    assert ctx.get(zmq.IPV6) == 0
    assert ctx.get(zmq.MAX_MSGSZ) == 2**31 - 1
    assert ctx.get(zmq.MSG_T_SIZE) == 64
    ctx.set(zmq.MAX_SOCKETS, 5)
    ctx.set(zmq.IPV6, 1)
    assert ctx.get(zmq.MAX_SOCKETS) == 5
    for value in (0, 1):
        ctx.set(ZERO_COPY_RECV, value)
        assert ctx.get(ZERO_COPY_RECV) == value
    with ctx.socket(zmq.PAIR) as s:
        assert s.getsockopt(zmq.IPV6) == 1
    for option, value in ((zmq.IO_THREADS, -1), (zmq.MAX_SOCKETS, 0), (999, 1)):
        with pytest.raises((zmq.ZMQError, ValueError)):
            ctx.set(option, value)
    ctx.term()


def test_more_sockets_than_allowed_are_refused():
    ctx = zmq.Context()
    ctx.set(zmq.MAX_SOCKETS, 3)
    socks = []
    with raises_errno(errno.EMFILE):
        for _ in range(10):
            socks.append(ctx.socket(zmq.PAIR))
    assert len(socks) == 3
    socks.pop().close()

    def again():
        try:
            socks.append(ctx.socket(zmq.PAIR))
        except zmq.ZMQError:
            return False
        return True

    eventually("room for one more", again)
    ctx.destroy(linger=0)


def test_unknown_types_are_refused(ctx):
    for kind in (-1, 99, 1000):
        with pytest.raises((zmq.ZMQError, ValueError, TypeError)):
            ctx.socket(kind)


def test_a_context_without_threads_cannot_use_the_network():
    ctx = zmq.Context(io_threads=0)
    with ctx.socket(zmq.PULL) as s:
        with raises_errno(zmq.EMTHREAD):
            s.bind("tcp://127.0.0.1:*")
    ctx.term()


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_several_background_threads(threads, endpoint):
    ctx = zmq.Context(io_threads=threads)
    pairs = []
    for _ in range(6):
        a, b = ctx.socket(zmq.PAIR), ctx.socket(zmq.PAIR)
        endpoint.connect(b, endpoint.bind(a))
        pairs.append((a, b))
    for a, b in pairs:
        b.send(b"x")
        assert recv(a) == b"x"
    ctx.destroy(linger=0)


def test_instance_is_one_until_it_ends():
    a = zmq.Context.instance()
    assert zmq.Context.instance() is a
    a.term()
    b = zmq.Context.instance()
    assert b is not a and not b.closed
    b.term()


def test_instances_of_threads_are_the_same():
    a = zmq.Context.instance()
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.append(zmq.Context.instance())) for _ in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(s is a for s in seen)
    a.term()


def test_term_ends_blocked_calls_with_eterm(endpoint):
    ctx = zmq.Context()
    pull, push = ctx.socket(zmq.PULL), ctx.socket(zmq.PUSH)
    endpoint.bind(pull)
    endpoint.bind(push)
    ends = []
    started = threading.Barrier(3)

    def blocked(call, sock):
        started.wait()
        try:
            call()
        except zmq.ContextTerminated as e:
            ends.append(e.errno)
        sock.close(0)

    threads = [
        threading.Thread(target=blocked, args=(pull.recv, pull)),
        threading.Thread(target=blocked, args=(lambda: push.send(b"x"), push)),
    ]
    for t in threads:
        t.start()
    started.wait()
    ctx.term()
    for t in threads:
        t.join()
    assert ends == [zmq.ETERM] * 2


def test_term_ends_polling_too():
    ctx = zmq.Context()
    pull = ctx.socket(zmq.PULL)
    pull.bind("tcp://127.0.0.1:*")
    ends = []

    def blocked():
        poller = zmq.Poller()
        poller.register(pull, zmq.POLLIN)
        try:
            poller.poll()
        except zmq.ContextTerminated as e:
            ends.append(e.errno)
        pull.close(0)

    t = threading.Thread(target=blocked)
    t.start()
    ctx.term()
    t.join()
    assert ends == [zmq.ETERM]


def test_term_waits_for_sockets_to_be_closed():
    ctx = zmq.Context()
    sock = ctx.socket(zmq.PUSH)
    done = threading.Event()

    def term():
        ctx.term()
        done.set()

    t = threading.Thread(target=term)
    t.start()
    assert not done.wait(0.05)
    sock.close()
    assert done.wait(8)
    t.join()


def test_every_call_after_term_began_says_eterm():
    ctx = zmq.Context()
    sock = ctx.socket(zmq.DEALER)
    sock.bind("tcp://127.0.0.1:*")
    t = threading.Thread(target=ctx.term)
    t.start()

    def ended():
        try:
            sock.recv(zmq.DONTWAIT)
        except zmq.ContextTerminated:
            return True
        except zmq.Again:
            pass
        return False

    eventually("ETERM", ended)
    for call in (
        lambda: sock.send(b"x"),
        sock.recv,
        lambda: sock.bind("tcp://127.0.0.1:*"),
        lambda: sock.connect("tcp://127.0.0.1:9"),
        lambda: sock.getsockopt(zmq.EVENTS),
    ):
        with pytest.raises(zmq.ContextTerminated):
            call()
    sock.close()
    t.join()


def test_a_forgotten_socket_warns(ctx):
    with pytest.warns(ResourceWarning):
        sock = ctx.socket(zmq.PUSH)
        del sock
        gc.collect()


def test_leaving_a_with_block_with_open_sockets_warns():
    with pytest.warns(ResourceWarning):
        with zmq.Context() as ctx:
            sock = ctx.socket(zmq.PUSH)
    assert sock.closed


def test_a_closed_socket_does_not_warn(ctx):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sock = ctx.socket(zmq.PUSH)
        sock.close()
        del sock
        gc.collect()


def test_shadow_shares_the_context(ctx):
    shadow = zmq.Context.shadow(ctx.underlying)
    a, b = ctx.socket(zmq.PAIR), shadow.socket(zmq.PAIR)
    a.bind("inproc://shared")
    b.connect("inproc://shared")
    b.send(b"x")
    assert recv(a) == b"x"
    a.close()
    b.close()
    del shadow
    gc.collect()
    assert not ctx.closed


def test_copies_are_shadows(ctx):
    import copy

    for other in (copy.copy(ctx), copy.deepcopy(ctx)):
        assert other.underlying == ctx.underlying
        del other
        gc.collect()
    assert not ctx.closed


@pytest.mark.parametrize("n", [200])
def test_many_sockets(ctx, n):
    socks = [ctx.socket(zmq.PAIR) for _ in range(n)]
    for i in range(0, n, 2):
        socks[i].bind(f"inproc://many-{i}")
        socks[i + 1].connect(f"inproc://many-{i}")
        socks[i].send(b"%d" % i)
    for i in range(0, n, 2):
        assert recv(socks[i + 1]) == b"%d" % i
    for s in socks:
        s.close(0)


def test_contexts_come_and_go():
    for _ in range(30):
        with zmq.Context() as ctx, ctx.socket(zmq.PULL) as a, ctx.socket(zmq.PUSH) as b:
            a.bind("tcp://127.0.0.1:*")
            b.connect(a.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode())
            b.send(b"x")
            assert recv(a) == b"x"


def test_stress_of_connecting_while_ending():
    for turn in range(10):
        ctx = zmq.Context()
        pub = ctx.socket(zmq.PUB)
        pub.bind("tcp://127.0.0.1:*")
        address = pub.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()

        def connect(ctx=ctx, address=address):
            sub = ctx.socket(zmq.SUB)
            sub.connect(address)
            sub.close()

        threads = [threading.Thread(target=connect) for _ in range(10)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        pub.close()
        ctx.term()
        assert ctx.closed, turn


# ---- the end of the interpreter ----


def clean(result, out=""):
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == out


def test_exit_with_a_live_context_and_sockets():
    clean(
        run_python(
            """
ctx = zmq.Context()
a = ctx.socket(zmq.PULL); a.bind("tcp://127.0.0.1:*")
b = ctx.socket(zmq.PUSH); b.linger = 0
b.connect(a.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\\0").decode())
b.send(b"x"); assert a.recv() == b"x"
print("end")
"""
        ),
        "end",
    )


def test_exit_with_live_sockets_of_the_instance():
    clean(
        run_python(
            """
s = zmq.Context.instance().socket(zmq.ROUTER); s.bind("tcp://127.0.0.1:*")
print("end")
"""
        ),
        "end",
    )


def test_exit_with_a_daemon_thread_in_recv():
    clean(
        run_python(
            """
import threading
ctx = zmq.Context()
s = ctx.socket(zmq.PULL); s.bind("tcp://127.0.0.1:*")
def run():
    try:
        s.recv()
    except zmq.ZMQError:
        pass
threading.Thread(target=run, daemon=True).start()
import os
print("end", flush=True)
os._exit(0) if zmq.__name__ == "zmq" else None
"""
        ),
        "end",
    )


@fastmq_only("waits for ever for the linger at exit")
def test_exit_with_unsent_messages_and_endless_linger_does_not_hang():
    clean(
        run_python(
            """
s = zmq.Context.instance().socket(zmq.PUSH)
s.connect("tcp://127.0.0.1:9"); s.send(b"never taken")
print("end")
"""
        ),
        "end",
    )


def test_exit_in_the_middle_of_traffic_delivers_what_was_sent():
    clean(
        run_python(
            """
import os, sys
ctx = zmq.Context()
a = ctx.socket(zmq.PULL); a.bind("ipc://@exit-%d" % os.getpid())
b = ctx.socket(zmq.PUSH); b.connect("ipc://@exit-%d" % os.getpid())
for i in range(1000): b.send(b"%d" % i)
for i in range(1000): assert a.recv() == b"%d" % i
a.close(); b.close(); ctx.term()
print("end")
"""
        ),
        "end",
    )


# ---- fork ----


@pytest.mark.forks
@fastmq_only("hangs or crashes in the child")
def test_a_child_sees_dead_handles_and_can_close_them():
    clean(
        run_python(
            """
import os
ctx = zmq.Context(); s = ctx.socket(zmq.PULL); s.bind("tcp://127.0.0.1:*")
pid = os.fork()
if pid == 0:
    code = 0
    for call in (
        lambda: s.recv(zmq.DONTWAIT),
        lambda: s.bind("inproc://x"),
        lambda: ctx.socket(zmq.PULL),
    ):
        try:
            call()
            code |= 1
        except zmq.ZMQError:
            pass
    s.close()
    ctx.term()
    os._exit(code)
_, status = os.waitpid(pid, 0)
assert status == 0, status
p = ctx.socket(zmq.PUSH); p.connect(s.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip(chr(0)))
p.send(b"x"); assert s.recv() == b"x"
p.close(); s.close(); ctx.term()
print("end")
"""
        ),
        "end",
    )


@pytest.mark.forks
@pytest.mark.skipif(not IS_FASTMQ, reason="zmq: may hang in the child")
def test_instance_is_fresh_after_fork():
    clean(
        run_python(
            """
import os
first = zmq.Context.instance()
s = first.socket(zmq.PULL); s.bind("inproc://a")
pid = os.fork()
if pid == 0:
    second = zmq.Context.instance()
    ok = second is not first and not second.closed
    a = second.socket(zmq.PAIR); a.bind("tcp://127.0.0.1:*")
    b = second.socket(zmq.PAIR); b.connect(a.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip(chr(0)))
    b.send(b"x"); ok = ok and a.recv() == b"x"
    a.close(); b.close(); second.term()
    os._exit(0 if ok else 1)
_, status = os.waitpid(pid, 0)
assert status == 0, status
s.close(); first.term()
print("end")
"""
        ),
        "end",
    )


@pytest.mark.forks
@fastmq_only("keeps the parent's connections open in the child")
def test_the_descriptors_of_the_parent_are_closed_in_the_child():
    clean(
        run_python(
            """
import os
def sockets():
    n = 0
    for f in os.listdir("/proc/self/fd"):
        try:
            n += os.readlink("/proc/self/fd/" + f).startswith(("socket:", "anon_inode:"))
        except OSError:
            pass
    return n
before = sockets()
ctx = zmq.Context(); s = ctx.socket(zmq.PULL); s.bind("tcp://127.0.0.1:*")
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os._exit(0 if sockets() <= before else 1)
_, status = os.waitpid(pid, 0)
s.close(); ctx.term()
assert status == 0
print("end")
"""
        ),
        "end",
    )


def test_multiprocessing_children_use_contexts_of_their_own():
    clean(
        run_python(
            """
import os, sys, subprocess
ctx = zmq.Context(); a = ctx.socket(zmq.PULL); a.bind("tcp://127.0.0.1:*")
address = a.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip(chr(0))
code = ("import sys; sys.path[:0] = %r; from target import zmq; c = zmq.Context(); "
        "s = c.socket(zmq.PUSH); s.connect(sys.argv[1]); s.send(b'from child'); "
        "s.close(); c.term()" % (sys.path,))
subprocess.run([sys.executable, "-c", code, address], check=True)
assert a.recv() == b"from child"
a.close(); ctx.term()
print("end")
"""
        ),
        "end",
    )


@fastmq_only("names no option")
def test_an_error_of_a_context_option_does_not_repeat_what_went_wrong_before():
    with zmq.Context() as ctx:
        with raises_errno(errno.EINVAL):
            ctx.socket(999)
        with pytest.raises(zmq.ZMQError) as caught:
            ctx.set(zmq.IO_THREADS, -1)
    assert "999" not in str(caught.value)
    assert "(context option IO_THREADS = -1)" in str(caught.value)


def test_subclasses_have_the_attributes_that_they_annotate():
    class Noted(zmq.Context):
        note: str

    class More(Noted):
        other: "NotThere"  # noqa: F821

    with More() as context:
        context.note, context.other = "x", "y"
        assert (context.note, context.other) == ("x", "y")
        with pytest.raises(AttributeError):
            context.neither = 1


@fastmq_only("hangs in the garbage collection")
@pytest.mark.parametrize("order", ["sockets, ctx", "ctx, *sockets"])
def test_a_context_that_is_garbage_with_its_sockets_is_not_waited_for(order):
    """What is unread between them would keep the collection waiting for ever."""
    done = run_python(
        f"""
import gc
class Box: pass
def make():
    box = Box()
    ctx = zmq.Context()
    sockets = [ctx.socket(zmq.PAIR) for _ in range(2)]
    sockets[0].bind("inproc://x")
    sockets[1].connect("inproc://x")
    sockets[1].send(b"unread")
    box.all = (box, {order})
make()
gc.collect()
print("collected")
"""
    )
    assert done.stdout == "collected\n", done.stderr


@fastmq_only("about its own text")
def test_the_name_of_a_type_is_no_type(ctx):
    with pytest.raises(TypeError, match=r"a constant such as fastmq\.REQ: 'REQ'"):
        ctx.socket("REQ")
