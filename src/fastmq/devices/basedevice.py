# SPDX-License-Identifier: MIT
"""The base classes of devices, which create their sockets where the device runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from multiprocessing import Process
from typing import Any, ClassVar

from .. import _core
from .._attributes import plain
from ..constants import DeviceType, Errno, SocketType
from ..context import Context
from ..error import ZMQBindError, ZMQError
from ..socket import Socket

_RESERVE_TRIES = 20


class _End:
    """One socket of a device that does not exist yet: its type, options and endpoints."""

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.binds: list[str] = []
        self.connects: list[str] = []
        self.options: list[tuple[int, Any]] = []

    def make(self, context: Context[Any]) -> Socket:
        """The socket, with its options set before it is bound and connected."""
        socket: Socket = context.socket(self.kind)
        try:
            for option, value in self.options:
                socket.set(option, value)
            for address in self.binds:
                socket.bind(address)
            for address in self.connects:
                socket.connect(address)
        except BaseException:
            socket.close(0)
            raise
        return socket


class Device:
    """A proxy between two sockets that it creates itself, run in the calling thread.

    device_type: a DeviceType, without effect. in_type, out_type: the SocketType of the two ends;
    with out_type -1 the device has one socket, which forwards to itself.

    The setters store their arguments. `run` creates the sockets, in the thread or process of the
    device, in the context that `context_factory()` returns. It closes them when the context is
    terminated.
    """

    context_factory: Callable[..., Any] = Context.instance
    """Returns the context of the device's sockets; may be set on a class or on a device."""
    daemon: bool = True
    """Whether a device in the background ends with the program instead of keeping it alive."""

    def __init__(
        self,
        device_type: int = DeviceType.QUEUE,
        in_type: int | None = None,
        out_type: int | None = None,
    ) -> None:
        if in_type is None:
            raise TypeError("in_type must be specified")
        if out_type is None:
            raise TypeError("out_type must be specified")
        self.device_type = device_type
        self.in_type = in_type
        self.out_type = out_type
        self.daemon = True
        self._ends = {"in": _End(in_type), "out": _End(out_type)}
        if out_type < 0:
            self._ends["out"] = self._ends["in"]
        self._reserved: set[str] = set()
        self._context: Context[Any] | None = None
        self._sockets: list[Socket] = []
        self._ended = threading.Event()

    def __getstate__(self) -> dict[str, Any]:
        # What a process that runs the device needs of it.
        state = dict(self.__dict__)
        for name in ("_context", "_ended", "_sockets", "launcher"):
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._context = None
        self._sockets = []
        self._ended = threading.Event()

    @plain
    def done(self) -> bool:
        """Whether the device has run and ended."""
        return self._ended.is_set()

    def _reserve(self, end: str, address: str, *args: int, **kwargs: int) -> int:
        """A free port, noted as one to bind `end` to."""
        context: Context[Socket] = Context()
        with context, context.socket(SocketType.REQ) as probe:
            for _ in range(_RESERVE_TRIES):
                port = probe.bind_to_random_port(address, *args, **kwargs)
                chosen = f"{address}:{port}"
                if chosen not in self._reserved:
                    self._reserved.add(chosen)
                    self._ends[end].binds.append(chosen)
                    return port
        raise ZMQBindError(f"no port at {address} that this device has not reserved already")

    def bind_in(self, addr: str) -> None:
        """Adds an endpoint to bind the front socket to."""
        self._ends["in"].binds.append(addr)

    def bind_in_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Chooses a free port to bind the front socket to; arguments as for
        Socket.bind_to_random_port. Returns the port."""
        return self._reserve("in", addr, *args, **kwargs)

    def connect_in(self, addr: str) -> None:
        """Adds an endpoint to connect the front socket to."""
        self._ends["in"].connects.append(addr)

    def setsockopt_in(self, opt: int, value: Any) -> None:
        """Sets an option of the front socket, before it is bound or connected."""
        self._ends["in"].options.append((opt, value))

    def bind_out(self, addr: str) -> None:
        """Adds an endpoint to bind the back socket to."""
        self._ends["out"].binds.append(addr)

    def bind_out_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Chooses a free port to bind the back socket to; arguments as for
        Socket.bind_to_random_port. Returns the port."""
        return self._reserve("out", addr, *args, **kwargs)

    def connect_out(self, addr: str) -> None:
        """Adds an endpoint to connect the back socket to."""
        self._ends["out"].connects.append(addr)

    def setsockopt_out(self, opt: int, value: Any) -> None:
        """Sets an option of the back socket, before it is bound or connected."""
        self._ends["out"].options.append((opt, value))

    def _setup_sockets(self) -> list[Socket]:
        """Makes the sockets, in the order in which the setters were given their names."""
        context = self._context = self.context_factory()
        made: dict[int, Socket] = {}
        for end in self._ends.values():
            if id(end) not in made:
                made[id(end)] = end.make(context)
            self._sockets.append(made[id(end)])
        return self._sockets

    def _close_sockets(self) -> None:
        for socket in self._sockets:
            socket.close()
        self._sockets = []

    def run_device(self) -> None:
        """Creates the sockets and forwards until the context ends: ContextTerminated."""
        front, back = self._setup_sockets()
        _core.run_proxy(front, back)

    def run(self) -> None:
        """Runs the device in this thread; returns when its context is terminated or destroyed."""
        try:
            self.run_device()
        except ZMQError as e:
            ended = self._context is not None and self._context.closed  # perhaps before it began
            if e.errno not in (Errno.ETERM, Errno.ENOTSOCK) and not ended:
                raise
        finally:
            self._close_sockets()
            self._ended.set()

    def start(self) -> None:
        """Runs the device; in the Thread and Process classes, in the background."""
        self.run()

    def join(self, timeout: float | None = None) -> None:
        """Waits until the device has ended, for at most timeout seconds."""
        self._ended.wait(timeout)


class BackgroundDevice(Device):
    """A device that `start` runs in the background."""

    _launch_class: ClassVar[Callable[..., Any]]
    launcher: Any = None
    """The Thread or Process that runs the device."""

    def start(self) -> None:
        """Starts the thread or process that runs the device, and returns."""
        self.launcher = type(self)._launch_class(target=self.run)
        self.launcher.daemon = self.daemon
        self.launcher.start()

    def join(self, timeout: float | None = None) -> None:
        """Waits until the device has ended, for at most timeout seconds."""
        self.launcher.join(timeout)


class ThreadDevice(BackgroundDevice):
    """A device in its own thread. By default it uses Context.instance().

    Terminate the context to end it.
    """

    _launch_class = threading.Thread


class ProcessDevice(BackgroundDevice):
    """A device in its own process, with its own context. It takes no processor time from this
    interpreter; end it with `launcher.terminate()`."""

    _launch_class = Process
    context_factory = Context

    def run(self) -> None:
        """Runs the device in this process; returns when a steerable one receives TERMINATE."""
        super().run()
        if self._context is not None and isinstance(self.context_factory, type):
            self._context.term()

    @plain
    def done(self) -> bool:
        """Whether the process was started and has ended."""
        return self.launcher is not None and self.launcher.exitcode is not None


__all__ = ["Device", "ProcessDevice", "ThreadDevice"]
