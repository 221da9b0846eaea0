# SPDX-License-Identifier: MIT
"""What fastmq.asyncio and fastmq.eventloop.future stand on: sockets and pollers with Futures."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
import warnings
from asyncio import Future
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from . import _core
from ._attributes import plain
from ._deadline import Deadline
from .constants import POLLIN, POLLOUT, Errno
from .error import Again, ZMQError, batch_error
from .poll import Poller
from .socket import Socket

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._core import Buffer, Frame
    from .frame import MessageTracker

_T = TypeVar("_T")
_SocketT = TypeVar("_SocketT", bound="_AsyncSocket")

# Of poll_later: anything may have changed. A number of the engine's (FMQPOLLCHANGE).
POLLCHANGE = 16


class Pending(Future[_T]):
    """A Future of a call that waits.

    When the task that awaits it is cancelled after it was done but before the task has run again,
    the message it holds goes back to the socket. When it is cancelled itself, the call is.
    """

    __slots__ = ("waiter",)

    waiter: Any

    def cancel(self, msg: Any = None) -> bool:
        if not Future.cancel(self, msg):
            return False
        self.waiter.cancelled()
        return True

    def __await__(self) -> Generator[Any, None, _T]:
        if not self.done():
            waiter = self.waiter
            waiter.enter()
            self._asyncio_future_blocking = True
            try:
                yield self
            except BaseException:
                waiter.abandon()
                raise
            if not self.done():
                raise RuntimeError("the Future was resumed before it was done")
            waiter.delivered()
        return self.result()

    __iter__ = __await__


class Passing(Future[_T]):
    """A Future of a call that was done at once. Awaiting it lets the loop run other tasks first."""

    __slots__ = ("waiter",)

    waiter: Any

    def __await__(self) -> Generator[Any, None, _T]:
        waiter = self.waiter
        turn = waiter.enter()
        try:
            yield
        except BaseException:
            _core.turn_passed(turn)
            waiter.abandon()
            raise
        waiter.passed(turn)
        return self.result()

    __iter__ = __await__


def _no_running_loop() -> asyncio.AbstractEventLoop:
    """The loop of a caller that is in none."""
    warnings.warn(
        f"No running event loop. Use {_core.package_name()}.asyncio from within a running loop.",
        RuntimeWarning,
        stacklevel=2,
    )
    return asyncio.get_event_loop()


async def _next_message(socket: Any) -> Any:
    """The next message of an `async for`, by the socket's own recv_multipart."""
    try:
        return await socket.recv_multipart()
    except ZMQError as e:
        if e.errno in (Errno.ENOTSOCK, Errno.ETERM):
            raise StopAsyncIteration from None
        raise
    except asyncio.CancelledError:
        # Closing the socket cancels what waits for it.
        cancelling: Callable[[], int] = getattr(asyncio.current_task(), "cancelling", int)
        if socket.closed and not cancelling():
            raise StopAsyncIteration from None
        raise


def _loop_fd(loop: Any) -> int:
    """The descriptor that is readable while a turn of asyncio's own loop would find something in
    its selector; -1 where what else it would find cannot be told."""
    epoll = getattr(selectors, "EpollSelector", None)
    of_its_own = ("_run_once", "time", "call_soon", "call_at")
    if epoll is None or any(
        getattr(type(loop), name, None) is not getattr(asyncio.BaseEventLoop, name)
        for name in of_its_own
    ):
        return -1
    selector: Any = getattr(loop, "_selector", None)
    return selector.fileno() if type(selector) is epoll else -1


_core.set_asyncio(
    {
        "Future": Future,
        "Pending": Pending,
        "Passing": Passing,
        "CancelledError": asyncio.CancelledError,
        "running_loop": asyncio.get_running_loop,
        "no_loop": _no_running_loop,
        "deque": deque,
        "OrderedDict": OrderedDict,
        "Context": contextvars.Context,
        "copy_context": contextvars.copy_context,
        "next_message": _next_message,
        "loop_fd": _loop_fd,
    }
)


class _Async:
    """Names that pyzmq's asynchronous classes have in common."""

    _Future = Future

    def _default_loop(self) -> asyncio.AbstractEventLoop:
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            return _no_running_loop()

    def _get_loop(self) -> asyncio.AbstractEventLoop:
        return self._default_loop()


