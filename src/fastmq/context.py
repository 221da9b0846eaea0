# SPDX-License-Identifier: MIT
"""Contexts, which create sockets and own their I/O threads."""

from __future__ import annotations

import atexit
import os
import threading
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast, overload
from weakref import WeakSet

from . import _core
from ._attributes import is_annotated, unknown_option
from .constants import ContextOption, Errno, SocketOption
from .error import PendingSocket, TermTimeout, ZMQError, _type_name
from .socket import SOCKET_CLASSES, Socket

if TYPE_CHECKING:
    from typing import Literal

    from typing_extensions import TypeVar as _DefaultTypeVar

    from . import socket as _types
    from .constants import SocketType
    from .stats import ContextStats

    _SocketT = _DefaultTypeVar("_SocketT", bound=Socket[Any], default=Socket[bytes], covariant=True)
else:
    _SocketT = TypeVar("_SocketT", bound=Socket, covariant=True)

_MadeT = TypeVar("_MadeT")
_ContextT = TypeVar("_ContextT", bound="Context[Any]")

# BLOCKY is an option of contexts although ZeroMQ numbers it among those of sockets.
_BLOCKY = 70

_contexts: WeakSet[Context[Any]] = WeakSet()
_exiting = False
_EXIT_LINGER_MS = 1000.0


