# SPDX-License-Identifier: MIT
"""Python environments for programs written for pyzmq, with the fastmq under test beside them.

An environment is made when it is first asked for, kept under build/, and found again as long as
the interpreter and the requirements stay the same. pyzmq is installed in it, too: what requires it
is satisfied, and the same program can be run with either.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import fastmq
import fastmq.compat

BUILD = Path(__file__).resolve().parents[2] / "build"
PYZMQ = f"pyzmq=={fastmq.pyzmq_version()}"


class Unavailable(Exception):
    """The package index did not give what is needed, or not in time."""


def required() -> bool:
    """Whether a test may not be skipped because the package index is out of reach."""
    return os.environ.get("FASTMQ_TEST_INDEX") == "required"


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Keeps other processes out of a directory that is being made."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _pip(python: Path, *arguments: str, limit: float) -> None:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    network = ["--retries", "1", "--timeout", "15"]
    try:
        done = subprocess.run(
            [*command, *arguments, *network],
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"pip {arguments[0]} was not done within {limit:g} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise Unavailable(f"pip {arguments[0]}: {' '.join(said[-2:]) or done.stderr[-500:]}")


def _own_requirements() -> list[str]:
    """What fastmq itself needs."""
    found = importlib.metadata.requires("fastmq") or []
    return [one for one in found if "extra ==" not in one]


def environment(name: str, requirements: Sequence[str], limit: float = 240) -> Path:
    """The interpreter of an environment that holds the requirements, pyzmq, and what fastmq needs.

    The fastmq under test can be imported in it; `zmq` is pyzmq unless the process gets compat's
    variables (with_fastmq). limit: seconds that pip may take. Unavailable: the index gave nothing.
    """
    wanted = [*requirements, PYZMQ, *_own_requirements()]
    key = hashlib.sha256(repr((sys.version, wanted)).encode()).hexdigest()[:12]
    home = BUILD / "environments" / f"{name}-{key}"
    python = home / "bin" / "python"
    with _alone(home):
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", home], check=True)
            _pip(python, "install", "--prefer-binary", *wanted, limit=limit)
            (home / "complete").touch()
        site = next(home.glob("lib/python*/site-packages"))
        path = site / "fastmq-under-test.pth"
        line = f"{Path(fastmq.__file__).parent.parent}\n"
        if not path.exists() or path.read_text() != line:
            path.write_text(line)
    return python


def source(requirement: str, limit: float = 120) -> Path:
    """The unpacked source distribution of a package, `name==version`. Nothing of it is built.

    Unavailable: the index gave nothing.
    """
    home = BUILD / "sources" / requirement.replace("==", "-")
    with _alone(home):
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            name = requirement.partition("==")[0]
            arguments = ["--no-deps", "--no-binary", name, "--dest", str(home), requirement]
            _pip(Path(sys.executable), "download", *arguments, limit=limit)
            with tarfile.open(next(home.glob("*.tar.gz"))) as archive:
                archive.extractall(home, **({"filter": "data"} if _tar_filters() else {}))
            (home / "complete").touch()
    return next(place for place in home.iterdir() if place.is_dir())


def _tar_filters() -> bool:
    return hasattr(tarfile, "data_filter")


def plain() -> dict[str, str]:
    """This process's environment variables without those that lead Python elsewhere."""
    gone = ("PYTHONPATH", "PYTHONWARNINGS", "FASTMQ_TEST_MODULE")
    return {name: value for name, value in os.environ.items() if name not in gone}


def with_fastmq() -> dict[str, str]:
    """plain(), and `import zmq` means fastmq, in child processes as well."""
    return fastmq.compat.environ(plain())
