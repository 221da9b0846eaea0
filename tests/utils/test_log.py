# SPDX-License-Identifier: MIT
"""Logging over PUB, loggers with topics, and the watcher."""

import io
import logging
import os
import pty
import select
import subprocess
import sys
import time

import pytest
from helpers import WAIT_MS, last_endpoint, recv_multipart, sync_subscriber, unique
from target import MODULE, fastmq_only, submodule, zmq

handlers = submodule("log.handlers")


class Published:
    """A logger whose PUBHandler a SUB listens to."""

    def __init__(self, make, kind=logging.Logger, **options):
        self.pub, self.sub = make(zmq.PUB), make(zmq.SUB)
        self.pub.bind(f"inproc://{unique('log')}")
        self.sub.connect(last_endpoint(self.pub))
        self.sub.setsockopt(zmq.SUBSCRIBE, b"")
        sync_subscriber(self.pub, self.sub)
        self.handler = handlers.PUBHandler(self.pub, **options)
        self.logger = kind("test", logging.DEBUG)
        self.logger.addHandler(self.handler)

    def next(self):
        topic, text = recv_multipart(self.sub, "the log message")
        return topic.decode(), text.decode()


@pytest.fixture
def published(make):
    made = []

    def new(*args, **kwargs):
        made.append(Published(make, *args, **kwargs))
        return made[-1]

    yield new
    for each in made:
        each.handler.close()


def test_the_level_is_the_topic(published):
    log = published()
    log.logger.info("hello")
    assert log.next() == ("INFO", "hello\n")
    log.logger.warning("look")
    topic, text = log.next()
    assert topic == "WARNING"
    assert text.startswith("WARNING test_log.py:")
    assert text.endswith(" - look\n")


def test_a_root_topic_comes_first(published):
    log = published(root_topic="shop")
    log.logger.info("one")
    assert log.next()[0] == "shop.INFO"
    log.handler.root_topic = b"bar"
    assert log.handler.root_topic == "bar"
    log.logger.info("two")
    assert log.next()[0] == "bar.INFO"
    log.handler.setRootTopic("")
    assert log.handler.root_topic == ""
    log.logger.info("three")
    assert log.next()[0] == "INFO"


def test_the_beginning_of_a_message_can_be_a_topic(published):
    log = published(root_topic="shop")
    log.logger.info(f"stock.low{handlers.TOPIC_DELIM}%d left of a::b", 5)
    assert log.next() == ("shop.INFO.stock.low", "5 left of a::b\n")


def test_other_handlers_get_the_record_as_it_was(published):
    log = published()
    text = io.StringIO()
    log.logger.addHandler(logging.StreamHandler(text))
    log.logger.info("topic::message")
    assert text.getvalue() == "topic::message\n"


def test_formatters_are_a_levels_own_or_everybodys(published):
    log = published()
    log.handler.setFormatter(logging.Formatter("%(levelno)d %(message)s"), logging.INFO)
    log.logger.info("x")
    assert log.next()[1] == "20 x"
    log.logger.debug("x")
    assert log.next()[1] != "10 x"
    log.handler.setFormatter(logging.Formatter("-- %(message)s"))
    log.logger.debug("x")
    assert log.next()[1] == "-- x"


@fastmq_only("records of a level of one's own end in an error")
def test_levels_of_ones_own_are_formatted_as_the_next_below(published):
    log = published()
    logging.addLevelName(25, "NOTICE")
    log.logger.log(25, "x")
    assert log.next() == ("NOTICE", "x\n")
    log.logger.setLevel(1)
    log.logger.log(5, "x")
    assert log.next()[0] == "Level 5"


def test_what_goes_wrong_in_a_record_does_not_reach_the_program(published, monkeypatch):
    log = published()
    seen = []
    monkeypatch.setattr(log.handler, "handleError", seen.append)
    log.logger.info("%d", "no number")
    assert len(seen) == 1


@fastmq_only("closing it leaves its socket open")
def test_a_handler_binds_a_socket_of_its_own(make):
    handler = handlers.PUBHandler("tcp://127.0.0.1:*")
    sub = make(zmq.SUB, subscribe=b"")
    sub.connect(last_endpoint(handler.socket))
    sync_subscriber(handler.socket, sub)
    logger = logging.Logger("own")
    logger.addHandler(handler)
    logger.error("x")
    assert recv_multipart(sub, "the log message")[0] == b"ERROR"
    handler.close()
    assert handler.socket.closed
    assert handler.ctx.closed


@fastmq_only("the bound socket stays open")
def test_a_handler_that_cannot_bind_leaves_nothing(ctx):
    with pytest.raises(zmq.ZMQError):
        handlers.PUBHandler("nonsense")
    with pytest.raises(zmq.ZMQError):
        handlers.PUBHandler("nonsense", ctx)


@fastmq_only("TopicLogger's methods raise TypeError")
@pytest.mark.parametrize(
    ("method", "level"),
    [
        ("debug", "DEBUG"),
        ("info", "INFO"),
        ("warning", "WARNING"),
        ("warn", "WARNING"),
        ("error", "ERROR"),
        ("critical", "CRITICAL"),
        ("fatal", "CRITICAL"),
    ],
)
def test_loggers_with_topics_have_every_level(published, method, level):
    log = published(handlers.TopicLogger)
    log.handler.setFormatter(logging.Formatter("%(filename)s:%(funcName)s %(message)s"))
    getattr(log.logger, method)("database", "%d rows", 5)
    here = "test_loggers_with_topics_have_every_level"
    assert log.next() == (f"{level}.database", f"test_log.py:{here} 5 rows")


