# SPDX-License-Identifier: MIT
"""Programs and libraries written for pyzmq, unchanged, from the package index, on fastmq.

They live in environments of their own under build/, made at the first run and kept (see
environments.py). Where the index is out of reach they are skipped, unless
FASTMQ_TEST_INDEX=required.

What fails with pyzmq's wheel, too:
* zprocess: test_zlog_server's test_no_access and test_cant_create_files, where root runs them; on
  a machine that has no time for them its tests that start eight interpreters within 5 s
* vidgear: NetGear with the pattern PUB closes a socket that another thread waits on, and libzmq
  often aborts the process. Here it ends as it should, and has a test
"""

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import environments
import pytest
from helpers import free_port
from target import fastmq_only

pytestmark = [
    fastmq_only("programs on fastmq"),
    pytest.mark.slow,
    pytest.mark.deadline(420),  # most of it for pip at the first run
]

PROGRAMS = Path(__file__).resolve().parent / "programs"
NEEDS = {
    "jupyter": [
        "ipykernel",
        "jupyter_client",
        "nbclient",
        "nbformat",
        "callosum",
        "pytest",
        "pytest-asyncio",
        "pytest-jupyter[client]",
        "pytest-timeout",
    ],
    "programs": ["circus", "majortomo", "pytest", "pytest-rerunfailures", "six", "zprocess"],
    "agents": ["dill", "eventlet", "osbrain", "pyleco", "trio", "zmq-anyio"],
    "bluesky": ["bluesky", "matplotlib", "multiprocess", "ophyd", "pytest", "pytest-mock"],
    "video": ["opencv-python-headless", "vidgear"],
}


def unavailable(error):
    if environments.required():
        pytest.fail(str(error))
    pytest.skip(f"the package index is out of reach: {error}")


@pytest.fixture
def python(request):
    """The interpreter of the environment that the test names by its marker `needs`."""
    name = request.param
    try:
        return str(environments.environment(name, NEEDS[name], limit=360))
    except environments.Unavailable as e:
        unavailable(e)


def needs(name):
    return pytest.mark.parametrize("python", [name], indirect=True)


def environment(python, tmp_path):
    """`zmq` is fastmq, nothing of the user's own Jupyter, nothing written to the home directory."""
    env = environments.with_fastmq()
    env["PATH"] = f"{Path(python).parent}{os.pathsep}{env['PATH']}"  # where its commands are
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        env[name] = str(tmp_path)
    env["JUPYTER_RUNTIME_DIR"] = str(tmp_path / "runtime")
    return env


