# SPDX-License-Identifier: MIT
"""The commands of each pattern, as processes that talk to each other."""

import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from command import LIMIT_S, Command, run
from helpers import free_port
from target import fastmq_only

import fastmq as zmq
from fastmq.auth.thread import ThreadAuthenticator
from fastmq.cli import formats, main, messages, sockets
from fastmq.cli.events import Happened
from fastmq.cli.monitor import show
from fastmq.cli.terminal import Notes
from fastmq.constants import Event

# Several interpreters start in each test.
pytestmark = [fastmq_only("no such commands"), pytest.mark.deadline(120)]


@pytest.fixture
def where(tmp_path):
    return f"ipc://{tmp_path}/socket"


# ---- each command ----


def test_lines_are_pushed_and_pulled(where):
    with Command("pull", "--bind", where, "--count", 3) as pull:
        run("push", "--connect", where, data=b"one\n\nthree without an end")
        assert pull.end() == (b"one\n\nthree without an end\n", "")


def test_arguments_are_messages_and_begin_anew_to_reach_the_count(where):
    with Command("pull", "-b", where, "-n", 5) as pull:
        run("push", "-c", where, "-n", 5, "a", "b")
        assert pull.end()[0] == b"a\nb\na\nb\na\n"


def test_a_published_message_reaches_the_subscriber_that_pub_waits_for(where):
    with Command("pub", "--bind", where, "--topic", "north", "21 C", "22 C") as pub:
        assert "waiting for 1 subscriber(s)" in pub.line("stderr")
        out, _ = run("sub", "--connect", where, "--topic", "nor", "--count", 2)
        assert out == b"north\t21 C\nnorth\t22 C\n"
        pub.end()


def test_lines_are_published_to_a_group():
    group = f"epgm://127.0.0.1;239.192.3.{os.getpid() % 250}:{free_port()}"
    with Command("sub", "--bind", group, "--count", 2, "--verbose") as sub:
        assert "listening" in sub.line("stderr")
        run("pub", "--connect", group, data=b"one\ntwo\n")
        assert sub.end()[0] == b"one\ntwo\n"


def test_a_topic_that_nobody_asked_for_is_not_waited_away(where):
    with Command("sub", "-c", where, "-t", "south", "-n", 1, "--timeout", 60):
        _, err = run("pub", "-b", where, "-t", "north", "x", "--timeout", 1, status=124)
        assert "no subscriber within 1 s" in err


def test_a_publisher_that_does_not_wait_is_done_at_once(where):
    run("pub", "-b", where, "--wait-subscribers", 0, "lost")


def test_req_sends_a_request_again_that_has_no_reply(where):
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        router.bind(where)
        with Command("req", "--connect", where, "--resend", 50, "hi") as req:
            first = router.recv_multipart(timeout=60_000)
            assert router.recv_multipart(timeout=60_000) == first
            router.send_multipart([*first[:-1], b"yes"])
            router.send_multipart([*first[:-1], b"yes, again"])
            assert req.end()[0] == b"yes\n"


def test_pub_keeps_last_messages_for_late_subscribers(where):
    publish = ("pub", "--bind", where, "--topic", "north", "--keep-last", 5)
    with (
        zmq.Context() as context,
        context.socket(zmq.SUB) as first,
        context.socket(zmq.SUB) as late,
        Command(*publish, "--rate", 0.001, "--count", 600, "21 C") as pub,
    ):
        for sub in (first, late):
            sub.linger = 0
            sub.subscribe(b"")
        first.connect(where)
        assert first.recv_multipart(timeout=60_000) == [b"north", b"21 C"]
        late.connect(where)
        assert late.recv_multipart(timeout=60_000) == [b"north", b"21 C"]
        pub.process.kill()


def test_requests_are_echoed_line_by_line(where):
    with Command("rep", "-b", where, "-n", 2) as rep, Command("req", "-c", where) as req:
        req.write(b"first\n")
        assert req.line() == rep.line() == "first"
        req.write(b"second\n")
        assert req.line() == rep.line() == "second"
        req.end()
        rep.end()


