# SPDX-License-Identifier: MIT
"""Tunnels: by a stand-in for the system's ssh, by the real one and a real sshd, by paramiko."""

import contextlib
import getpass
import json
import os
import shutil
import signal
import socket as pysocket
import stat
import struct
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
from helpers import WAIT_MS, eventually, free_port, last_endpoint, recv
from target import fastmq_only, submodule, zmq

pytestmark = fastmq_only("tunnels of our own")

ssh = submodule("ssh")
tunnel = submodule("ssh.tunnel")

# Behaves as ssh does towards tunnel.py: forwards what -L says, then runs the remote command here.
# It writes down how it was called, and lets in by the password or not at all, as the file says.
STAND_IN = """\
import json, os, pathlib, socket, subprocess, sys, threading
here = pathlib.Path(__file__).parent
with open(here / "calls", "a") as f:
    f.write(json.dumps(sys.argv[1:]) + "\\n")
(here / "environment").write_text(json.dumps(dict(os.environ)))
rules = json.loads((here / "rules").read_text())
if "-O" in sys.argv:
    word = sys.argv[sys.argv.index("-O") + 1]
    if not rules.get("master"):
        sys.exit("Control socket connect: No such file or directory")
    if word == "check":
        print("Master running (pid=%d)" % rules["master"], file=sys.stderr)
    sys.exit(0)
if rules.get("error"):
    sys.exit("ssh: " + rules["error"])
if rules.get("password"):
    if "BatchMode=yes" in sys.argv:
        sys.exit("me@host: Permission denied (publickey,password).")
    def asked(prompt):
        done = subprocess.run([os.environ["SSH_ASKPASS"], prompt], capture_output=True, text=True)
        return done.stdout.rstrip("\\n")
    assert os.environ["SSH_ASKPASS_REQUIRE"] == "force"
    assert asked("Are you sure you want to continue connecting (yes/no)?") == ""
    if asked("me@host's password: ") != rules["password"]:
        sys.exit("me@host: Permission denied (publickey,password).")
if "-L" in sys.argv:
    host, port, to, to_port = sys.argv[sys.argv.index("-L") + 1].split(":")
    server = socket.create_server((host, int(port)))
    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        b.close()
    def serve():
        while True:
            a, _ = server.accept()
            b = socket.create_connection((to, int(to_port)))
            for x, y in ((a, b), (b, a)):
                threading.Thread(target=pump, args=(x, y), daemon=True).start()
    threading.Thread(target=serve, daemon=True).start()
sys.exit(subprocess.call(["/bin/sh", "-c", sys.argv[-1]]))
"""


