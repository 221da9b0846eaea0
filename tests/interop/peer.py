# SPDX-License-Identifier: MIT
"""One libzmq (pyzmq) process, driven over stdin and stdout by a JSON object a line.

Requests: {"op": name, ...}; answers: {"ok": value} or {"error": text, "errno": n}. Bytes travel as
hexadecimal text, or as {"size": n, "fill": b} when large. Never imports the engine under test.
"""

import json
import sys
from typing import Any

import zmq

context = zmq.Context()
authenticators: list[Any] = []
sockets: dict[int, zmq.Socket] = {}


class KeysOf:
    """Lets in the owners of some CURVE keys."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys

    def callback(self, domain: str, key: bytes) -> bool:
        return key.decode() in self.keys


def to_bytes(x: Any) -> bytes:
    if isinstance(x, dict):
        return bytes([x["fill"]]) * x["size"]
    return bytes.fromhex(x)


def from_bytes(data: bytes) -> Any:
    if len(data) > 64 and data == data[:1] * len(data):
        return {"size": len(data), "fill": data[0]}
    return data.hex()


def option_value(x: Any) -> Any:
    return to_bytes(x) if isinstance(x, (str, dict)) else x


def handle(q: dict[str, Any]) -> Any:
    op = q["op"]
    if op == "version":
        return zmq.zmq_version()
    if op == "has":
        return bool(zmq.has(q["name"]))
    if op == "socket":
        sock = context.socket(getattr(zmq, q["type"]))
        sock.linger = 0
        sock.rcvtimeo = sock.sndtimeo = q.get("timeout", 8000)
        number = max(sockets, default=0) + 1
        sockets[number] = sock
        for name, value in q["options"].items():
            sock.setsockopt(getattr(zmq, name.upper()), option_value(value))
        return number
    if op == "authenticate":
        from zmq.auth.thread import ThreadAuthenticator

        one = ThreadAuthenticator(context)
        one.start()
        authenticators.append(one)
        one.configure_plain(domain="interop", passwords=q["passwords"])
        one.configure_curve_callback("interop", KeysOf(q["keys"]))
        return None
    if op == "authenticate_no_more":
        return authenticators.pop().stop()
    sock = sockets[q["socket"]]
    if op == "bind":
        sock.bind(q["address"])
        return sock.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
    if op == "connect":
        return sock.connect(q["address"]) and None
    if op == "set":
        return sock.setsockopt(getattr(zmq, q["name"].upper()), option_value(q["value"]))
    if op == "send":
        return sock.send_multipart([to_bytes(p) for p in q["parts"]], q.get("flags", 0))
    if op == "recv":
        return [from_bytes(p) for p in sock.recv_multipart()]
    if op == "poll":
        return int(sock.poll(q["timeout"], q.get("flags", zmq.POLLIN)))
    if op == "send_numbers":
        for i in range(q["count"]):
            sock.send(b"%d" % i + bytes(q["pad"]))
        return q["count"]
    if op == "recv_numbers":
        return [int(sock.recv().rstrip(b"\0")) for _ in range(q["count"])]
    if op == "echo":
        for _ in range(q["count"]):
            sock.send_multipart(sock.recv_multipart())
        return q["count"]
    if op == "close":
        return sockets.pop(q["socket"]).close()
    raise ValueError(op)


def main() -> None:
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"ok": handle(json.loads(line))}
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}", "errno": getattr(e, "errno", 0)}
        print(json.dumps(answer), flush=True)
    context.destroy(0)


if __name__ == "__main__":
    main()
