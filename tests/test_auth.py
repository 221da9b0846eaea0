# SPDX-License-Identifier: MIT
"""fastmq.auth: authenticators, certificates, Z85, curve-keygen."""

import asyncio
import json
import os
import stat
import subprocess
import sys

import pytest
from helpers import (
    HANDSHAKE_FAILURES,
    last_endpoint,
    nothing_arrives,
    raises_errno,
    recv,
    recv_multipart,
)
from security import ZAP_ENDPOINT, Keys, curve_client, curve_server, needs_curve, plain_client
from target import IS_FASTMQ, MODULE, fastmq_only, submodule, zmq

auth = submodule("auth")
z85 = submodule("utils.z85")
ThreadAuthenticator = submodule("auth.thread").ThreadAuthenticator
AsyncioAuthenticator = submodule("auth.asyncio").AsyncioAuthenticator


@pytest.fixture
def authenticator(ctx):
    one = ThreadAuthenticator(ctx)
    one.start()
    yield one
    one.stop()


@pytest.fixture
def comes_in(make, watch):
    """Whether a client with these options gets a message through to such a server."""

    def new(server_options, client_options):
        server = make(zmq.PULL, **server_options)
        server.bind("tcp://127.0.0.1:*")
        client = make(zmq.PUSH, reconnect_ivl=5000, **client_options)
        events = watch(client)
        client.connect(last_endpoint(server))
        event, _, _ = events.wait(*HANDSHAKE_FAILURES, zmq.EVENT_HANDSHAKE_SUCCEEDED)
        if event != zmq.EVENT_HANDSHAKE_SUCCEEDED:
            assert nothing_arrives(server)
            return False
        client.send(b"in")
        return recv(server) == b"in"

    return new


NULL = {"zap_domain": b"global"}
PLAIN = {"plain_server": 1, "zap_domain": b"global"}


def test_addresses_that_are_denied(authenticator, comes_in):
    assert comes_in(NULL, {})
    authenticator.deny("127.0.0.1", "10.0.0.1")
    assert not comes_in(NULL, {})
    with pytest.raises(ValueError):
        authenticator.allow("127.0.0.1")


def test_addresses_that_are_allowed(authenticator, comes_in):
    authenticator.allow("10.0.0.1")
    assert not comes_in(NULL, {})
    authenticator.allow("127.0.0.1")
    assert comes_in(NULL, {})
    with pytest.raises(ValueError):
        authenticator.deny("10.0.0.2")


@fastmq_only("pyzmq compares the whole text, with its process id")
def test_localhost_stands_for_every_ipc_peer(authenticator, make, tmp_path):
    authenticator.allow("localhost")
    pull = make(zmq.PULL, **NULL)
    pull.bind(f"ipc://{tmp_path}/x")
    push = make(zmq.PUSH)
    push.connect(f"ipc://{tmp_path}/x")
    push.send(b"in")
    assert recv(pull) == b"in"


def test_plain_passwords(authenticator, comes_in):
    assert not comes_in(PLAIN, plain_client())
    authenticator.configure_plain(domain="global", passwords={"admin": "secret", "ü": "ö"})
    assert comes_in(PLAIN, plain_client())
    assert comes_in(PLAIN, plain_client("ü".encode(), "ö".encode()))
    assert not comes_in(PLAIN, plain_client(b"admin", b"Secret"))
    assert not comes_in(PLAIN, plain_client(b"bogus", b"secret"))
    assert not comes_in(PLAIN, {})
    assert not comes_in({**PLAIN, "zap_domain": b"other"}, plain_client())


@fastmq_only("pyzmq's * does not cover domains with a name")
def test_a_policy_for_all_domains_and_one_that_comes_before_it(authenticator, comes_in):
    authenticator.configure_plain(passwords={"admin": "secret"})
    assert comes_in(PLAIN, plain_client())
    authenticator.configure_plain(domain="global", passwords={"other": "x"})
    assert not comes_in(PLAIN, plain_client())


