# SPDX-License-Identifier: MIT
"""Addresses of peers: those that a policy names, and the one that a question of ZAP names."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_IPC = re.compile(r"localhost(?::(\d+):(\d+):(\d+))?", re.ASCII)
_ZONE = re.compile(r"[^\s%/]+")

IpcPeer = tuple[str, ...]
"""User, group and process of a peer over ipc, each a number in decimal digits."""


@dataclass(frozen=True)
class Rule:
    """What one argument of allow() or deny() stands for.

    network: the addresses. zone: the interface of a link-local address, by name or number; None:
    any. ipc: this peer over ipc; (): any.
    """

    network: _Network | None = None
    zone: str | None = None
    ipc: IpcPeer | None = None

    def covers(self, peer: Peer) -> bool:
        """Whether the peer's address is one of these."""
        if self.network is None:
            return peer.ipc is not None and self.ipc in ((), peer.ipc)
        if self.zone and peer.zone and not _same_zone(self.zone, peer.zone):
            return False
        return any(
            address.version == self.network.version and address in self.network
            for address in peer.addresses
        )


@dataclass(frozen=True)
class Peer:
    """The address of a peer.

    addresses: an IPv4 address that is written as an IPv6 one counts as both. zone: the interface,
    as in Rule. ipc: of a peer over ipc.
    """

    addresses: tuple[_Address, ...] = ()
    zone: str | None = None
    ipc: IpcPeer | None = None


def parse_rule(text: str) -> Rule:
    """The rule that a text stands for: an address, a network (10.0.0.0/8, fd00::/8), either with a
    zone (fe80::1%eth0), "localhost" or "localhost:uid:gid:pid" for peers over ipc.

    TypeError: not a str. ValueError: nothing of that kind.
    """
    if not isinstance(text, str):
        raise TypeError(f"an address is a str, not {type(text).__name__}")
    ipc = _ipc_peer(text)
    if ipc is not None:
        return Rule(ipc=ipc)
    try:
        address, slash, prefix = text.partition("/")
        address, zone = _split_zone(address)
        network = ipaddress.ip_network(address + slash + prefix)
        if zone is not None and network.version == 4:
            raise ValueError("an IPv4 address has no zone")
    except ValueError as error:
        raise ValueError(
            f"not an address: {text!r} ({error}). An IP address, a network such as 10.0.0.0/8, "
            '"localhost" or "localhost:uid:gid:pid" (a peer over ipc) are'
        ) from None
    if network.version == 6 and network.subnet_of(_MAPPED):
        low = ipaddress.IPv4Address(int(network.network_address) & 0xFFFFFFFF)
        network = ipaddress.IPv4Network((low, network.prefixlen - 96))
    return Rule(network, zone)


def parse_peer(address: bytes) -> Peer | None:
    """The peer at an address as a question of ZAP has it; None: it is no address."""
    try:
        text = address.decode("ascii", "surrogateescape")  # a zone is named by the system
        ipc = _ipc_peer(text)
        if ipc is not None:
            return Peer(ipc=ipc) if ipc else None
        text, zone = _split_zone(text)
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if found.version == 6 else None
    return Peer((found,) if mapped is None else (found, mapped), zone)


def _ipc_peer(text: str) -> IpcPeer | None:
    found = _IPC.fullmatch(text)
    if found is None:
        return None
    return tuple(str(int(n)) for n in found.groups() if n is not None)


def _split_zone(text: str) -> tuple[str, str | None]:
    """An address without its zone, and the zone. ValueError: an empty zone."""
    address, percent, zone = text.partition("%")
    if not percent:
        return address, None
    if not _ZONE.fullmatch(zone):
        raise ValueError("a zone is the name or the number of an interface")
    return address, zone


def _same_zone(one: str, other: str) -> bool:
    """Whether two zones are the same interface now: those that policies name come and go."""
    return one == other or _number(one) == _number(other) != 0


def _number(zone: str) -> int:
    """The number of an interface; 0: there is none of that name."""
    if zone.isascii() and zone.isdecimal():
        return int(zone)
    try:
        return socket.if_nametoindex(zone)
    except (OSError, AttributeError, ValueError):  # no such interface; no such function; no name
        return 0


__all__ = ["Peer", "Rule", "parse_peer", "parse_rule"]