@fastmq_only("TopicLogger's methods raise TypeError")
def test_loggers_with_topics_log_numbers_and_exceptions(published):
    log = published(handlers.TopicLogger)
    log.logger.log(logging.INFO, "a", "b")
    assert log.next() == ("INFO.a", "b\n")
    try:
        raise ValueError("mine")
    except ValueError:
        log.logger.exception("a", "it failed")  # noqa: PLE1205
    topic, text = log.next()
    assert topic == "ERROR.a"
    assert "Traceback" in text and "ValueError: mine" in text
    with pytest.raises(TypeError):
        log.logger.log("INFO", "a", "b")


@fastmq_only("TopicLogger's methods raise TypeError")
def test_loggers_with_topics_have_a_level_of_their_own(published):
    log = published(handlers.TopicLogger)
    log.logger.setLevel(logging.ERROR)
    log.logger.info("a", "not wanted")  # noqa: PLE1205
    log.logger.log(logging.WARNING, "a", "not wanted")
    log.logger.error("a", "wanted")  # noqa: PLE1205
    assert log.next()[0] == "ERROR.a"


# -- the watcher --


@pytest.fixture
def watcher(make):
    """Starts `python -m fastmq.log` on a PUB and waits for its subscription."""
    pub = make(zmq.XPUB)
    pub.bind("tcp://127.0.0.1:*")
    running = []

    def start(*arguments, subscriptions=1, **options):
        command = [sys.executable, "-m", f"{MODULE}.log", last_endpoint(pub), *arguments]
        process = subprocess.Popen(command, **options)
        running.append(process)
        for _ in range(subscriptions):
            assert pub.poll(WAIT_MS), "no subscription came"
            pub.recv()
        return process, pub

    yield start
    for process in running:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@fastmq_only("a watcher of our own")
def test_the_watcher_prints_topics_and_messages(watcher):
    process, pub = watcher(
        "-t", "a", "--topic", "b", "--align", "--color", subscriptions=2, stdout=subprocess.PIPE
    )
    for topic, text in ((b"a.DEBUG", b"one\n"), (b"c", b"unseen"), (b"b", b"t\xffwo")):
        pub.send_multipart([topic, text])
    assert process.stdout.readline().decode() == "a.DEBUG | one\n"
    assert process.stdout.readline().decode() == "b       | t\N{REPLACEMENT CHARACTER}wo\n"


@fastmq_only("a watcher of our own")
def test_the_watcher_obeys_nothing_that_a_publisher_says(watcher):
    process, pub = watcher(stdout=subprocess.PIPE)
    pub.send_multipart([b"a\x1b]0;title\x07\n", b"one\x1b[2J\r\nb.ERROR | forged\n\xc2\x9b\n"])
    pub.send_multipart([b"b", "two\t\u202eowt\u2028".encode()])
    assert process.stdout.readline().decode() == (
        "a\\x1b]0;title\\x07\\n | one\\x1b[2J\\r\\nb.ERROR | forged\\n\\x9b\n"
    )
    assert process.stdout.readline().decode() == "b | two\t\\u202eowt\\u2028\n"


@fastmq_only("a watcher of our own")
def test_further_lines_of_a_message_are_indented(watcher):
    process, pub = watcher("--multiline", stdout=subprocess.PIPE)
    pub.send_multipart([b"a.ERROR", b"Traceback\n  File x\x1b[2J\nb | forged\n"])
    assert [process.stdout.readline().decode() for _ in range(3)] == [
        "a.ERROR | Traceback\n",
        "      File x\\x1b[2J\n",
        "    b | forged\n",
    ]


@fastmq_only("a watcher of our own")
def test_what_the_output_cannot_encode_does_not_end_the_watcher(watcher):
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    process, pub = watcher(stdout=subprocess.PIPE, env=env)
    pub.send_multipart([b"a", "\u20ac".encode()])
    assert process.stdout.readline() == b"a | \\u20ac\n"


@fastmq_only("a watcher of our own")
def test_the_watcher_tells_the_time(watcher):
    process, pub = watcher(
        "--timestamp", "--dateformat", "<%Y>", "--separator", "/", stdout=subprocess.PIPE
    )
    pub.send_multipart([b"a", b"one\n"])
    assert process.stdout.readline().decode() == time.strftime("<%Y>/a/one\n")


@fastmq_only("a watcher of our own")
def test_the_watcher_has_colours_on_a_terminal(watcher):
    ours, theirs = pty.openpty()
    try:
        env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        _, pub = watcher("--color", stdout=theirs, env=env)
        pub.send_multipart([b"a.ERROR", b"one\n"])
        assert select.select([ours], [], [], WAIT_MS / 1000)[0]
        assert os.read(ours, 1000) == b"\x1b[31ma.ERROR\x1b[0m | one\r\n"
    finally:
        os.close(ours)
        os.close(theirs)


@fastmq_only("a watcher of our own")
def test_the_watcher_refuses_a_bad_endpoint():
    done = subprocess.run(
        [sys.executable, "-m", "fastmq.log", "nonsense"],
        capture_output=True,
        text=True,
        timeout=WAIT_MS / 1000,
        check=False,
    )
    assert done.returncode == 2
    assert "nonsense" in done.stderr and "Traceback" not in done.stderr