def executable(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


class StandIn:
    def __init__(self, folder):
        self.folder = folder
        executable(folder / "ssh", f"#!{sys.executable}\n{STAND_IN}")
        self.rules()

    def rules(self, **rules):
        (self.folder / "rules").write_text(json.dumps(rules))

    def calls(self):
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return StandIn(tmp_path)


@pytest.fixture
def ended(accounting):
    """Ends the ssh processes that a test leaves, which lead sessions of their own."""
    yield
    for process in tunnel._running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    tunnel._running.clear()


@pytest.fixture
def far(make):
    """A socket that is to be reached through a tunnel."""
    sock = make(zmq.REP)
    sock.bind("tcp://127.0.0.1:*")
    return sock


def ask(far, near):
    near.send(b"through the tunnel")
    assert recv(far, "the request") == b"through the tunnel"
    far.send(b"and back")
    assert recv(near, "the reply") == b"and back"


# -- the system's ssh --


def test_a_socket_connects_through_ssh(stand_in, ended, make, far):
    near = make(zmq.REQ)
    pid = ssh.tunnel_connection(near, last_endpoint(far), "me@host:2222", "a key", paramiko=False)
    ask(far, near)
    os.kill(pid, 0)
    call = stand_in.calls()[-1]
    assert call[-2] == "me@host"
    assert call[call.index("-p") + 1] == "2222"
    assert call[call.index("-i") + 1] == "a key"
    assert "BatchMode=yes" in call


def test_a_server_by_its_name_alone_leaves_the_rest_to_ssh(stand_in, ended, far):
    endpoint, _ = ssh.open_tunnel(last_endpoint(far), "alias", timeout=1, paramiko=False)
    assert endpoint.startswith("tcp://127.0.0.1:")
    call = stand_in.calls()[-1]
    assert call[-2] == "alias" and "-p" not in call and "-i" not in call
    assert call[-1].endswith("sleep 1")


def test_a_tunnel_ends_after_its_time(stand_in, ended):
    near, far = ssh.select_random_ports(2)
    ssh.openssh_tunnel(near, far, "host", timeout=0)
    assert tunnel._running[-1].wait(WAIT_MS / 1000) == 0
    ssh.openssh_tunnel(near, far, "host", timeout=0)
    assert len(tunnel._running) == 1


def test_a_password_is_given_when_asked_for(stand_in, ended, make, far):
    stand_in.rules(password="se'cr$et")
    near = make(zmq.REQ)
    address = last_endpoint(far)
    ssh.tunnel_connection(near, address, "me@host", password="se'cr$et", paramiko=False)
    ask(far, near)
    assert not any("cr$et" in word for call in stand_in.calls() for word in call)
    environment = json.loads((stand_in.folder / "environment").read_text())
    assert not any("cr$et" in value for value in environment.values())
    assert not Path(environment["SSH_ASKPASS"]).parent.exists()
    with pytest.raises(RuntimeError, match="Permission denied"):
        ssh.open_tunnel(address, "me@host", password="wrong", paramiko=False)


def test_the_terminal_is_asked_three_times(stand_in, ended, monkeypatch, far):
    stand_in.rules(password="secret")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    given = ["wrong", "secret"]
    monkeypatch.setattr(getpass, "getpass", lambda prompt: given.pop(0))
    ssh.open_tunnel(last_endpoint(far), "me@host", paramiko=False)
    assert not given
    given = ["wrong"] * 3
    with pytest.raises(ssh.MaxRetryExceeded, match="3 times"):
        ssh.open_tunnel(last_endpoint(far), "me@host", paramiko=False)
    assert not given


def test_what_ssh_complains_of_is_told(stand_in, ended):
    stand_in.rules(error="Could not resolve hostname host")
    with pytest.raises(RuntimeError, match="Could not resolve hostname host"):
        ssh.open_tunnel("tcp://127.0.0.1:5", "host", paramiko=False)


def test_a_running_master_forwards(stand_in, ended, monkeypatch):
    at_exit = []
    monkeypatch.setattr(tunnel.atexit, "register", lambda *call: at_exit.append(call))
    stand_in.rules(master=4711)
    assert ssh.openssh_tunnel(5000, 5001, "me@host", "10.0.0.1") == 4711
    *_, control, word, option, forward, ends, destination = stand_in.calls()[-1]
    assert (control, word) == ("-O", "forward")
    assert (option, forward) == ("-L", "127.0.0.1:5000:10.0.0.1:5001")
    assert (ends, destination) == ("--", "me@host")
    function, *arguments = at_exit[0]
    function(*arguments)
    assert "cancel" in stand_in.calls()[-1]


def test_whether_a_password_is_needed(stand_in):
    assert ssh.try_passwordless_ssh("me@host", None, paramiko=False)
    stand_in.rules(password="secret")
    assert not ssh.try_passwordless_ssh("me@host", None, paramiko=False)


def test_without_ssh_there_is_a_clear_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="no program ssh"):
        ssh.open_tunnel("tcp://127.0.0.1:5", "host", paramiko=False)


@pytest.mark.parametrize(
    "address", ["ipc:///tmp/x", "tcp://host", "tcp://:5", "host:5", "tcp://a:b"]
)
def test_only_tcp_goes_through_a_tunnel(address):
    with pytest.raises(ValueError, match="tcp://host:port"):
        ssh.open_tunnel(address, "host")