@pytest.mark.parametrize(
    ("how", "answer"),
    [
        (["no"], b"no\n"),
        (["-m", "no", "really not"], b"no\treally not\n"),
        (["--exec", "tr a-z A-Z"], b"HOW\n"),
        (["--file", "-"], b"from stdin\n"),
    ],
    ids=["fixed", "parts", "exec", "lines"],
)
def test_rep_answers_as_it_is_told(where, how, answer):
    with Command("rep", "-b", where, "-n", 1, *how) as rep:
        rep.write(b"from stdin\n")
        assert run("req", "-c", where, "how")[0] == answer
        assert rep.end()[0] == b"how\n"


def test_a_command_that_fails_shows_in_the_status_of_rep(where):
    with Command("rep", "-b", where, "-n", 1, "--exec", "echo half; exit 3") as rep:
        assert run("req", "-c", where, "x")[0] == b"half\n"
        assert "status 3" in rep.end(status=1)[1]


def test_answers_that_run_out_end_rep(where):
    with Command("rep", "-b", where, "--file", os.devnull) as rep:
        run("req", "-c", where, "x", "--timeout", 2, status=124)
        assert "no more answers" in rep.end(status=1)[1]


def test_dealer_and_router_talk_both_ways_by_name(where):
    with (
        Command("router", "-b", where) as router,
        Command("dealer", "-c", where, "--identity", "ann", "-n", 1, "hello") as dealer,
    ):
        assert router.line() == "ann\thello"
        router.write(b"nobody\tlost\n")
        assert "there is no peer nobody" in router.line("stderr")
        router.write(b"ann\twelcome\n")
        assert dealer.end()[0] == b"welcome\n"
        router.signal(signal.SIGINT)
        router.end(status=130)


def test_a_dish_prints_what_a_radio_sends_to_its_groups(where):
    with Command("dish", "-b", where, "-g", "a", "-g", "b", "--led", "-n", 3) as dish:
        run("radio", "-c", where, "--group", "c", "--wait-subscribers", 0, "unheard")
        run("radio", "-c", where, "--group", "a", "1", "2")
        run("radio", "-c", where, "--group", "b", "3")
        assert dish.end()[0] == b"a\t1\na\t2\nb\t3\n"


def test_a_radio_waits_for_a_dish_of_its_group(where):
    with Command("radio", "-b", where, "-g", "a", "hello") as radio:
        assert run("dish", "-c", where, "-g", "a", "-n", 1)[0] == b"hello\n"
        radio.end()
    run("radio", "-b", where, "-g", "a", "--timeout", 0.1, "x", status=124)


def test_dgrams_are_led_by_their_addresses():
    anywhere = ("dgram", "-b", "udp://127.0.0.1:*")
    with Command(*anywhere) as dgram:
        to = dgram.line("stderr").rpartition("bound to udp://")[2].strip()
        run(*anywhere, "-n", 0, "--multipart", to, "hello")
        address, _, body = dgram.line().partition("\t")
        assert body == "hello" and address.startswith("127.0.0.1:")
        dgram.write(b"nowhere\tx\n")
        assert "no address of a datagram" in dgram.line("stderr")
        dgram.signal(signal.SIGINT)
        dgram.end(status=130)


def test_a_router_answers_peers_whose_names_cannot_be_read(where):
    with Command("router", "-b", where, "--envelope") as router, Command("req", "-c", where) as req:
        req.write(b"hello\n")
        name, text = router.line().split("\t")
        assert name.startswith("0x")
        assert text == "hello"
        router.write(f"{name}\tanswer\n".encode())
        assert req.end()[0] == b"answer\n"


def test_a_dealer_with_envelopes_is_understood_by_rep(where):
    with Command("rep", "-b", where, "-n", 2):
        out, _ = run("dealer", "-c", where, "--envelope", "-n", 2, data=b"a\nb\n")
    assert out == b"a\nb\n"


def test_messages_of_one_part_are_scattered_and_gathered(where):
    with Command("gather", "--bind", where, "--count", 3) as gather:
        run("scatter", "--connect", where, data=b"one\n\nwith\ttab")
        assert gather.end() == (b"one\n\nwith\ttab\n", "")


def test_client_and_server_talk_both_ways_by_number(where):
    with (
        Command("server", "-b", where) as server,
        Command("client", "-c", where, "-n", 2, "hello") as client,
    ):
        number, text = server.line().split("\t")
        assert text == "hello" and 0 < int(number) < 2**32
        server.write(b"%d\tlost\n" % (int(number) % 1000 + 1))
        assert f"there is no peer {int(number) % 1000 + 1}" in server.line("stderr")
        server.write(b"nobody\tlost\n")
        assert "'nobody' is no number of a peer" in server.line("stderr")
        server.write(b"alone\n")
        assert "not NUMBER, delimiter, MESSAGE" in server.line("stderr")
        server.write(f"{number}\twelcome\n{number}\t\n".encode())
        assert client.end()[0] == b"welcome\n\n"
        server.signal(signal.SIGINT)
        server.end(status=130)


