# SPDX-License-Identifier: MIT
"""Records what a RADIO and a DISH of a libzmq with drafts say over tcp, and what its RADIO and
DGRAM send over udp.

    PYTHON_WITH_DRAFTS tests/wire/record_groups.py > tests/wire/groups.json

test_wire_groups.py has the engine say the same.
"""

import json
import socket
import sys
import threading
import time
from typing import Any

import zmq
from record_drafts import relay

GROUPS = ["a", "g" * 255]
MESSAGES = [("a", b""), ("a", b"x" * 255), ("g" * 255, b"y" * 256), ("other", b"unheard")]


def over_tcp(connecting: str, binding: str) -> dict[str, Any]:
    """The DISH joins its groups, hears, leaves the first of them, and hears."""
    said = {"connecting": b"", "binding": b""}
    with socket.create_server(("127.0.0.1", 0)) as listener, zmq.Context() as context:
        made = {name: context.socket(getattr(zmq, name)) for name in (connecting, binding)}
        for sock in made.values():
            sock.linger, sock.rcvtimeo = 0, 8000
        radio, dish = made["RADIO"], made["DISH"]
        for group in GROUPS:
            dish.join(group)
        port = made[binding].bind_to_random_port("tcp://127.0.0.1")
        waiting = threading.Thread(target=relay, args=(port, listener, said))
        waiting.start()
        made[connecting].connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        waiting.join()
        dish.poll(500)  # it joins when the program enters the library
        for group, body in MESSAGES:
            radio.send(body, group=group)
        for group, body in MESSAGES[:3]:
            frame = dish.recv(copy=False)
            assert (frame.group, frame.bytes) == (group, body)
        dish.leave(GROUPS[0].encode())
        time.sleep(0.3)
        for sock in made.values():
            sock.close()
    return {
        "connecting": connecting,
        "binding": binding,
        "said": {name: data.hex() for name, data in said.items()},
    }


def over_udp() -> dict[str, Any]:
    datagrams = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain, zmq.Context() as context:
        plain.bind(("127.0.0.1", 0))
        plain.settimeout(8)
        host, port = plain.getsockname()
        radio, dgram = context.socket(zmq.RADIO), context.socket(zmq.DGRAM)
        dgram.rcvtimeo = 8000
        radio.connect(f"udp://{host}:{port}")
        for group, body in MESSAGES:
            radio.send(body, group=group)
            datagrams.append(plain.recv(1000).hex())
        dgram.bind("udp://127.0.0.1:45700")
        dgram.send_multipart([f"{host}:{port}".encode(), b"ping"])
        body, where = plain.recvfrom(1000)
        plain.sendto(b"pong", where)
        address, answer = dgram.recv_multipart()
        # What is behind the address, whose port is another each time.
        of_dgram = [
            body.hex(),
            answer.hex(),
            address.removeprefix(f"{host}:{port}".encode()).hex(),
        ]
        for sock in (radio, dgram):
            sock.close(linger=0)
    return {"radio": datagrams, "dgram": of_dgram}


def main() -> None:
    record = {
        "libzmq": zmq.zmq_version(),
        "groups": GROUPS,
        "messages": [[group, body.decode()] for group, body in MESSAGES],
        "tcp": [over_tcp("DISH", "RADIO"), over_tcp("RADIO", "DISH")],
        "udp": over_udp(),
    }
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
