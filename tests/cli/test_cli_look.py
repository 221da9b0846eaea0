# SPDX-License-Identifier: MIT
"""fastmq top and fastmq why: at programs of their own processes."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import LIMIT_S, environment, run
from helpers import eventually, free_port
from target import fastmq_only

import fastmq as zmq
from fastmq import inspect
from fastmq.cli import looking, why

pytestmark = [fastmq_only("no such commands"), pytest.mark.deadline(120)]


@pytest.fixture(autouse=True)
def place(monkeypatch):
    folder = Path(f"/tmp/fmql{os.getpid()}")
    folder.mkdir(0o700, exist_ok=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    inspect.stop()
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture
def served():
    inspect.serve()
    return os.getpid()


@pytest.fixture
def address():
    return f"tcp://127.0.0.1:{free_port()}"


PROGRAM = """
import sys, fastmq as zmq
context = zmq.Context()
{body}
print("ready", flush=True)
{after}
sys.stdin.read()
"""


class Program:
    """A program that allows to be looked at, until the end of the with statement."""

    def __init__(self, body, after="", **env):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(body=body, after=after)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(FASTMQ_INSPECT="1", **env),
        )
        assert self.process.stdout.readline() == "ready\n"
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def text(*arguments, status=0):
    """What a command prints, on stdout or, when it fails, on stderr."""
    out, err = run(*arguments, status=status)
    return err if status else out.decode()


def eventually_says(expected, *arguments):
    """A command that is asked again until it says so: what it asks about takes its time."""
    said = [""]

    def look():
        said[0] = text(*arguments)
        return re.search(expected, said[0])

    try:
        eventually(f"it says {expected!r}", look, LIMIT_S)
    except pytest.fail.Exception:
        pytest.fail(f"{' '.join(map(str, arguments))} says:\n{said[0]}")
    return said[0]


# ---- which process ----


def test_without_a_program_both_say_how_to_start_one(address):
    if inspect.processes():
        pytest.skip("other programs of this user can be looked at")
    for command in (["top"], ["why", address]):
        assert "start it with FASTMQ_INSPECT=1" in text(*command, status=1)


def test_a_process_that_does_not_exist_is_one_line():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    for command in ("top", "why"):
        said = text(command, child.pid, status=1)
        assert said == f"fastmq {command}: there is no process {child.pid}\n"


def test_a_process_that_does_not_allow_it_is_one_line():
    said = text("top", os.getpid(), status=1)
    assert said.count("\n") == 1
    assert "does not allow it: start it with FASTMQ_INSPECT=1" in said


@pytest.mark.parametrize("word", ["nonsense", "0", "-5", "tcp://", "://x"])
@pytest.mark.parametrize("command", ["top", "why"])
def test_a_word_that_is_neither_process_nor_endpoint_is_named(command, word):
    said = text(command, word, status=2)
    assert said.count("\n") == 1
    assert word in said


def test_of_several_programs_a_list_is_shown(served):
    with Program("") as other:
        said = text("top")
        assert f" {other.pid}  " in said
        assert f" {served}  " in said
        rows = [json.loads(line) for line in text("top", "--json").splitlines()]
        assert {row["pid"] for row in rows} >= {served, other.pid}


def test_an_endpoint_chooses_the_program_that_is_bound_there(served, make, address):
    make(zmq.PUSH).connect(address)
    with Program(f"s = context.socket(zmq.PULL); s.bind({address!r})") as other:
        assert json.loads(text("top", address, "--once", "--json"))["pid"] == other.pid


def test_an_endpoint_that_nobody_uses_is_named(served, address):
    assert f"is bound or connected to {address}" in text("top", address, status=1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("tcp://127.0.0.1:5", "tcp://127.0.0.1:5", True),
        ("tcp://0.0.0.0:5", "tcp://10.1.1.1:5", True),
        ("tcp://*:5", "tcp://localhost:5", True),
        ("tcp://127.0.0.1:5", "tcp://localhost:5", True),
        ("tcp://eth0;10.0.0.1:5", "tcp://10.0.0.2:5", False),
        ("tcp://eth0:0;10.0.0.1:5", "tcp://10.0.0.1:5", True),
        ("udp://*:5", "udp://127.0.0.1:5", True),
        ("ws://*:5/path", "ws://localhost:5/path", True),
        ("ws://*:5/path", "ws://localhost:5/other", False),
        ("tcp://127.0.0.1:5", "tcp://127.0.0.1:6", False),
        ("tcp://127.0.0.1:5", "ipc://127.0.0.1:5", False),
        ("ipc:///a", "ipc:///b", False),
    ],
)
def test_endpoints_that_are_one_place_are_known(one, other, same):
    assert looking.same_endpoint(one, other) is same
    assert looking.same_endpoint(other, one) is same


# ---- top ----


def test_top_shows_rates_queues_and_types(address):
    body = f"""
