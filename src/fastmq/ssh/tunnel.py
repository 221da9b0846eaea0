# SPDX-License-Identifier: MIT
"""Connecting sockets through ssh.

    tunnel_connection(sock, "tcp://10.0.0.5:5555", "me@gateway")

opens a tunnel to what the gateway knows as 10.0.0.5:5555 and connects the socket to its near end.
A server is written [user@]host[:port].
"""

from __future__ import annotations

import atexit
import functools
import getpass
import multiprocessing
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import paramiko as paramiko_module

    from ..socket import Socket

_READY = "fastmq-tunnel-is-up"
_CONNECT_S = 60
"""How long a tunnel may take to come up."""
_PASSWORD_TRIES = 3
_DENIED = "Permission denied"
_PASSWORD_VARIABLE = "FASTMQ_SSH_PASSWORD"

# Answers when ssh asks for a password or passphrase, but not whether to trust a host.
_ASKPASS = f"""\
#!/bin/sh
case "$1" in
*assword*|*assphrase*) printf '%s\\n' "${_PASSWORD_VARIABLE}" ;;
*) exit 1 ;;
esac
"""


class MaxRetryExceeded(RuntimeError):
    """The password was wrong as often as one may try."""


class _Denied(RuntimeError):
    """The server let nobody in with what it was offered."""


def select_random_ports(n: int) -> list[int]:
    """n ports of 127.0.0.1 on which nothing listens now."""
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
    found = re.fullmatch(r"(\[[^\]]+\]|[^:\s]+)(?::(\d{1,5}))?", rest)
    if found is None or (at and not user) or rest.startswith("-"):
        raise ValueError(f"server must be [user@]host[:port], not {server!r}")
    return user or getpass.getuser(), found[1].strip("[]"), int(found[2] or 22)


def _split_address(addr: str) -> tuple[str, int]:
    """(host, port) of tcp://host:port; ValueError: it is no such thing."""
    found = re.fullmatch(r"tcp://(\[[^\]]+\]|[^:/\s]+):(\d{1,5})/?", addr)
    if found is None:
        raise ValueError(f"only tcp://host:port can go through a tunnel, not {addr!r}")
    return found[1].strip("[]"), int(found[2])


def try_passwordless_ssh(server: str, keyfile: str | None, paramiko: bool | None = None) -> bool:
    """Whether one can log in at the server without a password, with keys or an agent.

    keyfile: a key beside the usual ones. paramiko: use it instead of the system's ssh, as is done
    on Windows unless told.
    """
    if _use_paramiko(paramiko):
        try:
            _paramiko_client(server, keyfile, None).close()
        except _paramiko().BadHostKeyException:
            raise
        except _paramiko().SSHException:  # refused, or there is no key to offer
            return False
        return True
    command = [*_ssh_command(server, keyfile, None), "exit"]
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
) -> BaseProcess | int:
    """Connects a socket to addr through a tunnel; arguments and result as of open_tunnel, whose
    second value it returns."""
    near, tunnel = open_tunnel(addr, server, keyfile, password, paramiko, timeout)
    socket.connect(near)
    return tunnel


def open_tunnel(
    addr: str,
    server: str,
    keyfile: str | None = None,
    password: str | None = None,
    paramiko: bool | None = None,
    timeout: int = 60,
) -> tuple[str, BaseProcess | int]:
    """Opens a tunnel: the endpoint to connect to, and what keeps it up (the pid of ssh, or the
    process that runs paramiko).

    addr: the endpoint behind the server, tcp://host:port, as the server sees it.
    server: [user@]host[:port]. keyfile: a key beside the usual ones. password: of the user or of
    the key; without one that is needed, the terminal is asked.
    paramiko: use it instead of the system's ssh, as is done on Windows unless told.
    timeout: how many seconds the tunnel of ssh stays up without a connection through it.
    RuntimeError: the tunnel did not come up; its text is that of ssh.
    """
    host, port = _split_address(addr)
    near = select_random_ports(1)[0]
    make = paramiko_tunnel if _use_paramiko(paramiko) else openssh_tunnel
    tunnel = make(near, port, server, host, keyfile, password, timeout)
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
) -> int:
    """Forwards 127.0.0.1:lport to remoteip:rport, as the server sees it, by the system's ssh.

    Returns when the tunnel is up, with the pid of the ssh that holds it: a running master's
    (ControlMaster) if the server has one. Other arguments and errors as of open_tunnel.
    """
    forward = ["-L", f"127.0.0.1:{lport}:{_bracketed(remoteip)}:{rport}"]
    master = _running_master(server, forward)
    if master is not None:
        return master
    command = [*forward, f"echo {_READY}; exec sleep {shlex.quote(str(int(timeout)))}"]
    try:
        return _start_ssh(server, keyfile, password or None, command)
    except _Denied:
        if password or sys.stdin is None or not sys.stdin.isatty():
            raise
    for _ in range(_PASSWORD_TRIES):
        try:
            asked = getpass.getpass(f"{server}'s password: ")
            return _start_ssh(server, keyfile, asked, command)
        except _Denied as e:
            print(e, file=sys.stderr)
    raise MaxRetryExceeded(f"{server}: {_DENIED} {_PASSWORD_TRIES} times")


