# SPDX-License-Identifier: MIT
"""The window into a running program: who may look, and what is seen."""

import errno
import json
import os
import re
import signal
import socket as pysocket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import WAIT_MS, eventually, fill, free_port, last_endpoint
from target import fastmq_only, zmq

pytestmark = fastmq_only("looks into fastmq's engine")

inspect = pytest.importorskip("fastmq.inspect")

posix = pytest.mark.skipif(not hasattr(pysocket, "AF_UNIX"), reason="needs unix sockets")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A directory of the test's own for the sockets; short, as paths of sockets have to be."""
    folder = Path(f"/tmp/fmqw{os.getpid()}")
    folder.mkdir(0o700, exist_ok=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder / "fastmq"
    inspect.stop()
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture
def tcp_address():
    """One that can be connected to before it is bound."""
    return f"tcp://127.0.0.1:{free_port()}"


def seen():
    """Other programs of this user may be there, too, in its other directories."""
    return {p.pid for p in inspect.processes()}


def sockets(snapshot):
    return [s for context in snapshot["contexts"] for s in context["sockets"]]


def view(sock, **query):
    """What a snapshot of this process says of a socket."""
    endpoint = last_endpoint(sock)
    kind = sock.type.name
    found = [
        s
        for s in sockets(inspect.snapshot(**query))
        if s["type"] == kind and s["last_endpoint"] == endpoint
    ]
    assert len(found) == 1, found
    return found[0]


PROGRAM = """
import sys, fastmq as zmq
pub = zmq.Context().socket(zmq.PUB)
pub.bind("tcp://127.0.0.1:*")
print(pub.last_endpoint.decode(), flush=True)
{body}
"""


class Child:
    """A program that binds a PUB and then does as it is told."""

    def __init__(self, body="sys.stdin.read()", **env):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(body=body)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
        )
        self.pid = self.process.pid
        self.endpoint = self.line()

    def line(self):
        text = self.process.stdout.readline().strip()
        assert text, "the program has ended"
        return text

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


# ---- who may look ----


@posix
def test_a_program_that_allows_it_can_be_looked_at_from_outside(place):
    with Child(FASTMQ_INSPECT="1") as child:
        (command,) = [p.command for p in inspect.processes() if p.pid == child.pid]
        assert "zmq.PUB" in command
        told = inspect.snapshot(child.pid)
        assert told["pid"] == child.pid
        (pub,) = sockets(told)
        assert (pub["type"], pub["state"], pub["last_endpoint"]) == ("PUB", "open", child.endpoint)
        assert pub["endpoints"][0]["state"] == "listening"


@posix
@pytest.mark.parametrize("value", ["", "0"])
def test_a_program_that_does_not_allow_it_says_how(place, value):
    with Child(FASTMQ_INSPECT=value) as child:
        assert child.pid not in seen()
        with pytest.raises(inspect.Unavailable, match="start it with FASTMQ_INSPECT=1"):
            inspect.snapshot(child.pid)


@posix
def test_a_process_that_does_not_exist_is_named():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(inspect.Unavailable, match=f"there is no process {child.pid}"):
        inspect.snapshot(child.pid)


@posix
def test_a_program_that_is_stuck_in_python_can_be_looked_at(place):
    """One call of C that keeps the interpreter lock for good."""
    body = "import re; print('stuck', flush=True); re.match(r'(a+)+$', 'a' * 64 + 'b')"
    with Child(body, FASTMQ_INSPECT="1") as child:
        assert child.line() == "stuck"
        for _ in range(3):
            assert sockets(inspect.snapshot(child.pid))[0]["last_endpoint"] == child.endpoint


@posix
def test_the_directory_and_the_socket_are_the_users_own(place):
    path = Path(inspect.serve())
    assert path == place / str(os.getpid())
    assert path == Path(inspect.serving())
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert place.stat().st_uid == os.geteuid()
    assert stat.S_ISSOCK(path.stat().st_mode)
    inspect.stop()
    assert inspect.serving() is None
    assert not path.exists()


@posix
@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777])
def test_a_directory_that_others_may_enter_is_refused_on_both_sides(place, mode):
    place.mkdir()
    place.chmod(mode)
    with pytest.raises(zmq.ZMQError, match="belongs to this user alone") as caught:
        inspect.serve()
    assert caught.value.errno == errno.EPERM
    assert os.getpid() not in seen()


