# SPDX-License-Identifier: MIT
"""Peers that are processes of their own, so that they can be killed, frozen and starved."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import target
from helpers import WAIT_MS
from target import MODULE

SUPPORT = Path(target.__file__).parent

# The process dies with the one that made it, whatever becomes of that.
PRELUDE = f"""
import ctypes, itertools, json, os, sys, threading, time
sys.path.insert(0, {str(SUPPORT)!r})
if sys.platform.startswith("linux"):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(1, 9, 0, 0, 0)
    if os.environ.get("FASTMQ_TEST_NETWORK"):
        fd = os.open(os.environ["FASTMQ_TEST_NETWORK"], os.O_RDONLY)
        assert libc.setns(fd, 0x40000000) == 0, os.strerror(ctypes.get_errno())
        os.close(fd)

def say(what):
    os.write(1, json.dumps(what).encode() + b"\\n")

def hear():
    line = sys.stdin.readline()
    return json.loads(line) if line else os._exit(0)

from target import zmq

def last_endpoint(sock):
    return sock.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\\0").decode()

say("started")
"""

START_MS = 25_000
"""How long a process may take to start: a busy machine has other things to do."""


class Child:
    """Runs `code`, which may use zmq, say() and hear(); what it says can be waited for here.

    `network`: the path of a network namespace to live in. `prelude`: what comes before the code.
    `python`: another interpreter.
    """

    def __init__(
        self,
        code: str,
        *args: Any,
        module: str = MODULE,
        network: str = "",
        prelude: str = PRELUDE,
        python: str = sys.executable,
        **env: str,
    ) -> None:
        self.process = subprocess.Popen(
            [python, "-c", prelude + code, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={
                **os.environ,
                "FASTMQ_TEST_MODULE": module,
                "FASTMQ_TEST_NETWORK": network,
                **env,
            },
        )
        self.said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        if prelude:
            assert self.says("sign of life", START_MS) == "started"

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.put(json.loads(line))

    @property
    def pid(self) -> int:
        return self.process.pid

    def hears(self, what: Any) -> None:
        """Says `what` to the child."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(what).encode() + b"\n")

    def says(self, what: str = "word", timeout_ms: int = WAIT_MS) -> Any:
        """The next thing that the child says."""
        try:
            return self.said.get(timeout=timeout_ms / 1000)
        except queue.Empty:
            status = self.process.poll()
            state = "it lives" if status is None else f"it ended with {status}"
            pytest.fail(f"no {what} from the child within {timeout_ms} ms; {state}")

    def rest(self) -> list[Any]:
        """All it said that was not taken yet; it must have ended."""
        self.process.wait(WAIT_MS / 1000)
        self._listener.join()
        found = []
        while not self.said.empty():
            found.append(self.said.get())
        return found

    def ends(self, timeout_ms: int = WAIT_MS) -> int:
        """Waits for it to end by itself; its exit status."""
        try:
            return self.process.wait(timeout_ms / 1000)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the child did not end within {timeout_ms} ms")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Freezes it, and returns when it is."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """Processor time of all its threads so far."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self.kill()  # a frozen one, too
        self._listener.join()
        for end in (self.process.stdin, self.process.stdout):
            if end:
                with contextlib.suppress(OSError):
                    end.close()
