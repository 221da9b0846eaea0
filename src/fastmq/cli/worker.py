# SPDX-License-Identifier: MIT
"""One role of a scenario in a process of its own; `measure` starts it and relays between roles.

Run by path and not with -m, so that a process that measures another module never imports fastmq:
for the same reason it imports the standard library alone.

    python worker.py SCENARIO.py ROLE MODULE PARAMETERS-AS-JSON

MODULE is a name, or the path of a .py file.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TextIO

WHERE = signal.SIGUSR1  # asks a role where it stands
SCENARIOS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenarios")


class Task:
    """What a role is given: its parameters as attributes, and a line to the other role."""

    def __init__(
        self, path: str, params: dict[str, Any], incoming: TextIO, outgoing: TextIO
    ) -> None:
        self.path = path
        self.params = params
        self._incoming = incoming
        self._outgoing = outgoing

    def __getattr__(self, name: str) -> Any:
        try:
            return self.params[name]
        except KeyError:
            raise AttributeError(f"the case has no parameter {name!r}") from None

    def get(self, name: str, default: Any = None) -> Any:
        """A parameter that not every case has."""
        return self.params.get(name, default)

    def tell(self, value: Any) -> None:
        """Send a JSON value to the other role."""
        self._put({"tell": value})

    def hear(self) -> Any:
        """Wait for the next value that the other role tells; EOFError when the runner is gone."""
        line = self._incoming.readline()
        if not line:
            raise EOFError("the runner is gone")
        return json.loads(line)

    def finish(self, values: dict[str, float] | None) -> None:
        """Give the role's result to the runner."""
        self._put({"result": values})

    def _put(self, value: Any) -> None:
        self._outgoing.write(json.dumps(value) + "\n")
        self._outgoing.flush()

    def bind(self, *sockets: Any) -> None:
        """Bind each socket to a fresh address of the case's transport and tell the addresses."""
        addresses = []
        for socket in sockets:
            socket.bind({"tcp": "tcp://127.0.0.1:*", "ipc": "ipc://*"}[self.transport])
            addresses.append(socket.last_endpoint.rstrip(b"\0").decode())
        self.tell(addresses)

    def connect(self, *sockets: Any) -> None:
        """Connect each socket to the address that the other role's bind told for it."""
        for socket, address in zip(sockets, self.hear(), strict=True):
            socket.connect(address)

    @staticmethod
    def allow_files(n: int) -> None:
        """Let the process hold n descriptors, where its soft limit is lower."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and n > hard:
            raise RuntimeError(f"{n} open files are needed; the limit here is {hard} (ulimit -Hn)")
        if soft != resource.RLIM_INFINITY and n > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))

    def time_calls(self, call: Callable[[], Any]) -> dict[str, float]:
        """Call again and again for `seconds`, at least once, after a warm-up of a fifth; p50 and
        p99 in us."""
        clock = time.perf_counter_ns
        end = clock() + int(self.seconds * 0.2e9)
        while clock() < end:
            call()
        samples = []
        now = clock()
        end = now + int(self.seconds * 1e9)
        while True:
            call()
            after = clock()
            samples.append(after - now)
            now = after
            if now >= end:
                return self.percentiles(samples)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the kind of event loop that the case names: asyncio or uvloop."""
        if self.get("loop") == "uvloop":
            module: Any = importlib.import_module("uvloop")
        else:
            module = importlib.import_module("asyncio")
        return module.run(coroutine)

    @staticmethod
    def percentiles(samples_ns: list[int]) -> dict[str, float]:
        """The median and the 99th percentile of times in ns, in us."""
        ordered = sorted(samples_ns)
        last = len(ordered) - 1
        return {"p50": ordered[last // 2] / 1000, "p99": ordered[last * 99 // 100] / 1000}

    def sibling(self, name: str) -> Any:
        """The module of another scenario to build on: one of those that come with the package, or
        one that lies beside the case's own."""
        for folder in (SCENARIOS, os.path.dirname(self.path)):
            path = os.path.join(folder, name + ".py")
            if os.path.exists(path):
                return load_scenario(path)
        raise FileNotFoundError(f"there is no scenario {name!r}")


def load_scenario(path: str) -> Any:
    """The module in the file `path`, whatever sys.path says."""
    name = "scenario_" + os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_module(name: str) -> Any:
    """A module by its name, or one that behaves like it by the path of its file.

    Such a file may import others of its folder.
    """
    if not name.endswith(".py"):
        return importlib.import_module(name)
    folder = os.path.dirname(os.path.abspath(name))
    if folder not in sys.path:
        sys.path.append(folder)
    return load_scenario(name)


def main() -> None:
    path, role, module, params_as_json = sys.argv[1:]
    params = json.loads(params_as_json)
    # A role that waits for a message that never comes ends by itself, even without its runner.
    signal.alarm(int(params["timeout"]) + 5)
    faulthandler.register(WHERE, file=sys.stderr)
    # What the module under test prints must not look like our protocol.
    outgoing = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    task = Task(path, params, sys.stdin, outgoing)
    # Run by path, this file's folder leads sys.path, where nobody should find modules.
    del sys.path[0]
    scenario = load_scenario(path)
    task.finish(getattr(scenario, role)(load_module(module), task))


if __name__ == "__main__":
    main()