class Context(_core.Context, Generic[_SocketT]):
    """Creates sockets and owns their I/O threads.

    io_threads: the number of I/O threads (1 to 64; 0: inproc only).
    shadow: another Context, or the address of one (`underlying`), whose handle is shared.
    Socket options set as attributes (`context.linger = 0`) are the defaults of later sockets.
    A with statement destroys the context at its end.
    """

    _instance: ClassVar[Any] = None
    _instance_lock: ClassVar[threading.Lock] = threading.Lock()
    _instance_pid: ClassVar[int | None] = None
    _socket_class: Callable[..., Any] = Socket

    sockopts: dict[int, Any]
    _sockets: WeakSet[Any]
    _shadow: bool
    _shadow_obj: Any
    _warn_destroy_close: bool
    _given_up: bool

    def __init__(self, io_threads: int | Context[Any] = 1, shadow: Context[Any] | int = 0) -> None:
        super().__init__(io_threads, shadow)
        if isinstance(io_threads, Context):
            shadow = io_threads
        set_ = object.__setattr__
        set_(self, "_shadow", bool(shadow))
        set_(self, "_shadow_obj", shadow or None)
        set_(self, "_warn_destroy_close", False)
        set_(self, "_given_up", False)
        set_(self, "_sockets", WeakSet())
        set_(self, "sockopts", dict(shadow.sockopts) if isinstance(shadow, Context) else {})
        if not shadow:
            _contexts.add(self)

    # -- life --

    def __del__(self) -> None:
        """Closes the sockets and ends the context, as destroy does: what is queued gets its
        LINGER, unless somebody has given up waiting for that before."""
        if _exiting or getattr(self, "_shadow", True) or self.closed or self._forked:
            return
        if self._given_up:
            return  # the engine goes on sending by itself
        warnings.warn(f"Unclosed context {self!r}", ResourceWarning, stacklevel=2, source=self)
        object.__setattr__(self, "_warn_destroy_close", True)
        self._close_sockets(None)
        if any(is_open for _, is_open, _, _ in self.pending()):
            return  # sockets of the same garbage, which are closed after this
        # Not the subclass's `term`: that may wait by means that a finalizer has not.
        _core.Context._term(self)

    def __enter__(self: _ContextT) -> _ContextT:
        object.__setattr__(self, "_warn_destroy_close", True)
        return self

    def __exit__(self, *args: object) -> None:
        self.destroy()

    def __copy__(self: _ContextT, memo: Any = None) -> _ContextT:
        return type(self)(shadow=self)

    __deepcopy__ = __copy__

    def __repr__(self) -> str:
        count = len([s for s in self._sockets if not s.closed]) if not self.closed else 0
        state = " closed" if self.closed else ""
        sockets = f"{count} socket{'' if count == 1 else 's'}" if count else ""
        return f"<{_core.shown_class(type(self))}({sockets}) at {hex(id(self))}{state}>"

    @classmethod
    def shadow(cls: type[_ContextT], address: int | Context[Any]) -> _ContextT:
        """A Context over the handle of another one; it does not terminate that one."""
        return cls(shadow=address)

    @classmethod
    def shadow_pyczmq(cls: type[_ContextT], ctx: Any) -> _ContextT:
        """Contexts of pyczmq belong to libzmq and cannot be shared: always ZMQError(ENOTSUP)."""
        raise ZMQError(Errno.ENOTSUP, "fastmq cannot share the contexts of libzmq")

    @classmethod
    def instance(cls: type[_ContextT], io_threads: int = 1) -> _ContextT:
        """The context of the process, created by the first call, and again after it was terminated
        and after a fork."""

        def usable() -> bool:
            return (
                cls._instance is not None
                and cls._instance_pid == os.getpid()
                and not cls._instance.closed
            )

        if not usable():
            with cls._instance_lock:
                if not usable():
                    cls._instance = cls(io_threads=io_threads)
                    cls._instance_pid = os.getpid()
        return cast(_ContextT, cls._instance)

    def term(self, timeout: float | None = None) -> None:
        """Terminates the context: waits until every socket is closed and its messages are sent or
        have outlived their LINGER. Calls on the sockets raise ContextTerminated.

        timeout: ms. When it passes, term raises TermTimeout (an Again), whose `pending` lists what
        each socket still holds; term may then be called again.
        """
        if not self._term(timeout):
            raise TermTimeout(timeout, [PendingSocket(*row) for row in self.pending()])

    def destroy(self, linger: int | None = None, timeout: float | None = None) -> None:
        """Closes all sockets of the context, with that linger (ms) if given, then terminates it.

        The linger also applies to sockets that were closed before and still send.

        Calls of other threads that wait on a socket raise ContextTerminated; a poll or proxy of
        several of them, and later calls, raise ZMQError(ENOTSOCK). timeout: as for term.
        """
        if self.closed:
            return
        if not self._forked:
            if linger is not None:
                linger = _core.whole(linger, "linger")
            self._ending()
            self._close_sockets(linger)
            if linger is not None and linger >= 0:
                self._linger(linger)
        self.term(timeout)

    def _close_sockets(self, linger: int | None) -> None:
        sockets = list(self._sockets)
        self._sockets.clear()
        for socket in sockets:
            if not socket.closed:
                if self._warn_destroy_close:
                    warnings.warn(
                        f"Destroying context with unclosed socket {socket!r}",
                        ResourceWarning,
                        stacklevel=4,
                        source=socket,
                    )
                socket.close(linger)

    def stats(self) -> ContextStats:
        """Counters of what all sockets of the context have sent, received and dropped, and what
        the context holds now. RuntimeError: the context was terminated."""
        from .stats import ContextStats

        return ContextStats(*self._stats())

    # -- sockets --

    def _add_socket(self, socket: Any) -> None:
        self._sockets.add(socket)

    def _rm_socket(self, socket: Any) -> None:
        self._sockets.discard(socket)

    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.PAIR],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Pair: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.PUB],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Pub: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.SUB],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Sub: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.REQ],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Req: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.REP],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Rep: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.DEALER],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Dealer: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.ROUTER],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Router: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.PULL],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Pull: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.PUSH],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Push: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.XPUB],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.XPub: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.XSUB],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.XSub: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.STREAM],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Stream: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.SERVER],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Server: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.CLIENT],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Client: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.GATHER],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Gather: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.SCATTER],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Scatter: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.RADIO],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Radio: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.DISH],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Dish: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.DGRAM],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Dgram: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.PEER],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.PeerSocket: ...
    @overload
    def socket(
        self: Context[Socket[bytes]],
        socket_type: Literal[SocketType.CHANNEL],
        socket_class: None = None,
        **kwargs: Any,
    ) -> _types.Channel: ...
    @overload
    def socket(
        self, socket_type: int, socket_class: Callable[..., _MadeT], **kwargs: Any
    ) -> _MadeT: ...
    @overload
    def socket(self, socket_type: int, socket_class: None = None, **kwargs: Any) -> _SocketT: ...
    def socket(
        self,
        socket_type: int,
        socket_class: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """A new socket, of the class of its type (fastmq.REQ: a fastmq.Req).

        socket_class: another class, called with the context and the type. Keywords are options
        (linger=0) or go to the class. ZMQError: EINVAL unknown type, EMFILE too many, ETERM,
        ENOTSUP closed context, EFAULT shadow of a closed context.
        """
        if self.closed:
            if self._shadow:  # as what libzmq says of an address where there is no context any more
                raise ZMQError(Errno.EFAULT, "Bad address: the shadowed context is closed")
            raise ZMQError(Errno.ENOTSUP, "Operation not supported: the context is closed")
        given: object = socket_type
        if isinstance(given, (str, bytes)):
            raise TypeError(f"socket_type must be a constant such as fastmq.REQ: {given!r}")
        socket_type = _core.whole(socket_type, "socket_type")
        if socket_class is None:
            socket_class = self._socket_class
            if socket_class is Socket:
                socket_class = SOCKET_CLASSES.get(socket_type, Socket)
        socket = socket_class(self, socket_type, **kwargs)
        self._add_socket(socket)
        return socket

    def _apply_defaults(self, socket: Any, given: dict[str, Any]) -> None:
        """Sets the options on a new socket of this context. A default that the socket's type has
        not is passed over."""
        for option, value in self.sockopts.items():
            try:
                socket.set(option, value)
            except ZMQError:
                pass
        for name, value in given.items():
            setattr(socket, name, value)

    # -- options --

    def setsockopt(self, opt: int, value: Any) -> None:
        """Sets the default of an option for later sockets."""
        self.sockopts[opt] = value

    def getsockopt(self, opt: int) -> Any:
        """A value set by setsockopt. KeyError: none was set."""
        return self.sockopts[opt]

    def __getattr__(self, name: str) -> Any:
        upper = name.upper()
        if upper == "BLOCKY":
            return bool(self.get(_BLOCKY))
        if upper in ContextOption.__members__:
            try:
                return self.get(ContextOption[upper])
            except ZMQError as e:
                if e.errno == Errno.EINVAL:  # it can only be set
                    raise AttributeError(str(e)) from None
                raise
        if upper in SocketOption.__members__:
            option = SocketOption[upper]
            if option in self.sockopts:
                return self.sockopts[option]
            raise AttributeError(f"Context has no default for {upper}")
        raise AttributeError(f"Context has no such option: {upper}")

    def __setattr__(self, name: str, value: Any) -> None:
        upper = name.upper()
        if name in self.__dict__ or name.startswith("_") or hasattr(type(self), name):
            object.__setattr__(self, name, value)
        elif upper == "BLOCKY":
            self.set(_BLOCKY, int(value))
        elif upper in ContextOption.__members__:
            self.set(ContextOption[upper], value)
        elif upper in SocketOption.__members__:
            self.sockopts[SocketOption[upper]] = value
        elif is_annotated(type(self), name):
            object.__setattr__(self, name, value)
        else:
            known = [*ContextOption.__members__, *SocketOption.__members__]
            raise unknown_option("Context", name, known)

    def __delattr__(self, name: str) -> None:
        upper = name.upper()
        if name not in self.__dict__ and upper in SocketOption.__members__:
            try:
                del self.sockopts[SocketOption[upper]]
            except KeyError:
                raise AttributeError(f"Context has no default for {upper}") from None
        else:
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *ContextOption.__members__, *SocketOption.__members__})