@pytest.mark.parametrize("paramiko", [False, True])
@pytest.mark.parametrize(
    "server",
    [
        *("", "@host", "me@", "host:port", "a b", "a b@host", "me@[::1", "me@[x]", "me@ho/st"),
        *("-oProxyCommand=x", "-oProxyCommand=x@host", "-o@host", "me@-oProxyCommand=x"),
        *("$(x)@host", "`x`@host", "a;b@host", "a|b@host", "a\n@host", "a'@host", "a\\@host"),
        *("me@$(x)", "me@a;b", "me@host\n", "\x1b[2J@host", "m\u00e9@host", "%h@host", "me@%h"),
    ],
)
def test_a_server_is_a_host_and_no_option_or_shell_command(server, stand_in, paramiko):
    with pytest.raises(ValueError, match="server"):
        ssh.open_tunnel("tcp://127.0.0.1:5", server, paramiko=paramiko)
    with pytest.raises(ValueError, match="server"):
        ssh.try_passwordless_ssh(server, None, paramiko=paramiko)
    assert not (stand_in.folder / "calls").exists()


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "$(x)", "a;b", "/run/socket", "a b", ""])
def test_what_is_behind_a_server_is_a_host(host, stand_in):
    with pytest.raises(ValueError, match="host"):
        ssh.open_tunnel(f"tcp://{host}:5", "me@host", paramiko=False)
    for tunnel_of in (ssh.openssh_tunnel, ssh.paramiko_tunnel):
        with pytest.raises(ValueError, match="host"):
            tunnel_of(5000, 5001, "me@host", host)
    assert not (stand_in.folder / "calls").exists()


def test_options_end_before_the_destination_in_every_command_line(stand_in, ended, monkeypatch):
    monkeypatch.setattr(tunnel.atexit, "register", lambda function, *given: function(*given))
    ssh.try_passwordless_ssh("me@host", None, paramiko=False)
    stand_in.rules(master=4711)
    ssh.openssh_tunnel(5000, 5001, "me@host")
    stand_in.rules(password="secret")
    ssh.openssh_tunnel(5000, 5001, "me@host", password="secret", timeout=0)
    words = [call[call.index("-O") + 1] if "-O" in call else call[-1] for call in stand_in.calls()]
    assert words[:5] == ["exit", "check", "forward", "cancel", "check"] and len(words) == 6
    for call in stand_in.calls():
        assert call[call.index("--") + 1] == "me@host" and "me@host" not in call[: call.index("--")]


def test_an_unknown_host_is_accepted_only_when_told(stand_in, ended, far):
    for accept in (False, True):
        stand_in.rules()
        ssh.open_tunnel(
            last_endpoint(far), "host", paramiko=False, timeout=0, accept_unknown_host=accept
        )
        assert ("StrictHostKeyChecking=accept-new" in stand_in.calls()[-1]) is accept


def test_a_password_of_several_lines_is_refused(stand_in):
    for password in ("a\nb", "a\0"):
        with pytest.raises(ValueError, match="line breaks"):
            ssh.open_tunnel("tcp://127.0.0.1:5", "host", password=password, paramiko=False)


def test_servers_and_addresses_are_read_as_written():
    me = getpass.getuser()
    assert tunnel._split_server("host") == (me, "host", 22)
    assert tunnel._split_server("you@host:2022") == ("you", "host", 2022)
    assert tunnel._split_server("a@b@[::1]:22") == ("a@b", "::1", 22)
    assert tunnel._split_server("DOMAIN\\a_b.c+d-e@h-1.x_y") == ("DOMAIN\\a_b.c+d-e", "h-1.x_y", 22)
    assert tunnel._split_server("[fe80::1%eth0]") == (me, "fe80::1%eth0", 22)
    assert tunnel._split_address("tcp://[::1]:5555") == ("::1", 5555)


def test_random_ports_differ():
    ports = ssh.select_random_ports(20)
    assert len(set(ports)) == 20


# -- a real sshd --


