# SPDX-License-Identifier: MIT
"""Proxies that obey a control socket: PAUSE, RESUME, TERMINATE, STATISTICS."""

from __future__ import annotations

from typing import Any

from .. import _core
from ..constants import SocketType
from .basedevice import _End
from .proxydevice import ProcessProxy, Proxy, ProxyBase, ThreadProxy


class ProxySteerableBase(ProxyBase):
    """What steerable proxies share beside a proxy: the control socket, see
    fastmq.proxy_steerable.

    ctrl_type: its SocketType; PAIR unless told.
    """

    def __init__(
        self,
        in_type: int,
        out_type: int,
        mon_type: int = SocketType.PUB,
        ctrl_type: int | None = None,
    ) -> None:
        super().__init__(in_type, out_type, mon_type)
        self.ctrl_type = SocketType.PAIR if ctrl_type is None else ctrl_type
        self._ends["ctrl"] = _End(self.ctrl_type)

    def bind_ctrl(self, addr: str) -> None:
        """Notes an endpoint that the control socket will be bound to."""
        self._ends["ctrl"].binds.append(addr)

    def bind_ctrl_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Notes a port that is free now for the control socket; arguments as for
        Socket.bind_to_random_port. Returns the port."""
        return self._reserve("ctrl", addr, *args, **kwargs)

    def connect_ctrl(self, addr: str) -> None:
        """Notes an endpoint that the control socket will be connected to."""
        self._ends["ctrl"].connects.append(addr)

    def setsockopt_ctrl(self, opt: int, value: Any) -> None:
        """Notes an option of the control socket, set before it is bound or connected."""
        self._ends["ctrl"].options.append((opt, value))

    def run_device(self) -> None:
        """Makes the sockets and forwards until TERMINATE comes, or the context ends: then it
        raises ContextTerminated."""
        front, back, capture, control = self._setup_sockets()
        _core.run_proxy(front, back, capture, control)


class ProxySteerable(ProxySteerableBase, Proxy):
    """A steerable proxy in the calling thread."""


class ThreadProxySteerable(ProxySteerableBase, ThreadProxy):
    """A steerable proxy in a thread of its own."""


class ProcessProxySteerable(ProxySteerableBase, ProcessProxy):
    """A steerable proxy in a process of its own."""


__all__ = ["ProcessProxySteerable", "ProxySteerable", "ThreadProxySteerable"]
