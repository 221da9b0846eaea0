# SPDX-License-Identifier: MIT
"""PUSH/PULL through a connection that CURVE encrypts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmq.cli.worker import Task

CASES: dict[str, dict[str, Any]] = {
    f"tcp {label}": {"transport": "tcp", "size": size, "copy": True}
    for label, size in {"64 B": 64, "1 KiB": 1 << 10, "64 KiB": 1 << 16, "1 MiB": 1 << 20}.items()
}
METRICS = {"rate": ("msg/s", "higher"), "cpu": ("us CPU/msg, both ends", "lower")}

# Keys of this benchmark alone.
SERVER = (b"=83YNhu#$r{c9{*^OR<UU#71XiV(M-]5H?%e7RsR", b"mUBrp*RJdDTt4O9<awJFlh&p^Kx}VLFHxuDM>}#u")
CLIENT = (b"Zy$@4LW^*$29[Kr=0T@5^a+J-I^>l#/U-aw75r/p", b"@UH5$[DTTHjW&*PMQt.hKQN#=RZRDZX:=oT2Ju[8")


def as_server(socket: Any) -> None:
    socket.curve_server = True
    socket.curve_publickey, socket.curve_secretkey = SERVER


def as_client(socket: Any) -> None:
    socket.curve_publickey, socket.curve_secretkey = CLIENT
    socket.curve_serverkey = SERVER[0]


def server(zmq: Any, task: Task) -> None:
    pushpull = task.sibling("pushpull")
    pushpull.run_server(zmq, task, pushpull.receiver, as_server)


def client(zmq: Any, task: Task) -> Any:
    pushpull = task.sibling("pushpull")
    return pushpull.run_client(zmq, task, pushpull.sender, as_client)