def test_numbers_stand_in_json_as_numbers(where):
    with (
        Command("server", "-b", where, "-f", "json") as server,
        Command("client", "-c", where, "-f", "json", "-n", 1, '{"a":[1]}') as client,
    ):
        number, value = json.loads(server.line())
        assert isinstance(number, int) and value == {"a": [1]}
        for wrong in (b"[1]\n", b"7\n", b"{\n", b'["x", 1]\n', b"[1,2,3]\n"):
            server.write(wrong)
            assert "is left out: " in server.line("stderr")
        server.write(json.dumps([number, "grün"]).encode() + b"\n")
        assert client.end()[0] == '"grün"\n'.encode()


def test_a_peer_speaks_first_to_whom_it_connects_to(where):
    with (
        Command("peer", "-b", where, "-f", "hex") as one,
        Command("peer", "-c", where, "-n", 1) as other,
    ):
        other.write(b"#2\tlost\n#1\thi\n")
        assert "there is no peer #2" in other.line("stderr")
        number, text = one.line().split("\t")
        assert text == "6869"
        one.write(f"{number}\t00ff\n".encode())
        number, text = other.end(status=1)[0].split(b"\t")
        assert number.isdigit() and text == b"\0\xff\n"


def test_a_channel_goes_both_ways(where):
    with (
        Command("channel", "-b", where, "-n", 1, "from the one") as one,
        Command("channel", "-c", where, "-n", 1, "from the other") as other,
    ):
        assert one.end()[0] == b"from the other\n"
        assert other.end()[0] == b"from the one\n"


def test_several_endpoints(tmp_path):
    a, b = f"ipc://{tmp_path}/a", f"ipc://{tmp_path}/b"
    with Command("pull", "-b", a, "-b", b, "-n", 2) as pull:
        run("push", "-c", a, "x")
        run("push", "-c", b, "x")
        assert pull.end()[0] == b"x\nx\n"


# ---- formats ----


@pytest.mark.parametrize(
    ("sending", "receiving", "lines", "shown"),
    [
        (["-f", "hex"], ["-f", "hex"], b"00ff\n", b"00ff\n"),
        (["-f", "hex", "-m"], ["-f", "hex"], b"00\tff\t\n", b"00\tff\t\n"),
        (["-m"], [], b"a\tb\n", b"a\tb\n"),
        (["-m", "--delimiter", ", "], ["--delimiter", "|"], b"a, b\n", b"a|b\n"),
        ([], [], b"a\tb\n", b"a\tb\n"),
        (["-f", "json"], [], b' {"a": 1.50}\n', b'{"a": 1.50}\n'),
        (["-f", "json"], ["-f", "json"], b' {"a": [1, "\xc3\xa9"]}\n', b'{"a":[1,"\xc3\xa9"]}\n'),
        (["-f", "json", "-m"], [], b'["t", {"hex": "41"}, [1]]\n', b"t\tA\t[1]\n"),
        (["-f", "json", "-m"], ["-f", "json"], b'["5", 5]\n', b'["5",5]\n'),
        (["-f", "json"], ["-f", "json"], b'"\\ud800"\n', b'"\\ud800"\n'),
        (["--whole"], ["--no-newline"], b"all\nof\nit\n", b"all\nof\nit\n"),
    ],
)
def test_formats(where, sending, receiving, lines, shown):
    with Command("pull", "-b", where, "-n", 1, *receiving) as pull:
        run("push", "-c", where, *sending, data=lines)
        assert pull.end()[0] == shown


def test_arguments_are_the_parts_of_one_message(where):
    with Command("pull", "-b", where, "-n", 1, "-f", "json") as pull:
        run("push", "-c", where, "-m", "-f", "json", "topic", '{"a": 1}')
        assert json.loads(pull.end()[0]) == ["topic", {"a": 1}]


def test_what_is_no_json_is_shown_as_text_and_told(where):
    with Command("pull", "-b", where, "-n", 2, "-f", "json") as pull:
        run("push", "-c", where, "-f", "hex", "61", "ff")
        out, err = pull.end(status=1)
        assert out == b'"a"\n{"hex":"ff"}\n'
        assert "not JSON: 'a'" in err