@pytest.fixture
def sshd(tmp_path, monkeypatch):
    """An sshd of our own on loopback and an ssh that trusts it; gives (server, key, passphrase)."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh-keygen") is None or shutil.which("ssh") is None:
        pytest.skip("there is no sshd with ssh and ssh-keygen")
    for name, phrase in (("host", ""), ("user", "a phrase")):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-f", tmp_path / name], check=True
        )
    port = free_port()
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    host_key = " ".join((tmp_path / "host.pub").read_text().split()[:2])
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    config = tmp_path / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {tmp_path}/host\nPidFile none\n"
        f"AuthorizedKeysFile {tmp_path}/authorized\nStrictModes no\nUsePAM no\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\n"
    )
    (tmp_path / "ssh_config").write_text(
        f"UserKnownHostsFile {tmp_path}/known\nGlobalKnownHostsFile /dev/null\n"
        "IdentitiesOnly yes\nIdentityAgent none\n"
    )
    (tmp_path / "bin").mkdir()
    executable(
        tmp_path / "bin" / "ssh",
        f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/ssh_config "$@"\n',
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    log = tmp_path / "log"
    with log.open("w") as out:
        server = subprocess.Popen([program, "-D", "-e", "-f", config], stderr=out)

    def is_up():
        if server.poll() is not None:
            pytest.skip(f"sshd does not run here: {log.read_text().strip()}")
        return "Server listening" in log.read_text()

    eventually("sshd listens", is_up)
    yield f"{getpass.getuser()}@127.0.0.1:{port}", str(tmp_path / "user"), "a phrase"
    server.terminate()
    server.wait()


@pytest.mark.slow
def test_a_socket_connects_through_a_real_sshd(sshd, ended, make, far):
    server, key, phrase = sshd
    near = make(zmq.REQ)
    assert not ssh.try_passwordless_ssh(server, key, paramiko=False)
    with pytest.raises(RuntimeError, match="Permission denied"):
        ssh.tunnel_connection(near, last_endpoint(far), server, key, paramiko=False)
    pid = ssh.tunnel_connection(near, last_endpoint(far), server, key, phrase, paramiko=False)
    ask(far, near)
    os.kill(pid, signal.SIGTERM)
    assert tunnel._running[-1].wait(WAIT_MS / 1000) != 0


@pytest.mark.slow
def test_a_real_ssh_refuses_a_host_that_it_does_not_know(sshd, ended, tmp_path, far):
    server, key, phrase = sshd
    (tmp_path / "known").write_text("")
    with pytest.raises(RuntimeError, match="verification failed"):
        ssh.open_tunnel(last_endpoint(far), server, key, phrase, paramiko=False)


# -- paramiko --


def pump(a, b):
    """Moves bytes one way; ends both when one ended."""
    with contextlib.suppress(OSError, EOFError):
        while data := a.recv(65536):
            b.sendall(data)
    for end in (a, b):
        with contextlib.suppress(OSError, EOFError):
            end.shutdown(2)


class ParamikoServer:
    """An ssh server on loopback that lets "me" in with "secret" and forwards."""

    def __init__(self):
        import paramiko

        outer = self
        self.key = paramiko.ECDSAKey.generate()
        self.threads = []
        self.transports = []
        self.channels = []

        class Interface(paramiko.ServerInterface):
            def check_auth_password(self, username, password):
                outer.passwords.append(password)
                allowed = (username, password) == ("me", "secret")
                return paramiko.AUTH_SUCCESSFUL if allowed else paramiko.AUTH_FAILED

            def get_allowed_auths(self, username):
                return "password"

            def check_channel_direct_tcpip_request(self, chanid, origin, destination):
                try:
                    target = pysocket.create_connection(destination, 5)
                except OSError:
                    return paramiko.OPEN_FAILED_CONNECT_FAILED
                outer.targets[chanid] = target
                return paramiko.OPEN_SUCCEEDED

        self.passwords = []
        self.targets = {}
        self.listener = pysocket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.paramiko, self.interface = paramiko, Interface
        self.run(self.accept)

    def run(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments)
        thread.start()
        self.threads.append(thread)

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            transport = self.paramiko.Transport(connection)
            transport.add_server_key(self.key)
            self.transports.append(transport)
            with contextlib.suppress(self.paramiko.SSHException, EOFError, OSError):
                transport.start_server(server=self.interface())
                self.run(self.serve, transport)

    def serve(self, transport):
        while transport.is_active():
            channel = transport.accept(0.05)
            if channel is not None:
                target = self.targets[channel.chanid]
                self.channels += [channel, target]
                self.run(pump, channel, target)
                self.run(pump, target, channel)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(pysocket.SHUT_RDWR)
        self.listener.close()
        self.threads[0].join()
        for transport in self.transports:
            transport.close()
            transport.join(5)
        for end in self.channels:
            end.close()
        for thread in self.threads:
            thread.join(5)


@pytest.fixture
def paramiko_server(accounting, tmp_path, monkeypatch):
    """A server whose key is among the known hosts."""
    paramiko = pytest.importorskip("paramiko", reason="paramiko is not installed")
    paramiko.util.get_logger("paramiko").setLevel("CRITICAL")
    server = ParamikoServer()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    server.known = tmp_path / ".ssh" / "known_hosts"
    server.known.parent.mkdir()
    server.name = f"[127.0.0.1]:{server.port}"
    key = f"{server.key.get_name()} {server.key.get_base64()}"
    server.known.write_text(f"{server.name} {key}\n")
    yield server
    server.close()


@pytest.mark.parametrize("known", ["nobody", "another key"])
def test_paramiko_shows_an_unknown_host_nothing(paramiko_server, known):
    server = f"me@127.0.0.1:{paramiko_server.port}"
    other = paramiko_server.paramiko.ECDSAKey.generate()
    key = f"{paramiko_server.name} {other.get_name()} {other.get_base64()}\n"
    paramiko_server.known.write_text(key if known == "another key" else "")
    accepted = [False, True] if known == "another key" else [False]
    for accept in accepted:
        error = RuntimeError if known == "nobody" else paramiko_server.paramiko.SSHException
        with pytest.raises(error, match=r"not known|does not match"):
            tunnel._paramiko_client(server, None, "secret", accept)
    with pytest.raises(error):
        ssh.try_passwordless_ssh(server, None, paramiko=True)
    assert paramiko_server.passwords == []
    if known == "nobody":
        tunnel._paramiko_client(server, None, "secret", accept_unknown_host=True).close()
        assert paramiko_server.passwords == ["secret"]


def test_a_forwarded_connection_that_is_reset_ends_in_silence(paramiko_server, far, capfd):
    forward = submodule("ssh.forward")
    client = tunnel._paramiko_client(f"me@127.0.0.1:{paramiko_server.port}", None, "secret")
    port = int(last_endpoint(far).rpartition(":")[2])
    server = forward.forward_server(0, "127.0.0.1", port, client.get_transport())
    server.daemon_threads = False  # so that server_close waits for them
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    with pysocket.create_connection(server.server_address) as near:
        assert near.recv(1)  # the far socket's greeting: the connection stands
        near.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_LINGER, struct.pack("ii", 1, 0))
    server.shutdown()
    thread.join()
    server.server_close()
    client.close()
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_a_socket_connects_through_paramiko(paramiko_server, make, far):
    near = make(zmq.REQ)
    server = f"me@127.0.0.1:{paramiko_server.port}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads
        process = ssh.tunnel_connection(
            near, last_endpoint(far), server, password="secret", paramiko=True
        )
        try:
            ask(far, near)
            assert process.is_alive()
        finally:
            process.terminate()
            process.join()
            process.close()
        with pytest.raises(RuntimeError, match="AuthenticationException"):
            ssh.open_tunnel(last_endpoint(far), server, password="wrong", paramiko=True)
        assert not ssh.try_passwordless_ssh(server, None, paramiko=True)


def test_forward_tunnel_serves_a_transport(paramiko_server, make, far):
    forward = submodule("ssh.forward")
    client = tunnel._paramiko_client(f"me@127.0.0.1:{paramiko_server.port}", None, "secret")
    port = int(last_endpoint(far).rpartition(":")[2])
    server = forward.forward_server(0, "127.0.0.1", port, client.get_transport())
    assert isinstance(server, forward.ForwardServer)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    near = make(zmq.REQ)
    near.connect(f"tcp://127.0.0.1:{server.server_address[1]}")
    ask(far, near)
    near.close()
    server.shutdown()
    thread.join()
    server.server_close()
    client.close()


def test_without_paramiko_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "paramiko", None)
    tunnel._paramiko.cache_clear()
    with pytest.raises(ImportError, match=r"pip install paramiko"):
        ssh.open_tunnel("tcp://127.0.0.1:5", "host", paramiko=True)