def _pending() -> list[tuple[int, bool, int, str, int]]:
    """What sockets still have to send: (type, open, messages, endpoint, LINGER in ms)."""
    rows = [row for context in list(_contexts) for row in context._pending()]
    return [row for row in rows + _core.orphans_pending() if row[2]]


def _still_sending(waited_ms: float) -> bool:
    """Whether there are messages that a socket, by its LINGER, wants sent still."""
    _core.orphans_sending()
    return any(
        linger < 0 or linger > waited_ms or not is_open for _, is_open, _, _, linger in _pending()
    )


def _exit_linger() -> float:
    """FASTMQ_EXIT_LINGER in ms; what is no number from 0 upwards counts as not set."""
    try:
        limit = float(os.environ.get("FASTMQ_EXIT_LINGER", ""))
    except ValueError:
        limit = -1
    return limit if limit >= 0 else _EXIT_LINGER_MS


def _at_exit() -> None:
    """Gives queued messages a moment to go out, then lets the process end whatever is left.

    Sockets are not closed: threads that still use them must not see errors now. It waits for as
    long as LINGER says, but at most FASTMQ_EXIT_LINGER ms.
    """
    global _exiting
    _exiting = True
    try:
        limit = _exit_linger() / 1000
        start = time.monotonic()
        while (waited := time.monotonic() - start) < limit and _still_sending(waited * 1000):
            time.sleep(0.002)
        lost = _losses()
    except Exception:  # a socket closed meanwhile; nobody is left to be told
        lost = []
    _core.at_exit()
    _core.inspect_stop()
    if lost:
        text = f"dropped at exit: {'; '.join(lost)}"
        warnings.warn_explicit(text, RuntimeWarning, "sys", 1)


def _losses() -> list[str]:
    """What the end of the process drops although LINGER is not 0."""
    lost = []
    for kind, is_open, messages, endpoint, linger in _pending():
        if linger:
            state = "" if is_open else "closed "
            name = f"{state}{_type_name(kind)} socket at {endpoint}"
            lost.append(f"{_messages(messages)} of a {name}")
    for context in list(_contexts):
        for socket in list(context._sockets):
            begun, name = socket._drop_begun()
            if begun:
                lost.append(f"{_messages(begun)} begun with SNDMORE and not finished of a {name}")
    return lost


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"


atexit.register(_at_exit)

__all__ = ["Context"]