@posix
def test_a_link_in_the_place_of_the_directory_is_refused(place, tmp_path):
    (tmp_path / "elsewhere").mkdir(0o700)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(zmq.ZMQError, match="belongs to this user alone"):
        inspect.serve()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@posix
def test_without_a_runtime_directory_the_one_in_tmp_is_used(monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    path = inspect.serve()
    assert path == f"/tmp/fastmq-{os.geteuid()}/{os.getpid()}"
    assert os.getpid() in seen()


@posix
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to be another user"
)
def test_another_user_is_sent_away_even_if_it_reaches_the_socket(place):
    """The directory keeps it out; here that is opened for it."""
    path = Path(inspect.serve())
    for folder in (place.parent, place):
        folder.chmod(0o755)
    path.chmod(0o777)
    code = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX)\n"
        "s.connect(sys.argv[1])\n"
        "try:\n s.sendall(b'snapshot\\n'); print(len(s.recv(100)))\n"
        "except (BrokenPipeError, ConnectionResetError): print(0)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=30
    )
    assert ran.stdout == "0\n", ran.stderr


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="needs root")
def test_a_program_that_gives_up_its_rights_is_served_to_the_user_who_started_it(place):
    body = "import os; os.setuid(65534); print('gone', flush=True); sys.stdin.read()"
    with Child(body, FASTMQ_INSPECT="1") as child:
        assert child.line() == "gone"
        assert [s["type"] for s in sockets(inspect.snapshot(child.pid))] == ["PUB"]


@posix
def test_what_a_killed_process_left_behind_is_removed(place):
    with Child(FASTMQ_INSPECT="1") as child:
        path = place / str(child.pid)
        assert path.exists()
        child.process.send_signal(signal.SIGKILL)
        child.process.wait()
        assert path.exists()
        assert child.pid not in seen()
        assert not path.exists()


@posix
def test_a_path_that_a_process_of_the_same_number_left_is_taken_over(place):
    place.mkdir(0o700)
    path = place / str(os.getpid())
    with pysocket.socket(pysocket.AF_UNIX) as old:
        old.bind(str(path))
    assert inspect.serve() == str(path)
    assert inspect.snapshot(os.getpid())["pid"] == os.getpid()


@posix
def test_a_path_that_another_process_serves_is_left_alone(place):
    """Two containers may share the directory and have the same numbers."""
    place.mkdir(0o700)
    with pysocket.socket(pysocket.AF_UNIX) as other:
        other.bind(str(place / str(os.getpid())))
        other.listen()
        with pytest.raises(zmq.ZMQError) as caught:
            inspect.serve()
    assert caught.value.errno == errno.EADDRINUSE


@posix
@pytest.mark.skipif(not hasattr(pysocket, "SO_PEERCRED"), reason="tells no process")
def test_a_process_of_a_container_is_known_by_its_number_outside(place):
    """It has made its path by the number that it has in there."""
    with Child(FASTMQ_INSPECT="1") as child, Child() as other:
        (place / str(child.pid)).rename(place / str(other.pid))
        assert seen() & {child.pid, other.pid} == {child.pid}
        (found,) = [p for p in inspect.processes() if p.pid == child.pid]
        assert child.endpoint not in found.command
        assert "zmq.PUB" in found.command
        told = inspect.snapshot(child.pid)
        assert told["pid"] == child.pid
        assert sockets(told)[0]["last_endpoint"] == child.endpoint
        with pytest.raises(inspect.Unavailable, match="does not allow it"):
            inspect.snapshot(other.pid)


@posix
@pytest.mark.forks
def test_a_child_of_a_fork_is_served_when_it_makes_a_context(place):
    body = """
import os
child = os.fork()
if not child:
    kept = zmq.Context().socket(zmq.PULL)
    print(os.getpid(), flush=True)
sys.stdin.read()
"""
    with Child(body, FASTMQ_INSPECT="1") as parent:
        pid = int(parent.line())
        try:
            assert {parent.pid, pid} <= seen()
            assert [s["type"] for s in sockets(inspect.snapshot(pid))] == ["PULL"]
            assert [s["type"] for s in sockets(inspect.snapshot(parent.pid))] == ["PUB"]
        finally:
            os.kill(pid, signal.SIGKILL)


@posix
def test_a_process_that_ends_removes_its_socket(place):
    with Child(FASTMQ_INSPECT="1") as child:
        child.process.stdin.close()
        assert child.process.wait(WAIT_MS / 1000) == 0
        assert list(place.iterdir()) == []


