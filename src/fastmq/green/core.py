# SPDX-License-Identifier: MIT
"""Contexts, sockets, pollers and proxies that wait in gevent's hub."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

from .. import _core, context, error, poll, socket
from .._deadline import Deadline
from .._extras import load as _load
from .._future import POLLCHANGE
from ..constants import DONTWAIT, POLLIN, POLLOUT, Errno, SocketOption

if TYPE_CHECKING:
    from .._core import Buffer

_gevent: Any = _load("gevent", "gevent")
_get_hub: Callable[[], Any] = _load("gevent.hub", "gevent").get_hub
_Event: Any = _load("gevent.event", "gevent").Event

_T = TypeVar("_T")

# A type whose readiness is not that of every peer (ROUTER_MANDATORY) is tried again after this.
_RETRY_S = 0.001
# A context that ends is looked after this often.
_TERM_S = 0.005


class _HubLoop:
    """What the sockets' waiting needs of an event loop, of a gevent hub."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._watchers: dict[int, Any] = {}

    def add_reader(self, fd: int, callback: Callable[[], Any]) -> None:
        watcher = self._hub.loop.io(fd, 1)
        watcher.start(callback)
        self._watchers[fd] = watcher

    def remove_reader(self, fd: int) -> None:
        watcher = self._watchers.pop(fd, None)
        if watcher is not None:
            watcher.stop()
            watcher.close()

    def is_closed(self) -> bool:
        loop = self._hub.loop
        return loop is None or not loop.ptr  # destroyed

    def is_running(self) -> bool:
        return bool(self._hub is not _get_hub())  # in another thread

    def call_soon(self, callback: Callable[[], Any]) -> None:
        self._hub.loop.run_callback(callback)

    def call_soon_threadsafe(self, callback: Callable[[], Any]) -> None:
        self._hub.loop.run_callback_threadsafe(callback)


_loops: WeakKeyDictionary[Any, _HubLoop] = WeakKeyDictionary()


def _loop() -> _HubLoop:
    """The one of this thread's hub."""
    hub = _get_hub()
    loop = _loops.get(hub)
    if loop is None:
        loop = _loops[hub] = _HubLoop(hub)
    return loop


class _Ready:
    """A Future as the sockets' waiting uses it, for one greenlet."""

    def __init__(self) -> None:
        self._event = _Event()
        self._error: BaseException | None = None

    def done(self) -> bool:
        return bool(self._event.is_set())

    def set_result(self, _value: Any) -> None:
        self._event.set()

    def set_exception(self, exception: BaseException) -> None:
        self._error = exception
        self._event.set()

    def cancel(self) -> None:
        self.set_exception(error.ZMQError(Errno.ENOTSOCK))

    def wait(self, seconds: float | None) -> bool:
        """False: not in time."""
        if not self._event.wait(seconds):
            return False
        if self._error is not None:
            raise self._error
        return True


class _Watch:
    """Has the hub watch the (socket or descriptor, flags) while in the with statement."""

    def __init__(self, members: Iterable[tuple[Any, int]]) -> None:
        self._members = members
        self._loop = _loop()
        self._ready = _Ready()
        self._sockets: list[tuple[Any, int]] = []
        self._watchers: list[Any] = []

    def __enter__(self) -> _Ready:
        try:
            for member, flags in self._members:
                if isinstance(member, _core.Socket):
                    self._sockets.append((member, flags))
                    _core.poll_later(member, flags, self._ready, self._loop)
                    continue
                fd = member if isinstance(member, int) else member.fileno()
                mask = (1 if flags & POLLIN else 0) | (2 if flags & POLLOUT else 0)
                self._watchers.append(_get_hub().loop.io(fd, mask))
                self._watchers[-1].start(self._ready.set_result, None)
        except BaseException:
            self.__exit__()
            raise
        return self._ready

    def __exit__(self, *args: object) -> None:
        self._ready.set_result(None)
        for watcher in self._watchers:
            watcher.stop()
            watcher.close()
        for member, flags in self._sockets:
            _core.poll_no_more(member, flags, self._ready, self._loop, True)


