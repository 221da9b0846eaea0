# SPDX-License-Identifier: MIT
"""An authenticator in a thread of its own."""

from __future__ import annotations

import asyncio
from itertools import count
from threading import Thread
from typing import Any

from .. import constants
from ..context import Context
from ..error import ContextTerminated, ZMQError
from ..poll import Poller
from ..socket import Socket
from .base import Authenticator

_serial = count(1)


class AuthenticationThread(Thread):
    """Runs an authenticator until something arrives on `pipe`, or the context ends."""

    def __init__(self, authenticator: Authenticator, pipe: Any) -> None:
        super().__init__(daemon=True, name="fastmq-auth")
        self.authenticator = authenticator
        self.pipe = pipe

    def run(self) -> None:
        # Callbacks may be coroutines.
        loop = asyncio.new_event_loop()
        try:
            self._serve(loop)
        except ContextTerminated:
            pass
        finally:
            loop.close()
            self.pipe.close()
            Authenticator.stop(self.authenticator)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        requests = self.authenticator.zap_socket
        poller = Poller()
        poller.register(self.pipe, constants.POLLIN)
        poller.register(requests, constants.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self.pipe in ready:
                return
            if requests in ready:
                msg = requests.recv_multipart()
                loop.run_until_complete(self.authenticator.handle_zap_message(msg))


class ThreadAuthenticator(Authenticator):
    """An Authenticator that answers by itself, in a thread, between start() and stop().

    Policies may be changed while it runs. Callbacks run in the thread.
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
        """End the thread and close its sockets; harmless when it is not running."""
        if self.thread is None:
            return
        try:
            self.pipe.send(b"TERMINATE", constants.DONTWAIT)
        except ZMQError:
            pass  # the thread is gone already
        if self.is_alive():
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
