# SPDX-License-Identifier: MIT
"""epgm between two network namespaces that a veth pair joins, beside a libzmq that has OpenPGM.

    python bench/multicast.py --peer PYTHON     the interpreter of a pyzmq with pgm, as Debian's

Needs Linux, root and iproute2. Measures, the modules in turn, round after round:

rate      messages of 1 KiB a second, from the first receive to the last, with a RATE that does
          not limit
repair    with every 20th packet lost (group.py of the tests carries them): from when a message was
          due to when it was there, of those that waited for a repair; median and 99th percentile
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GROUP = "239.9.9.9:5560"

PUBLISHER = """
import importlib, sys, time
name, endpoint, count, size, rate, pace = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:7])
zmq = importlib.import_module(name)
context = zmq.Context()
pub = context.socket(zmq.PUB)
for option, value in ((zmq.RATE, int(rate)), (zmq.RECOVERY_IVL, 1000), (zmq.SNDHWM, 0)):
    pub.setsockopt(option, value)
pub.connect(endpoint)
for _ in range(50):
    pub.send(b"hello")
    time.sleep(0.02)
body = b"x" * (int(size) - 8)
began = time.monotonic()
for n in range(int(count)):
    if pace:
        while time.monotonic() < began + n * pace:
            time.sleep(0.0005)
    pub.send(b"%08d" % int((time.monotonic() - began) * 1e6) + body)
for _ in range(150):
    pub.send(b"end")
    time.sleep(0.1)
"""

SUBSCRIBER = """
import importlib, json, sys, time
name, endpoint, rate = sys.argv[1], sys.argv[2], int(sys.argv[3])
zmq = importlib.import_module(name)
context = zmq.Context()
sub = context.socket(zmq.SUB)
for option, value in ((zmq.RATE, rate), (zmq.RECOVERY_IVL, 1000), (zmq.RCVHWM, 0),
                      (zmq.SUBSCRIBE, b""), (zmq.RCVBUF, 4 << 20), (zmq.RCVTIMEO, 10000)):
    sub.setsockopt(option, value)
sub.connect(endpoint)
print("ready", flush=True)
stamps = []
while (message := sub.recv()) != b"end":
    if len(message) > 8:
        stamps.append((time.monotonic(), int(message[:8]) / 1e6))
late = [arrived - due for arrived, due in stamps]
least = min(late)
late = [x - least for x in late]
print(json.dumps({"n": len(stamps), "seconds": stamps[-1][0] - stamps[0][0], "late": late}))
"""


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


class Veth:
    def __enter__(self) -> Veth:
        tag = os.getpid()
        self.hosts = [f"fmq{tag}a", f"fmq{tag}b"]
        for host in self.hosts:
            sh(f"ip netns add {host}")
        a, b = self.hosts
        sh(f"ip link add v0 netns {a} type veth peer name v1 netns {b}")
        for n, host in enumerate(self.hosts):
            sh(f"ip -n {host} addr add 10.88.0.{n + 1}/24 dev v{n}")
            sh(f"ip -n {host} link set lo up && ip -n {host} link set v{n} up")
            sh(f"ip -n {host} route add 224.0.0.0/4 dev v{n}")
        time.sleep(0.5)
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            sh(f"ip netns del {host}")

    def command(self, n: int) -> list[str]:
        return ["ip", "netns", "exec", self.hosts[n]]


class Lossy:
    def __enter__(self) -> Lossy:
        hub = [sys.executable, str(ROOT / "tests/faults/group.py"), "2"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(hub, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        assert self.process.stdin and self.process.stdout
        said = json.loads(self.process.stdout.readline())
        if "sorry" in said:
            sys.exit(f"no network namespaces: {said['sorry']}")
        self.paths = list(said.values())
        self.process.stdin.write('{"loss": 0.05}\n')
        self.process.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def command(self, n: int) -> list[str]:
        return ["nsenter", f"--net={self.paths[n]}"]


def once(
    net: Veth | Lossy, module: str, python: str, count: int, rate: int, pace: float
) -> dict[str, Any]:
    sub = subprocess.Popen(
        [*net.command(1), python, "-c", SUBSCRIBER, module, f"epgm://10.88.0.2;{GROUP}", str(rate)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert sub.stdout
    sub.stdout.readline()
    pub = subprocess.Popen(
        [
            *net.command(0),
            *(python, "-c", PUBLISHER, module, f"epgm://10.88.0.1;{GROUP}"),
            *map(str, (count, 1024, rate, pace)),
        ]
    )
    out = sub.communicate(timeout=120)[0]
    pub.kill()
    pub.wait()
    told: dict[str, Any] = json.loads(out) if out else {"n": 0, "seconds": 1, "late": []}
    return told


def show(name: str, unit: str, results: dict[str, list[float]]) -> None:
    for module, values in results.items():
        low, high = min(values), max(values)
        middle = statistics.median(values)
        print(f"{name:16} {module:8} {middle:12,.1f} {unit} ({low:,.1f} .. {high:,.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer", required=True, help="interpreter of a pyzmq with pgm")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--messages", type=int, default=60_000)
    options = parser.parse_args()
    modules = {"fastmq": sys.executable, "zmq": options.peer}
    load = os.getloadavg()[0]
    print(f"load before: {load:.1f} on {os.cpu_count()} processors, {options.rounds} rounds")

    rates: dict[str, list[float]] = {m: [] for m in modules}
    with Veth() as veth:
        for _ in range(options.rounds):
            for module, python in modules.items():
                got = once(veth, module, python, options.messages, 10_000_000, 0)
                if got["n"] != options.messages:
                    print(f"{module}: {options.messages - got['n']} messages missed")
                rates[module].append(got["n"] / got["seconds"])
    show("rate", "msg/s", rates)

    middles: dict[str, list[float]] = {m: [] for m in modules}
    tails: dict[str, list[float]] = {m: [] for m in modules}
    with Lossy() as lossy:
        for _ in range(options.rounds):
            for module, python in modules.items():
                late = once(lossy, module, python, 2000, 100_000, 0.002)["late"]
                waited = sorted(x * 1000 for x in late if x > 0.004)
                middles[module].append(statistics.median(waited))
                tails[module].append(waited[len(waited) * 99 // 100])
    show("repair, median", "ms", middles)
    show("repair, p99", "ms", tails)


if __name__ == "__main__":
    main()
