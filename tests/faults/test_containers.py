# SPDX-License-Identifier: MIT
"""Peers in containers, of other users and with limits: what may not or cannot be in shared memory
stays on its socket by itself, and works."""

import contextlib
import errno
import json
import os
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import wire
from helpers import eventually, last_endpoint, lasting_descriptors, recv, unique
from target import IS_FASTMQ, zmq

pytestmark = pytest.mark.skipif(
    not IS_FASTMQ or not hasattr(os, "memfd_create"), reason="shared memory of Linux"
)

NEWNS, NEWUTS, NEWIPC = 0x20000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
NOBODY = 65534

PEER = """
import resource
address, how = sys.argv[1], json.loads(sys.argv[2])

def refused(what):
    say("refused: " + what + ": " + os.strerror(ctypes.get_errno()))
    os._exit(0)

uid = os.getuid()
if how.get("user"):
    os.setgroups([])
    os.setresgid(*[how["user"]] * 3)
    os.setresuid(*[how["user"]] * 3)
if how.get("flags") and libc.unshare(how["flags"]):
    refused("unshare")
if "map" in how:
    try:
        open("/proc/self/uid_map", "w").write(f"{how['map']} {uid} 1")
    except OSError as e:
        ctypes.set_errno(e.errno)
        refused("uid_map")
if how.get("flags", 0) & 0x20000000:
    if pid := os.fork():
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    libc.prctl(1, 9, 0, 0, 0)
if how.get("hide"):
    # Private, or the rest of the machine sees it, too.
    if libc.mount(b"none", b"/", None, 0x44000, None) or libc.mount(
        b"none", how["hide"].encode(), b"tmpfs", 0, None
    ):
        refused("mount")
for name, value in how.get("limits", {}).items():
    resource.setrlimit(getattr(resource, name), (value, value))
say("inside")
rep = zmq.Context().socket(zmq.REP)
rep.shm = 2
rep.connect(address)
while True:
    body = rep.recv()
    if body != b"link":
        rep.send(body)
        continue
    peer = rep.peers()[0]
    rep.send(json.dumps([peer.link, peer.link_reason]).encode())
"""

SHM = ["shm", ""]
HOST = ["socket", "the peer is on another host"]
USER = ["socket", "the peer is of another user"]
NOT_OFFERED = ["socket", "the peer does not offer it"]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="fastmq-") as made:
        os.chmod(made, 0o777)
        yield Path(made)


def bound(make, transport: str, place: Path):
    req = make(zmq.REQ, shm=2)
    if transport == "tcp":
        req.bind("tcp://127.0.0.1:*")
    elif transport == "abstract":
        req.bind(f"ipc://@{unique('containers')}")
    else:
        req.bind(f"ipc://{place}/x")
        os.chmod(place / "x", 0o777)
    return req


def ask(req, body: bytes) -> bytes:
    req.send(body)
    answer: bytes = recv(req)
    return answer


@contextlib.contextmanager
def peer_of(child, req, **how) -> Iterator[None]:
    """A peer that lives as `how` says and has answered, with bodies of all sizes."""
    one = child(PEER, last_endpoint(req), json.dumps(how))
    if (said := one.says("sign from inside")) != "inside":
        pytest.skip(f"a process may not live like that here: {said}")
    for size in (1, 1000, 300_000):
        assert ask(req, b"x" * size) == b"x" * size
    yield
    one.close()
    eventually("its end", lambda: not req.peers())


def links(req) -> tuple[list[str], list[str]]:
    """What carries the connection here, and there."""

    def known() -> list[str] | None:
        there: list[str] = json.loads(ask(req, b"link"))
        return there if there[1] != "not yet" else None

    there = eventually("a decision there", known)
    here = req.peers()[0]
    return [here.link, here.link_reason], there


TRANSPORTS = ["tcp", "ipc", "abstract"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "flags", [0, NEWNS | NEWUTS, NEWIPC], ids=["none", "mounts and names", "ipc"]
)
def test_what_does_not_concern_memory_does_not_keep_from_it(
    ctx, child, make, place, transport, flags
):
    req = bound(make, transport, place)
    with peer_of(child, req, flags=flags):
        assert links(req) == (SHM, SHM)
        assert len(ask(req, bytes(300_000))) == 300_000  # the arena is made, if it was not before
    before = lasting_descriptors()  # the meeting point's and the arena's stay
    with peer_of(child, req, flags=flags):
        assert links(req) == (SHM, SHM)
    eventually("no descriptor left", lambda: lasting_descriptors() <= before)
    assert ctx.stats().shm_bytes == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("inside", [None, 0, 1000])