def start(python, tmp_path, *command):
    return subprocess.Popen(
        [python, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(python, tmp_path),
        cwd=tmp_path,
        start_new_session=True,  # ended together with its children
    )


def program(python, tmp_path, name, *arguments):
    return start(python, tmp_path, str(PROGRAMS / name), *arguments)


def end_group(process):
    """Ends a program and what it started: children that live on would hold its pipes open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def result(process, timeout=80):
    """What the program printed; it must succeed."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        end_group(process)
        out, err = process.communicate()
        pytest.fail(f"not done within {timeout} s: {out}\n{err}")
    assert process.returncode == 0, f"{out}\n{err}"
    return out


def version_of(python, package):
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def own_tests(python, tmp_path, root, *arguments, timeout=150):
    """Runs tests of a package's own, without its settings; all must pass, and some be run."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    settings = ["-q", "-p", "no:cacheprovider", "-c", str(tmp_path / "pytest.ini")]
    command = ["-m", "pytest", *settings, f"--rootdir={root}", *arguments]
    told = result(start(python, tmp_path, *command), timeout)
    assert " passed" in told and " failed" not in told, told


@needs("jupyter")
def test_jupyter_runs_notebooks_with_client_and_kernel_on_fastmq(python, tmp_path):
    process = program(python, tmp_path, "notebook.py")
    told = json.loads(result(process).splitlines()[-1])
    assert told["here"] == ["zmq", "fastmq.asyncio"]
    kernel, sockets, *rest = told["cells"]
    assert kernel == "zmq fastmq.context\n"
    assert all(module.startswith("fastmq") for module in sockets.split())
    assert rest == ["499500", "x" * 200_000 + "\n", "'awaited'", "ZeroDivisionError"]
    assert told["blocking"] == "blocking\nKeyboardInterrupt"
    assert told["async"] == "ok"


@needs("jupyter")
@pytest.mark.parametrize("how", [["tcp"], ["ipc"], ["tcp", "curve"]], ids=" ".join)
def test_a_jupyter_kernel_ends_by_itself_when_it_is_asked_to(python, tmp_path, how):
    told = result(program(python, tmp_path, "kernel_ends.py", *how))
    assert told == "zmq zmq fastmq.context 0 True\n"


@needs("jupyter")
def test_jupyter_clients_own_tests_pass(python, tmp_path):
    version = version_of(python, "jupyter_client")
    try:
        root = environments.source(f"jupyter_client=={version}")
    except environments.Unavailable as e:
        unavailable(e)
    files = [str(root / "tests" / f"test_{name}.py") for name in ("session", "connect", "jsonutil")]
    own_tests(python, tmp_path, root, "-o", "asyncio_mode=auto", *files)


@needs("jupyter")
def test_an_asyncio_rpc_library_runs_on_fastmq(python, tmp_path):
    address = f"tcp://127.0.0.1:{free_port()}"
    server = program(python, tmp_path, "rpc_peers.py", "serve", address)
    client = program(python, tmp_path, "rpc_peers.py", "call", address)
    try:
        for process in (client, server):
            assert result(process) == "zmq fastmq.asyncio fastmq.asyncio\n"
    finally:
        for process in (client, server):
            end_group(process)
            process.communicate()


@needs("programs")
def test_circus_starts_and_stops_a_watchers_processes(python, tmp_path):
    assert result(program(python, tmp_path, "circus_watch.py")) == "zmq 2 ok ok\n"


@needs("programs")
def test_majortomos_broker_worker_and_clients_talk(python, tmp_path):
    address = f"tcp://127.0.0.1:{free_port()}"
    assert result(program(python, tmp_path, "majordomo.py", address)) == "zmq 50 False False\n"


@needs("programs")
def test_zprocess_talks_with_its_child(python, tmp_path):
    assert result(program(python, tmp_path, "zprocess_child.py")) == "zmq zmq 0\n"


@needs("programs")
def test_zprocess_own_tests_pass(python, tmp_path):
    """But for those of heartbeats, which take two minutes, and those of permissions.

    What fails is run again: a child that is not there within 5 s counts as one that does not start.
    """
    version = version_of(python, "zprocess")
    try:
        root = environments.source(f"zprocess=={version}")
    except environments.Unavailable as e:
        unavailable(e)
    files = [str(root / "tests" / f"test_{name}.py") for name in ("zprocess", "zlock_server")]
    chosen = ["-o", "python_classes=*Tests *Test", "-k", "not Heartbeat", "--reruns", "3"]
    own_tests(python, tmp_path, root, *chosen, *files)


@needs("bluesky")
def test_blueskys_own_tests_of_zmq_pass(python, tmp_path):
    own_tests(
        python,
        tmp_path,
        tmp_path,
        *("--pyargs", "bluesky.tests.test_zmq", "bluesky.tests.test_zmq_proxy_cli"),
    )


@needs("video")
@pytest.mark.parametrize("pattern", [0, 1, 2], ids=["PAIR", "REQ", "PUB"])
def test_two_netgears_of_vidgear_hand_frames_over(python, tmp_path, pattern):
    told = result(program(python, tmp_path, "netgear.py", str(free_port()), str(pattern)))
    assert told.splitlines()[-1] == "zmq 20"


@needs("agents")
def test_a_pyleco_director_asks_an_actor_through_the_coordinator(python, tmp_path):
    assert result(program(python, tmp_path, "pyleco_actor.py", str(free_port()))) == (
        "zmq 200 False False\n"
    )


@needs("agents")
def test_agents_of_osbrain_push_publish_and_ask(python, tmp_path):
    told = result(program(python, tmp_path, "osbrain_agents.py"))
    assert "zmq fastmq 20" in told.splitlines()


@needs("agents")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_sockets_and_poller_of_zmq_anyio_work(python, tmp_path, backend):
    assert result(program(python, tmp_path, "anyio_sockets.py", backend)) == "zmq 50\n"


@needs("agents")
def test_green_sockets_of_eventlet_wait_at_the_high_water_mark(python, tmp_path):
    assert result(program(python, tmp_path, "eventlet_green.py")) == "zmq 100 400\n"