@posix
def test_a_program_whose_window_cannot_be_opened_goes_on(place):
    place.parent.joinpath("fastmq").mkdir(0o755)
    place.chmod(0o755)
    program = "import fastmq; fastmq.Context(); fastmq.Context(); print('goes on')"
    env = {**os.environ, "FASTMQ_INSPECT": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env, timeout=30
    )
    assert ran.stdout == "goes on\n"
    assert ran.stderr.count("belongs to this user alone") == 1, ran.stderr


# ---- what visitors may do ----


@posix
@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"snapshot topic=zz",
        b"snapshot topic=6",
        b"snapshot topic=" + b"61" * 257,
        b"snapshot peers=5000",
        b"snapshot socket=",
        b"snapshot socket=99999999999999999999",
        b"snapshot more",
    ],
)
def test_a_question_that_is_none_gets_an_error(line):
    with pysocket.socket(pysocket.AF_UNIX) as s:
        s.settimeout(WAIT_MS / 1000)
        s.connect(inspect.serve())
        s.sendall(line + b"\n")
        text = b""
        while part := s.recv(4096):
            text += part
        assert "a query is" in json.loads(text)["error"]


@posix
def test_a_line_without_an_end_is_cut_off():
    with pysocket.socket(pysocket.AF_UNIX) as s:
        s.settimeout(WAIT_MS / 1000)
        s.connect(inspect.serve())
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                s.sendall(b"x" * 1000)


@posix
def test_visitors_that_say_nothing_keep_nobody_out():
    path = inspect.serve()
    silent = []
    try:
        for _ in range(40):
            s = pysocket.socket(pysocket.AF_UNIX)
            silent.append(s)
            s.settimeout(WAIT_MS / 1000)
            s.connect(path)
        assert inspect.snapshot(os.getpid())["pid"] == os.getpid()
        assert silent[0].recv(1) == b""  # the first of them had to go
    finally:
        for s in silent:
            s.close()