def test_msgpack_is_written_as_json(where):
    msgpack = pytest.importorskip("msgpack")
    value = {"a": [1, None, "é"], "b": 2.5}
    with Command("pull", "-b", where, "-n", 1, "-f", "hex") as pull:
        run("push", "-c", where, "-f", "msgpack", json.dumps(value))
        assert msgpack.unpackb(bytes.fromhex(pull.end()[0].decode())) == value
    packed = msgpack.packb({1: b"\xff", "t": msgpack.Timestamp(1)})
    with Command("pull", "-b", where, "-n", 1, "-f", "msgpack") as pull:
        run("push", "-c", where, "-f", "hex", packed.hex())
        shown = json.loads(pull.end()[0])
        assert shown["1"] == {"hex": "ff"}


def test_without_msgpack_the_extra_is_named(where, tmp_path):
    (tmp_path / "msgpack.py").write_text("raise ImportError")
    env = {"PYTHONPATH": str(tmp_path)}
    _, err = run("push", "-c", where, "-f", "msgpack", "1", status=1, env=env)
    assert "pip install msgpack" in err


# ---- pace and patience ----


def test_rate_spreads_the_messages(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(messages, "time", clock)
    words = ["push", "-c", "ipc://x", "--rate", "4", "a", "b", "c"]
    talk = messages.Talk(main.parser("push").parse_args(words), Notes("push"))
    assert [clock.now for _ in talk.messages()] == [100, 100.25, 100.5]


def test_nothing_within_the_timeout_is_status_124(where):
    for command, missing in (("sub", "message"), ("pull", "message"), ("rep", "request")):
        _, err = run(command, "-b", where, "--timeout", 0.1, status=124)
        assert f"no {missing} within 0.1 s" in err


def test_what_cannot_be_delivered_is_status_124(where):
    _, err = run("push", "-c", where, "--timeout", 1.5, "x", status=124)
    assert "no connection to" in err
    assert "1 message(s) not sent yet; Ctrl-C drops them" in err
    assert "1 message(s) not sent within 1.5 s" in err
    run("push", "-c", where, "--linger", 0, "x", status=124)


def test_a_request_without_an_answer_is_status_124(where):
    assert "no reply within 0.2 s" in run("req", "-c", where, "--timeout", 0.2, "x", status=124)[1]


def test_quiet_leaves_problems_only(where):
    _, err = run("push", "-c", where, "--timeout", 0.2, "-q", "x", status=124)
    assert err.splitlines() == ["fastmq push: 1 message(s) not sent within 0.2 s"]


def test_verbose_tells_of_connections(where):
    with Command("pull", "-b", where, "-n", 1, "-v") as pull:
        assert f"listening {where}" in pull.line("stderr")
        run("push", "-c", where, "x")
        err = pull.end()[1]
        assert "accepted" in err
        assert "handshake succeeded" in err


def test_verbose_says_once_why_connecting_fails_and_then_what_changes(tmp_path):
    where = f"ipc://{tmp_path}/late"
    refused = f"fastmq push: {where}: no such file or directory, trying again"
    with Command("push", "-c", where, "-v", "--option", "reconnect_ivl=1", "x") as push:
        assert push.line("stderr") == refused
        # Long after many more attempts.
        assert "1 message(s) not sent yet" in push.line("stderr")
        assert run("pull", "-b", where, "-n", 1)[0] == b"x\n"
        rest = push.end()[1].splitlines()
    # The path is there before its socket listens: an attempt in between is refused, and told once.
    if rest[0] == f"fastmq push: {where}: connection refused, trying again":
        assert rest.pop(0) not in rest
    assert rest[0] == f"fastmq push: connected {where}"
    assert f"fastmq push: handshake succeeded {where}" in rest
    assert len(rest) == len(set(rest))


@pytest.mark.parametrize("name", ["pull", "sub", "push", "req", "rep", "router", "server"])
def test_a_bound_command_says_where_it_waits_for_a_peer(where, name):
    words = ["hello"] if name in ("push", "req") else []
    with Command(name, "-b", where, *words) as started:
        note = f"fastmq {name}: waiting for a peer at {where}"
        assert started.every_line("stderr") == note


# ---- signals and pipes ----


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    "arguments", [("sub",), ("push", "unsent"), ("req", "unsent"), ("dealer",), ("push",)]
)
def test_a_signal_ends_it_without_a_word(tmp_path, arguments, number, status):
    name, *rest = arguments
    with Command(name, "-b", "ipc://*", "-c", f"ipc://{tmp_path}/nobody", *rest) as started:
        started.endpoint()
        started.signal(number)
        out, err = started.process.communicate(timeout=LIMIT_S)
        assert started.process.returncode == status
        assert out == b""
        assert "Traceback" not in err.decode()


