# SPDX-License-Identifier: MIT
"""Forwarding a local port through a connection of paramiko's."""

from __future__ import annotations

import logging
import select
import socketserver
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import paramiko

logger = logging.getLogger("ssh")

_PIECE = 1 << 16


class ForwardServer(socketserver.ThreadingTCPServer):
    """Accepts local connections, each served by a thread."""

    daemon_threads = True
    allow_reuse_address = True


class Handler(socketserver.BaseRequestHandler):
    """Forwards one local connection; a subclass says where to."""

    chain_host: ClassVar[str]
    """The host to connect to, as the ssh server sees it."""
    chain_port: ClassVar[int]
    ssh_transport: ClassVar[paramiko.Transport]

    def handle(self) -> None:
        """Moves bytes both ways until one side has ended."""
        target = (self.chain_host, self.chain_port)
        try:
            channel = self.ssh_transport.open_channel(
                "direct-tcpip", target, self.request.getpeername()
            )
        except Exception as e:
            logger.debug("no connection to %s:%d: %r", *target, e)
            return
        logger.debug("connected to %s:%d", *target)
        with channel:
            try:
                self._move(channel)
            except (OSError, EOFError) as e:  # one side is gone
                logger.debug("lost the connection to %s:%d: %r", *target, e)
        logger.debug("closed the connection to %s:%d", *target)

    def _move(self, channel: paramiko.Channel) -> None:
        while True:
            ready, _, _ = select.select([self.request, channel], [], [])
            if self.request in ready:
                data = self.request.recv(_PIECE)
                if not data:
                    return
                channel.sendall(data)
            if channel in ready:
                data = channel.recv(_PIECE)
                if not data:
                    return
                self.request.sendall(data)


def forward_server(
    local_port: int, remote_host: str, remote_port: int, transport: paramiko.Transport
) -> ForwardServer:
    """A server on 127.0.0.1:local_port that listens already; its serve_forever() forwards.

    remote_host, remote_port: where connections go, as the ssh server sees it. transport: the
    connection to the ssh server.
    """

    class BoundHandler(Handler):
        chain_host = remote_host
        chain_port = remote_port
        ssh_transport = transport

    return ForwardServer(("127.0.0.1", local_port), BoundHandler)


def forward_tunnel(
    local_port: int, remote_host: str, remote_port: int, transport: paramiko.Transport
) -> None:
    """Forwards connections to 127.0.0.1:local_port for ever; arguments as of forward_server."""
    with forward_server(local_port, remote_host, remote_port, transport) as server:
        server.serve_forever()


__all__ = ["ForwardServer", "forward_server", "forward_tunnel"]
