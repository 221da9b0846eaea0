# SPDX-License-Identifier: MIT
"""A socket in tornado's IOLoop that calls a function for each message."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, overload

from .. import _core
from .. import _future as _futures
from .._attributes import plain
from .._extras import load as _load
from ..constants import DONTWAIT, POLLIN, POLLOUT, SocketOption
from ..error import Again, ContextTerminated, ZMQError
from ..frame import Frame, MessageTracker
from ..poll import Poller
from ..socket import Socket
from ._registered import Registered

_IOLoop: Any = _load("tornado.ioloop", "tornado").IOLoop
gen_log = logging.getLogger("tornado.general")


# Known to programs that look through their logs.
_UNCAUGHT = "Uncaught exception in ZMQStream callback"


def _check_callback(callback: object) -> None:
    """As an assertion, but not one that -O takes away."""
    if callback is not None and not callable(callback):
        raise AssertionError(f"callback must be callable or None, not {callback!r}")


class ZMQStream:
    """Calls functions when messages are received and sent, in a tornado IOLoop.

    socket: a blocking Socket; for an asynchronous one, a blocking socket over the same handle is
    used. io_loop: the current one by default.

    Messages are queued, and sent when the socket has room. Each iteration of the loop receives one
    message and sends one. Callbacks may be coroutine functions. An IOLoop that is closed with
    all_fds=True closes the sockets of its streams.
    """

    socket: Any
    io_loop: Any

    def __init__(self, socket: Socket, io_loop: Any = None) -> None:
        if isinstance(socket, _futures._AsyncSocket):
            warnings.warn(
                "ZMQStream takes a blocking socket: it goes on with Socket(shadow=socket)",
                RuntimeWarning,
                stacklevel=2,
            )
            socket = Socket(shadow=socket)
        self.socket = socket
        self.io_loop = io_loop or _IOLoop.current()
        self._loop: asyncio.AbstractEventLoop = self.io_loop.asyncio_loop
        self._registered = Registered(self.io_loop, socket)
        self._queue: deque[tuple[Any, dict[str, Any]]] = deque()
        self._recv_callback: Callable[..., Any] | None = None
        self._recv_copy = True
        self._send_callback: Callable[..., Any] | None = None
        self._close_callback: Callable[..., Any] | None = None
        self._flushed = False
        self._blocked = False  # the first message waits although the socket is writable
        self._armed: asyncio.Future[int] | None = None
        self._armed_for = 0
        self.bind = socket.bind
        self.bind_to_random_port = socket.bind_to_random_port
        self.connect = socket.connect
        self.setsockopt = socket.setsockopt
        self.getsockopt = socket.getsockopt
        self.setsockopt_string = self.setsockopt_unicode = socket.setsockopt_string
        self.getsockopt_string = self.getsockopt_unicode = socket.getsockopt_string

    @plain
    def poller(self) -> Poller:
        """A Poller for the program to use: the stream waits by other means."""
        poller: Poller = self.__dict__.setdefault("poller", Poller())
        return poller

    # -- receiving --

    @overload
    def on_recv(
        self, callback: Callable[[list[bytes]], Any] | None, copy: Literal[True] = True
    ) -> None: ...
    @overload
    def on_recv(self, callback: Callable[[list[Frame]], Any], copy: Literal[False]) -> None: ...
    @overload
    def on_recv(self, callback: Callable[[list[Any]], Any] | None, copy: bool = True) -> None: ...
    def on_recv(self, callback: Callable[[list[Any]], Any] | None, copy: bool = True) -> None:
        """Calls callback(parts) for every message, in place of an earlier callback; None stops
        receiving. copy=False: the parts are Frames."""
        self._check_open()
        _check_callback(callback)
        self._recv_callback = callback
        self._recv_copy = copy
        self._arm()

    def on_recv_stream(
        self, callback: Callable[[ZMQStream, list[Any]], Any] | None, copy: bool = True
    ) -> None:
        """As on_recv, with this stream as the callback's first argument."""
        if callback is None:
            self.stop_on_recv()
            return
        call = callback
        self.on_recv(lambda parts: call(self, parts), copy=copy)

    def stop_on_recv(self) -> None:
        """Stops receiving."""
        self.on_recv(None)

    def receiving(self) -> bool:
        """Whether there is a callback for received messages."""
        return self._recv_callback is not None

    # -- sending --

    def on_send(self, callback: Callable[[list[Any], MessageTracker | None], Any] | None) -> None:
        """Calls callback(parts, status) after every send; status is the result of send_multipart,
        or the ZMQError that it raised. None removes the callback."""
        self._check_open()
        _check_callback(callback)
        self._send_callback = callback

    def on_send_stream(self, callback: Callable[..., Any] | None) -> None:
        """As on_send, with this stream as the callback's first argument."""
        if callback is None:
            self.stop_on_send()
            return
        call = callback
        self.on_send(lambda parts, status: call(self, parts, status))

    def stop_on_send(self) -> None:
        """Removes the callback of on_send."""
        self.on_send(None)

    def send_multipart(
        self,
        msg: Sequence[Any],
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        callback: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Queues a message. callback: replaces the callback of on_send."""
        self._check_open()
        if callback is not None:
            self.on_send(callback)
        self._queue.append((msg, {**kwargs, "flags": flags, "copy": copy, "track": track}))
        self._arm()

    def send(
        self,
        msg: Any,
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        callback: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Queues a message of one part."""
        self.send_multipart([msg], flags, copy, track, callback, **kwargs)

    def send_string(
        self,
        u: str,
        flags: int = 0,
        encoding: str = "utf-8",
        callback: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Queues a str."""
        if not isinstance(u, str):
            raise TypeError(f"u must be str, not {type(u).__name__}")
        self.send(u.encode(encoding), flags, callback=callback, **kwargs)

    send_unicode = send_string

    def send_json(
        self,
        obj: Any,
        flags: int = 0,
        callback: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Queues an object as JSON."""
        data = json.dumps(obj, ensure_ascii=False).encode()
        self.send(data, flags, callback=callback, **kwargs)

    def send_pyobj(
        self,
        obj: Any,
        flags: int = 0,
        protocol: int = pickle.DEFAULT_PROTOCOL,
        callback: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Queues a pickled object."""
        self.send(pickle.dumps(obj, protocol), flags, callback=callback, **kwargs)

    def sending(self) -> bool:
        """Whether messages are queued."""
        return bool(self._queue)

    def flush(self, flag: int = POLLIN | POLLOUT, limit: int | None = None) -> int:
        """Receives and sends at once, calling back, until nothing is left to do or `limit` messages
        were handled; returns how many. Without a callback what is received is thrown away.

        flag: POLLIN to receive, POLLOUT to send, or both.
        """
        self._check_open()
        already = self._flushed
        self._flushed = False
        count = 0
        can_send = True
        while self.socket is not None and not (limit and count >= limit):
            wanted = flag & POLLIN
            if self._queue and can_send:
                wanted |= flag & POLLOUT
            events = self.socket.poll(0, wanted) if wanted else 0
            if not events:
                break
            if events & POLLIN:
                self._handle_recv()
                count += 1
                if self.socket is None:
                    break
            if events & POLLOUT and self._queue:
                can_send = self._handle_send()
                count += can_send
        if count:
            # Whatever is ready in this turn of the loop was handled just now.
            self._flushed = True
            if not already:
                self.io_loop.add_callback(self._finish_flush)
        elif already:
            self._flushed = True
        if self.socket is not None:
            self._arm()
        return count

    def _finish_flush(self) -> None:
        self._flushed = False
        if self.socket is not None:
            self._arm()

    # -- the end --

    def set_close_callback(self, callback: Callable[[], Any] | None) -> None:
        """Has callback() called when the stream is closed."""
        self._close_callback = callback

    def close(self, linger: int | None = None) -> None:
        """Closes the stream and its socket."""
        if self.socket is None:
            return
        socket, self.socket = self.socket, None
        if socket.closed and not self._loop.is_closed():
            warnings.warn(
                f"{self!r} is closed after closing socket {socket!r}: close the stream instead, "
                "which closes its socket",
                stacklevel=2,
            )
        if self._armed is not None:
            if not self._loop.is_closed():
                self._armed.cancel()
            _core.poll_no_more(socket, self._armed_for, self._armed, self._loop, True)
            self._armed = None
        self._registered.remove()
        socket.close(linger)
        if self._close_callback:
            self._run(self._close_callback)

    def closed(self) -> bool:
        """Whether the stream is closed; if its socket was, the stream is from now on."""
        if self.socket is not None and self.socket.closed:
            self.close()
        return self.socket is None

    def on_err(self, callback: Callable[..., Any]) -> None:
        """Deprecated, does nothing."""
        gen_log.warning("ZMQStream.on_err does nothing")

    def stop_on_err(self) -> None:
        """Deprecated, does nothing."""
        gen_log.warning("ZMQStream.stop_on_err does nothing")

    # -- inside --

    def _check_open(self) -> None:
        if self.socket is None:
            raise OSError("Stream is closed")

    def _arm(self) -> None:
        """Has the loop wait for what there is to do."""
        if self._loop.is_running() and asyncio._get_running_loop() is not self._loop:
            self._loop.call_soon_threadsafe(self._arm_here)  # another thread's
        else:
            self._arm_here()

    def _arm_here(self) -> None:
        if self.socket is None or self._loop.is_closed():
            return
        wanted = int(POLLIN if self._recv_callback else 0)
        if self._queue:
            # What waits for one peer of several, or for bytes of room, is tried at any change.
            wanted |= _futures.POLLCHANGE if self._blocked else int(POLLOUT)
        if self._armed is not None:
            if wanted == self._armed_for or self._armed.done():
                return
            self._armed.cancel()
            _core.poll_no_more(self.socket, self._armed_for, self._armed, self._loop, not wanted)
            self._armed = None
        if not wanted:
            return
        armed = self._loop.create_future()
        self._armed, self._armed_for = armed, wanted
        armed.add_done_callback(self._ready)
        try:
            events = int(self.socket.get(SocketOption.EVENTS)) & wanted
            if events:
                armed.set_result(events)
            else:
                _core.poll_later(self.socket, wanted, armed, self._loop)
                if self._blocked and self._queue:  # it may have changed before it was watched
                    self._loop.call_soon(self._retry, armed)
        except ZMQError as e:
            armed.set_exception(e)

    def _ready(self, armed: asyncio.Future[int]) -> None:
        """The loop says what the socket is ready for."""
        if armed.cancelled():
            return
        error = armed.exception()
        if armed is not self._armed or self.socket is None:
            return
        self._armed = None
        if error is not None:
            if self._is_gone(error):
                return
            gen_log.warning("%r gets no events any more: %s", self, error)
            if not isinstance(error, ContextTerminated):
                raise error
            return
        if self._flushed:
            return  # _finish_flush goes on
        try:
            events = armed.result()
            if events & POLLIN and self._recv_callback:
                self._handle_recv()
            if self.socket is not None and self._queue and (self._blocked or events & POLLOUT):
                self._handle_send()
        finally:
            if self.socket is not None:
                self._arm_here()

    def _retry(self, armed: asyncio.Future[int]) -> None:
        """Tries the first message once more, now that any change will be told."""
        if armed is self._armed and not armed.done() and self._blocked and self._queue:
            try:
                self._handle_send()
            finally:
                if self.socket is not None:
                    self._arm_here()

    def _is_gone(self, error: BaseException) -> bool:
        """Whether an error came because the socket was closed by others, over another object for
        the same handle; the stream then closes, too."""
        if not self.closed():
            return False
        gen_log.warning("%r had a closed socket: %s", self, error)
        return True

    def _handle_recv(self) -> None:
        try:
            parts = self.socket.recv_multipart(DONTWAIT, copy=self._recv_copy)
        except Again:
            return  # somebody else was faster
        except ZMQError as e:
            if self._is_gone(e):
                return
            raise
        if self._recv_callback:
            self._run(self._recv_callback, parts)

    def _handle_send(self) -> bool:
        """Sends the first message of the queue. False: there is no room, it stays the first, or
        the socket is closed."""
        if self.closed():
            return False
        parts, kwargs = self._queue[0]
        flags = kwargs["flags"]
        status: Any
        try:
            status = self.socket.send_multipart(parts, **{**kwargs, "flags": flags | DONTWAIT})
        except ZMQError as e:
            if isinstance(e, Again) and not flags & DONTWAIT:
                self._blocked = True
                return False
            gen_log.error("%r could not send: %s", self, e)
            status = e
        self._blocked = False
        self._queue.popleft()
        if self._send_callback:
            self._run(self._send_callback, parts, status)
        return True

    def _run(self, callback: Callable[..., Any], *args: Any) -> None:
        try:
            result = callback(*args)
        except Exception:
            gen_log.error(_UNCAUGHT, exc_info=True)
            raise
        if isinstance(result, Awaitable):
            asyncio.ensure_future(result).add_done_callback(self._finished)

    def _finished(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled() and future.exception() is not None:
            gen_log.error(_UNCAUGHT, exc_info=future.exception())


__all__ = ["ZMQStream"]
