# SPDX-License-Identifier: MIT
"""An authenticator in an asyncio event loop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, cast

from .. import constants
from ..context import Context
from ..error import Again, ZMQError
from .base import Authenticator, has_ended


def _loop_here() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        # Programs of tornado's start what they need before they start the loop.
        tornado = sys.modules.get("tornado.ioloop")
        current = None if tornado is None else tornado.IOLoop.current(instance=False)
        if current is None:
            raise
        loop: asyncio.AbstractEventLoop = current.asyncio_loop
        return loop


class AsyncioAuthenticator(Authenticator):
    """An Authenticator that runs in the current event loop between start() and stop().

    Peers wait while the loop is busy, for at most HANDSHAKE_IVL. When the loop ends, or the
    authenticator's task is cancelled, a thread refuses every peer until stop().
    """

    def __init__(
        self,
        context: Context[Any] | None = None,
        loop: Any = None,
        encoding: str = "utf-8",
        log: Any = None,
    ) -> None:
        """loop: has no effect; start() uses the running one."""
        super().__init__(context, encoding, log)
        if loop is not None:
            warnings.warn(
                f"{type(self).__name__}(loop) has no effect: it runs where start() is called",
                DeprecationWarning,
                stacklevel=2,
            )
        self._task: asyncio.Task[None] | None = None
        self._unwatch: Callable[[], object] | None = None  # while the loop watches the descriptor

    def start(self) -> None:
        """Bind and answer from now on, or as soon as tornado's current loop runs.

        RuntimeError: no loop runs here, and tornado has none.
        """
        loop = _loop_here()
        if self._task is not None:
            if not self._has_ended(self._task):
                return
            # The loop that it ran in has ended, or something cancelled it. A loop that was closed
            # leaves its tasks as they are, and cannot cancel what they wait for.
            coroutine = cast(Coroutine[Any, Any, None], self._task.get_coro())
            with contextlib.suppress(RuntimeError):
                coroutine.close()
            if not self._end_refusing():
                self.stop()
        super().start()
        self._task = loop.create_task(self._serve(loop))

    def stop(self) -> None:
        """Answer no more and close the socket."""
        task, self._task = self._task, None
        if task is not None and not self._has_ended(task):
            task.cancel()
        # Before the descriptor is closed: its number may soon be somebody else's.
        self._watch_no_more()
        super().stop()

    @staticmethod
    def _has_ended(task: asyncio.Task[None]) -> bool:
        return task.done() or task.get_loop().is_closed()

    async def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        sock = self.zap_socket
        msg = None
        try:
            fd = sock.getsockopt(constants.FD)
            while True:
                msg = None
                try:
                    msg = sock.recv_multipart(constants.DONTWAIT)
                except Again:
                    await self._readable(loop, fd)
                    continue
                await self._answer(loop, msg)
        except ZMQError as error:
            if has_ended(error, sock):
                sock.close()
            else:
                self.log.exception("Receiving questions failed")
        finally:
            if self._task is not None and not sock.closed:
                self._keep_refusing(msg)

    async def _answer(self, loop: asyncio.AbstractEventLoop, msg: list[bytes]) -> None:
        """Answers a request in a task of its own: what ends that one does not end this one."""
        task = loop.create_task(self.handle_zap_message(msg))
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        if task.cancelled() or task.exception() is not None:
            self._refuse(msg)
            if not task.cancelled():
                self._log_failure(cast(BaseException, task.exception()))

    async def _readable(self, loop: asyncio.AbstractEventLoop, fd: int) -> None:
        """Waits without keeping the loop busy meanwhile: the descriptor is level-triggered."""
        ready = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(fd, wake)
        self._unwatch = lambda: loop.remove_reader(fd)
        try:
            await ready
        finally:
            self._watch_no_more()

    def _watch_no_more(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None


__all__ = ["AsyncioAuthenticator"]