def test_the_user_id_is_the_name(authenticator, make):
    authenticator.configure_plain(domain="global", passwords={"admin": "secret"})
    rep = make(zmq.REP, **PLAIN)
    rep.bind("tcp://127.0.0.1:*")
    req = make(zmq.REQ, **plain_client())
    req.connect(last_endpoint(rep))
    req.send(b"?")
    frame = rep.recv(copy=False)
    assert frame.get("User-Id") == "admin"
    assert frame.get("Peer-Address") == "127.0.0.1"


@needs_curve
def test_curve_certificates_of_a_directory(authenticator, comes_in, tmp_path):
    server = Keys()
    _, secret_file = auth.create_certificates(tmp_path, "client", {"name": "me"})
    public, secret = auth.load_certificate(secret_file)
    known = {"curve_publickey": public, "curve_secretkey": secret}
    known["curve_serverkey"] = server.public
    options = curve_server(server, zap_domain=b"global")
    assert not comes_in(options, known)
    authenticator.configure_curve(domain="global", location=tmp_path)
    assert comes_in(options, known)
    assert not comes_in(options, curve_client(Keys(), server.public))
    authenticator.configure_curve(domain="global", location=auth.CURVE_ALLOW_ANY)
    assert comes_in(options, curve_client(Keys(), server.public))


@needs_curve
@pytest.mark.parametrize("awaitable", [False, True], ids=["plain", "coroutine"])
def test_curve_callback(authenticator, comes_in, make, awaitable):
    server, known, unknown = Keys(), Keys(), Keys()
    asked = []

    class Provider:
        def callback(self, domain, key):
            asked.append((domain, key))
            return key == known.public

    class Awaitable(Provider):
        async def callback(self, domain, key):
            await asyncio.sleep(0)
            return Provider.callback(self, domain, key)

    provider = Awaitable() if awaitable else Provider()
    authenticator.configure_curve_callback(domain="global", credentials_provider=provider)
    options = curve_server(server, zap_domain=b"global")
    assert comes_in(options, curve_client(known, server.public))
    assert not comes_in(options, curve_client(unknown, server.public))
    assert asked == [("global", known.public), ("global", unknown.public)]


@needs_curve
@fastmq_only("pyzmq's thread dies of it")
def test_a_callback_that_raises_keeps_that_peer_out_and_no_other(authenticator, comes_in, caplog):
    server, known = Keys(), Keys()

    class Provider:
        def callback(self, domain, key):
            if key != known.public:
                raise RuntimeError("the database is gone")
            return True

    authenticator.configure_curve_callback(domain="*", credentials_provider=Provider())
    options = curve_server(server)
    assert not comes_in(options, curve_client(Keys(), server.public))
    assert comes_in(options, curve_client(known, server.public))
    assert authenticator.is_alive()
    assert "the database is gone" in caplog.text
    caplog.clear()  # the traceback's frames have the sockets


@needs_curve
def test_the_user_id_of_a_key(authenticator, make):
    server, client = Keys(), Keys()
    authenticator.configure_curve(domain="*", location=auth.CURVE_ALLOW_ANY)
    pull = make(zmq.PULL, **curve_server(server))
    pull.bind("tcp://127.0.0.1:*")
    push = make(zmq.PUSH, **curve_client(client, server.public))
    push.connect(last_endpoint(pull))
    push.send(b"x")
    assert pull.recv(copy=False).get("User-Id") == client.public.decode()
    raw = z85.decode(client.public)
    assert authenticator.curve_user_id(raw) == client.public.decode()


@fastmq_only("pyzmq leaves a socket open")
def test_one_authenticator_a_context(ctx, authenticator):
    with raises_errno(zmq.EADDRINUSE):
        ThreadAuthenticator(ctx).start()


@fastmq_only("pyzmq's stop does not wait for the address")
def test_start_and_stop_again(ctx):
    for _ in range(3):
        one = ThreadAuthenticator(ctx)
        assert not one.is_alive()
        one.start()
        assert one.is_alive()
        one.stop()
        assert not one.is_alive()
        one.stop()


