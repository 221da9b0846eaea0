# SPDX-License-Identifier: MIT
"""A circus arbiter starts a watcher's process, answers its control client, and stops."""

import sys
import tempfile
import threading
import time
from pathlib import Path

import zmq
from circus import get_arbiter
from circus.client import CircusClient


def controls(endpoint: str, told: list[object]) -> None:
    """Asks the arbiter how many processes there are, then to quit."""
    client = CircusClient(timeout=15, endpoint=endpoint)
    try:
        end = time.monotonic() + 20
        running = 0
        while running < 2 and time.monotonic() < end:
            running = client.send_message("numprocesses", name="sleeper").get("numprocesses", 0)
        told.append(running)
        told.append(client.send_message("list", name="sleeper")["status"])
        status = "error"  # as long as it is busy with something else
        while status != "ok" and time.monotonic() < end:
            status = client.send_message("quit", waiting=False)["status"]
            time.sleep(0.1)
        told.append(status)
    finally:
        client.stop()


def main() -> None:
    place = Path(tempfile.mkdtemp(dir="."))
    control, published = f"ipc://{place}/control", f"ipc://{place}/events"
    watcher = {
        "name": "sleeper",
        "cmd": sys.executable,
        "args": ["-c", "import time; time.sleep(60)"],
        "numprocesses": 2,
        "graceful_timeout": 1,
    }
    arbiter = get_arbiter([watcher], controller=control, pubsub_endpoint=published)
    told: list[object] = []
    asking = threading.Thread(target=controls, args=(control, told), daemon=True)
    asking.start()
    arbiter.start()
    asking.join(20)
    print(zmq.__name__, *told)


if __name__ == "__main__":
    main()