@posix
def test_a_visitor_that_does_not_read_blocks_nobody(make):
    many = [make(zmq.PULL) for _ in range(300)]
    assert many
    path = inspect.serve()
    with pysocket.socket(pysocket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(b"snapshot\n")
        eventually("the answer begins", lambda: s.recv(1, pysocket.MSG_PEEK))
        assert len(sockets(inspect.snapshot(os.getpid()))) >= 300


# ---- what is seen ----


def test_messages_queues_and_limits_are_those_of_stats(make, tcp_address):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    push.sndhwm = 7
    pull.bind(tcp_address)
    push.connect(tcp_address)
    for _ in range(5):
        push.send(b"12345")
    eventually("all arrived", lambda: view(pull)["queued_in"] == 5)
    assert pull.recv() == b"12345"
    seen, stats = view(pull), pull.stats()
    for field in ("messages_received", "bytes_received", "queued_in", "dropped", "send_waits"):
        assert seen[field] == getattr(stats, field), field
    assert seen["queued_in"] == 4
    assert seen["queued_in_bytes"] == 20
    assert view(push)["options"]["SNDHWM"] == 7
    (peer,) = seen["peers"]
    assert (peer["type"], peer["state"], peer["accepted"]) == ("PUSH", "ready", True)
    assert seen["peers_ready"] == 1


def test_a_connection_whose_peer_has_not_taken_all_counts_its_descriptor(ctx, make):
    """It has ended for the program, and the system still sends for it."""
    from fastmq import _core

    def counted():
        """Of this context, as the two who count see it."""
        context = next(
            c
            for c in inspect.snapshot()["contexts"]
            if any(s["type"] == "PUSH" for s in c["sockets"])
        )
        seen = context["descriptors"] + sum(s["descriptors"] for s in context["sockets"])
        assert seen == ctx.stats().descriptors
        return seen

    other = zmq.Context()
    try:
        pull, push = other.socket(zmq.PULL), make(zmq.PUSH)
        pull.shm = push.shm = 0
        pull.rcvhwm, pull.rcvbuf, push.sndbuf, push.linger = 1, 4096, 1 << 20, -1
        pull.bind("tcp://127.0.0.1:*")
        push.connect(last_endpoint(pull))
        for _ in range(40):
            push.send(b"x" * 10_000)
        eventually("it is written", lambda: push.stats().queued_out == 0)
        before, opened = counted(), _core.open_fds()
        push.disconnect(last_endpoint(pull))
        assert push.peers() == []
        assert before - counted() == opened - _core.open_fds()
        assert push.stats().descriptors >= 1
        push.close(0)
    finally:
        other.destroy(linger=0)


def test_a_socket_that_is_closed_counts_with_its_context(ctx, make, tcp_address):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind(tcp_address)
    push.connect(tcp_address)
    push.send(b"x")
    pull.recv()
    mine = view(pull)["id"]

    def all_contexts():
        return {c["id"]: c for c in inspect.snapshot()["contexts"]}

    (number,) = [n for n, c in all_contexts().items() if mine in [s["id"] for s in c["sockets"]]]
    assert all_contexts()[number]["closed_sockets"]["messages_received"] == 0
    pull.close()
    context = all_contexts()[number]
    assert context["closed_sockets"]["messages_received"] == 1
    assert mine not in [s["id"] for s in context["sockets"]]


def test_subscriptions_are_seen_on_both_sides(make, tcp_address):
    pub, sub = make(zmq.PUB), make(zmq.SUB)
    pub.bind(tcp_address)
    sub.connect(tcp_address)
    for topic in (b"news.", "w\u00e4rme".encode(), b"\x00\xff"):
        sub.subscribe(topic)
    eventually("three topics", lambda: view(pub)["subscriptions"] == 3)
    expected = {b"news.".decode("latin-1"), "w\u00e4rme".encode().decode("latin-1"), "\x00\xff"}
    assert set(view(sub)["topics"]) == expected
    (peer,) = view(pub)["peers"]
    assert set(peer["topics"]) == expected
    assert view(pub, topic=b"news.today")["reaches"] == 1
    assert view(pub, topic=b"other")["reaches"] == 0
    assert view(sub, topic=b"news.today")["wants"] is True
    assert view(sub, topic=b"other")["wants"] is False
    assert view(pub)["reaches"] is None


def test_of_many_subscriptions_the_first_are_listed(make, tcp_address):
    sub = make(zmq.SUB)
    sub.connect(tcp_address)
    for i in range(1000):
        sub.subscribe(b"%06d" % i)
    seen = view(sub)
    assert seen["subscriptions"] == 1000
    assert 100 <= len(seen["topics"]) < 200
    assert seen["topics"][0] == "000000"


def test_of_many_peers_so_many_are_listed_as_are_asked_for(make, tcp_address):
    pull = make(zmq.PULL)
    pull.bind(tcp_address)
    pushes = [make(zmq.PUSH) for _ in range(150)]
    for push in pushes:
        push.connect(tcp_address)
        push.send(b"x")
    eventually("all are there", lambda: view(pull)["messages_received"] == 150)
    for most in (0, 1, 8, 9, 149):
        seen = view(pull, peers=most)
        assert len(seen["peers"]) == most
        assert seen["peers_left_off"] == 150 - most
        assert seen["messages_received"] == 150
        assert seen["peers_ready"] == 150
    assert len({p["address"] for p in view(pull)["peers"]}) == 150


def test_of_many_endpoints_so_many_are_listed_as_are_asked_for(make):
    push = make(zmq.PUSH)
    for i in range(300):
        push.connect(f"inproc://nobody-{i}")
    for most, listed in ((0, 64), (65, 65), (256, 256), (4096, 300)):
        (seen,) = [
            s for s in sockets(inspect.snapshot(peers=most)) if len(s["endpoints"]) == listed
        ]
        assert seen["endpoints_left_off"] == 300 - listed
        assert len({e["endpoint"] for e in seen["endpoints"]}) == listed


def test_of_many_names_of_inproc_the_first_are_listed(ctx, make):
    pull = make(zmq.PULL)
    for i in range(300):
        pull.bind(f"inproc://name-{i}")
    (context,) = [c for c in inspect.snapshot()["contexts"] if c["inproc_left_off"]]
    assert (len(context["inproc"]), context["inproc_left_off"]) == (256, 44)


def test_a_bound_endpoint_of_datagrams_is_open(make):
    dish = make(zmq.DISH)
    dish.bind("udp://127.0.0.1:*")
    (found,) = view(dish)["endpoints"]
    assert (found["bound"], found["state"]) == (True, "open")


def test_a_name_of_inproc_is_seen_with_its_socket(ctx, make, name):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    endpoint = name()
    address = endpoint if "://" in endpoint else f"inproc://{endpoint}"
    push.connect(address)
    assert view(push)["endpoints"][0]["state"] == "waiting"
    pull.bind(address)
    eventually("they met", lambda: view(push)["endpoints"][0]["state"] == "connected")
    bare = address.removeprefix("inproc://")
    owners = [
        n["socket"]
        for c in inspect.snapshot()["contexts"]
        for n in c["inproc"]
        if n["name"] == bare
    ]
    assert owners == [view(pull)["id"]]


def test_drops_have_reasons(make, tcp_address):
    pub, sub, router = make(zmq.PUB), make(zmq.SUB), make(zmq.ROUTER)
    pub.sndhwm = 1
    sub.rcvhwm = 1
    pub.bind(tcp_address)
    sub.connect(tcp_address)
    sub.subscribe(b"")
    pub.wait_for_subscribers(1)
    while not pub.stats().dropped:
        pub.send(b"x" * 100_000)
    seen = view(pub)
    assert seen["drops"]["full"] == seen["dropped"] > 0
    router.bind("tcp://127.0.0.1:*")
    router.send_multipart([b"nobody", b"x"])
    assert view(router)["drops"] == {
        "full": 0,
        "replaced": 0,
        "gone": 0,
        "unrouted": 1,
        "rules": 0,
    }


def test_a_full_queue_and_a_receiver_that_does_not_receive_are_seen(make, tcp_address):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.rcvhwm = push.sndhwm = 10
    pull.bind(tcp_address)
    push.connect(tcp_address)
    fill(push, b"x" * 10_000)
    (there,) = view(push)["peers"]
    assert there["full"]
    assert there["queued_out"] >= 10
    (here,) = view(pull)["peers"]
    assert here["paused"]
    assert here["queued_in"] >= 10


def test_a_refused_connection_is_seen_since_when_and_why(make):
    port = free_port()
    push = make(zmq.PUSH)
    begun = time.time()
    push.connect(f"tcp://127.0.0.1:{port}")

    def failures():
        return view(push)["failures"]

    eventually("it was refused twice", lambda: failures() and failures()[0]["count"] >= 2)
    (failure,) = failures()
    assert (failure["kind"], failure["code"]) == ("connect", errno.ECONNREFUSED)
    assert failure["endpoint"] == f"tcp://127.0.0.1:{port}"
    assert begun - 1 <= failure["since"] <= failure["last"] <= time.time() + 1
    assert failure["over"] is None
    assert view(push)["endpoints"][0]["error"] == errno.ECONNREFUSED
    pull = make(zmq.PULL)
    pull.bind(f"tcp://127.0.0.1:{port}")
    push.send(b"x")
    assert pull.recv() == b"x"
    assert failures()[0]["over"] >= failure["last"]


def test_a_wrong_socket_type_is_seen_by_name_on_both_sides(make, tcp_address):
    pub, req = make(zmq.PUB), make(zmq.REQ)
    pub.bind(tcp_address)
    req.connect(tcp_address)
    seen = eventually("a refusal", lambda: view(pub)["failures"])
    assert (seen[0]["kind"], seen[0]["text"], seen[0]["bound"]) == ("type", "REQ", True)
    seen = eventually("a refusal", lambda: view(req)["failures"])
    assert any((f["kind"], f["text"]) == ("type", "PUB") for f in seen), seen


def test_failures_of_one_kind_are_one_row(make, tcp_address):
    pub = make(zmq.PUB)
    pub.bind(tcp_address)
    reqs = [make(zmq.REQ) for _ in range(20)]
    for req in reqs:
        req.connect(tcp_address)
    eventually("20 refusals", lambda: sum(f["count"] for f in view(pub)["failures"]) >= 20)
    assert len(view(pub)["failures"]) <= 2


def test_a_thread_that_waits_is_seen(make, tcp_address):
    import threading

    pull = make(zmq.PULL)
    pull.bind(tcp_address)
    thread = threading.Thread(target=pull.recv)
    thread.start()
    try:
        (wait,) = eventually("it waits", lambda: view(pull)["waits"])
        assert wait["call"] == "receive"
        assert wait["threads"] == 1
        if sys.platform == "linux":
            assert wait["thread"] == thread.native_id
        later = eventually(
            "its wait lasts",
            lambda: [w for w in view(pull)["waits"] if w["seconds"] > wait["seconds"] + 0.3],
        )
        assert later
    finally:
        push = make(zmq.PUSH)
        push.connect(tcp_address)
        push.send(b"x")
        thread.join(WAIT_MS / 1000)
    eventually("it waits no more", lambda: view(pull)["waits"] == [])


def test_a_wait_of_the_main_thread_goes_on_over_looks_at_signals(place):
    """It comes back every 200 ms to run handlers."""
    with Child("pub.wait_for_subscribers(1)", FASTMQ_INSPECT="1") as child:

        def lasts():
            waits = sockets(inspect.snapshot(child.pid))[0]["waits"]
            return waits and waits[0]["seconds"] > 0.5 and waits[0]["call"] == "subscribers"

        eventually("half a second", lasts)


def test_the_turn_of_req_and_rep_is_seen(make, tcp_address):
    rep, req = make(zmq.REP), make(zmq.REQ)
    rep.bind(tcp_address)
    req.connect(tcp_address)
    assert (view(req)["turn"], view(rep)["turn"]) == ("send", "receive")
    req.send(b"x")
    rep.recv()
    assert (view(req)["turn"], view(rep)["turn"]) == ("receive", "send")
    rep.send(b"y")
    req.recv()
    assert (view(req)["turn"], view(rep)["turn"]) == ("send", "receive")
    req.req_relaxed = 1
    assert view(req)["turn"] is None


def test_no_secret_is_told(make):
    """Keys and passwords stay in the process, wherever they were set."""
    secret = b"0123456789abcdefghijklmnopqrstuv"
    pull = make(zmq.PULL)
    pull.plain_username = "somebody"
    pull.plain_password = "not-to-be-told"
    pull.bind("tcp://127.0.0.1:*")
    if zmq.has("curve"):
        other = make(zmq.PULL)
        other.curve_secretkey = secret
        other.curve_publickey = secret
        other.curve_server = 1
        other.bind("tcp://127.0.0.1:*")
    text = json.dumps(inspect.snapshot())
    assert "PLAIN" in text
    for word in ("not-to-be-told", "somebody", secret.decode()):
        assert word not in text


def test_sockets_that_do_not_fit_are_counted(make):
    many = [make(zmq.DEALER) for _ in range(200)]
    for sock in many:
        sock.routing_id = b"\xff" * 255  # 6 characters each
    told = inspect.snapshot()
    count = len(sockets(told)) + told["left_off"]
    assert count >= 200
    assert told["left_off"] == 0


def test_snapshots_while_sockets_come_and_go_lose_nothing(ctx, tcp_address):
    """Counters of a context and of what it has closed never go down."""
    import threading

    stop = threading.Event()

    def work():
        while not stop.is_set():
            with ctx.socket(zmq.PULL) as pull, ctx.socket(zmq.PUSH) as push:
                port = pull.bind_to_random_port("tcp://127.0.0.1")
                push.connect(f"tcp://127.0.0.1:{port}")
                push.send(b"x")
                pull.recv()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        last = 0
        for _ in range(200):
            (context,) = [c for c in inspect.snapshot()["contexts"] if c["io_threads"]][-1:]
            total = context["closed_sockets"]["messages_received"]
            assert total >= last
            last = total
    finally:
        stop.set()
        for thread in threads:
            thread.join(WAIT_MS / 1000)


def test_every_field_of_a_snapshot_is_in_the_reference():
    page = Path(__file__).parents[2] / "docs/reference/inspect.md"
    told = set(re.findall(r"`(\w+)`", page.read_text()))
    forms = (
        "Snapshot ContextView Counters SocketView PeerView EndpointView Failure Wait Watched "
        "ClosedSockets InprocName"
    )
    for form in forms.split():
        missing = set(getattr(inspect, form).__annotations__) - told
        assert not missing, (form, missing)


def test_every_field_of_a_snapshot_is_typed(make, tcp_address):
    """What the engine writes is what the types of fastmq.inspect say."""
    pub, sub, req = make(zmq.PUB), make(zmq.SUB), make(zmq.REQ)
    pub.bind(tcp_address)
    sub.subscribe(b"")
    sub.connect(tcp_address)
    req.connect(tcp_address)
    eventually("a refusal", lambda: view(pub)["failures"])
    told = inspect.snapshot()
    assert set(told) == set(inspect.Snapshot.__annotations__)
    context = told["contexts"][-1]
    assert set(context) == set(inspect.ContextView.__annotations__)
    pub = view(pub)
    assert set(pub) == set(inspect.SocketView.__annotations__)
    assert set(pub["peers"][0]) == set(inspect.PeerView.__annotations__)
    assert set(pub["endpoints"][0]) == set(inspect.EndpointView.__annotations__)
    assert set(pub["failures"][0]) == set(inspect.Failure.__annotations__)
    assert set(pub["watched"]) == set(inspect.Watched.__annotations__)
