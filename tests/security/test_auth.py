# SPDX-License-Identifier: MIT
"""fastmq.auth: authenticators, certificates, Z85, curve-keygen."""

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

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

    def new(server_options, client_options, bound="127.0.0.1", host="127.0.0.1"):
        server = make(zmq.PULL, **server_options)
        server.bind(f"tcp://{bound}:*")
        client = make(zmq.PUSH, reconnect_ivl=5000, **client_options)
        events = watch(client)
        client.connect(f"tcp://{host}:{last_endpoint(server).rpartition(':')[2]}")
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


def ended_by(kind):
    """A callback that such an exception ends, or that spoils the loop it runs in."""

    async def callback():
        if isinstance(kind, str):
            getattr(asyncio.get_running_loop(), kind)()
            await asyncio.sleep(0)
            return True
        raise kind("of the callback")

    return callback


ENDS = [asyncio.CancelledError, SystemExit, KeyboardInterrupt, GeneratorExit, "stop", "close"]


@needs_curve
@fastmq_only("pyzmq's thread ends, and its server is open then")
@pytest.mark.parametrize("kind", ENDS, ids=str)
def test_whatever_ends_a_callback_the_thread_refuses_and_goes_on(
    authenticator, comes_in, caplog, kind
):
    server, known = Keys(), Keys()
    ending = ended_by(kind)

    class Provider:
        def callback(self, domain, key):
            return True if key == known.public else ending()

    authenticator.configure_curve_callback(credentials_provider=Provider())
    options = curve_server(server)
    for _ in range(2):
        assert not comes_in(options, curve_client(Keys(), server.public))
    assert comes_in(options, curve_client(known, server.public))
    assert authenticator.is_alive()
    caplog.clear()  # the traceback's frames have the sockets


def refuses_and_goes_on(one, make):
    one.start()
    try:
        for _ in range(2):
            assert answer_to(make)[2] == b"500"
        assert one.is_alive()
    finally:
        one.stop()


@fastmq_only("pyzmq's thread ends")
def test_an_overriding_method_that_fails_is_a_refusal(ctx, make, caplog):
    class Faulty(ThreadAuthenticator):
        async def handle_zap_message(self, msg):
            raise SystemExit("no")

    refuses_and_goes_on(Faulty(ctx), make)
    caplog.clear()  # the traceback's frames have the sockets


@fastmq_only("pyzmq's thread ends, and its server is open then")
def test_the_end_of_another_context_ends_no_authenticator(ctx, make, caplog):
    class Asks(ThreadAuthenticator):
        async def handle_zap_message(self, msg):
            raise zmq.ContextTerminated  # as a socket does whose context ends meanwhile

    refuses_and_goes_on(Asks(ctx), make)
    caplog.clear()  # the traceback's frames have the sockets


@fastmq_only("pyzmq answers nobody any more")
def test_an_overriding_method_that_does_not_answer_is_a_refusal(ctx, make):
    class Silent(ThreadAuthenticator):
        async def handle_zap_message(self, msg):
            if msg[3] != b"silence":
                await super().handle_zap_message(msg)

    one = Silent(ctx)
    one.start()
    try:
        assert answer_to(make, question(b"silence"))[2] == b"500"
        assert answer_to(make)[2] == b"200"
    finally:
        one.stop()


@needs_curve
@fastmq_only("for pyzmq any Future is a yes")
def test_a_future_of_a_pool_is_waited_for(authenticator, comes_in):
    server, known = Keys(), Keys()
    with ThreadPoolExecutor(1) as pool:

        class Provider:
            def callback(self, domain, key):
                return pool.submit(lambda: key == known.public)

        authenticator.configure_curve_callback(credentials_provider=Provider())
        options = curve_server(server)
        assert not comes_in(options, curve_client(Keys(), server.public))
        assert comes_in(options, curve_client(known, server.public))


class FaultyLog:
    """A logger that fails itself, as one with a faulty filter does."""

    def __getattr__(self, level):
        def fail(*args, **kwargs):
            raise self.faulty(level)

        return fail if self.faulty else lambda *args, **kwargs: None

    faulty: type[BaseException] | None = None


