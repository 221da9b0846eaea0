# SPDX-License-Identifier: MIT
"""A command's socket, made of its options: endpoints, security, what it tells, how it ends."""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import fastmq
from fastmq.cli import events
from fastmq.cli.arguments import PASSWORD_VARIABLE, meant
from fastmq.cli.terminal import TIMED_OUT, USAGE, Notes, Problem
from fastmq.constants import Event, SocketOption, SocketType
from fastmq.options import BytesOption, IntOption
from fastmq.stats import PeerState

FAILED_HANDSHAKES = (
    Event.HANDSHAKE_FAILED_NO_DETAIL | Event.HANDSHAKE_FAILED_PROTOCOL | Event.HANDSHAKE_FAILED_AUTH
)
ENDING = 0.2  # seconds
PATIENCE = 0.5  # seconds before the user is told what is waited for


@contextmanager
def context(linger: float | None = None) -> Iterator[fastmq.Context[Any]]:
    """A context that waits at the end until everything is sent, and after an error drops it.

    linger: for how long it waits, in seconds; None: for ever. Problem(TIMED_OUT) afterwards.
    """
    made: fastmq.Context[Any] = fastmq.Context()
    try:
        yield made
        try:
            # Even with nothing to send the engine needs a moment to end.
            made.term(None if linger is None else max(linger, ENDING) * 1000)
        except fastmq.TermTimeout as error:
            if n := sum(pending.messages for pending in error.pending):
                raise Problem(f"{n} message(s) not sent within {linger:g} s", TIMED_OUT) from None
    finally:
        made.destroy(linger=0)


@contextmanager
def opened(
    options: argparse.Namespace,
    kind: SocketType,
    notes: Notes | None,
    prepare: Callable[[Any], None] = lambda socket: None,
    connect: Callable[[Any, str], None] = lambda socket, endpoint: socket.connect(endpoint),
    waits: Notes | None = None,
) -> Iterator[Any]:
    """The socket of a command with the options of arguments.add_socket, add_endpoints and
    add_security; bound and connected.

    notes: is told what happens to it; None: nobody is, and it may be monitored. prepare: is given
    the socket when it has its options, before it is bound. connect: connects it to an endpoint.
    waits: is told that a bound socket waits for a peer; None: nobody is.
    """
    if not options.bind and not options.connect:
        raise Problem("no endpoint: give --bind or --connect", USAGE)
    linger = options.timeout if options.linger is None else options.linger
    timeout = -1 if options.timeout is None else int(options.timeout * 1000)
    with context(linger) as made, ExitStack() as stack:
        stack.enter_context(authenticated(made, options))
        socket = made.socket(kind)
        stack.callback(socket.close)
        if notes:
            stack.enter_context(told(socket, notes, options.verbose, bool(options.bind)))
        socket.rcvtimeo = socket.sndtimeo = timeout
        # Who types a command sees why at once, and would wait in vain for a better answer.
        socket.reconnect_stop = fastmq.RECONNECT_STOP_PROTOCOL_ERROR
        if options.hwm is not None:
            socket.hwm = options.hwm
        if options.identity is not None:
            socket.routing_id = options.identity.encode()
        if getattr(options, "resend", None):
            socket.req_resend_ivl = options.resend
        if getattr(options, "keep_last", None):
            socket.pub_keep_last = options.keep_last
        set_options(socket, options.option)
        secure(socket, options)
        prepare(socket)
        bound = attach(socket, options.bind, options.connect, notes, connect)
        if waits:
            stack.enter_context(patient({socket: bound}, waits))
        yield socket
        drain(socket, linger, notes)
        late_replies = getattr(options, "resend", None)  # are meant to be dropped
        if notes and not late_replies and (lost := socket.stats().dropped):
            raise Problem(f"{lost} message(s) dropped: {why_dropped(kind)}")


def why_dropped(kind: SocketType) -> str:
    if kind == SocketType.PUB:
        return (
            "a subscriber was too slow; --rate and --hwm help, or --option xpub_nodrop=1, which "
            "waits for it"
        )
    return "a peer is gone for good or was full"


