# SPDX-License-Identifier: MIT
"""Records what two sockets of a libzmq with drafts say to one another over tcp, both ways.

    PYTHON_WITH_DRAFTS tests/wire/record_drafts.py > tests/wire/drafts.json

A scene is played by two of its sockets through a relay, which writes down what each has sent.
test_wire_drafts.py plays the same scenes with one of the two replaced by the engine.
"""

import ctypes
import json
import socket
import sys
import threading
from typing import Any

import zmq

BODIES = [b"", b"x", b"y" * 255, b"z" * 256]
SCENES = [
    ("CLIENT", "SERVER", {}),
    ("SCATTER", "GATHER", {}),
    ("CHANNEL", "CHANNEL", {}),
    ("PEER", "PEER", {}),
    ("CLIENT", "SERVER", {"HELLO_MSG": b"hello"}),
]


def relay(to: int, listener: socket.socket, said: dict[str, bytes]) -> None:
    """Joins the next connection to that port, until one of the two ends."""
    here = listener.accept()[0]
    there = socket.create_connection(("127.0.0.1", to))

    def pump(name: str, source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65536):
            said[name] += data
            target.sendall(data)

    for args in (("connecting", here, there), ("binding", there, here)):
        threading.Thread(target=pump, args=args, daemon=True).start()


def connect_peer(sock: Any, address: str) -> int:
    """zmq_connect_peer, which pyzmq has not: the number of the peer."""
    with open("/proc/self/maps") as maps:
        (path, *_) = {line.split()[-1] for line in maps if "libzmq" in line}
    library = ctypes.CDLL(path)
    library.zmq_connect_peer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.zmq_connect_peer.restype = ctypes.c_uint32
    return int(library.zmq_connect_peer(sock.underlying, address.encode()))


def play(connecting: str, binding: str, options: dict[str, bytes]) -> dict[str, Any]:
    said = {"connecting": b"", "binding": b""}
    with socket.create_server(("127.0.0.1", 0)) as listener, zmq.Context() as context:
        bound, joined = (
            context.socket(getattr(zmq, binding)),
            context.socket(getattr(zmq, connecting)),
        )
        for sock in (bound, joined):
            sock.linger, sock.rcvtimeo = 0, 8000
            for name, value in options.items():
                sock.setsockopt(getattr(zmq, name), value)
        port = bound.bind_to_random_port("tcp://127.0.0.1")
        waiting = threading.Thread(target=relay, args=(port, listener, said))
        waiting.start()
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        number = connect_peer(joined, address) if connecting == "PEER" else joined.connect(address)
        waiting.join()
        for name in ("HELLO_MSG",) if options else ():
            assert bound.recv() == joined.recv() == options[name]
        for body in BODIES:
            frame = zmq.Frame(body)
            if connecting == "PEER":
                frame.routing_id = number
            joined.send(frame)
            frame = bound.recv(copy=False)
            assert frame.bytes == body
            if binding != "GATHER":
                bound.send(frame)
                assert joined.recv() == body
        bound.close()
        joined.close()
    return {
        "connecting": connecting,
        "binding": binding,
        "options": {name: value.decode() for name, value in options.items()},
        "said": {name: data.hex() for name, data in said.items()},
    }


if __name__ == "__main__":
    if not zmq.has("draft"):
        sys.exit("this libzmq has no drafts")
    scenes = [play(*scene) for scene in SCENES]
    bodies = [body.decode() for body in BODIES]
    print(json.dumps({"libzmq": zmq.zmq_version(), "bodies": bodies, "scenes": scenes}, indent=1))
