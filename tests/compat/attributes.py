# SPDX-License-Identifier: MIT
"""What can be done with the attributes of each class: run by test_attributes.py in a process of its
own.

`attributes.py MODULE` prints, as JSON, {class: {attribute: [what works]}}, of

    read    the attribute of an object has a value
    keep    it can be given the value that it has
    set     it can be given any object, and then has that
    class   a subclass may have an attribute of that name: objects are made, and have the class's
    method  a subclass may have a method of that name: objects are made, and it is called
"""

import asyncio
import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

Make = Callable[[type], Any]


class Anything:
    """A value that no attribute expects."""


def names(cls: type, obj: Any) -> list[str]:
    """Names of a class's and an object's own attributes, without those that Python gives all."""
    found = {name for base in cls.__mro__ for name in vars(base) if base is not object}
    found |= set(getattr(obj, "__dict__", ()))
    for base in cls.__mro__:
        found |= set(getattr(base, "__annotations__", ()))
    return sorted(name for name in found if not name.startswith("__"))


def works(call: Callable[[], Any]) -> bool:
    try:
        return bool(call())
    except Exception:
        return False


def discard(obj: Any) -> None:
    """Closes a socket, as there may be a thousand; all else is left to the end of the process."""
    close = getattr(type(obj), "close", None)
    if close is not None and hasattr(type(obj), "send"):
        works(lambda: close(obj) or True)


def verdict(cls: type, make: Make, name: str) -> list[str]:
    out = []
    obj = make(cls)
    if works(lambda: (getattr(obj, name), True)[1]):
        out.append("read")
        value = getattr(obj, name)
        if not callable(value) and works(lambda: (setattr(obj, name, value), True)[1]):
            out.append("keep")
    discard(obj)
    obj = make(cls)
    thing = Anything()
    if works(lambda: (setattr(obj, name, thing), getattr(obj, name) is thing)[1]):
        out.append("set")
    discard(obj)

    def inherits(value: Any) -> Any:
        sub = type(cls.__name__, (cls,), {name: value, "__module__": cls.__module__})
        obj = make(sub)
        try:
            return getattr(obj, name)
        finally:
            discard(obj)

    if works(lambda: inherits(thing) is thing):
        out.append("class")
    if works(lambda: inherits(lambda self, *_, **__: thing)() is thing):
        out.append("method")
    return out


def main(module: str) -> None:
    warnings.simplefilter("ignore")
    zmq: Any = importlib.import_module(module)

    def sub(name: str) -> Any:
        return importlib.import_module(f"{module}.{name}")

    results: dict[str, dict[str, list[str]]] = {}
    ctx = zmq.Context()
    sub("asyncio")
    actx = zmq.asyncio.Context()
    sock = ctx.socket(zmq.PAIR)
    kinds: list[tuple[str, type, Make]] = [
        ("Socket", zmq.Socket, lambda c: c(ctx, zmq.PAIR)),
        ("Socket of SUB", zmq.Socket, lambda c: c(ctx, zmq.SUB)),
        ("Context", zmq.Context, lambda c: c()),
        ("Poller", zmq.Poller, lambda c: c()),
        ("Frame", zmq.Frame, lambda c: c(b"x")),
        ("MessageTracker", zmq.MessageTracker, lambda c: c()),
        ("Stopwatch", sub("sugar.stopwatch").Stopwatch, lambda c: c()),
        ("ZMQError", zmq.ZMQError, lambda c: c(11)),
        ("Again", zmq.Again, lambda c: c()),
        ("asyncio.Socket", zmq.asyncio.Socket, lambda c: c(actx, zmq.PAIR)),
        ("asyncio.Context", zmq.asyncio.Context, lambda c: c()),
        ("asyncio.Poller", zmq.asyncio.Poller, lambda c: c()),
        ("devices.Device", sub("devices").Device, lambda c: c(zmq.QUEUE, zmq.PULL, zmq.PUSH)),
        ("devices.ThreadDevice", zmq.devices.ThreadDevice, lambda c: c(1, zmq.PULL, zmq.PUSH)),
        ("devices.ThreadProxy", zmq.devices.ThreadProxy, lambda c: c(zmq.PULL, zmq.PUSH)),
        (
            "devices.ThreadProxySteerable",
            zmq.devices.ThreadProxySteerable,
            lambda c: c(zmq.PULL, zmq.PUSH),
        ),
        (
            "devices.MonitoredQueue",
            zmq.devices.ThreadMonitoredQueue,
            lambda c: c(zmq.PULL, zmq.PUSH, zmq.PUB),
        ),
        ("auth.Authenticator", sub("auth").Authenticator, lambda c: c(ctx)),
        ("auth.thread", sub("auth.thread").ThreadAuthenticator, lambda c: c(ctx)),
        ("auth.asyncio", sub("auth.asyncio").AsyncioAuthenticator, lambda c: c(ctx)),
        ("log.PUBHandler", sub("log.handlers").PUBHandler, lambda c: c(sock)),
    ]
    try:
        stream = sub("eventloop.zmqstream").ZMQStream
    except ImportError:
        pass
    else:
        kinds.append(("ZMQStream", stream, lambda c: c(ctx.socket(zmq.PULL))))

    async def run() -> None:
        for label, cls, make in kinds:
            results[label] = {}
            for name in names(cls, make(cls)):
                results[label][name] = verdict(cls, make, name)

    asyncio.run(run())
    json.dump(results, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # whatever objects were spoiled need not be ended


if __name__ == "__main__":
    main(sys.argv[1])
