# SPDX-License-Identifier: MIT
"""The exceptions of fastmq, with the error numbers of ZeroMQ."""

from __future__ import annotations

import sys
from errno import EAGAIN, EINTR
from typing import Any, NamedTuple

from . import _core
from ._version import ZMQ_VERSION
from .constants import ETERM, SocketType


class ZMQBaseError(Exception):
    """Base of every exception of the library."""


class ZMQError(ZMQBaseError):
    """A call failed.

    errno: the number (EAGAIN, ETERM ...), or None. strerror: its text, or a longer one. As an
    argument, None stands for the number of the last error, and a str for a text without a number.
    """

    errno: int | None = None
    strerror: Any

    def __init__(self, errno: int | str | None = None, msg: str | None = None) -> None:
        super().__init__(errno)
        if errno is None:
            errno = _core.zmq_errno()
        if isinstance(errno, int):
            self.errno = int(errno)
            self.strerror = _core.strerror(errno) if msg is None else msg
        else:
            self.strerror = str(errno)

    def __str__(self) -> str:
        return str(self.strerror)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), dict(self.__dict__, errno=self.errno), self.args)


class ContextTerminated(ZMQError):
    """The socket's context was, or is being, terminated."""

    def __init__(self, errno: int | str | None = None, msg: str | None = None) -> None:
        super().__init__(int(ETERM), msg)


class Again(ZMQError):
    """The call would have to wait: DONTWAIT was given, or its timeout has passed."""

    def __init__(self, errno: int | str | None = None, msg: str | None = None) -> None:
        super().__init__(EAGAIN, msg)


class InterruptedSystemCall(ZMQError, InterruptedError):
    """A signal ended a call that could not continue."""

    def __init__(self, errno: int | str | None = None, msg: str | None = None) -> None:
        super().__init__(EINTR, msg)

    def __str__(self) -> str:
        return ZMQError.__str__(self)


class PendingSocket(NamedTuple):
    """A socket for which Context.term waits."""

    type: int
    open: bool  # the program has not closed it
    messages: int  # unsent
    endpoint: str  # the one bound or connected last


class TermTimeout(Again):
    """Context.term timed out.

    pending: a list of PendingSocket, one for each socket that it waited for.
    """

    def __init__(
        self, timeout: float | None = None, pending: list[PendingSocket] | None = None
    ) -> None:
        self.pending = pending or []
        rows = "; ".join(
            f"{_type_name(kind)} {endpoint or '(no endpoint)'}: "
            f"{'still open' if is_open else 'closed'}, {messages} to send"
            for kind, is_open, messages, endpoint in self.pending
        )
        super().__init__(msg=f"the context did not end within {timeout} ms: {rows or 'no sockets'}")


class BatchError(ZMQError):
    """send_many ended early.

    sent: the number of messages that were sent. If the cause is EAGAIN, it is also an Again; if
    ETERM, also a ContextTerminated.
    """

    sent: int = 0

    def __init__(
        self, errno: int | str | None = None, msg: str | None = None, *, sent: int = 0
    ) -> None:
        ZMQError.__init__(self, errno, msg)
        self.sent = sent


class _BatchAgain(BatchError, Again):
    """A batch whose next message would have to wait."""


class _BatchTerminated(BatchError, ContextTerminated):
    """A batch that the end of the context cut off."""


class ZMQBindError(ZMQBaseError):
    """bind_to_random_port found no free port."""


class NotDone(ZMQBaseError):
    """MessageTracker.wait: the message is still in use."""


class ZMQVersionError(NotImplementedError):
    """A feature needs a higher version of libzmq than the one that fastmq matches."""

    min_version: str

    def __init__(self, min_version: str, msg: str = "Feature") -> None:
        super().__init__(min_version, msg)
        self.msg = msg
        self.min_version = min_version
        self.version = ZMQ_VERSION

    def __str__(self) -> str:
        return f"{self.msg} needs ZeroMQ {self.min_version} or later, this is {self.version}"

    def __repr__(self) -> str:
        return f"ZMQVersionError({str(self)!r})"


class DraftFDWarning(RuntimeWarning):
    """FD of a draft socket in a library that cannot give it: never raised by fastmq."""


def _type_name(kind: int) -> str:
    try:
        return SocketType(kind).name
    except ValueError:
        return f"type {kind}"


def batch_error(cause: ZMQError, sent: int) -> BatchError:
    """The BatchError that tells of `cause` after `sent` messages."""
    kind: type[BatchError] = BatchError
    if isinstance(cause, Again):
        kind = _BatchAgain
    elif isinstance(cause, ContextTerminated):
        kind = _BatchTerminated
    return kind(cause.errno, f"{cause} ({sent} sent before it)", sent=sent)


def _restore(kind: type[ZMQError], state: dict[str, Any], args: tuple[Any, ...]) -> ZMQError:
    """An exception as it was pickled."""
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = args
    return error


def _check_version(min_version: str | tuple[int, ...], msg: str = "Feature") -> None:
    """Raises ZMQVersionError when min_version is above the level of ZeroMQ that fastmq matches."""
    if isinstance(min_version, str):
        wanted = tuple(int(part) for part in min_version.split("."))
    else:
        wanted = tuple(min_version)
        min_version = ".".join(map(str, wanted))
    if wanted > tuple(int(part) for part in ZMQ_VERSION.split(".")):
        raise ZMQVersionError(min_version, msg)


_core.set_errors(sys.modules[__name__])

__all__ = [
    "Again",
    "BatchError",
    "ContextTerminated",
    "DraftFDWarning",
    "InterruptedSystemCall",
    "NotDone",
    "TermTimeout",
    "ZMQBaseError",
    "ZMQBindError",
    "ZMQError",
    "ZMQVersionError",
]