class _AsyncPoller(_Async, Poller):
    """A Poller whose poll returns a Future."""

    _socket_class: type[_AsyncSocket]
    raw_sockets: list[Any]

    def poll(  # type: ignore[override]
        self, timeout: float | None = -1
    ) -> Future[list[tuple[Any, int]]]:
        """A Future of the ready members as (socket, events) in the order of registering; of an
        empty list when timeout (ms, None or negative for ever) passed. Without members it does not
        wait for ever. Awaiting it always lets other tasks run."""
        loop = self._get_loop()
        future: Future[list[tuple[Any, int]]] = loop.create_future()
        try:
            ready = Poller.poll(self, 0)
        except Exception as e:
            future.set_exception(e)
            return future
        if timeout == 0:
            return _core.passing(loop, ready)
        if ready or not (self._flags or (timeout is not None and timeout > 0)):
            loop.call_soon(_wake, future, ready)
            return future
        return loop.create_task(self._wait(loop, timeout))

    async def _wait(
        self, loop: asyncio.AbstractEventLoop, timeout: float | None
    ) -> list[tuple[Any, int]]:
        """Waits until a member is ready. Another task may have been faster: then it goes on."""
        deadline = Deadline(timeout, loop.time)
        while True:
            happened: Future[Any] = loop.create_future()
            timer = None if deadline.at is None else loop.call_at(deadline.at, _wake, happened)
            undo: list[tuple[Any, ...]] = []
            try:
                for member, flags in self.sockets:
                    if isinstance(member, _core.Socket):
                        _core.poll_later(member, flags, happened, loop)
                        undo.append((_core.poll_no_more, member, flags, happened, loop))
                        continue
                    if flags & POLLIN:
                        loop.add_reader(member, _wake, happened)
                        undo.append((loop.remove_reader, member))
                    if flags & POLLOUT:
                        loop.add_writer(member, _wake, happened)
                        undo.append((loop.remove_writer, member))
                await happened
            finally:
                if timer is not None:
                    timer.cancel()
                for forget, *what in undo:
                    forget(*what)
                happened.cancel()
            ready = Poller.poll(self, 0)
            if ready or deadline.over():
                return ready


def _wake(future: Future[Any], value: Any = None) -> None:
    if not future.done():
        future.set_result(value)


