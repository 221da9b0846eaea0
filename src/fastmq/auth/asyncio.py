# SPDX-License-Identifier: MIT
"""An authenticator in an asyncio event loop."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import Any

from .. import constants
from ..context import Context
from ..error import Again, ZMQError
from .base import Authenticator


class AsyncioAuthenticator(Authenticator):
    """An Authenticator that answers in the running event loop between start() and stop().

    Peers wait while the loop is busy elsewhere, for HANDSHAKE_IVL at most.
    """

    def __init__(
        self,
        context: Context[Any] | None = None,
        loop: Any = None,
        encoding: str = "utf-8",
        log: Any = None,
    ) -> None:
        """loop: has no effect; start() takes the running one."""
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
        """Bind and answer from now on. RuntimeError: no loop runs here."""
        if self._task is not None:
            return
        loop = asyncio.get_running_loop()
        super().start()
        self._task = loop.create_task(self._serve(loop))

    def stop(self) -> None:
        """Answer no more and close the socket."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        # Before the descriptor is closed: its number may soon be somebody else's.
        self._watch_no_more()
        super().stop()

    async def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        sock = self.zap_socket
        fd = sock.getsockopt(constants.FD)
        while True:
            try:
                msg = sock.recv_multipart(constants.DONTWAIT)
            except Again:
                await self._readable(loop, fd)
                continue
            except ZMQError:
                return  # closed, or the context ended
            await self.handle_zap_message(msg)

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
