# SPDX-License-Identifier: MIT
"""Waiting for several sockets and descriptors at once."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from . import _core
from ._attributes import plain
from .constants import POLLERR, POLLIN, POLLOUT


class Poller:
    """A set of sockets and descriptors to wait for.

    Members are sockets, file descriptors, or objects with fileno(). Registering costs more than
    polling, so keep a Poller rather than creating one for every wait.
    """

    def __init__(self) -> None:
        self._set = _core.PollSet()
        self._flags: dict[Any, int] = {}

    @plain
    def sockets(self) -> list[tuple[Any, int]]:
        """The members as (socket, flags), in the order of registering."""
        return list(self._flags.items())

    def __contains__(self, socket: Any) -> bool:
        return socket in self._flags

    def register(self, socket: Any, flags: int = POLLIN | POLLOUT) -> None:
        """Adds a member, or changes its flags (flags 0: removes it).

        TypeError: it is not a socket or an int, and has no fileno().
        """
        if not flags:
            if socket in self._flags:
                self.unregister(socket)
            return
        if socket in self._flags:
            self._set.modify(socket, int(flags))
        else:
            self._set.add(socket, int(flags))
        self._flags[socket] = flags

    def modify(self, socket: Any, flags: int = POLLIN | POLLOUT) -> None:
        """Changes the flags of a member."""
        self.register(socket, flags)

    def unregister(self, socket: Any) -> None:
        """Removes a member. KeyError: it is not registered."""
        del self._flags[socket]
        self._set.remove(socket)

    def poll(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        """Waits until members are ready. Returns a list of (socket, events) in the order of
        registering, with the descriptor in place of an object with fileno(); empty when timeout
        (ms, None or negative: for ever) passed. Without members it does not wait for ever."""
        if not self._flags:
            if timeout is not None and timeout > 0:
                time.sleep(timeout / 1000)
            return []
        return [(_target(socket), events) for socket, events in self._set.wait(timeout)]


def zmq_poll(sockets: Iterable[tuple[Any, int]], timeout: float = -1) -> list[tuple[Any, int]]:
    """Waits for pairs of (socket or descriptor, flags); returns the ready ones as such pairs.

    timeout: ms, negative: for ever.
    """
    members = [(_target(socket), int(flags)) for socket, flags in sockets]
    poller = Poller()
    wanted: dict[Any, int] = {}
    for socket, flags in members:
        wanted[socket] = wanted.get(socket, 0) | flags
    for socket, flags in wanted.items():
        poller.register(socket, flags)
    ready = dict(poller.poll(timeout))
    told = ((socket, ready.get(socket, 0) & (flags | POLLERR)) for socket, flags in members)
    return [(socket, events) for socket, events in told if events]


def _target(socket: Any) -> Any:
    """What a socket or descriptor is told by: itself, or the descriptor of an object with one."""
    if isinstance(socket, (int, _core.Socket)) or not hasattr(socket, "fileno"):
        return socket
    return socket.fileno()


def select(
    rlist: list[Any], wlist: list[Any], xlist: list[Any], timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """As select.select, but also for sockets of fastmq: returns the members of the lists that are
    ready to be read, ready to be written, or have an error. timeout: seconds, None: for ever."""
    wanted: dict[Any, int] = {}
    for members, flag in ((rlist, POLLIN), (wlist, POLLOUT), (xlist, POLLERR)):
        for socket in members:
            wanted[socket] = wanted.get(socket, 0) | flag
    ms = -1 if timeout is None else float(timeout) * 1000
    ready = dict(zmq_poll(list(wanted.items()), ms))
    return (
        [socket for socket in rlist if ready.get(_target(socket), 0) & POLLIN],
        [socket for socket in wlist if ready.get(_target(socket), 0) & POLLOUT],
        [socket for socket in xlist if ready.get(_target(socket), 0) & POLLERR],
    )


__all__ = ["Poller", "select", "zmq_poll"]