def drain(socket: Any, linger: float | None, notes: Notes | None) -> None:
    """Wait until a socket has sent everything, while its notes still say why it cannot.

    linger: for how long, in seconds; None: for ever. Problem(TIMED_OUT) then.
    """
    start = time.monotonic()
    announced = False
    while waiting := socket.stats().queued_out:
        waited = time.monotonic() - start
        if linger is not None and waited >= linger:
            raise Problem(f"{waiting} message(s) not sent within {linger:g} s", TIMED_OUT)
        if waited > 1 and notes and not announced:
            announced = True
            notes.say(f"{waiting} message(s) not sent yet; Ctrl-C drops them")
        time.sleep(min(0.05, 0.001 + waited / 10))


def attach(
    socket: Any,
    binds: Iterable[str],
    connects: Iterable[str],
    notes: Notes | None,
    connect: Callable[[Any, str], None] = lambda socket, endpoint: socket.connect(endpoint),
) -> list[str]:
    """Bind and connect; where it was bound. An address that the system chose is told."""
    bound = []
    for endpoint in binds:
        socket.bind(endpoint)
        bound.append(address(socket))
        if notes and (endpoint.endswith((":*", ":0")) or endpoint == "ipc://*"):
            notes.say(f"bound to {bound[-1]}")
    for endpoint in connects:
        connect(socket, endpoint)
    return bound


def address(socket: Any) -> str:
    """What a socket was bound to last."""
    return str(socket.last_endpoint.rstrip(b"\0").decode())


# ---- options ----


def set_options(socket: Any, pairs: Iterable[str]) -> None:
    """Set socket options that were given as NAME=VALUE. A domain of ZAP is enforced, too, unless
    an option says something else: no command lets a peer in because nobody is there to be asked."""
    pairs = list(pairs)
    names = [pair.partition("=")[0].lower() for pair in pairs]
    if "zap_domain" in names and "zap_enforce_domain" not in names:
        pairs.append("zap_enforce_domain=1")
    for pair in pairs:
        name, equals, text = pair.partition("=")
        known = getattr(type(socket), name.lower(), None)
        if not isinstance(known, (IntOption, BytesOption)):
            like = meant(name.lower(), map(str.lower, SocketOption.__members__))
            raise Problem(f"there is no socket option {name!r}{like}", USAGE)
        if not equals:
            raise Problem(f"{name} needs a value: {name}=VALUE", USAGE)
        value: int | bytes = text.encode()
        if isinstance(known, IntOption):
            try:
                value = int(text, 0)
            except ValueError:
                raise Problem(f"{name} is a number, not {text!r}", USAGE) from None
        try:
            setattr(socket, name.lower(), value)
        except (fastmq.ZMQError, AttributeError, ValueError, OverflowError) as error:
            raise Problem(f"{name}={text}: {error}", USAGE) from None


# ---- security ----


@contextmanager
def authenticated(context: Any, options: argparse.Namespace) -> Iterator[None]:
    """Decide, as the options say, who comes in to the sockets of a context. It is entered before
    they are made, so that it is left when they are closed: no server is left without it."""
    _check(options)
    if not options.curve_allow and not options.plain_server:
        yield
        return
    from fastmq.auth.thread import ThreadAuthenticator

    decides = ThreadAuthenticator(context)
    decides.start()
    try:
        try:
            if options.curve_allow:
                decides.configure_curve(location=options.curve_allow)
            else:
                decides.configure_plain(passwords=_passwords(Path(options.plain_server)))
        except (OSError, ValueError) as error:
            raise Problem(str(error)) from None
        yield
    finally:
        decides.stop()