@fastmq_only("pyzmq's thread ends")
@pytest.mark.parametrize("kind", [RuntimeError, SystemExit])
def test_a_logger_that_fails_ends_no_authenticator(ctx, make, kind):
    one = ThreadAuthenticator(ctx, log=FaultyLog())
    one.start()
    try:
        one.log.faulty = kind
        assert answer_to(make)[2] == b"200"
        for _ in range(2):
            assert answer_to(make, question(b"127.0.0.1", b"PLAIN", b"a"))[2] == b"400"
        one.passwords["*"] = None  # every look-up fails
        one.passwords["global"] = 5
        for _ in range(2):
            assert answer_to(make, question(b"127.0.0.1", b"PLAIN", b"a", b"b"))[2] == b"500"
        assert one.is_alive()
    finally:
        one.stop()


@fastmq_only("pyzmq's task ends")
def test_a_logger_that_fails_ends_no_authenticator_of_a_loop(ctx, make):
    async def main():
        one = AsyncioAuthenticator(ctx, log=FaultyLog())
        one.start()
        try:
            one.log.faulty = RuntimeError
            one.passwords["global"] = 5
            loop = asyncio.get_running_loop()
            for _ in range(2):
                frames = question(b"127.0.0.1", b"PLAIN", b"a", b"b")
                answer = await loop.run_in_executor(None, answer_to, make, frames)
                assert answer[2] == b"500"
            assert not one._task.done()
        finally:
            one.stop()

    asyncio.run(main())


@needs_curve
@fastmq_only("pyzmq refuses nobody")
def test_a_user_id_that_cannot_be_expressed_is_a_refusal(ctx, comes_in, caplog):
    class Names(ThreadAuthenticator):
        def curve_user_id(self, client_public_key):
            return "\u20ac"

    one = Names(ctx, encoding="latin-1")
    one.start()
    try:
        one.configure_curve(location=auth.CURVE_ALLOW_ANY)
        server = Keys()
        assert not comes_in(curve_server(server), curve_client(Keys(), server.public))
    finally:
        one.stop()
        caplog.clear()  # what was logged holds its traceback, and that holds sockets


