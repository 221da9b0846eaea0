# SPDX-License-Identifier: MIT
"""Connecting sockets through ssh.

    tunnel_connection(sock, "tcp://10.0.0.5:5555", "me@gateway")

opens a tunnel through the gateway to 10.0.0.5:5555 and connects the socket to its local end.
A server is written [user@]host[:port].
"""

from __future__ import annotations

import atexit
import base64
import functools
import getpass
import hashlib
import multiprocessing
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .._extras import missing
from ..utils.printable import printable

if TYPE_CHECKING:
    import paramiko as paramiko_module

    from ..socket import Socket

_READY = "fastmq-tunnel-is-up"
_CONNECT_S = 60
"""How long a tunnel may take to come up."""
_PASSWORD_TRIES = 3
_DENIED = "Permission denied"
_PASSWORDS_ASKED = 8
"""How often ssh may ask while a tunnel comes up: for a key's passphrase, a password, a jump's."""

# Answers when ssh asks for a password or passphrase, but not whether to trust a host. The answers
# are in a pipe beside it: neither on a disk, nor in an environment that outlives the question.
_ASKPASS = """\
#!/bin/sh
case "$1" in
*assword*|*assphrase*) IFS= read -r answer < "$0.answers" && printf '%s\\n' "$answer" ;;
*) exit 1 ;;
esac
"""

# No character that ssh, or a shell that runs a ProxyCommand with it, would not take as it is;
# nothing that begins with "-", which would be an option; no "\\" at the end.
_USER = re.compile(r"(?!-)[A-Za-z0-9_.+@\\-]*[A-Za-z0-9_.+@-]", re.ASCII)
_HOST = re.compile(r"(?!-)[A-Za-z0-9_.-]+", re.ASCII)
_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\]", re.ASCII)


class MaxRetryExceeded(RuntimeError):
    """The password was wrong too often."""


class UnknownHost(RuntimeError):
    """The host's key is unknown, so no password was sent (paramiko)."""


class _Denied(RuntimeError):
    """The server let nobody in with what it was offered."""


def select_random_ports(n: int) -> list[int]:
    """n free ports of 127.0.0.1."""
    held = []
    try:
        for _ in range(n):
            sock = socket.socket()
            held.append(sock)
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in held]
    finally:
        for sock in held:
            sock.close()


def _split_server(server: str) -> tuple[str, str, int]:
    """(user, host, port) of [user@]host[:port]; ValueError: it is no such thing."""
    user, at, rest = server.rpartition("@")
    found = re.fullmatch(r"(\[[^\]]+\]|[^:\s]+)(?::(\d{1,5}))?", rest, re.ASCII)
    if found is None or (at and not _USER.fullmatch(user)):
        raise ValueError(
            "server must be [user@]host[:port] of letters, digits and ._+- (a user also with @ and "
            f"\\), neither of them beginning with -, not {server!r}"
        )
    return user or getpass.getuser(), _checked_host(found[1]), int(found[2] or 22)


def _checked_host(host: str) -> str:
    """A host's name or address, an IPv6 one without its brackets. ValueError: it is neither."""
    bracketed = _IPV6.fullmatch(host) or _IPV6.fullmatch(f"[{host}]" if ":" in host else "")
    if bracketed:
        return bracketed[1]
    if not _HOST.fullmatch(host):
        raise ValueError(
            "the host of a server or of an address must be letters, digits and ._- not beginning "
            f"with -, or an IP address, not {host!r}"
        )
    return host


def _split_address(addr: str) -> tuple[str, int]:
    """(host, port) of tcp://host:port; ValueError: it is no such thing."""
    found = re.fullmatch(r"tcp://(\[[^\]]+\]|[^:/\s]+):(\d{1,5})/?", addr, re.ASCII)
    if found is None:
        raise ValueError(f"only tcp://host:port can go through a tunnel, not {addr!r}")
    return _checked_host(found[1]), int(found[2])


def try_passwordless_ssh(
    server: str,
    keyfile: str | None,
    paramiko: bool | None = None,
    accept_unknown_host: bool = False,
) -> bool:
    """Whether the server accepts a login without a password, with keys or an agent.

    keyfile: an additional key. paramiko: use paramiko instead of the system's ssh, the default on
    Windows. accept_unknown_host: as for open_tunnel.
    """
    if _use_paramiko(paramiko):
        try:
            _paramiko_client(server, keyfile, None, accept_unknown_host).close()
        except (_paramiko().BadHostKeyException, UnknownHost):
            raise
        except _paramiko().SSHException:  # refused, or there is no key to offer
            return False
        return True
    command = _ssh_command(server, keyfile, None, accept_unknown_host, command="exit")
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return done.returncode == 0