def _check(options: argparse.Namespace) -> None:
    if _curve(options) and _plain(options):
        raise Problem("a socket has either CURVE or PLAIN", USAGE)
    if options.curve_allow and not options.curve_server:
        raise Problem("--curve-allow is for a server: --curve-server", USAGE)
    if options.plain_password is not None and options.plain_user is None:
        raise Problem("--plain-password needs --plain-user", USAGE)
    if options.zap_domain is not None and not options.curve_allow and not options.plain_server:
        raise Problem("--zap-domain is for a server with --curve-allow or --plain-server", USAGE)


def _curve(options: argparse.Namespace) -> bool:
    return bool(options.curve_server or options.curve_server_key or options.curve_keyfile)


def _plain(options: argparse.Namespace) -> bool:
    return bool(options.plain_server or options.plain_user)


def secure(socket: Any, options: argparse.Namespace) -> None:
    """Give a socket the mechanism of the options, in a context that is `authenticated`."""
    if _curve(options):
        _set_curve(socket, options)
    elif _plain(options):
        _set_plain(socket, options)
    if options.curve_allow or options.plain_server:
        if options.zap_domain is not None or not socket.zap_domain:
            socket.zap_domain = (options.zap_domain or "fastmq").encode()
        socket.zap_enforce_domain = True


def _set_curve(socket: Any, options: argparse.Namespace) -> None:
    from fastmq.auth import load_certificate

    if not fastmq.has("curve"):
        raise Problem("CURVE needs PyNaCl: pip install PyNaCl")
    if options.curve_server and options.curve_server_key:
        raise Problem("--curve-server is the server's side, --curve-server-key the client's", USAGE)
    if options.curve_server and not options.curve_keyfile:
        raise Problem("--curve-server needs its keys: --curve-keyfile", USAGE)
    if not options.curve_server and not options.curve_server_key:
        raise Problem("give --curve-server-key to be a client, or --curve-server", USAGE)
    if options.curve_keyfile:
        public, secret = _certificate(load_certificate, options.curve_keyfile)
        if secret is None:
            raise Problem(
                f"there is no secret key in {options.curve_keyfile}: give NAME.key_secret"
            )
    else:
        public, secret = fastmq.curve_keypair()
    socket.curve_publickey, socket.curve_secretkey = public, secret
    if options.curve_server:
        socket.curve_server = 1
        return
    key = options.curve_server_key
    if Path(key).is_file():
        server = _certificate(load_certificate, key)[0]
    elif len(key) == 40:
        server = key.encode()
    else:
        raise Problem(f"{key!r} is neither a file nor a key, which has 40 characters", USAGE)
    try:
        socket.curve_serverkey = server
    except fastmq.ZMQError:
        raise Problem(f"{key!r} is not a key: it is not in Z85", USAGE) from None


def _certificate(load: Any, path: str) -> tuple[bytes, bytes | None]:
    try:
        keys: tuple[bytes, bytes | None] = load(path)
    except (OSError, ValueError) as error:
        raise Problem(str(error)) from None
    return keys


def _set_plain(socket: Any, options: argparse.Namespace) -> None:
    if options.plain_server:
        if options.plain_user is not None:
            raise Problem("--plain-server is the server's side, --plain-user the client's", USAGE)
        socket.plain_server = 1
        return
    password = options.plain_password
    if password is None:
        password = os.environ.get(PASSWORD_VARIABLE)
    if password is None:
        raise Problem(f"give the password: {PASSWORD_VARIABLE} or --plain-password", USAGE)
    socket.plain_username, socket.plain_password = options.plain_user, password


def _passwords(path: Path) -> dict[str, str]:
    """name -> password of a file with a line NAME:PASSWORD for each; # begins a comment line."""
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            name, colon, password = line.partition(":")
            if not colon or not name:
                raise Problem(f"{path}, line {number} is not NAME:PASSWORD")
            found[name] = password
    if not found:
        raise Problem(f"{path} has no names, so no client would be admitted")
    return found


# ---- what happens to the socket ----


