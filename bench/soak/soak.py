#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A busy server and its restless peers: does anything break, get lost, or grow?

    python bench/soak/soak.py --minutes 20 --out build/soak

One process, the subject (subject.py), serves all patterns over tcp, ipc and inproc, from threads
and from an event loop. Here its peers (traffic.py) are started, told to go, killed in the middle
of a message, frozen and woken again, by a seeded die. Both sides check every message. The memory,
descriptors, threads and processor time of the subject are sampled, and must not grow once it is
warm (verdict.py). Linux only.

Writes soak.json and, where matplotlib is installed, soak.svg.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import traffic
import verdict

HERE = Path(__file__).resolve().parent
PEERS = 6
"""Processes that talk to the subject at a time."""
SERVERS = {
    "push": ("sink",),
    "pull": ("source",),
    "req": ("rep",),
    "dealer": ("router", "shared"),
    "client": ("server",),
    "sub": ("pub", "relay"),
}
ENDS = ("told",) * 5 + ("killed",) * 4
END_S = 60.0


class Subject:
    """The process under observation, and what it says of itself."""

    def __init__(self, folder: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "subject.py"), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # With an arena for every few threads it takes malloc long to have seen them all.
            env={**os.environ, "MALLOC_ARENA_MAX": "2"},
        )
        assert self.process.stdout
        self.addresses: dict[str, dict[str, str]] = json.loads(self.process.stdout.readline())
        self.said: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.listener = threading.Thread(target=self._listen)
        self.listener.start()
        self._cpu = (time.monotonic(), self._cpu_seconds())

    def _listen(self) -> None:
        assert self.process.stdout
        for one in self.process.stdout:
            self.said = json.loads(one)

    def _cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def sample(self, began: float) -> verdict.Sample:
        folder = Path(f"/proc/{self.process.pid}")
        status = dict(
            one.split(":", 1) for one in (folder / "status").read_text().splitlines() if ":" in one
        )
        now, cpu = time.monotonic(), self._cpu_seconds()
        share = (cpu - self._cpu[1]) / max(now - self._cpu[0], 0.001)
        self._cpu = (now, cpu)
        return {
            "t": round(now - began, 1),
            "rss": round(self.said["rss"], 2),
            "fds": len(os.listdir(folder / "fd")),
            "threads": int(status["Threads"]),
            "cpu": round(100 * share, 1),
            "objects": self.said["objects"],
            "blocks": self.said["blocks"],
        }

    def end(self) -> list[str]:
        """Lets it finish; what went wrong."""
        assert self.process.stdin
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            status = self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
            self.said["failures"].append(f"the subject did not end within {END_S:g} s")
        self.listener.join()
        failures = list(self.said["failures"])
        if status and not failures:
            failures.append(f"the subject ended with status {status}")
        return failures


class Peer:
    """A process of traffic.py with a fate: when it ends, and how."""

    def __init__(self, subject: Subject, dice: random.Random, serial: int) -> None:
        self.kind = dice.choice(sorted(SERVERS))
        address = subject.addresses[dice.choice(SERVERS[self.kind])][dice.choice(("tcp", "ipc"))]
        self.fate = dice.choice(ENDS)
        now = time.monotonic()
        self.until = now + dice.uniform(1, 12)
        self.freeze = now + dice.uniform(1, 12) if dice.random() < 0.2 else None
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "traffic.py"), self.kind, address, f"p{serial}"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def attend(self) -> str | None:
        """What happened to it when it is over, else None."""
        now = time.monotonic()
        if self.freeze and now > self.freeze and now < self.until:
            self.process.send_signal(signal.SIGSTOP)
            time.sleep(0.7)
            self.process.send_signal(signal.SIGCONT)
            self.freeze = None
            return None
        if self.process.poll() is None and now < self.until:
            return None
        if self.fate == "killed":
            self.process.kill()
        else:
            self.tell()
        return self.over()

    def tell(self) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def over(self) -> str:
        assert self.process.stderr
        try:
            status = self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return f"FAILED: {self.kind} did not end within {END_S:g} s of being told"
        said = self.process.stderr.read().decode(errors="replace").strip()
        self.process.stderr.close()
        self.tell()
        if status == -signal.SIGKILL and self.fate == "killed":
            return "killed"
        return f"FAILED: {self.kind} ended with {status}: {said}" if status or said else "told"


def soak(seconds: float, seed: int, every: float, quiet: bool) -> dict[str, Any]:
    dice = random.Random(seed)
    samples: list[verdict.Sample] = []
    fates: Counter[str] = Counter()
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="soak") as folder:
        subject = Subject(folder)
        began = time.monotonic()
        due = told = began
        peers: list[Peer] = []
        serial = 0
        while time.monotonic() < began + seconds and not failures:
            if subject.process.poll() is not None:
                break
            while len(peers) < PEERS:
                serial += 1
                peers.append(Peer(subject, dice, serial))
            for peer in list(peers):
                if fate := peer.attend():
                    peers.remove(peer)
                    if fate.startswith("FAILED"):
                        failures.append(fate.removeprefix("FAILED: "))
                    else:
                        fates[f"peers {fate}"] += 1
            now = time.monotonic()
            if now >= due:
                due = now + every
                samples.append(subject.sample(began))
                failures += subject.said["failures"]
            if not quiet and now >= told + 60:
                told = now
                print(json.dumps(samples[-1]), flush=True)
            time.sleep(0.1)
        for peer in peers:
            peer.fate = "told"
            peer.tell()
        for peer in peers:
            fate = peer.over()
            if fate.startswith("FAILED"):
                failures.append(fate.removeprefix("FAILED: "))
        failures += [f for f in subject.end() if f not in failures]
    growth = verdict.growth(samples)
    return {
        "seconds": round(time.monotonic() - began),
        "seed": seed,
        "python": sys.version.split()[0],
        "counts": {**subject.said["counts"], **fates},
        "failures": failures,
        "growth": growth,
        "passed": not failures and all(row["flat"] for row in growth.values()),
        "samples": samples,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20, help="how long (20)")
    parser.add_argument("--seed", type=int, default=1, help="of the die that rules the peers (1)")
    parser.add_argument("--every", type=float, default=2, help="seconds between samples (2)")
    parser.add_argument("--out", type=Path, help="a folder for soak.json and soak.svg")
    parser.add_argument("--quiet", action="store_true", help="only the verdict")
    options = parser.parse_args()
    if not sys.platform.startswith("linux"):
        parser.error("samples come from /proc: this runs on Linux only")
    if options.minutes <= 0 or options.every <= 0:
        parser.error("--minutes and --every must be above 0")
    result = soak(options.minutes * 60, options.seed, options.every, options.quiet)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "soak.json").write_text(json.dumps(result) + "\n", encoding="utf-8")
        try:
            verdict.draw(result, options.out / "soak.svg")
        except ModuleNotFoundError as e:
            print(f"no soak.svg: {e}", file=sys.stderr)
    print(verdict.text(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    assert traffic.PEERS.keys() == SERVERS.keys()
    sys.exit(main())
