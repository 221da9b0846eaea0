# SPDX-License-Identifier: MIT
"""The authenticator that the others build on: policies, and the answers of ZAP 1.0."""

from __future__ import annotations

import hmac
import inspect
import logging
import os
from typing import Any, Union

from .. import constants
from .._core import z85_encode
from ..context import Context
from ..socket import Socket
from .certs import load_certificates

CURVE_ALLOW_ANY = "*"
"""For configure_curve: every client that knows the server's key may come in."""

ENDPOINT = "inproc://zeromq.zap.01"
VERSION = b"1.0"

StrPath = Union[str, "os.PathLike[str]"]


class Authenticator:
    """Says for the sockets of a context which peers may connect.

    First addresses are looked at (allow, deny), then credentials: of NULL there are none, PLAIN
    clients show a name and a password (configure_plain), CURVE clients a key that they own
    (configure_curve, configure_curve_callback). A policy is for one domain, which is what a server
    sets as ZAP_DOMAIN, or with "*" for those that have no policy of their own.

    This class answers when somebody passes what arrives at zap_socket to handle_zap_message;
    ThreadAuthenticator and AsyncioAuthenticator do that by themselves.
    """

    context: Context[Any]
    encoding: str
    allow_any: bool
    credentials_providers: dict[str, Any]
    zap_socket: Any
    passwords: dict[str, dict[str, str]]
    certs: dict[str, dict[bytes, Any]]
    log: Any

    def __init__(
        self, context: Context[Any] | None = None, encoding: str = "utf-8", log: Any = None
    ) -> None:
        """encoding: of user names and passwords. log: where decisions are told of, at level
        debug."""
        self.context = context or Context.instance()
        self.encoding = encoding
        self.log = log or logging.getLogger("fastmq.auth")
        self.zap_socket = None
        self._allowed: set[str] = set()
        self._denied: set[str] = set()
        self.allow_any = False
        self._any: set[str] = set()
        self.passwords = {}
        self.certs = {}
        self.credentials_providers = {}

    def start(self) -> None:
        """Bind zap_socket. ZMQError(EADDRINUSE): the context has an authenticator already."""
        if self.zap_socket is not None:
            return
        sock: Socket[bytes] = self.context.socket(constants.REP, socket_class=Socket)
        try:
            sock.linger = 1
            sock.bind(ENDPOINT)
        except BaseException:
            sock.close()
            raise
        self.zap_socket = sock
        self.log.debug("Starting")

    def stop(self) -> None:
        """Close zap_socket. Servers of PLAIN let nobody in then; see docs/security.md on others."""
        if self.zap_socket is not None:
            self.zap_socket.close()
        self.zap_socket = None

    # -- policies --

    def allow(self, *addresses: str) -> None:
        """Let peers in from these addresses only; they still have to show their credentials.

        Addresses are compared as text ("127.0.0.1"; "localhost" is any peer over ipc).
        ValueError: deny() was used.
        """
        if self._denied:
            raise ValueError("Only use allow or deny, not both")
        self.log.debug("Allowing %s", ",".join(addresses))
        self._allowed.update(addresses)

    def deny(self, *addresses: str) -> None:
        """Keep peers from these addresses out. ValueError: allow() was used."""
        if self._allowed:
            raise ValueError("Only use allow or deny, not both")
        self.log.debug("Denying %s", ",".join(addresses))
        self._denied.update(addresses)

    def configure_plain(self, domain: str = "*", passwords: dict[str, str] | None = None) -> None:
        """Let in who shows one of these names with its password: {name: password}.

        The dict is used as it is, so that later changes to it count.
        """
        self.passwords[domain] = {} if passwords is None else passwords
        self.log.debug("Configure plain: %s", domain)

    def configure_curve(self, domain: str = "*", location: StrPath = ".") -> None:
        """Let in who owns one of the keys in the `*.key` files of a directory, as they are now.

        location CURVE_ALLOW_ANY: whoever knows the server's key. Replaces what was configured for
        the domain before. OSError, ValueError: see load_certificates.
        """
        self.log.debug("Configure curve: %s[%s]", domain, location)
        if location == CURVE_ALLOW_ANY:
            self._any.add(domain)
            self.certs.pop(domain, None)
        else:
            self.certs[domain] = dict(load_certificates(location))
            self._any.discard(domain)
        self.credentials_providers.pop(domain, None)
        self.allow_any = "*" in self._any

    def configure_curve_callback(self, domain: str = "*", credentials_provider: Any = None) -> None:
        """Ask an object: its method callback(domain, key) says whether the owner may come in.

        key is 40 bytes of Z85. The method may be a coroutine. Replaces what was configured for the
        domain before; None: nobody is asked any more.
        """
        self.log.debug("Configure curve callback: %s", domain)
        self.credentials_providers.pop(domain, None)
        if credentials_provider is None:
            return
        self.credentials_providers[domain] = credentials_provider
        self.certs.pop(domain, None)
        self._any.discard(domain)
        self.allow_any = "*" in self._any

    def configure_gssapi(self, domain: str = "*", location: str | None = None) -> None:
        """Kept for programs written for pyzmq: this build has no GSSAPI, so nobody asks."""

    def curve_user_id(self, client_public_key: bytes) -> str:
        """The user id of the owner of a key (32 bytes); override it to give other names."""
        return z85_encode(client_public_key).decode("ascii")

    # -- answers --

    async def handle_zap_message(self, msg: list[bytes]) -> None:
        """Answer one request that was received from zap_socket."""
        if len(msg) < 6:
            self.log.error("Invalid ZAP message, not enough frames: %d", len(msg))
            if len(msg) > 1:
                self._send_zap_reply(msg[1], b"400", b"Not enough frames")
            else:
                self._send_zap_reply(b"", b"400", b"Not enough frames")
            return
        version, request_id, domain, address, _identity, mechanism = msg[:6]
        if version != VERSION:
            self.log.error("Invalid ZAP version: %r", version)
            self._send_zap_reply(request_id, b"400", b"Invalid version")
            return
        code, text, user = b"500", b"Internal error", "anonymous"
        try:
            where = address.decode(self.encoding, "replace")
            code, text, user = await self._decide(
                domain.decode(self.encoding, "replace"), where, mechanism, msg[6:]
            )
            self.log.debug("%s %s from %s: %r", code.decode(), text.decode(), where, user)
        except Exception:
            # Whatever a callback does, the peer gets an answer: no.
            self.log.exception("Authenticating failed")
        self._send_zap_reply(request_id, code, text, user)

    async def _decide(
        self, domain: str, address: str, mechanism: bytes, credentials: list[bytes]
    ) -> tuple[bytes, bytes, str]:
        """(status, text, user id)."""
        user = "anonymous"
        if self._allowed and not _listed(self._allowed, address):
            return b"400", b"Address not allowed", user
        if _listed(self._denied, address):
            return b"400", b"Address denied", user
        domain = domain or "*"
        allowed, reason = False, b"Unsupported mechanism"
        if mechanism == b"NULL":
            allowed = True
        elif mechanism == b"PLAIN":
            if len(credentials) != 2:
                return b"400", b"Invalid credentials", user
            user, password = (c.decode(self.encoding, "replace") for c in credentials)
            allowed, reason = self._authenticate_plain(domain, user, password)
        elif mechanism == b"CURVE":
            if len(credentials) != 1 or len(credentials[0]) != 32:
                return b"400", b"Invalid credentials", user
            key = credentials[0]
            allowed, reason = await self._authenticate_curve(domain, key)
            if allowed:
                user = self.curve_user_id(key)
        if allowed:
            return b"200", b"OK", user
        return b"400", reason, user

    def _authenticate_plain(self, domain: str, username: str, password: str) -> tuple[bool, bytes]:
        users = _policy(self.passwords, domain)
        if users is None:
            return False, b"Invalid domain"
        known = users.get(username)
        # An unknown name takes as long as a wrong password.
        right = hmac.compare_digest(
            password.encode(self.encoding, "replace"),
            (password + "x" if known is None else known).encode(self.encoding, "replace"),
        )
        if known is None:
            return False, b"Invalid username"
        return right, b"" if right else b"Invalid password"

    async def _authenticate_curve(self, domain: str, client_key: bytes) -> tuple[bool, bytes]:
        z85_key = z85_encode(client_key)
        # The domain's own policy, of whatever kind, comes before that for all.
        for name in (domain, "*"):
            if name in self._any:
                return True, b""
            if name in self.credentials_providers:
                verdict = self.credentials_providers[name].callback(domain, z85_key)
                if inspect.isawaitable(verdict):
                    verdict = await verdict
                return bool(verdict), b"Unknown key"
            if name in self.certs:
                return bool(self.certs[name].get(z85_key)), b"Unknown key"
        return False, b"Unknown domain"

    def _send_zap_reply(
        self,
        request_id: bytes,
        status_code: bytes,
        status_text: bytes,
        user_id: str = "anonymous",
    ) -> None:
        user = user_id.encode(self.encoding, "replace") if status_code == b"200" else b""
        self.zap_socket.send_multipart([VERSION, request_id, status_code, status_text, user, b""])


def _policy(policies: dict[str, Any], domain: str) -> Any:
    return policies[domain] if domain in policies else policies.get("*")


def _listed(addresses: set[str], address: str) -> bool:
    """ipc peers are "localhost" with their user, group and process behind it."""
    return address in addresses or (address.startswith("localhost:") and "localhost" in addresses)


__all__ = ["CURVE_ALLOW_ANY", "Authenticator"]
