# SPDX-License-Identifier: MIT
"""What all devices share: the two ends, written down first and made where the device runs."""

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
    """A proxy between two sockets that it makes itself, run in the calling thread.

    device_type: a DeviceType, of no effect. in_type, out_type: the SocketType of the two ends;
    out_type -1 makes it a device of one socket, which forwards to itself.

    The setters take notes. The sockets are made by `run`, in the thread or process that runs the
    device, from the context that `context_factory()` gives, and closed when it ends: that is when
    the context is terminated.
    """

    context_factory: Callable[..., Any] = Context.instance
    """Gives the context of the device's sockets; may be set on a class or on a device."""
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
        """Notes an endpoint that the front socket will be bound to."""
        self._ends["in"].binds.append(addr)

    def bind_in_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Notes a port that is free now for the front socket; arguments as for
        Socket.bind_to_random_port. Returns the port."""
        return self._reserve("in", addr, *args, **kwargs)

    def connect_in(self, addr: str) -> None:
        """Notes an endpoint that the front socket will be connected to."""
        self._ends["in"].connects.append(addr)

    def setsockopt_in(self, opt: int, value: Any) -> None:
        """Notes an option of the front socket, set before it is bound or connected."""
        self._ends["in"].options.append((opt, value))

    def bind_out(self, addr: str) -> None:
        """Notes an endpoint that the back socket will be bound to."""
        self._ends["out"].binds.append(addr)

    def bind_out_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Notes a port that is free now for the back socket; arguments as for
        Socket.bind_to_random_port. Returns the port."""
        return self._reserve("out", addr, *args, **kwargs)

    def connect_out(self, addr: str) -> None:
        """Notes an endpoint that the back socket will be connected to."""
        self._ends["out"].connects.append(addr)

    def setsockopt_out(self, opt: int, value: Any) -> None:
        """Notes an option of the back socket, set before it is bound or connected."""
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
        """Makes the sockets and forwards until the context ends: raises ContextTerminated."""
        front, back = self._setup_sockets()
        _core.run_proxy(front, back)

    def run(self) -> None:
        """Runs the device in this thread; returns when its context was terminated or destroyed."""
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
        """Runs the device: as `run` here, in the background in the Thread and Process classes."""
        self.run()

    def join(self, timeout: float | None = None) -> None:
        """Waits until the device has ended, at most timeout seconds if that is given."""
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
        """Waits until the device has ended, at most timeout seconds if that is given."""
        self.launcher.join(timeout)


class ThreadDevice(BackgroundDevice):
    """A device in a thread of its own; it shares the process's context unless told otherwise.

    Terminate that context to end it.
    """

    _launch_class = threading.Thread


class ProcessDevice(BackgroundDevice):
    """A device in a process of its own, with a context of its own: it takes no processor time
    from this interpreter, and ends with the process (`launcher.terminate()`)."""

    _launch_class = Process
    context_factory = Context

    def run(self) -> None:
        """Runs the device in this process; returns when a steerable one was told TERMINATE."""
        super().run()
        if self._context is not None and isinstance(self.context_factory, type):
            self._context.term()

    @plain
    def done(self) -> bool:
        """Whether the process was started and has ended."""
        return self.launcher is not None and self.launcher.exitcode is not None


__all__ = ["Device", "ProcessDevice", "ThreadDevice"]