@fastmq_only("pyzmq's does not")
@pytest.mark.parametrize("lack", ["sockets", "threads"])
def test_a_start_that_fails_leaves_nothing(monkeypatch, lack):
    with zmq.Context() as ctx:
        one = ThreadAuthenticator(ctx)
        with monkeypatch.context() as patch:
            if lack == "sockets":
                ctx.max_sockets = 2  # the one that is asked and one end of the pipe
            else:
                import threading

                def start(thread):
                    raise RuntimeError("can't start new thread")

                patch.setattr(threading.Thread, "start", start)
            with pytest.raises((zmq.ZMQError, RuntimeError)):
                one.start()
        assert not one.is_alive() and one.pipe is None and one.zap_socket is None
        ctx.max_sockets = 1023
        assert ctx.stats().sockets == 0
        one.start()
        assert one.is_alive()
        one.stop()


@fastmq_only("pyzmq's does not")
def test_a_thread_that_was_not_stopped_ends_with_its_context():
    ctx = zmq.Context()
    one = ThreadAuthenticator(ctx)
    one.start()
    thread = one.thread
    if IS_FASTMQ:
        one.pipe.close()
    ctx.destroy(linger=0) if not IS_FASTMQ else ctx.term()
    thread.join(5)
    assert not thread.is_alive()
    one.stop()


@fastmq_only("pyzmq fails on some of these")
@pytest.mark.parametrize(
    "request_frames, code",
    [
        ([b"1.0", b"1"], b"400"),
        ([b"2.0", b"1", b"", b"", b"", b"NULL"], b"400"),
        ([b"1.0", b"1", b"", b"", b"", b"PLAIN"], b"400"),
        ([b"1.0", b"1", b"", b"", b"", b"PLAIN", b"a"], b"400"),
        ([b"1.0", b"1", b"", b"", b"", b"CURVE", b"short"], b"400"),
        ([b"1.0", b"1", b"\xff", b"\xff", b"\xff", b"PLAIN", b"\xff", b"\xff"], b"400"),
        ([b"1.0", b"1", b"", b"", b"", b"OTHER", b""], b"400"),
        ([b"1.0", b"1", b"", b"", b"", b"NULL"], b"200"),
    ],
)
def test_every_request_gets_an_answer(authenticator, make, request_frames, code):
    req = make(zmq.REQ)
    req.connect(ZAP_ENDPOINT)
    req.send_multipart(request_frames)
    version, request_id, status, text, user, metadata = recv_multipart(req)
    assert (version, request_id, status) == (b"1.0", b"1", code)
    assert text
    assert (user, metadata) == (b"anonymous" if code == b"200" else b"", b"")


def test_asyncio_authenticator_answers_in_the_loop(ctx, make, watch):
    async def main():
        one = AsyncioAuthenticator(ctx)
        one.start()
        one.configure_plain(domain="global", passwords={"admin": "secret"})
        results = []
        for options in (plain_client(), plain_client(b"admin", b"wrong"), plain_client()):
            pull = make(zmq.PULL, **PLAIN)
            pull.bind("tcp://127.0.0.1:*")
            push = make(zmq.PUSH, reconnect_ivl=5000, **options)
            events = watch(push)
            push.connect(last_endpoint(pull))
            while not events.pair.poll(0):
                await asyncio.sleep(0.002)
            while True:
                event, _, _ = await asyncio.to_thread(events.next)
                if event in (*HANDSHAKE_FAILURES, zmq.EVENT_HANDSHAKE_SUCCEEDED):
                    break
            results.append(event == zmq.EVENT_HANDSHAKE_SUCCEEDED)
        one.stop()
        await asyncio.sleep(0)
        return results

    assert asyncio.run(main()) == [True, False, True]


def test_the_old_name_for_tornado_warns():
    name = f"{MODULE}.auth.ioloop"
    sys.modules.pop(name, None)
    with pytest.warns(DeprecationWarning):
        old = submodule("auth.ioloop")
    assert issubclass(old.IOLoopAuthenticator, AsyncioAuthenticator)


# ---- certificates ----