@fastmq_only("pyzmq prints a traceback")
def test_destroying_the_context_ends_the_thread_in_silence(monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    for _ in range(20):
        ctx = zmq.Context()
        one = ThreadAuthenticator(ctx)
        one.start()
        thread = one.thread
        ctx.destroy(linger=0)
        thread.join(5)
        assert not thread.is_alive()
        one.stop()
    assert told == []


@fastmq_only("pyzmq's thread watches its sockets otherwise")
def test_a_context_that_ends_before_the_thread_watches_ends_it_in_silence(monkeypatch):
    told = []
    ctx = zmq.Context()

    class LatePoller(zmq.Poller):
        def register(self, socket, flags=zmq.POLLIN):
            ctx.destroy(linger=0)
            super().register(socket, flags)

    monkeypatch.setattr(threading, "excepthook", told.append)
    monkeypatch.setattr("fastmq.auth.thread.Poller", LatePoller)
    one = ThreadAuthenticator(ctx)
    one.start()
    one.thread.join(5)
    assert not one.thread.is_alive()
    one.stop()
    assert told == []


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


def question(address=b"127.0.0.1", mechanism=b"NULL", *credentials):
    return [b"1.0", b"1", b"global", address, b"", mechanism, *credentials]


def answer_to(make, frames=None):
    req = make(zmq.REQ)
    req.connect(ZAP_ENDPOINT)
    req.send_multipart(frames or question())
    answer = recv_multipart(req)
    req.close()
    return answer


@fastmq_only("pyzmq compares the text")
@pytest.mark.parametrize(
    "rule, covered, others",
    [
        ("10.0.0.1", "10.0.0.1 ::ffff:10.0.0.1 ::ffff:a00:1", "10.0.0.2 ::a00:1 localhost:1:2:3"),
        ("::ffff:10.0.0.1", "10.0.0.1 ::ffff:10.0.0.1", "10.0.0.2"),
        ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.1"),
        ("10.0.0.0/8", "10.255.0.1 ::ffff:10.1.2.3", "11.0.0.1 ::1"),
        ("0:0:0:0:0:0:0:1", "::1", "::2 127.0.0.1"),
        ("FD00::/8", "fd12::1", "fe80::1"),
        ("::/0", "::1 ::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1", "fe80::1%lo fe80::1%no-such fe80::1%7", "fe80::2%lo"),
        ("fe80::1%lo", "fe80::1%lo fe80::1%1", "fe80::1%no-such fe80::1%99"),
        ("fe80::/10%no-such", "", ""),
        ("fe80::%no-such/10", "fe80::1%no-such", "fe80::1%lo"),
        ("localhost", "localhost:0:0:1 localhost:1:2:3", "127.0.0.1 ::1"),
        ("localhost:1:2:3", "localhost:1:2:3", "localhost:1:2:4"),
    ],
)
def test_addresses_are_compared_as_addresses(ctx, rule, covered, others):
    if not covered:
        with pytest.raises(ValueError, match="not an address"):
            auth.Authenticator(ctx).allow(rule)
        return
    if "lo" in rule.partition("%")[2] and socket.if_nametoindex("lo") != 1:
        pytest.skip("lo is not the first interface")
    allows, denies = auth.Authenticator(ctx), auth.Authenticator(ctx)
    allows.allow(rule)
    denies.deny(rule)
    for address in covered.split():
        assert allows._address_refused(address.encode()) == b"", address
        assert denies._address_refused(address.encode()) == b"Address denied", address
    for address in others.split():
        assert allows._address_refused(address.encode()) == b"Address not allowed", address
        assert denies._address_refused(address.encode()) == b"", address


@fastmq_only("pyzmq lets them in")
def test_addresses_are_denied_however_they_arrive_and_are_written(authenticator, comes_in):
    six = {"ipv6": 1}
    ends = [({}, "127.0.0.1"), (six, "[::1]")]
    for options, host in ends:
        assert comes_in({**NULL, **six}, options, "*", host)
    authenticator.deny("127.0.0.0/8")  # at this socket they are ::ffff:127.0.0.1
    assert not comes_in({**NULL, **six}, {}, "*", "127.0.0.1")
    assert comes_in({**NULL, **six}, six, "*", "[::1]")
    authenticator.deny("0:0:0:0:0:0:0:1")
    assert not comes_in({**NULL, **six}, six, "*", "[::1]")


@fastmq_only("pyzmq compares the text")
def test_a_zone_is_looked_up_when_a_peer_comes(ctx, monkeypatch):
    """An interface may come after its name was denied, or come back with another number."""
    denies, allows = auth.Authenticator(ctx), auth.Authenticator(ctx)
    known = {}

    def number(name):
        if name not in known:
            raise OSError(name)
        return known[name]

    monkeypatch.setattr(socket, "if_nametoindex", number)
    denies.deny("fe80::1%wlan7")
    allows.allow("fe80::1%wlan7")
    for n in (7, 9):
        known["wlan7"] = n
        for peer in (b"fe80::1%wlan7", b"fe80::1%%%d" % n):
            assert denies._address_refused(peer) == b"Address denied"
            assert allows._address_refused(peer) == b""
        known["eth0"] = 3
        for peer in (b"fe80::1%eth0", b"fe80::1%3"):
            assert denies._address_refused(peer) == b""
            assert allows._address_refused(peer) == b"Address not allowed"


@fastmq_only("pyzmq lets them in")
@pytest.mark.parametrize("policy", ["allow", "deny"])
@pytest.mark.parametrize("address", [b"", b"localhost", b"nonsense", b"\xff", b"::1%", b"1.2.3"])
def test_a_peer_without_an_address_is_refused_by_any_policy_of_addresses(
    authenticator, make, policy, address
):
    assert answer_to(make, question(address))[2] == b"200"
    getattr(authenticator, policy)("10.0.0.1", "::/0", "0.0.0.0/0")
    assert answer_to(make, question(address))[2] == b"400"


@fastmq_only("pyzmq takes any text")
@pytest.mark.parametrize(
    "text",
    [
        *("example.com", "10.0.0", "10.0.0.1/8", "10.0.0.0/33", "010.0.0.1", " 10.0.0.1"),
        *("10.0.0.1%lo", "::1%", "", "*", "localhost:1", "LOCALHOST"),
    ],
)
def test_what_is_no_address_is_refused_when_it_is_configured(ctx, text):
    one = auth.Authenticator(ctx)
    for policy in (one.allow, one.deny):
        with pytest.raises(ValueError, match="not an address"):
            policy("10.0.0.1", text)
    assert one._address_refused(b"10.0.0.2") == one._address_refused(b"10.0.0.1") == b""
    with pytest.raises(TypeError, match="str"):
        one.allow(b"10.0.0.1")


@fastmq_only("pyzmq lets everybody in")
def test_allowing_no_address_allows_nobody(authenticator, make):
    authenticator.allow(*[])
    assert answer_to(make)[2] == b"400"
    with pytest.raises(ValueError):
        authenticator.deny("10.0.0.1")
    authenticator.allow("127.0.0.1")
    assert answer_to(make)[2] == b"200"


@fastmq_only("pyzmq compares what is left of them")
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_passwords_are_compared_as_bytes(ctx, make, encoding):
    one = ThreadAuthenticator(ctx, encoding=encoding)
    one.start()
    try:
        one.configure_plain("global", {"admin": "??????", "empty": ""})

        def shown(name, password):
            return answer_to(make, question(b"127.0.0.1", b"PLAIN", name, password))[2:4]

        assert shown(b"admin", b"??????") == [b"200", b"OK"]
        assert shown(b"empty", b"") == [b"200", b"OK"]
        for password in ("\u043f\u0430\u0440\u043e\u043b\u044c".encode(), b"\xff" * 6, b"?????"):
            assert shown(b"admin", password) == [b"400", b"Invalid password"]
        assert shown(b"empty", b"?") == [b"400", b"Invalid password"]
        assert shown(b"admi\xff", b"??????") == [b"400", b"Invalid username"]
        assert shown(b"nobody", b"") == [b"400", b"Invalid username"]
    finally:
        one.stop()


def test_a_subclass_may_look_up_passwords_itself(ctx, make):
    class Looking(ThreadAuthenticator):
        def _authenticate_plain(self, domain, username, password):
            return (domain, username, password) == ("global", "\u00fc", "\u00f6"), b"no"

    one = Looking(ctx)
    one.start()
    try:
        for password, status in (("\u00f6", b"200"), ("o", b"400")):
            shown = ("\u00fc".encode(), password.encode())
            assert answer_to(make, question(b"127.0.0.1", b"PLAIN", *shown))[2] == status
    finally:
        one.stop()


@fastmq_only("pyzmq takes them and lets others in")
@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_what_cannot_be_encoded_is_refused_when_it_is_configured(ctx, encoding):
    one = auth.Authenticator(ctx, encoding=encoding)
    secret = "\u043f\u0430\u0440\u043e\u043b\u044c"
    for passwords in ({"admin": secret}, {secret: "x"}):
        with pytest.raises(ValueError, match=encoding) as caught:
            one.configure_plain("global", passwords)
        assert passwords.get("admin", "no secret") not in str(caught.value)
    with pytest.raises(TypeError, match="str"):
        one.configure_plain("global", {"admin": b"secret"})
    assert one.passwords == {}


@fastmq_only("pyzmq's * is no policy for all")
def test_a_policy_changes_in_one_step(ctx, tmp_path):
    one = auth.Authenticator(ctx)
    verdicts, asking = [], []

    class Nobody:
        def callback(self, domain, key):
            return False

    def ask():
        with pytest.raises(StopIteration) as done:
            one._authenticate_curve("global", bytes(32)).send(None)
        verdicts.append(done.value.value[0])

    class Asked(dict):
        """When it has changed somebody asks, perhaps until the whole step is done."""

        def changed(self):
            asking.append(threading.Thread(target=ask))
            asking[-1].start()
            asking[-1].join(0.05)

        def __setitem__(self, name, value):
            super().__setitem__(name, value)
            self.changed()

        def pop(self, *arguments):
            value = super().pop(*arguments)
            self.changed()
            return value

    one.configure_curve("*", auth.CURVE_ALLOW_ANY)
    one.configure_curve_callback("global", Nobody())
    one.credentials_providers = Asked(one.credentials_providers)
    one.certs = Asked(one.certs)
    one.configure_curve_callback("global", Nobody())
    one.configure_curve("global", tmp_path)  # nobody's keys
    one.configure_curve("global", tmp_path)
    one.configure_curve_callback("global", Nobody())
    for thread in asking:
        thread.join()
    assert len(verdicts) >= 4 and not any(verdicts)


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


def in_a_loop(ctx, make, ending, then=lambda one: None):
    """The status of three answers of an AsyncioAuthenticator: while `ending` ends a callback, after
    that, and after then(authenticator)."""
    statuses = []

    class Provider:
        def callback(self, domain, key):
            return ending() if key == z85.encode(bytes(32)) else True

    async def ask(key):
        statuses.append((await asyncio.to_thread(answer_to, make, curve_question(key)))[2])

    async def main():
        one = AsyncioAuthenticator(ctx)
        one.start()
        one.configure_curve_callback("*", Provider())
        try:
            await ask(bytes(32))
            await ask(b"k" * 32)
            then(one)
            await asyncio.sleep(0)
            await ask(b"k" * 32)
        finally:
            one.stop()

    asyncio.run(main())
    return statuses


def curve_question(key):
    return question(b"127.0.0.1", b"CURVE", key)


@fastmq_only("pyzmq's task ends in silence")
@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit, RuntimeError], ids=str)
def test_whatever_ends_a_callback_the_loops_authenticator_refuses_and_goes_on(
    ctx, make, caplog, kind
):
    assert in_a_loop(ctx, make, ended_by(kind)) == [b"500", b"200", b"200"]


