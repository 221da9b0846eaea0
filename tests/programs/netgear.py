# SPDX-License-Identifier: MIT
"""Two NetGears of vidgear hand frames from one to the other. Arguments: a port, a pattern."""

import sys
import threading

import numpy as np
import zmq
from vidgear.gears import NetGear

FRAMES = 20


def main() -> None:
    port, pattern = sys.argv[1], int(sys.argv[2])
    here = {"address": "127.0.0.1", "port": port, "protocol": "tcp", "pattern": pattern}
    options = {"max_retries": 20, "request_timeout": 10}
    got = []

    def receive() -> None:
        client = NetGear(receive_mode=True, **here, **options)
        while len(got) < FRAMES:
            frame = client.recv()
            if frame is None:
                break
            got.append(frame)
        client.close()

    receiving = threading.Thread(target=receive)
    receiving.start()
    server = NetGear(**here, **options)
    for number in range(FRAMES):
        server.send(np.full((48, 64, 3), number, np.uint8))
    receiving.join(40)
    server.close()
    assert [int(frame[0, 0, 0]) for frame in got] == list(range(FRAMES))
    print(zmq.__name__, len(got))


if __name__ == "__main__":
    main()