class _AsyncSocket(_Async, _core.AsyncSocket, Socket[Future[Any]]):
    """A socket whose verbs return Futures. What can be done at once is done at once: then the
    Future is finished already, and awaiting it does not go through the loop."""

    _poller_class: type[_AsyncPoller] = _AsyncPoller

    def __init__(
        self,
        context: Any = None,
        socket_type: int | None = None,
        io_loop: Any = None,
        _from_socket: Socket | None = None,
        **kwargs: Any,
    ) -> None:
        if _from_socket is not None:
            context = _from_socket
        if io_loop is not None:
            warnings.warn(
                f"{type(self).__name__}(io_loop) is deprecated: the running loop is used",
                DeprecationWarning,
                stacklevel=3,
            )
        Socket.__init__(self, context, socket_type, **kwargs)

    @classmethod
    def from_socket(cls: type[_SocketT], socket: Socket, io_loop: Any = None) -> _SocketT:
        """An asynchronous socket over the handle of another one."""
        return cls(_from_socket=socket, io_loop=io_loop)

    @plain
    def _shadow_sock(self) -> Socket:
        """The same socket with blocking verbs."""
        return Socket.shadow(self)

    # -- life --

    def close(self, linger: int | None = None) -> None:
        """Closes the socket, see fastmq.Socket.close. Futures that wait are cancelled; an
        `async for` over the socket ends."""
        self._end_waits()
        Socket.close(self, linger)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *args: object) -> None:
        self.close()

    def get_monitor_socket(self, events: int | None = None, addr: str | None = None) -> Any:
        """As fastmq.Socket.get_monitor_socket; the PAIR is asynchronous, too."""
        monitor = Socket.get_monitor_socket(self, events, addr)
        if not isinstance(monitor, _AsyncSocket):
            monitor = self._monitor_socket = type(self)(monitor)
        return monitor

    async def wait_for_subscribers(  # type: ignore[override]
        self, n: int = 1, topic: str | Buffer = b"", timeout: float | None = None
    ) -> int:
        """As fastmq.Socket.wait_for_subscribers; other tasks run meanwhile."""
        loop = self._get_loop()
        deadline = Deadline(timeout, loop.time)
        while True:
            # First the watch, then the look: no change can come between the two unseen.
            changed: Future[Any] = loop.create_future()
            timer = None if deadline.at is None else loop.call_at(deadline.at, _wake, changed)
            _core.poll_later(self, POLLCHANGE, changed, loop)
            try:
                return _core.Socket.wait_for_subscribers(self, n, topic, 0)
            except Again:
                if deadline.over():
                    raise
                await changed
            finally:
                if timer is not None:
                    timer.cancel()
                _core.poll_no_more(self, POLLCHANGE, changed, loop)
                changed.cancel()

    # -- messages in other forms --

    def _deserialize(self, recvd: Any, load: Callable[[Any], Any]) -> Any:
        return _core.load_into(recvd, load)

    if TYPE_CHECKING:

        def send_serialized(  # type: ignore[override]
            self,
            msg: Any,
            serialize: Callable[[Any], Sequence[Buffer | Frame]],
            flags: int = 0,
            copy: bool = True,
            **kwargs: Any,
        ) -> Future[MessageTracker | None]: ...
        def recv_serialized(
            self,
            deserialize: Callable[[list[Any]], _T],
            flags: int = 0,
            copy: bool = True,
            **kwargs: Any,
        ) -> Future[_T]: ...
        def send_string(  # type: ignore[override]
            self, u: str, flags: int = 0, copy: bool = True, encoding: str = "utf-8", **kwargs: Any
        ) -> Future[MessageTracker | None]: ...
        def recv_string(  # type: ignore[override]
            self, flags: int = 0, encoding: str = "utf-8", **kwargs: Any
        ) -> Future[str]: ...

        send_unicode = send_string  # type: ignore[assignment]
        recv_unicode = recv_string  # type: ignore[assignment]

        def send_pyobj(  # type: ignore[override]
            self, obj: Any, flags: int = 0, protocol: int = -1, **kwargs: Any
        ) -> Future[MessageTracker | None]: ...
        def recv_pyobj(self, flags: int = 0, **kwargs: Any) -> Future[Any]: ...
        def send_json(  # type: ignore[override]
            self, obj: Any, flags: int = 0, **kwargs: Any
        ) -> Future[MessageTracker | None]: ...
        def recv_json(self, flags: int = 0, **kwargs: Any) -> Future[Any]: ...

    async def send_many(  # type: ignore[override]
        self,
        messages: Iterable[Buffer | Frame | Sequence[Buffer | Frame]],
        flags: int = 0,
        *,
        timeout: float | None = None,
    ) -> int:
        """Sends each of an iterable of messages and returns how many they were.

        Parameters and errors as for fastmq.Socket.send_many; other tasks run between batches. A
        cancellation has the number of messages that are on their way as its attribute `sent`.
        """
        loop = self._get_loop()
        deadline = Deadline(timeout, loop.time)
        source = iter(messages)
        sent = 0
        try:
            while True:
                count, blocked, error, ended = self._send_batch(source)
                sent += count
                if error is not None:
                    raise error
                if ended:
                    if not self._may_complete():
                        turn = _core.turn_number()
                        await asyncio.sleep(0)
                        _core.turn_passed(turn)
                    return sent
                if not blocked:
                    await asyncio.sleep(0)
                    continue
                left = timeout if deadline.at is None else deadline.left_ms()
                message = blocked[0]
                send: Any = self.send_multipart if isinstance(message, (list, tuple)) else self.send
                sending = send(message, flags, timeout=left)
                try:
                    await sending
                except BaseException:
                    # It may have been sent before the task that awaits it was cancelled.
                    if isinstance(sending, Future) and _succeeded(sending):
                        sent += 1
                    raise
                sent += 1
        except ZMQError as e:
            raise batch_error(e, sent) from e
        except BaseException as e:
            e.sent = sent  # type: ignore[attr-defined]
            raise


def _succeeded(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