@fastmq_only("pyzmq's task ends in silence")
def test_ctrl_c_in_a_callback_reaches_the_program_and_the_peer_is_refused(ctx, make, caplog):
    one = AsyncioAuthenticator(ctx)

    class Provider:
        def callback(self, domain, key):
            raise KeyboardInterrupt

    async def main():
        one.start()
        one.configure_curve_callback("*", Provider())
        answers.append(await asyncio.to_thread(answer_to, make, curve_question(bytes(32))))

    answers = []
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(main())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        loop.run_until_complete(task)
        assert answers[0][2] == b"500"
        one.stop()
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        one.stop()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@fastmq_only("pyzmq's asks nobody then")
def test_a_loops_authenticator_that_is_cancelled_refuses_until_it_is_stopped(ctx, make, caplog):
    def cancel(one):
        one._task.cancel()

    assert in_a_loop(ctx, make, lambda: False, cancel) == [b"400", b"200", b"500"]
    other = ThreadAuthenticator(ctx)
    other.start()  # stop() has unbound the address
    other.stop()


@fastmq_only("pyzmq's asks nobody then")
@pytest.mark.parametrize("end", ["run", "close"])
def test_a_loops_authenticator_refuses_when_its_loop_has_ended(ctx, make, caplog, end):
    one = AsyncioAuthenticator(ctx)

    async def main():
        one.start()
        await asyncio.sleep(0)

    if end == "run":
        asyncio.run(main())
    else:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        one._task.get_coro().close()  # as when the task is collected
        loop.close()
    for _ in range(2):
        assert answer_to(make)[2] == b"500"
    with raises_errno(zmq.EADDRINUSE):
        ThreadAuthenticator(ctx).start()
    asyncio.run(main())  # it may begin anew
    assert answer_to(make)[2] == b"500"
    one.stop()
    other = ThreadAuthenticator(ctx)
    other.start()
    other.stop()


