# SPDX-License-Identifier: MIT
"""An authenticator that runs in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import time
from itertools import count
from threading import Thread, current_thread
from typing import Any

from .. import constants
from ..context import Context
from ..error import ZMQError
from ..poll import Poller
from ..socket import Socket
from .base import PAUSE_S, Authenticator, has_ended

_serial = count(1)


class AuthenticationThread(Thread):
    """Runs an authenticator until a message arrives on `pipe`, or the context ends.

    Nothing else ends it, so no peer is admitted without a check while it runs.
    """

    def __init__(self, authenticator: Authenticator, pipe: Any) -> None:
        super().__init__(daemon=True, name="fastmq-auth")
        self.authenticator = authenticator
        self.pipe = pipe
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        requests = self.authenticator.zap_socket
        poller = Poller()
        try:
            if self._watch(poller, requests):
                while self._serve(poller, requests):
                    pass
        finally:
            self.pipe.close()
            Authenticator.stop(self.authenticator)
            if self._loop is not None:
                self._loop.close()

    def _watch(self, poller: Poller, requests: Any) -> bool:
        """Registers both sockets; whether they are still there."""
        while True:
            try:
                poller.register(self.pipe, constants.POLLIN)
                poller.register(requests, constants.POLLIN)
                return True
            except BaseException as error:
                if has_ended(error, requests, self.pipe):
                    return False
                # Without descriptors, say: peers wait until there are some again.
                with contextlib.suppress(BaseException):
                    self.authenticator._log_failure(error)
                time.sleep(PAUSE_S)

    def _serve(self, poller: Poller, requests: Any) -> bool:
        """Waits for a request and answers it; whether to go on."""
        msg = None
        try:
            ready = dict(poller.poll())
            if self.pipe in ready:
                return False
            if requests in ready:
                msg = requests.recv_multipart()
                self._answer(msg)
                # An overriding method may not have answered, and no other request would come.
                self.authenticator._refuse(msg)
        except BaseException as error:
            # After a request: of a callback's, say CancelledError or SystemExit, or the overriding
            # method's. Whatever it is, ContextTerminated of another context too, it ends nothing.
            if msg is not None:
                self.authenticator._refuse(msg)
            elif has_ended(error, requests, self.pipe):
                return False
            with contextlib.suppress(BaseException):
                self.authenticator._log_failure(error)
            if msg is None:
                time.sleep(PAUSE_S)
        return True

    def _answer(self, msg: list[bytes]) -> None:
        # Callbacks may be coroutines, and may stop or close their loop.
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        answering = self.authenticator.handle_zap_message(msg)
        task = self._loop.create_task(answering)
        try:
            self._loop.run_until_complete(task)
        finally:
            if not task.done():
                # It must not go on when the loop runs for another request.
                answering.close()
                self._loop.close()
            elif not task.cancelled():
                task.exception()  # is raised here; the task is not to log it again


class ThreadAuthenticator(Authenticator):
    """An Authenticator that runs in its own thread between start() and stop().

    Policies may be changed while it runs. Callbacks run in the thread. A callback that fails in any
    way refuses that peer; only stop() and the end of the context end the thread.
    """

    pipe: Any = None
    pipe_endpoint: str = ""
    thread: AuthenticationThread | None = None

    def __init__(
        self, context: Context[Any] | None = None, encoding: str = "utf-8", log: Any = None
    ) -> None:
        super().__init__(context, encoding, log)

    def start(self) -> None:
        """Bind and start the thread. ZMQError(EADDRINUSE): the context has an authenticator."""
        if self.thread is not None:
            return
        super().start()
        made: list[Socket[Any]] = []
        try:
            self.pipe_endpoint = f"inproc://fastmq-auth-{next(_serial)}-{id(self)}"
            for connect in (Socket.bind, Socket.connect):
                made.append(self.context.socket(constants.PAIR, socket_class=Socket))
                made[-1].linger = 1
                connect(made[-1], self.pipe_endpoint)
            self.pipe, other = made
            thread = AuthenticationThread(self, other)
            thread.start()
        except BaseException:
            for sock in made:
                sock.close()
            self.pipe = None
            super().stop()
            raise
        self.thread = thread

    def stop(self) -> None:
        """End the thread and close its sockets. It may be called when the thread is not running.

        Waits until a running callback returns.
        """
        if self.thread is None:
            return
        try:
            self.pipe.send(b"TERMINATE", constants.DONTWAIT)
        except ZMQError:
            pass  # the thread is gone already
        if self.is_alive() and self.thread is not current_thread():
            self.thread.join()
        self.thread = None
        self.pipe.close()
        self.pipe = None

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self.thread is not None and self.thread.is_alive()

    def __del__(self) -> None:
        self.stop()


__all__ = ["AuthenticationThread", "ThreadAuthenticator"]
