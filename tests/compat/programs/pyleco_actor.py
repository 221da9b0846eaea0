# SPDX-License-Identifier: MIT
"""A coordinator of pyleco, an actor with a device, and a director. Argument: a port."""

import sys
import threading

import zmq
from pyleco.actors.actor import Actor
from pyleco.coordinators.coordinator import Coordinator
from pyleco.directors.director import Director

HERE = "127.0.0.1"


class Counter:
    """The device: its value, and how often it was read in the actor's periodic readout."""

    def __init__(self) -> None:
        self.value = 0
        self.reads = 0

    def add(self, number: int) -> int:
        self.value += number
        return self.value


def main() -> None:
    port = int(sys.argv[1])
    stop = threading.Event()
    context = zmq.Context()
    coordinator = Coordinator(namespace="N1", host=HERE, port=port, context=context)
    routing = threading.Thread(target=coordinator.routing, kwargs={"stop_event": stop})
    routing.start()

    read = threading.Event()

    def count_reads(device: Counter, publisher: object) -> None:
        device.reads += 1
        if device.reads >= 3:
            read.set()

    def act() -> None:
        actor = Actor("counter", Counter, periodic_reading=0.02, host=HERE, port=port)
        actor.read_publish = count_reads
        actor.connect()
        actor.listen(stop)
        actor.disconnect()

    acting = threading.Thread(target=act)
    acting.start()
    with Director(
        actor="N1.counter", name="director", host=HERE, port=port, timeout=20
    ) as director:
        while "counter" not in director.ask_rpc("send_local_components", actor="COORDINATOR"):
            stop.wait(0.02)
        director.set_parameters({"value": 10})
        sums = [director.call_action("add", number) for number in range(20)]
        assert director.get_parameters("value") == {"value": sums[-1]}
        assert read.wait(20), "the actor's pipe told nothing"
    stop.set()
    acting.join(20)
    routing.join(20)
    coordinator.close()
    print(zmq.__name__, sums[-1], acting.is_alive(), routing.is_alive())


if __name__ == "__main__":
    main()