@fastmq_only("pyzmq's asks nobody then")
@pytest.mark.parametrize("end", ["run", "close", "cancel"])
def test_a_loops_authenticator_that_begins_anew_leaves_no_gap(ctx, make, caplog, end):
    one = AsyncioAuthenticator(ctx)

    async def main():
        one.start()
        await asyncio.sleep(0)
        if end == "cancel":
            one._task.cancel()
            await asyncio.sleep(0)

    async def again():
        if end == "cancel":
            await main()
        bound = one.zap_socket
        one.start()
        assert one.zap_socket is bound and not bound.closed
        assert (await asyncio.to_thread(answer_to, make))[2] == b"200"
        one.stop()
        assert bound.closed

    if end == "run":
        asyncio.run(main())
    elif end == "close":
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
    asyncio.run(again())


def test_the_old_name_for_tornado_warns():
    name = f"{MODULE}.auth.ioloop"
    sys.modules.pop(name, None)
    with pytest.warns(DeprecationWarning):
        old = submodule("auth.ioloop")
    assert issubclass(old.IOLoopAuthenticator, AsyncioAuthenticator)


@fastmq_only("pyzmq leaves descriptors open")
def test_an_authenticator_starts_before_tornados_loop(ctx, make):
    ioloop = pytest.importorskip("tornado.ioloop")
    asyncio.set_event_loop(None)  # else tornado's look at the present one makes one, which stays
    loop = ioloop.IOLoop()
    one = AsyncioAuthenticator(ctx)

    async def main():
        return await asyncio.to_thread(answer_to, make)

    try:
        one.start()
        assert loop.run_sync(main)[2] == b"200"
    finally:
        one.stop()
        loop.run_sync(lambda: asyncio.sleep(0))
        loop.asyncio_loop.run_until_complete(loop.asyncio_loop.shutdown_default_executor())
        loop.close()
        asyncio.set_event_loop(None)


