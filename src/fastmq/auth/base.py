# SPDX-License-Identifier: MIT
"""The base class of authenticators: policies, and the replies of ZAP 1.0."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import hmac
import inspect
import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Union

from .. import constants
from .._core import package_name, z85_encode
from ..context import Context
from ..error import ContextTerminated, ZMQError
from ..socket import Socket
from .addresses import Rule, parse_peer, parse_rule
from .certs import load_certificates

CURVE_ALLOW_ANY = "*"
"""For configure_curve: admit every client that has the server's public key."""

ENDPOINT = "inproc://zeromq.zap.01"
VERSION = b"1.0"
PAUSE_S = 0.05
"""Before trying again when it is not a request that failed, but waiting for one."""

StrPath = Union[str, "os.PathLike[str]"]


class Authenticator:
    """Decides which peers the sockets of a context admit.

    It checks the address (allow, deny), then the credentials: none for NULL, a name and a password
    for PLAIN (configure_plain), a key for CURVE (configure_curve, configure_curve_callback). A
    policy applies to one domain, the ZAP_DOMAIN of a server; "*" covers the domains without their
    own policy.

    The program has to pass the messages of zap_socket to handle_zap_message; ThreadAuthenticator
    and AsyncioAuthenticator do that themselves. Any thread may change the policies; each change is
    atomic.
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
        """encoding: of user names and passwords. log: the logger for decisions, at level debug."""
        self.context = context or Context.instance()
        self.encoding = encoding
        self.log = log or logging.getLogger(f"{package_name()}.auth")
        self.zap_socket = None
        self._refusing: tuple[threading.Thread, threading.Event] | None = None
        # Held while policies change and while one is looked up, never during a callback.
        self._lock = threading.Lock()
        self._allowed: frozenset[Rule] | None = None  # None: allow() was not called
        self._denied: frozenset[Rule] = frozenset()
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
        """Close zap_socket. Then PLAIN servers admit no peer; see docs/security.md for others."""
        if self.zap_socket is not None:
            self.zap_socket.close()
        self.zap_socket = None

    # -- policies --

    def allow(self, *addresses: str) -> None:
        """Admit only peers from these addresses; their credentials are still checked.

        An address is that of a host or a network ("10.0.0.7", "10.0.0.0/8", "fd00::/8",
        "fe80::1%eth0"; without a zone: on every interface). An IPv4 address also matches its IPv6
        form (::ffff:10.0.0.7). "localhost" is any peer over ipc, "localhost:uid:gid:pid" a single
        one. Without an address no peer is admitted, until another call adds one.
        ValueError: an invalid address, or deny() was used. TypeError: not a str.
        """
        rules = frozenset(map(parse_rule, addresses))
        with self._lock:
            if self._denied:
                raise ValueError("Only use allow or deny, not both")
            self._allowed = (self._allowed or frozenset()) | rules
        self.log.debug("Allowing %s", ",".join(addresses))

    def deny(self, *addresses: str) -> None:
        """Refuse peers from these addresses, and peers whose address is unknown.

        Addresses are written as for allow(). ValueError: an invalid address, or allow() was used.
        TypeError: not a str.
        """
        rules = frozenset(map(parse_rule, addresses))
        with self._lock:
            if self._allowed is not None:
                raise ValueError("Only use allow or deny, not both")
            self._denied |= rules
        self.log.debug("Denying %s", ",".join(addresses))

    def configure_plain(self, domain: str = "*", passwords: dict[str, str] | None = None) -> None:
        """Admit PLAIN clients with one of these names and its password: {name: password}.

        The dict is not copied, so later changes to it take effect. ValueError: a name or a password
        that `encoding` cannot express. TypeError: one that is not a str.
        """
        if isinstance(passwords, Mapping):
            for name, password in passwords.items():
                _encoded("a name", name, self.encoding)
                _encoded(f"the password of {name!r}", password, self.encoding)
        with self._lock:
            self.passwords[domain] = {} if passwords is None else passwords
        self.log.debug("Configure plain: %s", domain)

    def configure_curve(self, domain: str = "*", location: StrPath = ".") -> None:
        """Admit CURVE clients with one of the keys in the `*.key` files of a directory, read now.

        location CURVE_ALLOW_ANY: every client that has the server's public key. Replaces the
        earlier policy of the domain. OSError, ValueError: see load_certificates; then nothing is
        changed.
        """
        certs = None if location == CURVE_ALLOW_ANY else dict(load_certificates(location))
        self._set_curve(domain, certs=certs)
        self.log.debug("Configure curve: %s[%s]", domain, location)

    def configure_curve_callback(self, domain: str = "*", credentials_provider: Any = None) -> None:
        """Let an object decide: its method callback(domain, key) returns whether to admit the key.

        key is 40 bytes of Z85. The method may be a coroutine, or return a Future, also one of
        concurrent.futures. Any exception refuses the peer. Replaces the earlier policy of the
        domain; None removes the object.
        """
        if credentials_provider is None:
            with self._lock:
                self.credentials_providers.pop(domain, None)
        else:
            self._set_curve(domain, provider=credentials_provider)
        self.log.debug("Configure curve callback: %s", domain)

    def _set_curve(self, domain: str, certs: Any = None, provider: Any = None) -> None:
        """Replace the domain's policy; without keys and a provider by CURVE_ALLOW_ANY."""
        with self._lock:
            for policies, policy in (
                (self.credentials_providers, provider),
                (self.certs, certs),
            ):
                if policy is None:
                    policies.pop(domain, None)
                else:
                    policies[domain] = policy
            if certs is None and provider is None:
                self._any.add(domain)
            else:
                self._any.discard(domain)
            self.allow_any = "*" in self._any

    def configure_gssapi(self, domain: str = "*", location: str | None = None) -> None:
        """Kept for programs written for pyzmq: this build has no GSSAPI, so nobody asks."""

    def curve_user_id(self, client_public_key: bytes) -> str:
        """The user id of the owner of a key (32 bytes); override it to give other names."""
        return z85_encode(client_public_key).decode("ascii")

    # -- answers --

    async def handle_zap_message(self, msg: list[bytes]) -> None:
        """Answer one request that was received from zap_socket.

        Whatever a callback raises, the peer is refused. What is no Exception (CancelledError,
        KeyboardInterrupt, SystemExit) is raised again when that answer is on its way.
        """
        if len(msg) < 6:
            self._send_zap_reply(msg[1] if len(msg) > 1 else b"", b"400", b"Not enough frames")
            self.log.error("Invalid ZAP message, not enough frames: %d", len(msg))
            return
        version, request_id, domain, address, _identity, mechanism = msg[:6]
        if version != VERSION:
            self._send_zap_reply(request_id, b"400", b"Invalid version")
            self.log.error("Invalid ZAP version: %r", version)
            return
        try:
            code, text, user = await self._decide(domain, address, mechanism, msg[6:])
            self._send_zap_reply(request_id, code, text, user)
        except BaseException as error:
            self._refuse(msg)
            if not isinstance(error, Exception):
                raise
            self._log_failure(error)
        else:
            self.log.debug("%s %s from %r: %r", code.decode(), text.decode(), address, user)

    def _refuse(self, msg: list[bytes]) -> None:
        """Answer a request with 500, unless it was answered already or zap_socket is closed."""
        with contextlib.suppress(ZMQError):
            self._send_zap_reply(msg[1] if len(msg) > 1 else b"", b"500", b"Internal error")

    def _log_failure(self, error: BaseException) -> None:
        """Log what ended a question. A logger that fails, too, ends no authenticator."""
        with contextlib.suppress(Exception):
            self.log.error("Authenticating failed", exc_info=error)

    def _keep_refusing(self, msg: list[bytes] | None) -> None:
        """Refuse everybody from now on, in a thread, until stop() or the end of the context.

        For an authenticator that ends unexpectedly: with nobody bound to the endpoint a CURVE
        server would let everybody in. msg: a request that waits for its answer.
        """
        sock = self.zap_socket
        over = threading.Event()

        def run() -> None:
            if msg is not None:
                self._refuse(msg)
            while not over.is_set():
                try:
                    self._refuse(sock.recv_multipart())
                except ZMQError as error:
                    if has_ended(error, sock):
                        break
                    # EFSM: a request that nobody answered; otherwise: no memory, a time limit.
                    self._refuse([])
                    time.sleep(PAUSE_S)
            else:
                return  # the socket is another's now
            sock.close()

        thread = threading.Thread(target=run, name="fastmq-auth-refusing", daemon=True)
        thread.start()
        self._refusing = thread, over
        with contextlib.suppress(Exception):
            self.log.warning(
                "The authenticator has ended without stop(): every peer is refused now"
            )

    def _end_refusing(self) -> bool:
        """End what _keep_refusing began, with zap_socket bound as it is: nobody comes in unasked in
        between. Whether zap_socket is there to be used."""
        refusing, self._refusing = self._refusing, None
        if refusing is None or self.zap_socket is None or self.zap_socket.closed:
            return False
        thread, over = refusing
        asker: Socket[bytes] = self.context.socket(constants.REQ, socket_class=Socket)
        with asker:
            asker.linger = 0
            asker.connect(ENDPOINT)
            over.set()
            asker.send(b"")  # for the thread to notice
            thread.join()
        return not self.zap_socket.closed

    async def _decide(
        self, domain: bytes, address: bytes, mechanism: bytes, credentials: list[bytes]
    ) -> tuple[bytes, bytes, str]:
        """(status, text, user id)."""
        user = "anonymous"
        refused = self._address_refused(address)
        if refused:
            return b"400", refused, user
        if mechanism == b"NULL":
            return b"200", b"OK", user
        if mechanism not in (b"PLAIN", b"CURVE"):
            return b"400", b"Unsupported mechanism", user
        name = self._decoded(domain)
        if name is None:
            return b"400", b"Invalid domain", user
        name = name or "*"
        if mechanism == b"PLAIN":
            if len(credentials) != 2:
                return b"400", b"Invalid credentials", user
            shown, password = map(self._decoded, credentials)
            if shown is None:
                return b"400", b"Invalid username", user
            user = shown
            if password is None:
                return b"400", b"Invalid password", user
            allowed, reason = self._authenticate_plain(name, user, password)
        else:
            if len(credentials) != 1 or len(credentials[0]) != 32:
                return b"400", b"Invalid credentials", user
            key = credentials[0]
            allowed, reason = await self._authenticate_curve(name, key)
            if allowed:
                user = self.curve_user_id(key)
        if allowed:
            return b"200", b"OK", user
        return b"400", reason, user

    def _decoded(self, shown: bytes) -> str | None:
        """The only text of which these are the bytes; None: there is none."""
        try:
            text = shown.decode(self.encoding)
            # Of some encodings several bytes give the same text.
            return text if text.encode(self.encoding) == shown else None
        except UnicodeError:
            return None

    def _address_refused(self, address: bytes) -> bytes:
        """Why a peer at that address may not come in; b"": it may."""
        with self._lock:
            allowed, denied = self._allowed, self._denied
        if allowed is None and not denied:
            return b""
        peer = parse_peer(address)
        if allowed is not None:
            if peer is None or not any(rule.covers(peer) for rule in allowed):
                return b"Address not allowed"
        elif peer is None or any(rule.covers(peer) for rule in denied):
            return b"Address denied"
        return b""

    def _authenticate_plain(self, domain: str, username: str, password: str) -> tuple[bool, bytes]:
        with self._lock:
            known_domain = domain if domain in self.passwords else "*"
            users = self.passwords.get(known_domain)
        if users is None:
            return False, b"Invalid domain"
        known = users.get(username)
        # An unknown name takes as long as a wrong password, a long password as long as a short one.
        expected = b"" if known is None else _encoded("a password", known, self.encoding)
        right = hmac.compare_digest(expected, password.encode(self.encoding))
        if known is None:
            return False, b"Invalid username"
        return right, b"" if right else b"Invalid password"

    async def _authenticate_curve(self, domain: str, client_key: bytes) -> tuple[bool, bytes]:
        z85_key = z85_encode(client_key)
        provider, certs = None, None
        with self._lock:
            # The domain's own policy, of whatever kind, comes before that for all.
            for name in (domain, "*"):
                if name in self._any:
                    return True, b""
                provider = self.credentials_providers.get(name)
                certs = self.certs.get(name)
                if provider is not None or certs is not None:
                    break
        if provider is not None:
            verdict = provider.callback(domain, z85_key)
            if isinstance(verdict, concurrent.futures.Future):
                verdict = asyncio.wrap_future(verdict)
            if inspect.isawaitable(verdict):
                verdict = await verdict
            return bool(verdict), b"Unknown key"
        if certs is not None:
            return bool(certs.get(z85_key)), b"Unknown key"
        return False, b"Unknown domain"

    def _send_zap_reply(
        self,
        request_id: bytes,
        status_code: bytes,
        status_text: bytes,
        user_id: str | bytes = "anonymous",
    ) -> None:
        if self.zap_socket is None:
            return  # stopped while a callback was under way
        user = user_id if status_code == b"200" else b""
        if isinstance(user, str):
            user = user.encode(self.encoding)
        self.zap_socket.send_multipart([VERSION, request_id, status_code, status_text, user, b""])


def has_ended(error: BaseException, *sockets: Any) -> bool:
    """Whether an error means that the context has ended, or that one of the sockets was closed."""
    return isinstance(error, ContextTerminated) or any(sock.closed for sock in sockets)


def _encoded(what: str, text: str, encoding: str) -> bytes:
    """The text as bytes. ValueError, TypeError: it cannot be; the text itself is not repeated."""
    if not isinstance(text, str):
        raise TypeError(f"{what} is a str, not {type(text).__name__}")
    try:
        return text.encode(encoding)
    except UnicodeError:
        raise ValueError(f"{what} cannot be expressed in {encoding}") from None


__all__ = ["CURVE_ALLOW_ANY", "Authenticator"]