ssh_tunnel = openssh_tunnel


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _ssh_command(server: str, keyfile: str | None, password: str | None) -> list[str]:
    """ssh and its options, up to the destination."""
    program = shutil.which("ssh")
    if program is None:
        raise RuntimeError("there is no program ssh on PATH")
    user, at, _ = server.rpartition("@")
    _, host, port = _split_server(server)
    command = [program, "-o", f"ConnectTimeout={_CONNECT_S // 2}"]
    command += ["-o", "NumberOfPasswordPrompts=1" if password else "BatchMode=yes"]
    if re.search(r":\d+$", server):
        command += ["-p", str(port)]
    if keyfile:
        command += ["-i", keyfile]
    return [*command, f"{user}@{host}" if at else host]


def _running_master(server: str, forward: list[str]) -> int | None:
    """The pid of a master connection to the server, after telling it to forward; None: no such."""

    def control(word: str, *options: str) -> subprocess.CompletedProcess[str]:
        *options_, destination = _ssh_command(server, None, None)
        return subprocess.run(
            [*options_, "-O", word, *options, destination],
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


def _start_ssh(server: str, keyfile: str | None, password: str | None, command: list[str]) -> int:
    """Starts ssh and waits for the remote side's word that the tunnel is up; the pid."""
    for old in _running[:]:
        if old.poll() is not None:
            _running.remove(old)
    *options, destination = _ssh_command(server, keyfile, password)
    line = [*options, "-S", "none", "-o", "ExitOnForwardFailure=yes", "-T"]
    line += [*command[:-1], destination, command[-1]]
    with tempfile.TemporaryDirectory(prefix="fastmq-ssh-") as folder:
        env = dict(os.environ)
        if password:
            askpass = Path(folder, "askpass")
            askpass.touch(mode=0o700)
            askpass.write_text(_ASKPASS)
            # Old versions of ssh ask a program only if there seems to be a display.
            env.setdefault("DISPLAY", ":0")
            env |= {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"}
            env[_PASSWORD_VARIABLE] = password
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
    return text.strip().rpartition("\n")[2]


# ---- paramiko ----


@functools.cache
def _paramiko() -> Any:
    try:
        import paramiko
    except ImportError as e:
        raise ImportError("this needs paramiko: pip install 'fastmq[ssh]'") from e
    return paramiko


def _paramiko_client(
    server: str, keyfile: str | None, password: str | None
) -> paramiko_module.SSHClient:
    """A client that is logged in. A host that is not known is taken with a warning, one whose key
    changed is not."""
    paramiko = _paramiko()
    user, host, port = _split_server(server)
    client: paramiko_module.SSHClient = paramiko.SSHClient()
    client.load_system_host_keys()
    client.set_missing_host_key_policy(paramiko.WarningPolicy())
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
    told: Connection,
) -> None:
    """The tunnel's process. Tells "" when it is up, otherwise what went wrong."""
    from .forward import forward_server

    try:
        client = _paramiko_client(server, keyfile, password)
        transport = client.get_transport()
        if transport is None:
            raise RuntimeError("the connection was lost")
        forwarding = forward_server(lport, remoteip, rport, transport)
    except Exception as e:
        told.send(f"{type(e).__name__}: {e}")
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
) -> BaseProcess:
    """Forwards 127.0.0.1:lport to remoteip:rport, as the server sees it, by paramiko.

    Returns when the tunnel is up, with the process that runs it; terminate() ends it, and so does
    the end of the program. timeout has no effect. Other arguments and errors as of open_tunnel.
    """
    _paramiko()
    can_ask = not password and sys.stdin is not None and sys.stdin.isatty()
    if can_ask and not try_passwordless_ssh(server, keyfile, paramiko=True):
        password = getpass.getpass(f"{server}'s password: ")
    here, there = multiprocessing.Pipe(duplex=False)
    with here:
        process = multiprocessing.Process(
            target=_run_paramiko,
            args=(lport, rport, server, remoteip, keyfile, password, there),
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
    "open_tunnel",
    "openssh_tunnel",
    "paramiko_tunnel",
    "select_random_ports",
    "ssh_tunnel",
    "try_passwordless_ssh",
    "tunnel_connection",
]
