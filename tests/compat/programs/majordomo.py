# SPDX-License-Identifier: MIT
"""Majortomo's broker, a worker and clients in threads of one process. Argument: the address."""

import sys
import threading

import zmq
from majortomo.broker import Broker
from majortomo.client import Client
from majortomo.worker import Worker, WorkerRequestsIterator

REQUESTS = 50


def work(address: str) -> None:
    requests = WorkerRequestsIterator(Worker(address, b"echo"))
    for message in requests:
        requests.send_reply_final([b"did", *message])
        if message == [b"last"]:
            break


def main() -> None:
    address = sys.argv[1]
    broker = Broker(bind=address)
    serving = threading.Thread(target=broker.run, daemon=True)
    serving.start()
    working = threading.Thread(target=work, args=(address,), daemon=True)
    working.start()
    for number in range(REQUESTS):
        body = b"%d" % number if number + 1 < REQUESTS else b"last"
        with Client(address) as client:
            client.send(b"echo", body)
            assert client.recv_all_as_list(timeout=20) == [b"did", body]
    working.join(20)
    broker.stop()
    serving.join(20)
    print(zmq.__name__, REQUESTS, working.is_alive(), serving.is_alive())


if __name__ == "__main__":
    main()
