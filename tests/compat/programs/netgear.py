# SPDX-License-Identifier: MIT
"""Two NetGears of vidgear hand frames from one to the other. Arguments: a port, a pattern."""

import sys
import threading
import time

import numpy as np
import zmq
from vidgear.gears import NetGear

FRAMES = 20
MOST = 4000
PUB = 2  # of vidgear's patterns


def main() -> None:
    port, pattern = sys.argv[1], int(sys.argv[2])
    here = {"address": "127.0.0.1", "port": port, "protocol": "tcp", "pattern": pattern}
    options = {"jpeg_compression": False, "max_retries": 20, "request_timeout": 10}
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
    sent = 0
    # A PUB loses what comes before the subscription, so it goes on as long as somebody receives.
    while sent < FRAMES or (pattern == PUB and receiving.is_alive() and sent < MOST):
        server.send(np.full((48, 64, 3), sent % 200, np.uint8))
        sent += 1
        if pattern == PUB:
            time.sleep(0.01)
    receiving.join(40)
    server.close()
    shades = [int(frame[0, 0, 0]) for frame in got]
    first = shades[0] if pattern == PUB else 0
    assert shades == [(first + number) % 200 for number in range(FRAMES)], shades
    print(zmq.__name__, len(got))


if __name__ == "__main__":
    main()
