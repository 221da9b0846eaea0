# SPDX-License-Identifier: MIT
"""Libraries written for pyzmq, unchanged, from PyPI, on fastmq.

They live in an environment of their own under build/, made at the first run and kept; pyzmq is in
there too, because they require it.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import free_port
from target import fastmq_only

import fastmq

pytestmark = [
    fastmq_only("programs on fastmq"),
    pytest.mark.slow,
    pytest.mark.deadline(240),  # most of it for pip at the first run
]

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(__file__).resolve().parent / "programs"
PACKAGES = ["ipykernel", "jupyter_client", "nbclient", "nbformat", "callosum", "pyzmq"]


@pytest.fixture(scope="session")
def python():
    """The interpreter of the environment. Skips where PyPI gives none of it."""
    if sys.version_info < (3, 11):
        pytest.skip("callosum needs Python 3.11")
    key = hashlib.sha256(f"{sys.version} {PACKAGES}".encode()).hexdigest()[:12]
    home = ROOT / "build" / f"third-party-{key}"
    done = home / "installed"
    if not done.exists():
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--prefer-binary"]
        pip += ["--disable-pip-version-check", "--retries", "1", "--timeout", "10"]
        try:
            installed = subprocess.run(
                [*pip, *PACKAGES], capture_output=True, text=True, timeout=150, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip("PyPI is too slow")
        if installed.returncode:
            pytest.skip(f"cannot install from PyPI: {installed.stderr.strip().splitlines()[-1:]}")
        done.touch()
    # The fastmq that is under test, as it is built now.
    site = next(home.glob("lib/python*/site-packages"))
    (site / "fastmq-under-test.pth").write_text(f"{Path(fastmq.__file__).parent.parent}\n")
    return str(home / "bin" / "python")


def environment(tmp_path):
    """Nothing of the user's own Jupyter, and nothing written to the home directory."""
    gone = ("PYTHONPATH", "PYTHONWARNINGS")
    env = {name: value for name, value in os.environ.items() if name not in gone}
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        env[name] = str(tmp_path)
    env["JUPYTER_RUNTIME_DIR"] = str(tmp_path / "runtime")
    return env


def start(python, tmp_path, program, *arguments):
    return subprocess.Popen(
        [python, "-m", "fastmq.compat", str(PROGRAMS / program), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
        cwd=tmp_path,
    )


def result(process, timeout=80):
    """What the program printed; it must succeed."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"not done within {timeout} s: {out}\n{err}")
    assert process.returncode == 0, f"{out}\n{err}"
    return out


def test_jupyter_runs_notebooks_with_client_and_kernel_on_fastmq(python, tmp_path):
    told = json.loads(result(start(python, tmp_path, "notebook.py")).splitlines()[-1])
    assert told["here"] == ["zmq", "fastmq.asyncio"]
    kernel, sockets, *rest = told["cells"]
    assert kernel == "zmq fastmq.context\n"
    assert all(module.startswith("fastmq") for module in sockets.split())
    assert rest == ["499500", "x" * 200_000 + "\n", "'awaited'", "ZeroDivisionError"]
    assert told["blocking"] == "blocking\nKeyboardInterrupt"
    assert told["async"] == "ok"


def test_an_asyncio_rpc_library_runs_on_fastmq(python, tmp_path):
    address = f"tcp://127.0.0.1:{free_port()}"
    server = start(python, tmp_path, "rpc_peers.py", "serve", address)
    client = start(python, tmp_path, "rpc_peers.py", "call", address)
    try:
        for process in (client, server):
            assert result(process) == "zmq fastmq.asyncio fastmq.asyncio\n"
    finally:
        for process in (client, server):
            process.kill()
            process.communicate()