def tunnel_connection(
    socket: Socket,
    addr: str,
    server: str,
    keyfile: str | None = None,
    password: str | None = None,
    paramiko: bool | None = None,
    timeout: int = 60,
    accept_unknown_host: bool = False,
) -> BaseProcess | int:
    """Connects a socket to addr through a tunnel; arguments as for open_tunnel, whose second value
    it returns."""
    near, tunnel = open_tunnel(
        addr, server, keyfile, password, paramiko, timeout, accept_unknown_host
    )
    socket.connect(near)
    return tunnel


def open_tunnel(
    addr: str,
    server: str,
    keyfile: str | None = None,
    password: str | None = None,
    paramiko: bool | None = None,
    timeout: int = 60,
    accept_unknown_host: bool = False,
) -> tuple[str, BaseProcess | int]:
    """Opens a tunnel. Returns the endpoint to connect to, and what runs the tunnel (the pid of ssh,
    or the process of paramiko).

    addr: the endpoint behind the server, tcp://host:port, as the server sees it.
    server: [user@]host[:port]. keyfile: an additional key. password: of the user or of the key;
    if one is needed and not given, it is read from the terminal.
    paramiko: use paramiko instead of the system's ssh, the default on Windows.
    timeout: how many seconds the tunnel of ssh stays open without a connection through it.
    accept_unknown_host: continue if the server's key is not in the known hosts; ssh then adds it.
    Whichever host answers gets the password. A key that differs from the known one is always
    refused.
    ValueError: an invalid address or server. RuntimeError: the tunnel could not be opened; the text
    is that of ssh.
    """
    host, port = _split_address(addr)
    near = select_random_ports(1)[0]
    make = paramiko_tunnel if _use_paramiko(paramiko) else openssh_tunnel
    tunnel = make(near, port, server, host, keyfile, password, timeout, accept_unknown_host)
    return f"tcp://127.0.0.1:{near}", tunnel


def _use_paramiko(wish: bool | None) -> bool:
    return sys.platform == "win32" if wish is None else wish


# ---- the system's ssh ----


class _Ssh(subprocess.Popen[str]):
    """An ssh that may outlive this program, as a tunnel does for a while, without a warning."""

    def __del__(self, *args: Any, **kwargs: Any) -> None:
        pass


_running: list[_Ssh] = []


def openssh_tunnel(
    lport: int,
    rport: int,
    server: str,
    remoteip: str = "127.0.0.1",
    keyfile: str | None = None,
    password: str | None = None,
    timeout: int = 60,
    accept_unknown_host: bool = False,
) -> int:
    """Forwards 127.0.0.1:lport to remoteip:rport, as the server sees it, by the system's ssh.

    Returns when the tunnel is up, with the pid of the ssh that holds it: a running master's
    (ControlMaster) if the server has one. Other arguments and errors as of open_tunnel.
    """
    host = _bracketed(_checked_host(remoteip))
    forward = ["-L", f"127.0.0.1:{int(lport)}:{host}:{int(rport)}"]
    master = _running_master(server, forward)
    if master is not None:
        return master

    def start(password: str | None) -> int:
        return _start_ssh(server, keyfile, password, accept_unknown_host, forward, int(timeout))

    try:
        return start(password or None)
    except _Denied:
        if password or sys.stdin is None or not sys.stdin.isatty():
            raise
    for _ in range(_PASSWORD_TRIES):
        try:
            asked = getpass.getpass(f"{server}'s password: ")
            return start(asked)
        except _Denied as e:
            print(e, file=sys.stderr)
    raise MaxRetryExceeded(f"{server}: {_DENIED} {_PASSWORD_TRIES} times")


