# SPDX-License-Identifier: MIT
"""The tree of exceptions and what they say."""

from __future__ import annotations

import errno
import pickle
from typing import Any

import pytest

import fastmq
from fastmq import error


def test_the_tree_is_pyzmqs() -> None:
    assert error.ZMQError.__mro__[1] is error.ZMQBaseError
    for kind in (error.Again, error.ContextTerminated, error.InterruptedSystemCall):
        assert issubclass(kind, error.ZMQError)
    assert issubclass(error.InterruptedSystemCall, InterruptedError)
    for kind in (error.ZMQBindError, error.NotDone):
        assert issubclass(kind, error.ZMQBaseError)
        assert not issubclass(kind, error.ZMQError)
    assert issubclass(error.ZMQVersionError, NotImplementedError)
    assert issubclass(error.DraftFDWarning, RuntimeWarning)
    assert issubclass(error.TermTimeout, error.Again)
    assert issubclass(error.BatchError, error.ZMQError)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (error.Again, errno.EAGAIN),
        (error.ContextTerminated, fastmq.ETERM),
        (error.InterruptedSystemCall, errno.EINTR),
    ],
)
def test_errors_of_one_number_have_it(kind: type[error.ZMQError], number: int) -> None:
    assert kind().errno == number
    assert kind(5, None).errno == number
    assert str(kind()) == fastmq.strerror(number)


def test_an_error_takes_its_text_from_the_number() -> None:
    raised = error.ZMQError(errno.EINVAL)
    assert raised.errno == errno.EINVAL
    assert raised.strerror == str(raised) == fastmq.strerror(errno.EINVAL)
    assert raised.args == (errno.EINVAL,)


def test_a_given_text_replaces_that_of_the_number() -> None:
    raised = error.ZMQError(errno.EINVAL, "no such thing")
    assert raised.errno == errno.EINVAL
    assert str(raised) == "no such thing"
    assert repr(raised) == "ZMQError('no such thing')"


def test_a_text_in_place_of_the_number_is_all_there_is() -> None:
    raised = error.ZMQError("plain words")
    assert raised.errno is None
    assert str(raised) == "plain words"


def test_the_text_of_zeromqs_own_numbers_is_not_unknown() -> None:
    for number in (fastmq.EFSM, fastmq.ENOCOMPATPROTO, fastmq.ETERM, fastmq.EMTHREAD):
        assert fastmq.strerror(number)
        assert "nknown" not in fastmq.strerror(number)


def test_a_batch_error_keeps_what_caused_it() -> None:
    cut = error.batch_error(error.Again(), 3)
    assert isinstance(cut, error.BatchError)
    assert isinstance(cut, error.Again)
    assert (cut.sent, cut.errno) == (3, errno.EAGAIN)
    ended = error.batch_error(error.ContextTerminated(), 0)
    assert isinstance(ended, error.ContextTerminated)
    assert (ended.sent, ended.errno) == (0, fastmq.ETERM)
    other = error.batch_error(error.ZMQError(errno.ENOTSUP), 1)
    assert (type(other), other.sent, other.errno) == (error.BatchError, 1, errno.ENOTSUP)


def test_a_term_timeout_names_the_sockets() -> None:
    raised = error.TermTimeout(50, [(int(fastmq.PUSH), False, 7, "tcp://127.0.0.1:5")])
    assert raised.errno == errno.EAGAIN
    assert raised.pending == [(8, False, 7, "tcp://127.0.0.1:5")]
    for word in ("50 ms", "PUSH", "tcp://127.0.0.1:5", "closed", "7"):
        assert word in str(raised)


def test_errors_survive_pickling() -> None:
    for raised in (
        error.ZMQError(errno.EINVAL, "text"),
        error.Again(),
        error.TermTimeout(5, []),
        error.batch_error(error.Again(), 4),
    ):
        again = pickle.loads(pickle.dumps(raised))
        assert type(again) is type(raised)
        assert (again.errno, str(again)) == (raised.errno, str(raised))
        assert again.__dict__ == {**raised.__dict__, "errno": raised.errno}


def test_a_version_error_names_both_versions() -> None:
    with pytest.raises(error.ZMQVersionError, match=r"99\.1.*4\.3\.5"):
        error._check_version((99, 1), "time travel")
    error._check_version((4, 3))


def test_a_failed_call_names_the_argument() -> None:
    with fastmq.Context() as context, context.socket(fastmq.PAIR) as socket:
        with pytest.raises(TypeError, match=r"data must be bytes-like.*send_string"):
            socket.send("text")
        with pytest.raises(TypeError, match=r"msg_parts\[1\]"):
            socket.send_multipart([b"", 5])
        with pytest.raises(TypeError, match="LINGER takes int"):
            socket.set(fastmq.LINGER, b"0")
        with pytest.raises(fastmq.ZMQError, match=r"SNDHWM takes 0 to 2147483647") as caught:
            socket.set(fastmq.SNDHWM, -1)
        assert caught.value.errno == fastmq.zmq_errno() == errno.EINVAL
        with pytest.raises(fastmq.ZMQError, match=r"nonsense"):
            socket.bind("nonsense")


def test_a_call_whose_time_is_over_says_how_long_it_waited(make: Any) -> None:
    pull, push = make(fastmq.PULL, rcvtimeo=3), make(fastmq.PUSH, sndtimeo=4)
    for call, said in (
        (lambda: pull.recv(timeout=2), "nothing was received within 2 ms"),
        (pull.recv_multipart, "nothing was received within 3 ms"),
        (lambda: push.send(b"x", timeout=1), "nothing could be sent within 1 ms"),
        (lambda: push.send_multipart([b"x"]), "nothing could be sent within 4 ms"),
    ):
        with pytest.raises(fastmq.Again, match=f"^Resource temporarily unavailable: {said}$"):
            call()
    with pytest.raises(fastmq.Again, match=r"^Resource temporarily unavailable$"):
        pull.recv(fastmq.DONTWAIT)


def test_every_call_on_a_closed_socket_says_that_it_is_closed(make: Any) -> None:
    sock = make(fastmq.PULL)
    sock.close()
    for call in (
        lambda: sock.bind("tcp://127.0.0.1:*"),
        lambda: sock.disconnect("tcp://127.0.0.1:1"),
        lambda: sock.linger,
        lambda: sock.setsockopt(fastmq.LINGER, 0),
        sock.recv,
    ):
        with pytest.raises(fastmq.ZMQError, match="the socket is closed") as info:
            call()
        assert info.value.errno == errno.ENOTSOCK


def test_a_misspelt_option_gets_a_suggestion(make: Any, ctx: Any) -> None:
    for target in (make(fastmq.PULL), ctx):
        with pytest.raises(AttributeError, match=r"no such option: LINGR; did you mean LINGER\?$"):
            target.lingr = 1
        with pytest.raises(AttributeError, match=r"no such option: QQQ$"):
            target.qqq = 1
