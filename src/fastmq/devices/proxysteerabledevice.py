# SPDX-License-Identifier: MIT
"""Proxies with a control socket: PAUSE, RESUME, TERMINATE, STATISTICS."""

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
        """Adds an endpoint to bind the control socket to."""
        self._ends["ctrl"].binds.append(addr)

    def bind_ctrl_to_random_port(self, addr: str, *args: int, **kwargs: int) -> int:
        """Chooses a free port to bind the control socket to; arguments as for
        Socket.bind_to_random_port. Returns the port."""
        return self._reserve("ctrl", addr, *args, **kwargs)

    def connect_ctrl(self, addr: str) -> None:
        """Adds an endpoint to connect the control socket to."""
        self._ends["ctrl"].connects.append(addr)

    def setsockopt_ctrl(self, opt: int, value: Any) -> None:
        """Sets an option of the control socket, before it is bound or connected."""
        self._ends["ctrl"].options.append((opt, value))

    def run_device(self) -> None:
        """Creates the sockets and forwards until it receives TERMINATE, or until the context ends;
        then it raises ContextTerminated."""
        front, back, capture, control = self._setup_sockets()
        _core.run_proxy(front, back, capture, control)


class ProxySteerable(ProxySteerableBase, Proxy):
    """A steerable proxy in the calling thread."""


class ThreadProxySteerable(ProxySteerableBase, ThreadProxy):
    """A steerable proxy in its own thread."""


class ProcessProxySteerable(ProxySteerableBase, ProcessProxy):
    """A steerable proxy in its own process."""


__all__ = ["ProcessProxySteerable", "ProxySteerable", "ThreadProxySteerable"]