@needs_curve
@fastmq_only("pyzmq writes metadata to the secret file alone")
def test_certificates_are_written_and_read(tmp_path):
    public_file, secret_file = auth.create_certificates(tmp_path, "x", {"email": "a@b"})
    assert public_file == str(tmp_path / "x.key")
    assert secret_file == str(tmp_path / "x.key_secret")
    public, secret = auth.load_certificate(secret_file)
    assert zmq.curve_public(secret) == public
    assert auth.load_certificate(public_file) == (public, None)
    text = (tmp_path / "x.key").read_text()
    assert 'email = "a@b"' in text
    assert secret.decode() not in text
    auth.create_certificates(tmp_path, "y")
    assert len(auth.load_certificates(tmp_path)) == 2
    assert auth.load_certificates(tmp_path)[public]


@needs_curve
@fastmq_only("pyzmq leaves the permissions to the umask")
def test_the_secret_is_for_its_owner_alone(tmp_path):
    victim = tmp_path / "x.key_secret"
    victim.write_text("old")
    victim.chmod(0o666)
    old = os.umask(0)
    try:
        _, secret_file = auth.create_certificates(tmp_path, "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(secret_file).st_mode) == 0o600


def test_certificates_that_are_none(tmp_path):
    with pytest.raises(OSError):
        auth.load_certificate(tmp_path / "missing.key")
    with pytest.raises(OSError):
        auth.load_certificates(tmp_path / "missing")
    (tmp_path / "empty.key").write_text("metadata\ncurve\n")
    with pytest.raises(ValueError, match="public"):
        auth.load_certificate(tmp_path / "empty.key")


@needs_curve
@fastmq_only("pyzmq writes what cannot be read back")
@pytest.mark.parametrize("metadata", [{"a b": "c"}, {"a": 'b"c'}, {"a": "b\ncurve\n"}, {"": "x"}])
def test_metadata_that_would_break_the_file(tmp_path, metadata):
    with pytest.raises(ValueError):
        auth.create_certificates(tmp_path, "x", metadata)
    assert list(tmp_path.iterdir()) == []


def keygen(*arguments, module=("fastmq", "curve-keygen")):
    command = [sys.executable, "-m", *module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@needs_curve
@fastmq_only("about its own command")
@pytest.mark.parametrize("module", [("fastmq", "curve-keygen"), ("fastmq.curve_keygen",)])
def test_curve_keygen_prints_keys_that_belong_together(module):
    title, public, _, second, secret = keygen(module=module).stdout.splitlines()
    assert (title, second) == ("== CURVE PUBLIC KEY ==", "== CURVE SECRET KEY ==")
    assert zmq.curve_public(secret.encode()).decode() == public
    again = keygen("--json", "--secret", secret, module=module)
    assert json.loads(again.stdout) == {"public": public, "secret": secret}
    dashed = "-" + secret[1:]
    again = keygen("--json", "--secret", dashed, module=module)
    assert json.loads(again.stdout)["secret"] == dashed


@needs_curve
@fastmq_only("about its own command")
def test_curve_keygen_writes_certificates(tmp_path):
    assert keygen("--dir", str(tmp_path), "me").returncode == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["me.key", "me.key_secret"]
    folder = tmp_path / "new" / "keys"
    assert keygen("--dir", str(folder), "server").returncode == 0
    assert sorted(p.name for p in folder.iterdir()) == ["server.key", "server.key_secret"]
    wrong = keygen("--dir", str(tmp_path / "me.key"), "me")
    assert wrong.returncode == 1
    assert "curve-keygen:" in wrong.stderr and "me.key" in wrong.stderr


# ---- Z85 ----


def test_z85_of_its_specification():
    data = bytes([0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B])
    assert z85.encode(data) == b"HelloWorld"
    assert z85.decode(b"HelloWorld") == z85.decode("HelloWorld") == data
    assert z85.encode(b"") == z85.decode(b"") == b""


def test_z85_round_trips():
    for size in range(0, 400, 4):
        data = os.urandom(size)
        assert z85.decode(z85.encode(data)) == data
        assert z85.encode(bytearray(data)) == z85.encode(memoryview(data)) == z85.encode(data)


@fastmq_only("pyzmq raises errors of other kinds")
def test_what_is_not_z85():
    for bad in (b"abc", b"#####", b'""""" ', b"abcd\xff", "abcdü", b"abcd\0"):
        with pytest.raises(ValueError):
            z85.decode(bad)
    with pytest.raises(ValueError):
        z85.encode(b"abc")