def test_a_reader_that_goes_away_ends_it_even_before_the_next_message(where):
    reader, writer = os.pipe()
    with Command("pull", "-b", where, stdout=writer) as pull:
        os.close(writer)
        run("push", "-c", where, "x")
        assert os.read(reader, 2) == b"x\n"
        os.close(reader)
        _, err = pull.end(status=141)
        assert err == ""


def test_a_full_disk_is_told(where):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "wb") as full, Command("pull", "-b", where, stdout=full) as pull:
        run("push", "-c", where, "x")
        _, err = pull.end(status=1)
        assert err == "fastmq pull: No space left on device\n"


def test_a_closed_stdout_is_told(where):
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -m fastmq pull -b {where} >&-', sys.executable],
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 1
    assert b"stdout is closed" in done.stderr


# ---- the terminal ----


def test_control_characters_do_not_reach_a_terminal(where):
    leader, follower = pty.openpty()
    try:
        with Command("pull", "-b", where, "-n", 1, stdout=follower) as pull:
            unsafe = b"\x1b[31mred \x07 \xff \xc3\xa9" + "\x9b\u202e\u2028".encode()
            run("push", "-c", where, "-f", "hex", unsafe.hex())
            pull.end()
            shown = os.read(leader, 200).decode()
    finally:
        os.close(leader)
        os.close(follower)
    assert shown == "\\x1b[31mred \\x07 \\xff é\\x9b\\u202e\\u2028\r\n"


@pytest.mark.parametrize("multipart", [[], ["-m"]])
def test_json_has_no_characters_that_a_terminal_obeys(where, multipart):
    text = "é \x7f \x9b2J \u2028 \u202e"
    value = ["topic\x9b", text] if multipart else text
    with Command("pull", "-b", where, "-n", 1, "-f", "json", *multipart) as pull:
        data = json.dumps(value, ensure_ascii=False).encode()
        run("push", "-c", where, "-f", "json", *multipart, data=data)
        line = pull.end()[0].decode()
    assert json.loads(line) == value
    assert not set(line) & set("\x7f\x9b\u2028\u202e") and "é" in line


def test_a_value_that_is_nested_too_deeply_is_shown_as_text():
    """What can just be decoded may be too deep for the array of parts around it."""
    written = formats.make("json", b"\t", split=-1)
    told = []
    written.unreadable = told.append
    # From Python 3.12 on the C code of json has a limit of its own.
    for depth in (*range(1, sys.getrecursionlimit() + 10), 200_000):
        line = written.write([b"topic", b"[" * depth + b"]" * depth])
        assert line.startswith((b'["topic",[', b'["topic","['))
    assert told


def test_notes_and_events_are_printable(capsys):
    Notes("sub").warn("tcp://\x1b[2J:\n\u202e")
    assert "tcp://\\x1b[2J:\\n\\u202e" in capsys.readouterr().err
    show(Happened(Event.CONNECTED, 5, "ipc://\x1b]0;title\x07"), False)
    assert capsys.readouterr().out.endswith("connected ipc://\\x1b]0;title\\x07 (descriptor 5)\n")
    show(Happened(Event.CONNECTED, 5, "ipc://\x7f\x9b"), True)
    line = capsys.readouterr().out
    assert json.loads(line)["endpoint"] == "ipc://\x7f\x9b" and line.endswith("\n")
    assert not set(line) & set("\x7f\x9b")


# ---- security ----


def keygen(folder, name):
    run("curve-keygen", "--dir", folder, name)
    return folder / f"{name}.key", folder / f"{name}.key_secret"


