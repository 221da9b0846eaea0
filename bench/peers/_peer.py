# SPDX-License-Identifier: MIT
"""What the adapters share: contexts and sockets with the few names that the scenarios use.

An adapter is a module that a scenario can be given in the place of zmq, as far as its `can` says.
It imports nothing of fastmq.
"""

from __future__ import annotations

import abc
import os
import tempfile
from types import TracebackType
from typing import Any

# Bytes. In a queue of 1000 larger ones would need gigabytes.
LARGEST = {"reqrep": 1 << 20, "pushpull": 1 << 16, "growth_size": 16 << 20}
REQ, REP, PUSH, PULL = "REQ", "REP", "PUSH", "PULL"
SHARED_MEMORY = "/dev/shm"
CONNECT_S = 10  # until the other end has to be there


class Unavailable(Exception):
    """The library cannot do here what it is asked for: the system lacks something, or its other
    end does not come. Tests tell it from a mistake of the adapter by its name."""


def shared_memory_free() -> int:
    """Bytes that are left for shared memory."""
    try:
        found = os.statvfs(SHARED_MEMORY)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def need_shared_memory(size: int) -> None:
    """Raises Unavailable rather than let a library be killed for the lack of `size` bytes."""
    if (free := shared_memory_free()) < size:
        raise Unavailable(
            f"{size >> 10} KiB of shared memory are needed, {SHARED_MEMORY} has {free >> 10} KiB"
        )


def can(scenario: str, params: dict[str, Any]) -> bool:
    """Whether the case is one of a plain connection between two processes."""
    return (
        params.get("size", 0) <= LARGEST.get(scenario, -1)
        and params["transport"] in ("tcp", "ipc")
        and params.get("copy", True)
    )


class Closing:
    """Something to be used in a `with`."""

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """By default there is nothing to close."""


class Socket(Closing, abc.ABC):
    """One end; `path` is a fresh name for a unix socket."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.last_endpoint = b""
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def bind(self, endpoint: str) -> None:
        """Listens at "tcp://127.0.0.1:*" or "ipc://*" and says where."""
        self.last_endpoint = self.listen(endpoint.startswith("tcp")).encode()

    def path(self) -> str:
        self._folder = tempfile.TemporaryDirectory()
        return os.path.join(self._folder.name, "peer")

    def close(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    @abc.abstractmethod
    def listen(self, tcp: bool) -> str:
        """Listens on a fresh address; what the other end's `connect` takes."""

    @abc.abstractmethod
    def connect(self, endpoint: str) -> None: ...

    @abc.abstractmethod
    def send(self, data: bytes) -> None: ...

    @abc.abstractmethod
    def recv(self) -> bytes: ...


class Context(Closing):
    """Makes sockets of the adapter's class."""

    kind: type[Socket]

    def socket(self, kind: str) -> Socket:
        return self.kind(kind)
