# SPDX-License-Identifier: MIT
"""What can be wrong with the place where an ipc socket is to be made, and what becomes of it."""

import errno
import os
import shutil
import socket
import sys

import pytest
from helpers import recv
from target import fastmq_only, zmq

# Binds to each path that it hears, or says why it could not; then takes a message.
BINDER = """
import errno
pull = zmq.Context().socket(zmq.PULL)
while True:
    path = hear()
    try:
        pull.bind("ipc://" + path)
    except zmq.ZMQError as e:
        say([e.errno, str(e)])
    else:
        say([0, last_endpoint(pull)])
"""

# A file system of our own that nobody else sees, with room for the folder and one file more.
MOUNT = """
assert libc.unshare(0x00020000) == 0, os.strerror(ctypes.get_errno())
assert libc.mount(b"none", b"/", None, 0x44000, None) == 0, os.strerror(ctypes.get_errno())
folder = sys.argv[1]
assert libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, b"size=64k,nr_inodes=3") == 0
"""


def may_mount():
    return sys.platform.startswith("linux") and os.geteuid() == 0


needs_mount = pytest.mark.skipif(not may_mount(), reason="mounts a tmpfs: Linux and root only")


def test_a_path_in_a_missing_folder_is_told_and_the_socket_still_binds(child, tmp_path):
    one = child(BINDER)
    one.hears(f"{tmp_path}/none/s")
    number, text = one.says()
    assert number == errno.ENOENT
    assert f"{tmp_path}/none/s" in text
    one.hears(f"{tmp_path}/s")
    assert one.says()[0] == 0


@needs_mount
def test_a_full_disk_is_told_and_the_socket_binds_when_there_is_room(child, tmp_path):
    one = child(
        MOUNT
        + """
open(folder + "/a", "w").close()
open(folder + "/b", "w").close()
"""
        + BINDER.replace("hear()", "hear() or (os.unlink(folder + '/b'), hear())[1]"),
        tmp_path,
    )
    for _ in range(3):
        one.hears(f"{tmp_path}/s")
        number, text = one.says()
        assert number == errno.ENOSPC
        assert f"{tmp_path}/s" in text
    one.hears("")  # makes room
    one.hears(f"{tmp_path}/s")
    assert one.says()[0] == 0


@needs_mount
def test_a_read_only_file_system_is_told(child, tmp_path):
    one = child(
        MOUNT
        + """
assert libc.mount(b"none", folder.encode(), None, 0x21, None) == 0
"""
        + BINDER,
        tmp_path,
        TMPDIR=str(tmp_path),
    )
    for path in (f"{tmp_path}/s", "*"):  # a wildcard makes its folder there
        one.hears(path)
        assert one.says()[0] == errno.EROFS
    one.hears(f"/dev/shm/fastmq-test-{one.pid}")
    assert one.says()[0] == 0
    os.unlink(f"/dev/shm/fastmq-test-{one.pid}")


@pytest.mark.skipif(sys.platform == "win32", reason="no such rights")
def test_a_folder_that_may_not_be_written_is_told(child, tmp_path):
    locked, open_ = tmp_path / "locked", tmp_path / "open"
    locked.mkdir(mode=0o555)
    open_.mkdir()
    open_.chmod(0o777)
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(folder.stat().st_mode | 0o111)
    one = child("if os.geteuid() == 0:\n    os.setegid(65534)\n    os.seteuid(65534)\n" + BINDER)
    one.hears(f"{locked}/s")
    assert one.says()[0] == errno.EACCES
    one.hears(f"{open_}/s")
    assert one.says()[0] == 0


def test_a_client_waits_for_the_folder_of_its_server(make, tmp_path):
    folder = tmp_path / "later"
    push = make(zmq.PUSH, reconnect_ivl=10)
    push.connect(f"ipc://{folder}/s")
    push.send(b"early")
    folder.mkdir()
    pull = make(zmq.PULL)
    pull.bind(f"ipc://{folder}/s")
    assert recv(pull) == b"early"


@fastmq_only("removes its successor's file")
def test_a_server_whose_folder_was_made_anew_leaves_the_new_one_alone(make, watch, tmp_path):
    """Connections live on without their path; the next server takes it, and keeps it."""
    folder = tmp_path / "f"
    folder.mkdir()
    old, new, client = make(zmq.ROUTER), make(zmq.ROUTER), make(zmq.DEALER, reconnect_ivl=10)
    old.bind(f"ipc://{folder}/s")
    client.connect(f"ipc://{folder}/s")
    client.send(b"1")
    who, _ = old.recv_multipart()
    shutil.rmtree(folder)
    old.send_multipart([who, b"still here"])
    assert recv(client) == b"still here"
    folder.mkdir()
    new.bind(f"ipc://{folder}/s")
    old.close()
    assert (folder / "s").exists()
    client.send(b"2")
    assert new.recv_multipart()[1] == b"2"


def test_the_file_of_a_killed_server_is_taken_over(make, watch, child, tmp_path):
    path = str(tmp_path / "s")
    push = make(zmq.PUSH, reconnect_ivl=10)
    events = watch(push)
    push.connect(f"ipc://{path}")
    for n in range(3):
        one = child(
            """
pull = zmq.Context().socket(zmq.PULL)
pull.bind("ipc://" + sys.argv[1])
say(pull.recv().decode())
hear()
""",
            path,
        )
        push.send(b"%d" % n)
        assert one.says() == str(n)
        one.kill()
        assert os.path.exists(path)
        events.wait(zmq.EVENT_DISCONNECTED)


def test_a_client_does_not_mind_a_stale_file(make, watch, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    push = make(zmq.PUSH, reconnect_ivl=10)
    events = watch(push)
    push.connect(f"ipc://{path}")
    events.wait(zmq.EVENT_CONNECT_RETRIED)
    pull = make(zmq.PULL)
    pull.bind(f"ipc://{path}")
    push.send(b"x")
    assert recv(pull) == b"x"