import threading
pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
pull.bind({address!r}); push.connect({address!r})
"""
    with Program(body, "while True: push.send(b'x'); pull.recv()") as program:
        said = text("top", program.pid, "--once", "--interval", 0.5)
    rows = [line.split() for line in said.splitlines()]
    pull = next(row for row in rows if row[1:3] == ["PULL", address])
    push = next(row for row in rows if row[1:3] == ["PUSH", address])
    assert pull[3] == push[3] == "1"
    assert pull[5] not in ("0", "-")
    assert push[4] not in ("0", "-")
    assert f"process {program.pid}" in said


def test_top_shows_one_socket_with_its_peers_and_failures(served, make, address):
    pub, req, sub = make(zmq.PUB), make(zmq.REQ), make(zmq.SUB)
    pub.bind(address)
    req.connect(address)
    sub.routing_id = b"alice"
    sub.subscribe(b"news.")
    sub.connect(address)
    pub.wait_for_subscribers(1)
    number = next(
        s["id"] for c in inspect.snapshot()["contexts"] for s in c["sockets"] if s["type"] == "PUB"
    )
    said = eventually_says("is a REQ", "top", served, "--once", "--socket", number)
    assert "subscriptions 1" in said
    assert "listening" in said
    assert re.search(r"tcp://127\.0\.0\.1:\d+ +SUB +ready", said)
    wrong = text("top", served, "--socket", 10**9, status=1)
    assert f"has no socket {10**9}; it has" in wrong
    wrong = text("top", served, "--socket", 10**9, "--json", status=1)
    assert wrong == f"fastmq top: process {served} has no socket {10**9}\n"


@pytest.mark.parametrize("column", ["queued", "peers", "type", "in", "out", "dropped"])
def test_top_sorts(served, make, column):
    for kind in (zmq.SUB, zmq.PUB, zmq.PULL):
        make(kind).bind("tcp://127.0.0.1:*")
    full, push = make(zmq.PULL), make(zmq.PUSH)
    full.bind("tcp://127.0.0.1:*")
    push.connect(full.last_endpoint)
    push.send(b"x")
    eventually("it is queued", lambda: full.stats().queued_in == 1)
    said = text("top", served, "--once", "--sort", column)
    # Another test may have left a context without sockets; then there is a column of contexts.
    types = re.findall(r"^ *\d+ +(?:\d+ +)?([A-Z]+) ", said, re.MULTILINE)
    assert len(types) == 5
    if column == "type":
        assert types == sorted(types)
    elif column == "queued":
        assert types[0] == "PULL"


def test_top_prints_a_line_of_json_for_each_look(served, make):
    make(zmq.PULL).bind("tcp://127.0.0.1:*")
    told = json.loads(text("top", served, "--once", "--json"))
    assert told["form"] == 1
    assert told["pid"] == served


def test_of_two_contexts_top_shows_whose_a_socket_is(served, make):
    make(zmq.PULL).bind("tcp://127.0.0.1:*")
    with zmq.Context() as other, other.socket(zmq.ROUTER) as router:
        router.bind("tcp://127.0.0.1:*")
        said = text("top", served, "--once")
        assert "CONTEXT" in said
        contexts = {c["id"]: [s["type"] for s in c["sockets"]] for c in seen_contexts()}
        (own,) = [number for number, types in contexts.items() if types == ["ROUTER"]]
        assert re.search(rf"^ *\d+ +{own}  ROUTER ", said, re.MULTILINE)


def seen_contexts():
    return inspect.snapshot()["contexts"]


def test_top_tells_peers_within_the_process_apart(served, make, name):
    endpoint = name()
    endpoint = endpoint if "://" in endpoint else f"inproc://{endpoint}"
    pull = make(zmq.PULL)
    pull.bind(endpoint)
    busy, idle = make(zmq.PUSH), make(zmq.PUSH)
    busy.connect(endpoint)
    idle.connect(endpoint)
    idle.send(b"x")  # the other one has more
    for _ in range(10):
        busy.send(b"x")
    for _ in range(11):
        pull.recv()
    number = next(s["id"] for c in seen_contexts() for s in c["sockets"] if s["type"] == "PULL")
    said = text("top", served, "--once", "--socket", number)
    rows = [line.split() for line in said.splitlines() if " inproc " in line]
    assert len(rows) == 2, said
    assert all("0" in row for row in rows), said  # nothing comes any more: of neither


class Screen:
    """fastmq top on a terminal."""

    def __init__(self, *arguments):
        self.master, slave = pty.openpty()
        env = environment(TERM="xterm", COLUMNS="120", LINES="30")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fastmq", "top", *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
        )
        os.close(slave)
        self.seen = ""

    def shows(self, expected):
        import select

        end = time.monotonic() + LIMIT_S
        while not re.search(expected, self.seen):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                pytest.fail(f"the screen does not show {expected!r}: {self.seen[-2000:]!r}")
            self.seen += os.read(self.master, 65536).decode(errors="replace")
        self.seen = ""

    def press(self, keys):
        os.write(self.master, keys)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def test_the_screen_is_live_and_obeys_keys(served, make):
    pull = make(zmq.PULL)
    pull.bind("tcp://127.0.0.1:*")
    other = make(zmq.ROUTER)
    other.bind("tcp://127.0.0.1:*")
    with Screen(served, "--interval", 0.2) as screen:
        screen.shows(r"PULL")
        push = make(zmq.PUSH)
        push.connect(pull.last_endpoint)
        screen.shows(r"PUSH")
        screen.press(b"s")
        screen.shows(r"by type")
        screen.press(b"\r")
        screen.shows(r"P[UL]+ socket \d+ of")
        screen.press(b"\x1b")
        screen.shows(r"ENDPOINT +PEERS")
        screen.press(b"q")
        assert screen.process.wait(LIMIT_S) == 0


def test_a_socket_that_is_closed_while_it_is_shown_gives_way_to_all_of_them(served, make):
    make(zmq.PULL).bind("tcp://127.0.0.1:*")
    router = make(zmq.ROUTER)
    router.bind("tcp://127.0.0.1:*")
    number = next(s["id"] for c in seen_contexts() for s in c["sockets"] if s["type"] == "ROUTER")
    with (
        Screen(served, "--interval", 0.2) as opened,
        Screen(served, "--interval", 0.2, "--socket", number) as named,
    ):
        opened.shows("ROUTER")
        opened.press(b"\x1b[B")
        opened.press(b"\r")
        opened.shows(r"ROUTER socket \d+ of")
        named.shows(rf"ROUTER socket {number} of")
        router.close()
        opened.shows(r"ENDPOINT +PEERS")
        named.shows(f"fastmq top: process {served} has closed socket {number}")
        assert named.process.wait(LIMIT_S) == 1


def test_the_screen_ends_with_the_process_in_one_line():
    with Program("") as program, Screen(program.pid, "--interval", 0.2) as screen:
        screen.shows("contexts 1")
        program.process.kill()
        program.process.wait()
        screen.shows(f"fastmq top: there is no process {program.pid}")
        assert screen.process.wait(LIMIT_S) == 1


# ---- why ----


def test_why_a_topic_has_no_subscriber(address):
    body = f"s = context.socket(zmq.PUB); s.bind({address!r})"
    other = f"s = context.socket(zmq.SUB); s.subscribe('news.'); s.connect({address!r})"
    with Program(body), Program(other):
        said = eventually_says(
            "no subscriber for the topic 'weather': subscribed are 'news.'",
            *("why", address, "--topic", "weather"),
        )
        assert "it is not subscribed to 'weather', but to 'news.'" in said
        said = text("why", address)  # a publisher sends only what matches
        assert "  - nothing that was sent matches what tcp://127.0.0.1:" in said
        assert f"  - {address} has sent nothing that matches since it connected" in said
        assert "  its peers are subscribed to 'news.'; --topic TOPIC says" in said
        assert "  subscribed to 'news.'; --topic TOPIC says whether a message passes" in said
        said = text("why", address, "--topic", "news.today")
        assert "--topic" not in said
        assert "is subscribed to ('news.')" in said
        assert "a message of that topic reaches 1 peer" in said


def test_why_names_only_the_peer_that_nothing_was_sent_to(served, make, address):
    pub, one, other = make(zmq.PUB), make(zmq.SUB), make(zmq.SUB)
    pub.bind(address)
    for sub, topic in ((one, b"news."), (other, b"sport.")):
        sub.subscribe(topic)
        sub.connect(address)
        pub.wait_for_subscribers(1, topic)
    pub.send(b"news.today")
    one.recv()
    said = text("why", address)
    assert said.count("nothing that was sent matches") == 1
    assert "is subscribed to ('sport.')" in said
    assert said.count("has sent nothing that matches") == 1
    pub.send(b"sport.today")
    other.recv()
    assert text("why", address).count("nothing stands in the way here") == 3


def test_why_without_an_endpoint_shows_what_is_wrong_anywhere(served, make, address):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind("inproc://well")
    push.connect("inproc://well")
    assert "nothing stands in the way at 2 endpoints" in text("why")
    make(zmq.PULL).bind(address)
    said = text("why")
    assert said.startswith(f"PULL bound to {address}, ")
    assert "nobody is connected to it" in said
    assert said.endswith("nothing stands in the way at 2 other endpoints\n")
    assert "inproc" not in said
    (told,) = [json.loads(line) for line in text("why", "--json").splitlines()]
    assert told["endpoint"] == address


def test_why_names_a_socket_that_fits_at_another_endpoint(served, make, address):
    other = f"tcp://127.0.0.1:{free_port()}"
    make(zmq.PUB).bind(address)
    make(zmq.PULL).bind("tcp://127.0.0.1:*")
    make(zmq.SUB).connect(other)
    said = text("why", address)
    assert f"another endpoint? a SUB without a peer connects to {other}, in process" in said
    said = eventually_says("refused", "why", other)
    assert f"another endpoint? a PUB without a peer is bound to {address}, in process" in said
    assert "PULL" not in said
    nowhere = text("why", "tcp://127.0.0.1:1", status=1)
    assert f"'{address}', " in nowhere


def test_a_name_of_a_process_keeps_its_endpoints_and_shows_where_it_is_cut(address):
    code = "print(1, flush=True); input()"
    for words, end in (
        (["/a/b", address], f" -c {code} b {address})"),
        (["x" * 100], "xxx...)"),
    ):
        command = [sys.executable, "-c", code, *words]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout.readline() == b"1\n"
            name = looking.name_of(child.pid)
            child.communicate(b"\n")
        assert name.endswith(end)


def test_an_endpoint_without_its_transport_gets_a_suggestion():
    said = text("why", "127.0.0.1:5555", status=2)
    assert said.endswith("; did you mean tcp://127.0.0.1:5555?\n")


def test_why_shows_that_a_subscriber_wants_everything(served, make, address):
    pub, sub = make(zmq.PUB), make(zmq.SUB)
    pub.bind(address)
    sub.subscribe(b"")
    sub.connect(address)
    said = eventually_says("its peers are subscribed to everything;", "why", address)
    assert "  subscribed to everything;" in said


def test_why_a_subscriber_without_subscriptions_gets_nothing(served, make, address):
    pub, sub = make(zmq.PUB), make(zmq.SUB)
    pub.bind(address)
    sub.connect(address)
    said = eventually_says("no subscriber: the peers are subscribed to no topic", "why", address)
    assert "it is subscribed to nothing: subscribe(b'') is missing" in said


def test_why_a_connection_is_refused_since_when(served, make, address):
    make(zmq.PUSH).connect(address)
    said = eventually_says(
        r"refused: nobody is bound there \(since .*, \d+ times\)", "why", address
    )
    assert "PUSH connected to" in said
    assert "the next attempt is in" in said


def test_why_wrong_types_are_refused_named_on_both_sides(served, make, address):
    pub, req = make(zmq.PUB), make(zmq.REQ)
    pub.bind(address)
    req.connect(address)
    said = eventually_says("is a REQ, and a PUB talks to SUB and XSUB only", "why", address)
    assert "is a PUB: a REQ talks to REP and ROUTER only" in said


def test_why_a_full_queue_waits_for_a_receiver_that_does_not_receive(address):
    body = f"s = context.socket(zmq.PULL); s.rcvhwm = 5; s.bind({address!r})"
    sender = (
        f"s = context.socket(zmq.PUSH); s.sndhwm = 5; s.connect({address!r}); "
        "s.send(b'x' * 100_000)"
    )
    with Program(body), Program(sender, "while True: s.send(b'x' * 100_000)"):
        said = eventually_says(r"HWM reached: \d+ messages? waits? for", "why", address)
        assert "(SNDHWM 5): it receives too slowly or not at all" in said
        assert re.search(r"does not receive: \d+ messages wait here, from .* \(RCVHWM 5\)", said)
        assert "waits in send for" in eventually_says("waits in send", "why", address)


def test_why_messages_wait_that_nobody_receives(served, make, address):
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.bind(address)
    push.connect(address)
    push.send(b"x")
    said = eventually_says("1 message waits to be received, from .*, and none was", "why", address)
    assert "no thread waits to receive now" in said


def test_why_a_request_is_out_of_step(served, make, address):
    rep, req = make(zmq.REP), make(zmq.REQ)
    rep.bind(address)
    req.connect(address)
    req.send(b"x")
    rep.recv()
    said = text("why", address)
    assert "a request is out and has no reply yet" in said
    assert "it has received a request and not answered" in said


def test_why_nobody_is_connected(served, make, address):
    make(zmq.PULL).bind(address)
    assert "nobody is connected to it" in text("why", address)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="tells no states")
def test_why_a_program_that_is_stopped_cannot_answer(served, make, address):
    make(zmq.PUSH).connect(address)
    with Program("") as other:
        os.kill(other.pid, signal.SIGSTOP)
        eventually("it stops", lambda: looking.is_stopped(other.pid))
        out, err = run("why", address)
        assert f"PUSH connected to {address}" in out.decode()
        assert re.search(rf"process {other.pid} .* is stopped, so it cannot be looked at", err)


def test_why_inproc_does_not_reach_another_process(served, make, name):
    endpoint = name()
    endpoint = endpoint if "://" in endpoint else f"inproc://{endpoint}"
    make(zmq.PULL).bind(endpoint)
    with Program(f"s = context.socket(zmq.PUSH); s.connect({endpoint!r})"):
        said = text("why", endpoint)
    assert "inproc connects sockets of one context" in said


@pytest.mark.skipif(not zmq.has("curve"), reason="needs libsodium")
def test_why_one_side_is_encrypted_and_the_other_is_not(served, make, address):
    public, secret = zmq.curve_keypair()
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.curve_server, pull.curve_publickey, pull.curve_secretkey = 1, public, secret
    pull.bind(address)
    push.connect(address)
    said = eventually_says("mechanism mismatch", "why", address)
    assert "both sides need the same mechanism" in said


@pytest.mark.skipif(not zmq.has("curve"), reason="needs libsodium")
def test_why_a_curve_key_is_not_known(served, ctx, make, address, tmp_path):
    from fastmq.auth.thread import ThreadAuthenticator

    public, secret = zmq.curve_keypair()
    mine, mine_secret = zmq.curve_keypair()
    auth = ThreadAuthenticator(ctx)
    auth.start()
    auth.configure_curve(location=str(tmp_path))  # an empty directory: nobody is known
    try:
        pull, push = make(zmq.PULL), make(zmq.PUSH)
        pull.curve_server, pull.curve_publickey, pull.curve_secretkey = 1, public, secret
        pull.zap_domain = b"x"
        pull.bind(address)
        push.curve_serverkey, push.curve_publickey, push.curve_secretkey = public, mine, mine_secret
        push.connect(address)
        said = eventually_says("was refused by the authenticator \\(400\\)", "why", address)
        assert "its CURVE key is not known there" in said
    finally:
        auth.stop()


@pytest.mark.skipif(not zmq.has("curve"), reason="needs libsodium")
def test_why_the_key_of_the_server_is_wrong(served, make, address):
    public, secret = zmq.curve_keypair()
    wrong, _ = zmq.curve_keypair()
    mine, mine_secret = zmq.curve_keypair()
    pull, push = make(zmq.PULL), make(zmq.PUSH)
    pull.curve_server, pull.curve_publickey, pull.curve_secretkey = 1, public, secret
    pull.bind(address)
    push.curve_serverkey, push.curve_publickey, push.curve_secretkey = wrong, mine, mine_secret
    push.connect(address)
    said = eventually_says("could not be decrypted|exchange of keys failed", "why", address)
    assert "PUSH connected to" in said


def test_why_a_handshake_timed_out(served, make, address):
    import socket as pysocket

    host, port = address.removeprefix("tcp://").split(":")
    with pysocket.create_server((host, int(port))):
        push = make(zmq.PUSH)
        push.handshake_ivl = 200
        push.connect(address)
        eventually_says("timed out: it does not speak ZMTP, or is stuck", "why", address)


def test_why_speaks_of_a_process_as_json(served, make, address):
    make(zmq.PUSH).connect(address)
    (told,) = [json.loads(line) for line in text("why", served, "--json").splitlines()]
    assert (told["pid"], told["type"], told["endpoint"]) == (served, "PUSH", address)
    assert isinstance(told["reasons"], list)


def test_why_tells_past_failures_as_past(served, make, address):
    push = make(zmq.PUSH)
    push.connect(address)
    eventually("it was refused", lambda: push.peers()[0].connect_error)
    pull = make(zmq.PULL)
    pull.bind(address)
    push.send(b"x")
    pull.recv()
    said = text("why", address)
    assert said.count("nothing stands in the way here") == 2
    assert re.search(r"    connection refused: nobody is bound there \(from .*, until", said)


def test_the_types_that_fit_are_those_of_the_engine():
    """As the engine refuses over tcp: one direction of each pair implies the other."""
    for kind, others in why.FITS.items():
        assert hasattr(zmq.SocketType, kind)
        for other in others:
            assert kind in why.FITS[other]


def test_what_a_peer_says_of_itself_cannot_steer_the_terminal(served, make, address):
    pub, sub = make(zmq.PUB), make(zmq.SUB)
    pub.bind(address)
    sub.subscribe(b"\x1b[2J\n")
    sub.connect(address)
    pub.wait_for_subscribers(1)
    said = text("why", address, "--topic", "other")
    assert "\x1b[2J" not in said
    assert "'\\x1b[2J\\n'" in said