@fastmq_only("pyzmq's starts in a loop that never runs")
def test_an_authenticator_without_a_loop_does_not_start(ctx):
    one = AsyncioAuthenticator(ctx)
    with pytest.raises(RuntimeError, match="loop"):
        one.start()
    assert one.zap_socket is None


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


@fastmq_only("pyzmq raises OSError without an errno")
def test_a_missing_certificate_is_named_with_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such certificate file: .*missing\.key"):
        auth.load_certificate(tmp_path / "missing.key")
    with pytest.raises(FileNotFoundError, match=r"no such directory: .*missing"):
        auth.load_certificates(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"Not a directory of certificates: .*file"):
        auth.load_certificates(tmp_path / "file")


@needs_curve
@fastmq_only("pyzmq fails with an error of another kind")
def test_a_key_that_is_not_ascii_is_none(tmp_path):
    public, _ = auth.load_certificate(auth.create_certificates(tmp_path, "x")[0])
    text = (
        (tmp_path / "x.key").read_text().replace(public.decode(), public.decode()[:-1] + "\u00e9")
    )
    (tmp_path / "x.key").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="is not a key"):
        auth.load_certificate(tmp_path / "x.key")


@needs_curve
@fastmq_only("pyzmq writes what cannot be read back")
@pytest.mark.parametrize("metadata", [{"a b": "c"}, {"a": 'b"c'}, {"a": "b\ncurve\n"}, {"": "x"}])
def test_metadata_that_would_break_the_file(tmp_path, metadata):
    with pytest.raises(ValueError):
        auth.create_certificates(tmp_path, "x", metadata)
    assert list(tmp_path.iterdir()) == []


@fastmq_only("about its own texts")
@needs_curve
def test_a_certificate_without_a_secret_key_is_told_where_that_is(make, tmp_path):
    public_file, _ = auth.create_certificates(tmp_path, "x")
    _, secret = auth.load_certificate(public_file)
    with pytest.raises(TypeError, match=r"takes bytes.* in the \.key_secret file"):
        make(zmq.PULL).curve_secretkey = secret


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
@pytest.mark.parametrize("left", ["me.key", "me.key_secret"])
def test_curve_keygen_replaces_keys_only_by_force(tmp_path, left):
    assert keygen("--dir", str(tmp_path), "me").returncode == 0
    for path in tmp_path.iterdir():
        if path.name != left:
            path.unlink()
    before = (tmp_path / left).read_text()
    again = keygen("--dir", str(tmp_path), "me")
    assert again.returncode == 1
    assert f"{left} exists; --force replaces its keys" in again.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(left, before)]
    assert keygen("--dir", str(tmp_path), "me", "--force").returncode == 0
    assert (tmp_path / left).read_text() != before


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
