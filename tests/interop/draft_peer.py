# SPDX-License-Identifier: MIT
"""A process with the types of single parts: of pyzmq over a libzmq built with drafts, or of pyomq.

    python draft_peer.py zmq|pyomq

Driven as peer.py is. Messages have one part, and with it a text: of SERVER and PEER the number of a
peer, of RADIO and DISH the group, of DGRAM the address, "" elsewhere. Never imports the engine
under test.
"""

import ctypes
import importlib
import json
import sys
from typing import Any

module = importlib.import_module(sys.argv[1])
IS_OMQ = module.__name__ == "pyomq"
context = module.Context()
sockets: dict[int, Any] = {}
kinds: dict[int, str] = {}


def to_bytes(x: Any) -> bytes:
    return bytes([x["fill"]]) * x["size"] if isinstance(x, dict) else bytes.fromhex(x)


def from_bytes(data: bytes) -> Any:
    if len(data) > 64 and data == data[:1] * len(data):
        return {"size": len(data), "fill": data[0]}
    return data.hex()


def connect_peer(sock: Any, address: str) -> int:
    """zmq_connect_peer, which pyzmq has not: the number of the peer."""
    with open("/proc/self/maps") as maps:
        (path, *_) = {line.split()[-1] for line in maps if "libzmq" in line}
    library = ctypes.CDLL(path)
    library.zmq_connect_peer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.zmq_connect_peer.restype = ctypes.c_uint32
    number = int(library.zmq_connect_peer(sock.underlying, address.encode()))
    if not number:
        raise OSError("zmq_connect_peer failed")
    return number


def send(number: int, body: bytes, peer: str) -> None:
    sock, kind = sockets[number], kinds[number]
    if kind == "PEER" and IS_OMQ:  # its PEER has ids in a part of their own, as a ROUTER
        sock.send_multipart([bytes.fromhex(peer), body])
    elif kind == "DGRAM" or (kind == "RADIO" and IS_OMQ):
        sock.send_multipart([peer.encode(), body])
    elif kind == "RADIO":
        sock.send(body, group=peer)
    elif kind in ("SERVER", "PEER"):
        frame = module.Frame(body)
        frame.routing_id = int(peer)
        sock.send(frame)
    else:
        sock.send(body)


def recv(number: int) -> tuple[bytes, str]:
    sock, kind = sockets[number], kinds[number]
    if kind == "PEER" and IS_OMQ:
        peer, body = sock.recv_multipart()
        return body, peer.hex()
    if kind == "DGRAM" or (kind == "DISH" and IS_OMQ):
        peer, body = sock.recv_multipart()
        return body, peer.decode()
    frame = sock.recv(copy=False)
    if kind == "DISH":
        return frame.bytes, frame.group
    return frame.bytes, str(frame.routing_id) if kind in ("SERVER", "PEER") else ""


def handle(q: dict[str, Any]) -> Any:
    op = q["op"]
    if op == "socket":
        number = max(sockets, default=0) + 1
        sock = context.socket(getattr(module, q["type"]))
        sockets[number], kinds[number] = sock, q["type"]
        options = {"linger": 0, "rcvtimeo": q["timeout"], "sndtimeo": q["timeout"], **q["options"]}
        for name, value in options.items():
            value = to_bytes(value) if isinstance(value, (str, dict)) else value
            sock.setsockopt(getattr(module, name.upper()), value)
        return number
    number = q["socket"]
    sock = sockets[number]
    if op == "bind":
        sock.bind(q["address"])
        name = sock.getsockopt(module.LAST_ENDPOINT)
        return name if isinstance(name, str) else name.rstrip(b"\0").decode()
    if op == "connect" and q["type"] == "PEER" and not IS_OMQ:
        return str(connect_peer(sock, q["address"]))
    if op == "connect":
        return sock.connect(q["address"]) and None
    if op in ("join", "leave"):
        return getattr(sock, op)(q["group"].encode()) and None
    if op == "send":
        return send(number, to_bytes(q["body"]), q["peer"])
    if op == "recv":
        body, peer = recv(number)
        return [from_bytes(body), peer]
    if op == "poll":
        return int(sock.poll(q["timeout"], q.get("flags", module.POLLIN)))
    if op == "echo":
        for _ in range(q["count"]):
            send(number, *recv(number))
        return q["count"]
    if op == "send_numbers":
        for i in range(q["count"]):
            send(number, b"%d" % i, q["peer"])
        return q["count"]
    if op == "recv_numbers":
        return [int(recv(number)[0]) for _ in range(q["count"])]
    if op == "close":
        del kinds[number]
        return sockets.pop(number).close() and None
    raise ValueError(op)


def main() -> None:
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"ok": handle(json.loads(line))}
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}", "errno": getattr(e, "errno", 0)}
        print(json.dumps(answer), flush=True)
    if not IS_OMQ:
        context.destroy(0)


if __name__ == "__main__":
    main()