def test_a_container_with_users_of_its_own_stays_on_its_socket(
    ctx, child, make, place, transport, inside
):
    """A number of a user means another one there, whatever it is."""
    how = {"flags": NEWUSER} if inside is None else {"flags": NEWUSER, "map": inside}
    req = bound(make, transport, place)
    with peer_of(child, req, **how):
        here, there = links(req)
        assert {here[0], there[0]} == {"socket"}
        assert {here[1], there[1]} <= {HOST[1], USER[1], NOT_OFFERED[1]}
        assert ctx.stats().shm_bytes == 0


def test_a_container_with_a_network_of_its_own_stays_on_its_socket(ctx, child, make, place):
    req = bound(make, "ipc", place)  # the others do not reach it
    with peer_of(child, req, flags=NEWNET):
        assert links(req) == (HOST, HOST)
        assert ctx.stats().shm_bytes == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_container_with_an_init_of_its_own_knows_no_processes_and_stays_on_ipc(
    ctx, child, make, place, transport
):
    req = bound(make, transport, place)
    with peer_of(child, req, flags=NEWPID):
        if transport == "tcp":
            assert links(req) == (SHM, SHM)
        else:
            here, there = links(req)
            assert {here[0], there[0]} == {"socket"}
            assert {here[1], there[1]} == {HOST[1], NOT_OFFERED[1]}
            assert ctx.stats().shm_bytes == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_process_of_another_user_stays_on_its_socket(ctx, child, make, place, transport):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    req = bound(make, transport, place)
    with peer_of(child, req, user=NOBODY):
        here, there = links(req)
        assert {here[0], there[0]} == {"socket"}
        assert {here[1], there[1]} <= {USER[1], NOT_OFFERED[1]}
        assert ctx.stats().shm_bytes == 0


@pytest.mark.parametrize("transport", ["tcp", "abstract"])
def test_a_container_without_proc_stays_on_its_socket(ctx, child, make, place, transport):
    req = bound(make, transport, place)
    with peer_of(child, req, flags=NEWNS, hide="/proc"):
        here, there = links(req)
        assert here == NOT_OFFERED
        assert there[0] == "socket" and there[1].startswith("it failed: ")
        assert ctx.stats().shm_bytes == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_process_that_may_have_no_memory_stays_on_its_socket(ctx, child, make, place, transport):
    req = bound(make, transport, place)
    with peer_of(child, req, limits={"RLIMIT_FSIZE": 4096}):
        _, there = links(req)
        assert there == ["socket", f"it failed: {os.strerror(errno.EFBIG)}"]
        eventually("no memory", lambda: ctx.stats().shm_bytes == 0)


def test_the_meeting_point_of_another_user_is_not_used(child, make, place):
    """Who says that it is of our user, and is not: memory is not handed over to it."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    code = """
    import socket
    os.setresuid(65534, 65534, 65534)
    point = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    point.bind("\\0" + sys.argv[1])
    point.listen()
    say("listening")
    conn, _ = point.accept()
    say(len(conn.recvmsg(1000, 1000)[1]))
    """
    one = child(textwrap.dedent(code), name := unique("stranger"))
    assert one.says() == "listening"
    own = bound(make, "tcp", place)
    with wire.connect(last_endpoint(own)) as first:
        first.handshake("REP")
        words = first.peer_props["X-Fastmq-Shm"].split()
    dealer = make(zmq.DEALER, shm=2)
    with wire.Listener() as listener:
        dealer.connect(listener.address)
        with listener.accept() as peer:
            port = b"%d" % peer.sock.getpeername()[1]
            offer = [*words[:3], name.encode(), b"0" * 32, port]
            peer.handshake("ROUTER", X_Fastmq_Shm=b" ".join(offer))
            eventually("a decision", lambda: "failed" in dealer.peers()[0].link_reason)
            assert os.strerror(errno.EACCES) in dealer.peers()[0].link_reason
            peer.send_message(b"on the socket")
            assert recv(dealer) == b"on the socket"
    assert one.says() == 0  # it was visited, and nothing was left there