def _wait(members: Iterable[tuple[Any, int]], seconds: float | None) -> bool:
    """Waits in the hub until one of the (socket or descriptor, flags) is ready; False: not in
    time."""
    with _Watch(members) as ready:
        return ready.wait(seconds)


def _warn_of_timeouts(option: int) -> None:
    """Under the name zmq: programs written for pyzmq's green sockets set these without effect."""
    if _core.package_name() == "zmq" and option in (SocketOption.RCVTIMEO, SocketOption.SNDTIMEO):
        warnings.warn(
            "RCVTIMEO and SNDTIMEO take effect here; in pyzmq's zmq.green they have none",
            UserWarning,
            stacklevel=4,
        )


class Socket(socket.Socket):
    """A socket whose methods let other greenlets run while they wait."""

    def _until(self, event: int, flags: int, timeout: float | None, call: Callable[[], _T]) -> _T:
        """Calls what does not wait until it succeeds; timeout in ms, None for the option's."""
        try:
            return call()
        except error.Again:
            if flags & DONTWAIT:
                raise
        if timeout is None:
            option = SocketOption.RCVTIMEO if event == POLLIN else SocketOption.SNDTIMEO
            timeout = socket.Socket.get(self, option)
        deadline = Deadline(timeout)
        while True:
            left = deadline.left()
            ready = self.get(SocketOption.EVENTS) & event
            if not ready:
                if left == 0:
                    raise error.Again
                _wait([(self, event)], left)
            try:
                return call()
            except error.Again:
                if ready:
                    if left == 0:
                        raise
                    _gevent.sleep(_RETRY_S)

    def get(self, option: int) -> Any:
        """As fastmq.Socket.get."""
        _warn_of_timeouts(option)
        return super().get(option)

    def set(self, option: int, optval: Any) -> None:
        """As fastmq.Socket.set."""
        _warn_of_timeouts(option)
        super().set(option, optval)

    getsockopt = get
    setsockopt = set

    # The parameters are those of fastmq.Socket; only the waiting differs.

    def send(
        self,
        data: Any,
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        *args: Any,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """As fastmq.Socket.send."""
        base = super().send
        return self._until(
            POLLOUT,
            flags,
            timeout,
            lambda: base(data, flags | DONTWAIT, copy, track, *args, **kwargs),
        )

    def send_multipart(
        self,
        msg_parts: Any,
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        *,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """As fastmq.Socket.send_multipart."""
        base = super().send_multipart
        if self._sends_by_part:  # by a subclass's own `send`, which waits
            given = kwargs if timeout is None else dict(kwargs, timeout=timeout)
            return base(msg_parts, flags, copy, track, **given)
        parts = tuple(msg_parts)
        return self._until(
            POLLOUT, flags, timeout, lambda: base(parts, flags | DONTWAIT, copy, track, **kwargs)
        )

    def send_many(
        self, messages: Iterable[Any], flags: int = 0, *, timeout: float | None = None
    ) -> int:
        """As fastmq.Socket.send_many."""
        deadline = Deadline(timeout)
        sent = 0
        try:
            for message in messages:
                send: Any = self.send_multipart if isinstance(message, (list, tuple)) else self.send
                left = timeout if deadline.at is None else deadline.left_ms()
                send(message, flags & DONTWAIT, timeout=left)
                sent += 1
        except error.ZMQError as e:
            raise error.batch_error(e, sent) from e
        except BaseException as e:
            e.sent = sent  # type: ignore[attr-defined]
            raise
        return sent

    def recv(
        self,
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        *,
        timeout: float | None = None,
    ) -> Any:
        """As fastmq.Socket.recv."""
        base = super().recv
        return self._until(POLLIN, flags, timeout, lambda: base(flags | DONTWAIT, copy, track))

    def recv_multipart(
        self,
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        *,
        timeout: float | None = None,
    ) -> Any:
        """As fastmq.Socket.recv_multipart."""
        base = super().recv_multipart
        return self._until(POLLIN, flags, timeout, lambda: base(flags | DONTWAIT, copy, track))

    def recv_into(
        self, buffer: Any, /, *, nbytes: Any = 0, flags: int = 0, timeout: float | None = None
    ) -> int:
        """As fastmq.Socket.recv_into."""
        base = super().recv_into
        return self._until(
            POLLIN, flags, timeout, lambda: base(buffer, nbytes=nbytes, flags=flags | DONTWAIT)
        )

    def recv_many(
        self,
        max: int = 1000,
        *,
        timeout: float | None = None,
        copy: bool = True,
        multipart: bool = False,
        flags: int = 0,
    ) -> Any:
        """As fastmq.Socket.recv_many."""
        base: Any = super().recv_many
        return self._until(
            POLLIN,
            flags,
            timeout,
            lambda: base(max, copy=copy, multipart=multipart, flags=flags | DONTWAIT),
        )

    def __next__(self) -> list[bytes]:
        try:
            parts: list[bytes] = self.recv_multipart()
        except error.ZMQError as e:
            if e.errno in (Errno.ENOTSOCK, Errno.ETERM):
                raise StopIteration from None
            raise
        return parts

    def poll(self, timeout: float | None = None, flags: int = POLLIN) -> int:
        """As fastmq.Socket.poll."""
        deadline = Deadline(timeout)
        while True:
            events = super().poll(0, flags)
            left = deadline.left()
            if events or left == 0:
                return events
            _wait([(self, flags)], left)

    def wait_for_subscribers(
        self, n: int = 1, topic: str | Buffer = b"", timeout: float | None = None
    ) -> int:
        """As fastmq.Socket.wait_for_subscribers."""
        deadline = Deadline(timeout)
        while True:
            # First the watch, then the look: no change can come between the two unseen.
            with _Watch([(self, POLLCHANGE)]) as changed:
                try:
                    return super().wait_for_subscribers(n, topic, 0)
                except error.Again:
                    left = deadline.left()
                    if left == 0:
                        raise
                    changed.wait(left)

    def close(self, linger: int | None = None) -> None:
        """As fastmq.Socket.close; greenlets that wait for the socket end with ENOTSOCK."""
        _core.poll_end(self)
        super().close(linger)


_core.set_library_verbs(Socket)


class Context(context.Context[Socket]):
    """A Context whose sockets wait in gevent's hub."""

    _socket_class = Socket
    _instance: ClassVar[Any] = None

    def term(self, timeout: float | None = None) -> None:
        """As fastmq.Context.term, with other greenlets running meanwhile."""
        deadline = Deadline(timeout)
        while True:
            try:
                super().term(0)
                return
            except error.TermTimeout as e:
                if deadline.over():
                    raise error.TermTimeout(timeout, e.pending) from None
            _gevent.sleep(_TERM_S)


class Poller(poll.Poller):
    """A Poller that waits in gevent's hub."""

    def poll(self, timeout: float | None = -1) -> list[tuple[Any, int]]:
        """As fastmq.Poller.poll; timeout in ms, None or negative for ever."""
        deadline = Deadline(timeout)
        while True:
            ready = super().poll(0)
            left = deadline.left()
            if ready or left == 0:
                return ready
            _wait(self.sockets, left)


def zmq_poll(sockets: Iterable[tuple[Any, int]], timeout: float = -1) -> list[tuple[Any, int]]:
    """As fastmq.zmq_poll, waiting in gevent's hub."""
    poller = Poller()
    for member, flags in sockets:
        poller.register(poll._target(member), flags)
    return poller.poll(timeout)


def proxy(frontend: Any, backend: Any, capture: Any = None) -> None:
    """Forwards messages both ways until a socket's context ends or one is closed, with other
    greenlets running; every message also goes to capture, if there is one."""
    poller = Poller()
    poller.register(frontend, POLLIN)
    poller.register(backend, POLLIN)
    ways = {frontend: backend, backend: frontend}
    while True:
        for source, _ in poller.poll():
            parts: Sequence[Any] = source.recv_multipart(copy=False)
            if capture is not None:
                capture.send_multipart(parts)
            ways[source].send_multipart(parts)


def device(device_type: int, isocket: Any, osocket: Any = None) -> None:
    """As proxy. device_type is not looked at."""
    proxy(isocket, isocket if osocket is None or osocket == -1 else osocket)


# The names in pyzmq.
_Context, _Socket, _Poller = Context, Socket, Poller

__all__ = ["Context", "Poller", "Socket", "device", "proxy", "zmq_poll"]