def test_curve_lets_in_whose_key_is_known_and_tells_the_others(where, tmp_path):
    pytest.importorskip("nacl")
    public, secret = keygen(tmp_path, "server")
    _, alice = keygen(tmp_path / "known", "alice")
    _, mallory = keygen(tmp_path, "mallory")
    server = ("--curve-server", "--curve-keyfile", secret, "--curve-allow", tmp_path / "known")
    with Command("pull", "-b", where, "-n", 1, *server) as pull:
        to = ("push", "-c", where, "--curve-server-key", public)
        _, err = run(*to, "--curve-keyfile", mallory, "x", status=1)
        assert "refused by the authenticator (400)" in err
        _, err = run("push", "-c", where, "x", status=1)
        assert "mechanism mismatch" in err
        run(*to, "--curve-keyfile", alice, "from alice")
        assert pull.end()[0] == b"from alice\n"


def test_curve_without_a_list_lets_in_who_has_the_public_key(where, tmp_path):
    pytest.importorskip("nacl")
    public, secret = keygen(tmp_path, "server")
    key = public.read_text().rpartition('public-key = "')[2].partition('"')[0]
    with Command("rep", "-b", where, "-n", 1, "--curve-server", "--curve-keyfile", secret):
        assert run("req", "-c", where, "--curve-server-key", key, "x")[0] == b"x\n"


def test_plain_asks_for_name_and_password(where, tmp_path):
    users = tmp_path / "users"
    users.write_text("# who may come in\nbob:se:cret\n")
    to = ("req", "-c", where, "--plain-user", "bob", "hello")
    with Command("rep", "-b", where, "-n", 1, "--plain-server", users):
        _, err = run(*to, "--plain-password", "wrong", status=1)
        assert "refused" in err
        assert run(*to, env={"FASTMQ_PLAIN_PASSWORD": "se:cret"})[0] == b"hello\n"


@pytest.fixture
def opened(where, tmp_path, monkeypatch):
    """A context manager: the socket of `fastmq pull` with these arguments."""
    users = tmp_path / "users"
    users.write_text("bob:secret\n")

    def new(*words):
        words = ["pull", "-b", where, "--timeout", "0", *map(str, words)]
        options = main.parse(
            main.parser("pull"), [str(users) if w == "USERS" else w for w in words]
        )
        return sockets.opened(options, zmq.SocketType.PULL, None)

    return new


@pytest.mark.parametrize(
    ("arguments", "domain", "enforced"),
    [
        ([], b"", False),
        (["--plain-server", "USERS"], b"fastmq", True),
        (["--plain-server", "USERS", "--zap-domain", "shop"], b"shop", True),
        (["--plain-server", "USERS", "--option", "zap_domain=shop"], b"shop", True),
        (["--option", "zap_domain=shop"], b"shop", True),
        (["--option", "zap_domain=shop", "--option", "ZAP_ENFORCE_DOMAIN=0"], b"shop", False),
    ],
)
def test_a_domain_is_enforced(opened, arguments, domain, enforced):
    with opened(*arguments) as socket:
        assert (socket.zap_domain, bool(socket.zap_enforce_domain)) == (domain, enforced)


def test_the_authenticator_is_there_until_the_socket_is_closed(opened, monkeypatch):
    left = []
    stop = ThreadAuthenticator.stop

    def stopping(self):
        if self.thread is not None:
            left.append(pull.closed)
        stop(self)

    monkeypatch.setattr(ThreadAuthenticator, "stop", stopping)
    with opened("--plain-server", "USERS") as pull:
        assert not pull.closed
    assert left == [True]


def test_a_command_that_answers_is_not_shown_the_password(where, tmp_path):
    users = tmp_path / "users"
    users.write_text("bob:secret\n")
    env = {"FASTMQ_PLAIN_PASSWORD": "secret"}
    answers = ("rep", "-c", where, "-n", 1, "--plain-user", "bob", "--exec", "env")
    with (
        Command(*answers, env=env),
        Command("req", "-b", where, "--plain-server", users, "?") as req,
    ):
        shown = req.end()[0]
    assert b"PATH=" in shown and b"secret" not in shown


def test_types_that_do_not_fit_are_told(where):
    with Command("rep", "-b", where):
        _, err = run("push", "-c", where, "x", status=1)
        assert "do the socket types match" in err


def test_who_is_refused_for_good_does_not_wait_for_ever(where):
    with Command("rep", "-b", where):
        for name in ("sub", "pull"):
            assert "refused the connection permanently" in run(name, "-c", where, status=1)[1]


# ---- what is refused ----