@contextmanager
def patient(bound: dict[Any, list[str]], notes: Notes) -> Iterator[None]:
    """Says where the command waits for peers when none has connected after a moment.

    bound: the sockets, and where they are bound
    """

    def look() -> None:
        with suppress(fastmq.ZMQError):  # closed meanwhile
            where = [
                name
                for socket, names in bound.items()
                if names and not socket.stats().bytes_received
                for name in names
                if not name.startswith(("udp:", "pgm:", "epgm:"))  # nobody connects there
            ]
            if where:
                notes.say(f"waiting for a peer at {' and '.join(where)}")

    timer = threading.Timer(PATIENCE, look)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join(5)


class News:
    """What is new in the events of a socket: an attempt to connect that fails as the last one did
    is not."""

    def __init__(self) -> None:
        self._said: dict[str, set[str]] = {}  # of each endpoint that is connected to
        self._listening: set[str] = set()

    def line(self, happened: events.Happened) -> str | None:
        """An event as a line; None: it is nothing new."""
        endpoint, event = happened.endpoint, happened.event
        if event == Event.LISTENING:
            self._listening.add(endpoint)
        if event & (Event.CONNECTED | Event.CONNECT_DELAYED | Event.CONNECT_RETRIED):
            self._said.setdefault(endpoint, set())
        text = events.line(happened, descriptors=False)
        if event == Event.CONNECT_RETRIED:
            text = f"{endpoint}: {happened.because}trying again"
        if event == Event.CLOSED and endpoint not in self._listening:
            return None  # an attempt, of which CONNECT_RETRIED tells more
        if endpoint not in self._said:
            return text
        said = self._said[endpoint]
        if event == Event.HANDSHAKE_SUCCEEDED:
            said.clear()
        if event == Event.CONNECT_DELAYED or text in said:
            return None
        said.add(text)
        return text


@contextmanager
def told(socket: Any, notes: Notes, verbose: bool, bound: bool) -> Iterator[None]:
    """Notes about a socket's connections while it is used: all of them, or those that explain why
    nothing happens. When no peer can come any more the socket is closed, and Problem says why.

    bound: it is bound somewhere, so that there is always hope.
    """
    # The last of them ends the thread.
    some = (
        FAILED_HANDSHAKES | Event.CONNECT_RETRIED | Event.PROTOCOL_VIOLATION | Event.MONITOR_STOPPED
    )
    mask = Event.ALL if verbose else some
    monitor = socket.get_monitor_socket(mask)
    given_up = threading.Event()

    def follow() -> None:
        with suppress(fastmq.ZMQError):  # the socket was closed, or its context has ended
            tell()

    def tell() -> None:
        seen: set[tuple[str, str]] = set()
        news = News()
        for found in events.follow(monitor):
            happened = events.explained(found, socket)
            endpoint, failed = happened.endpoint, happened.event & FAILED_HANDSHAKES
            text = f"{endpoint}: handshake failed: {happened.words}"
            if verbose:
                if line := news.line(happened):
                    notes.say(line)
            elif happened.event == Event.PROTOCOL_VIOLATION and (endpoint, text) not in seen:
                seen.add((endpoint, text))
                notes.warn(f"{endpoint}: {happened.words}")
            elif failed and (endpoint, text) not in seen:
                seen.add((endpoint, text))
                notes.warn(text)
            elif happened.event == Event.CONNECT_RETRIED and (endpoint, "") not in seen:
                seen.add((endpoint, ""))
                why = happened.because.removesuffix(", ")
                notes.say(f"no connection to {endpoint} yet{why and f' ({why})'}; trying again")
            if failed and not bound and all(p.state is PeerState.CLOSING for p in socket.peers()):
                given_up.set()
                socket.close(0)

    thread = threading.Thread(target=follow, name="fastmq-notes", daemon=True)
    thread.start()
    try:
        yield
    except fastmq.ZMQError as error:
        if error.errno == fastmq.ENOTSOCK and given_up.is_set():
            raise Problem("all peers have refused the connection permanently") from None
        raise
    finally:
        if not socket.closed:
            socket.disable_monitor()
        thread.join(5)
        monitor.close()
