# SPDX-License-Identifier: MIT
"""The command `fastmq` in processes of its own, each with a deadline."""

import os
import select
import subprocess
import sys
import time

import pytest

LIMIT_S = 30
"""How long a command may take, however busy the machine is."""


def environment(**changes):
    """The variables of the process, without those that would change what is printed."""
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**env, **changes}


def command(*arguments):
    return [sys.executable, "-m", "fastmq", *map(str, arguments)]


class Command:
    """A command that runs; used in a with statement, which ends it."""

    def __init__(self, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=None):
        self.arguments = arguments
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            env=environment(**(env or {})),
        )

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.process.kill()
        self.process.communicate()

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def line(self, stream="stdout", what="a line"):
        """The next line that it prints; it has to come in time, without the end of the process.
        Notes that a peer is waited for are left out: they are there or not as the peer is late."""
        while True:
            text = self.every_line(stream, what)
            if ": waiting for a peer at " not in text and ": no connection to " not in text:
                return text

    def every_line(self, stream, what="a line"):
        """The next line, whatever it is."""
        file = getattr(self.process, stream)
        end = time.monotonic() + LIMIT_S
        text = b""
        while not text.endswith(b"\n"):
            if not select.select([file], [], [], max(0, end - time.monotonic()))[0]:
                pytest.fail(f"no {what} from {self.arguments} in time, only {text!r}")
            byte = os.read(file.fileno(), 1)
            if not byte:
                pytest.fail(f"{self.arguments} ended before {what}: {text!r}, {self.errors()}")
            text += byte
        return text[:-1].decode()

    def endpoint(self):
        """Where it says that it is bound."""
        return self.line("stderr", "the endpoint").rpartition("bound to ")[2]

    def errors(self):
        return self.process.stderr.read().decode()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self, data=None, status=0):
        """What it printed, after it got `data` as the rest of its input and ended with a status."""
        try:
            out, err = self.process.communicate(data, timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.arguments} did not end in time")
        assert self.process.returncode == status, (self.arguments, err, out)
        return out or b"", (err or b"").decode()


def run(*arguments, data=b"", status=0, env=None):
    """What a command prints on stdout and on stderr; it has to end in time with that status."""
    with Command(*arguments, env=env) as started:
        return started.end(data, status)
