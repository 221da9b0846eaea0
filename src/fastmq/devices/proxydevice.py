# SPDX-License-Identifier: MIT
"""Devices whose messages are also copied to a third socket."""

from __future__ import annotations

from typing import Any

from .. import _core
from ..constants import DeviceType, SocketType
from .basedevice import Device, ProcessDevice, ThreadDevice, _End


class ProxyBase(Device):
    """What proxies share beside a Device: the monitor socket, which gets a copy of each message.

    mon_type: its SocketType; PUB unless told.
    """

    def __init__(self, in_type: int, out_type: int, mon_type: int = SocketType.PUB) -> None:
        super().__init__(DeviceType.QUEUE, in_type, out_type)
        self.mon_type = mon_type
        self._ends["mon"] = _End(mon_type)

    def bind_mon(self, addr: str) -> None:
        """Adds an endpoint to bind the monitor socket to."""
        self._ends["mon"].binds.append(addr)

    def bind_mon_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Chooses a free port to bind the monitor socket to; arguments as for
        Socket.bind_to_random_port. Returns the port."""
        return self._reserve("mon", addr, *args, **kwargs)

    def connect_mon(self, addr: str) -> None:
        """Adds an endpoint to connect the monitor socket to."""
        self._ends["mon"].connects.append(addr)

    def setsockopt_mon(self, opt: int, value: Any) -> None:
        """Sets an option of the monitor socket, before it is bound or connected."""
        self._ends["mon"].options.append((opt, value))

    def run_device(self) -> None:
        """Creates the sockets and forwards until the context ends: ContextTerminated."""
        front, back, capture = self._setup_sockets()
        _core.run_proxy(front, back, capture)


class Proxy(ProxyBase):
    """A proxy in the calling thread."""


class ThreadProxy(ProxyBase, ThreadDevice):
    """A proxy in its own thread."""


class ProcessProxy(ProxyBase, ProcessDevice):
    """A proxy in its own process."""


__all__ = ["ProcessProxy", "Proxy", "ThreadProxy"]