ssh_tunnel = openssh_tunnel


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _ssh_command(
    server: str,
    keyfile: str | None = None,
    password: str | None = None,
    accept_unknown_host: bool = False,
    options: Iterable[str] = (),
    command: str = "",
) -> list[str]:
    """The command line of ssh: its options, the destination, and what runs there."""
    program = shutil.which("ssh")
    if program is None:
        raise RuntimeError("there is no program ssh on PATH")
    user, at, _ = server.rpartition("@")
    _, host, port = _split_server(server)
    line = [program, "-o", f"ConnectTimeout={_CONNECT_S // 2}"]
    line += ["-o", "NumberOfPasswordPrompts=1" if password else "BatchMode=yes"]
    if accept_unknown_host:
        line += ["-o", "StrictHostKeyChecking=accept-new"]
    if re.search(r":\d+$", server):
        line += ["-p", str(port)]
    if keyfile:
        line += ["-i", keyfile]
    # What follows "--" is no option, whatever it looks like.
    line += [*options, "--", f"{user}@{host}" if at else host]
    return [*line, command] if command else line


def _running_master(server: str, forward: list[str]) -> int | None:
    """The pid of a master connection to the server, after telling it to forward; None: no such."""

    def control(word: str, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            _ssh_command(server, options=["-O", word, *options]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    checked = control("check")
    pid = re.search(r"pid=(\d+)", checked.stdout + checked.stderr)
    if checked.returncode != 0 or pid is None:
        return None
    told = control("forward", *forward)
    if told.returncode != 0:
        raise RuntimeError(f"no tunnel to {server}: {_last_line(told.stderr)}")
    atexit.register(control, "cancel", *forward)
    return int(pid[1])


def _start_ssh(
    server: str,
    keyfile: str | None,
    password: str | None,
    accept_unknown_host: bool,
    forward: list[str],
    timeout: int,
) -> int:
    """Starts ssh and waits for the remote side's word that the tunnel is up; the pid."""
    for old in _running[:]:
        if old.poll() is not None:
            _running.remove(old)
    options = ["-S", "none", "-o", "ExitOnForwardFailure=yes", "-T", *forward]
    command = f"echo {_READY}; exec sleep {timeout}"
    line = _ssh_command(server, keyfile, password, accept_unknown_host, options, command)
    with ExitStack() as stack:
        env = dict(os.environ)
        if password:
            env |= stack.enter_context(_askpass(password))
        with tempfile.TemporaryFile("w+") as errors:
            ssh = _Ssh(
                line,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=env,
                start_new_session=True,  # Ctrl-C is the program's, not the tunnel's
            )
            if _says_ready(ssh):
                _running.append(ssh)
                return ssh.pid
            errors.seek(0)
            text = errors.read()
    told = _last_line(text) or f"not up within {_CONNECT_S} s"
    kind = _Denied if _DENIED in text else RuntimeError
    raise kind(f"no tunnel to {server}: {told}")


@contextmanager
def _askpass(password: str) -> Iterator[dict[str, str]]:
    """The variables by which ssh finds a program that answers with the password, until the end of
    the with statement."""
    if "\n" in password or "\0" in password:
        raise ValueError("a password has no line breaks and no NUL")
    if not hasattr(os, "mkfifo"):
        raise RuntimeError("ssh cannot be given a password on this system: use paramiko=True")
    with tempfile.TemporaryDirectory(prefix="fastmq-ssh-") as folder:  # for this user alone
        askpass = Path(folder, "askpass")
        askpass.touch(mode=0o700)
        askpass.write_text(_ASKPASS)
        answers = f"{askpass}.answers"
        os.mkfifo(answers, 0o600)
        # Open for both directions, the pipe keeps what nobody has read yet, and is no wait.
        pipe = os.open(answers, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            for _ in range(_PASSWORDS_ASKED):
                os.write(pipe, os.fsencode(password) + b"\n")
            # Old versions of ssh ask a program only if there seems to be a display.
            yield {
                "DISPLAY": os.environ.get("DISPLAY", ":0"),
                "SSH_ASKPASS": str(askpass),
                "SSH_ASKPASS_REQUIRE": "force",
            }
        finally:
            os.close(pipe)


def _says_ready(ssh: _Ssh) -> bool:
    """Whether the far end says that it runs; otherwise the process has ended."""
    assert ssh.stdout is not None
    patience = threading.Timer(_CONNECT_S, ssh.kill)
    patience.daemon = True
    patience.start()
    try:
        with ssh.stdout:
            ready = any(_READY in said for said in ssh.stdout)
    finally:
        patience.cancel()
    if not ready:
        ssh.wait()
    return ready


def _last_line(text: str) -> str:
    return printable(text.strip().rpartition("\n")[2])  # perhaps the server's words


# ---- paramiko ----


@functools.cache
def _paramiko() -> Any:
    try:
        import paramiko
    except ImportError as e:
        raise missing("paramiko", "ssh", e) from e
    return paramiko


class _RejectUnknown:
    """What paramiko asks about a host whose key it does not know."""

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
        raise UnknownHost(
            f"the key of {hostname} is not known ({key.get_name()}, SHA256:{digest}): add it to "
            "the known hosts, or give accept_unknown_host=True"
        )


def _paramiko_client(
    server: str, keyfile: str | None, password: str | None, accept_unknown_host: bool = False
) -> paramiko_module.SSHClient:
    """A client that is logged in. A host whose key is not known is shown nothing and raises
    UnknownHost unless it is to be accepted; one whose key has changed raises BadHostKeyException.
    """
    paramiko = _paramiko()
    user, host, port = _split_server(server)
    client: paramiko_module.SSHClient = paramiko.SSHClient()
    client.load_system_host_keys()
    client.set_missing_host_key_policy(
        paramiko.AutoAddPolicy() if accept_unknown_host else cast(Any, _RejectUnknown())
    )
    try:
        client.connect(
            host,
            port,
            username=user,
            key_filename=keyfile or None,
            password=password or None,
            timeout=_CONNECT_S / 2,
        )
    except BaseException:
        client.close()
        raise
    return client


def _run_paramiko(
    lport: int,
    rport: int,
    server: str,
    remoteip: str,
    keyfile: str | None,
    password: str | None,
    accept_unknown_host: bool,
    told: Connection,
) -> None:
    """The tunnel's process. Tells "" when it is up, otherwise what went wrong."""
    from .forward import forward_server

    try:
        client = _paramiko_client(server, keyfile, password, accept_unknown_host)
        transport = client.get_transport()
        if transport is None:
            raise RuntimeError("the connection was lost")
        forwarding = forward_server(lport, remoteip, rport, transport)
    except Exception as e:
        told.send(printable(f"{type(e).__name__}: {e}"))
        return
    told.send("")
    told.close()
    with forwarding:
        threading.Thread(target=forwarding.serve_forever, daemon=True).start()
        try:
            transport.join()  # until the connection ends
        except KeyboardInterrupt:  # it was meant for the program too
            pass
    client.close()


def paramiko_tunnel(
    lport: int,
    rport: int,
    server: str,
    remoteip: str = "127.0.0.1",
    keyfile: str | None = None,
    password: str | None = None,
    timeout: int = 60,
    accept_unknown_host: bool = False,
) -> BaseProcess:
    """Forwards 127.0.0.1:lport to remoteip:rport, as the server sees it, by paramiko.

    Returns when the tunnel is up, with the process that runs it; terminate() ends it, and so does
    the end of the program. timeout has no effect. Other arguments and errors as of open_tunnel.
    """
    _paramiko()
    _split_server(server)
    host = _checked_host(remoteip)
    can_ask = not password and sys.stdin is not None and sys.stdin.isatty()
    if can_ask and not try_passwordless_ssh(server, keyfile, True, accept_unknown_host):
        password = getpass.getpass(f"{server}'s password: ")
    here, there = multiprocessing.Pipe(duplex=False)
    with here:
        process = multiprocessing.Process(
            target=_run_paramiko,
            args=(lport, rport, server, host, keyfile, password, accept_unknown_host, there),
            daemon=True,
        )
        process.start()
        there.close()
        try:
            if not here.poll(_CONNECT_S):
                raise RuntimeError(f"no tunnel to {server}: not up within {_CONNECT_S} s")
            problem = here.recv()
            if problem:
                raise RuntimeError(f"no tunnel to {server}: {problem}")
        except EOFError:
            process.join()
            raise RuntimeError(
                f"no tunnel to {server}: its process ended ({process.exitcode})"
            ) from None
        except BaseException:
            process.terminate()
            process.join()
            raise
    return process


__all__ = [
    "MaxRetryExceeded",
    "UnknownHost",
    "open_tunnel",
    "openssh_tunnel",
    "paramiko_tunnel",
    "select_random_ports",
    "ssh_tunnel",
    "try_passwordless_ssh",
    "tunnel_connection",
]
