# SPDX-License-Identifier: MIT
"""Tunnels through ssh: by the system's `ssh`, or by paramiko (extra `ssh`)."""

from . import forward, tunnel
from .tunnel import (
    MaxRetryExceeded,
    UnknownHost,
    open_tunnel,
    openssh_tunnel,
    paramiko_tunnel,
    select_random_ports,
    ssh_tunnel,
    try_passwordless_ssh,
    tunnel_connection,
)

__all__ = [
    "MaxRetryExceeded",
    "UnknownHost",
    "forward",
    "open_tunnel",
    "openssh_tunnel",
    "paramiko_tunnel",
    "select_random_ports",
    "ssh_tunnel",
    "try_passwordless_ssh",
    "tunnel",
    "tunnel_connection",
]