@pytest.mark.parametrize(
    ("arguments", "told", "status"),
    [
        (["push", "x"], "--bind or --connect", 2),
        (["push", "-b", "nowhere", "x"], "'nowhere' is not an endpoint", 2),
        (["push", "-b", "inproc://x", "x"], "within a process", 2),
        (["push", "-c", "carrier-pigeon://x", "x"], "carrier-pigeon", 1),
        (["push", "-b", "tcp://127.0.0.1:99999", "x"], "99999", 1),
        (["sub", "-c", "ipc://x", "-n", "0"], "0 is not between", 2),
        (["sub", "-c", "ipc://x", "-n", "some"], "some", 2),
        (["sub", "-c", "ipc://x", "--timeout", "-1"], "-1", 2),
        (["push", "-c", "ipc://x", "--option", "sndhw=1", "x"], "do you mean sndhwm?", 2),
        (["push", "-c", "ipc://x", "--option", "sndhwm", "x"], "sndhwm=VALUE", 2),
        (["push", "-c", "ipc://x", "--option", "sndhwm=many", "x"], "'many'", 2),
        (["push", "-c", "ipc://x", "--option", "sndhwm=-7", "x"], "sndhwm=-7", 2),
        (["push", "-c", "ipc://x", "--delimiter", "", "x"], "--delimiter", 2),
        (["push", "-c", "ipc://x", "-f", "hex", "0g"], "'0g'", 2),
        (["push", "-c", "ipc://x", "-f", "json", "{"], "not JSON: '{'", 2),
        (["push", "-c", "ipc://x", "--file", "/no/such"], "/no/such: No such file", 1),
        (["router", "-b", "ipc://*", "alone"], "NAME MESSAGE", 2),
        (["server", "-b", "ipc://*", "1"], "a SERVER sends to whom? Give NUMBER MESSAGE", 2),
        (["server", "-b", "ipc://*", "0", "x"], "'0' is no number of a peer", 2),
        (["peer", "-b", "ipc://*", "1", "x", "y"], "not NUMBER and MESSAGE", 2),
        (["scatter", "-b", "ipc://*", "-m", "x"], "there is no option '-m'", 2),
        (["rep", "-b", "ipc://*", "a", "b"], "one answer", 2),
        (["rep", "-b", "ipc://*", "a", "--exec", "b"], "either", 2),
        (["push", "-c", "ipc://x", "--curve-server", "x"], "--curve-keyfile", 2),
        (["push", "-c", "ipc://x", "--curve-server-key", "short", "x"], "40 characters", 2),
        (["push", "-c", "ipc://x", "--curve-allow", "d", "x"], "--curve-server", 2),
        (["push", "-c", "ipc://x", "--plain-user", "u", "x"], "FASTMQ_PLAIN_PASSWORD", 2),
        (["push", "-c", "ipc://x", "--plain-password", "p", "x"], "--plain-user", 2),
        (["push", "-c", "ipc://x", "--plain-server", "/no/such", "x"], "/no/such", 1),
        (["push", "-c", "ipc://x", "--zap-domain", "d", "x"], "--plain-server", 2),
        (["push", "-c", "ipc://x", "--zap-domain", "", "x"], "--zap-domain: must not be empty", 2),
        (["pull", "-b", "ipc://x", "--plain-server", ""], "--plain-server: must not be empty", 2),
        (["push", "-c", "ipc://x", "--plain-user", "", "x"], "--plain-user: must not be empty", 2),
        *(
            (["pull", "-b", "ipc://x", flag, ""], f"{flag}: must not be empty", 2)
            for flag in ("--curve-allow", "--curve-keyfile", "--curve-server-key")
        ),
    ],
    ids=lambda value: " ".join(value[:1] + value[2:]) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_named(arguments, told, status):
    out, err = run(*arguments, status=status)
    assert told in err
    assert "Traceback" not in err
    assert out == b""


@pytest.mark.parametrize(
    ("format_", "line"),
    [("hex", b"0g"), ("json", b"{"), ("json", b'"\xff"'), ("json", b"[" * 99999)],
    ids=["digit", "brace", "bytes", "depth"],
)
def test_a_bad_line_is_named_and_left_out(where, format_, line):
    with Command("pull", "-b", where, "-n", 2, "-f", format_) as pull:
        _, err = run("push", "-c", where, "-f", format_, data=b"10\n" + line + b"\n20\n", status=1)
        assert "stdin, line 2 is left out: not " in err
        assert pull.end()[0] == b"10\n20\n"
