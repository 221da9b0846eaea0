# SPDX-License-Identifier: MIT
"""The programs in examples/ do what they say."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from helpers import eventually
from target import IS_FASTMQ, zmq

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

pytestmark = pytest.mark.skipif(not IS_FASTMQ, reason="fastmq's own examples")


SHOWN = {
    "request_reply": (
        r"add 2 3 = 5\nlongest: concern\n"
        r"refused: no function 'divide'; there are add, longest\nrefused: TypeError: .*"
    ),
    "worker_farm": r"150 tasks done: fast \d+, middling \d+, slow \d+",
    "last_value_cache": r"early: gas 3\nlate: gold 2380\nlate: gas 3",
    "late_joiners": r"3 clients joined during 3000 changes; all hold the same 101 keys",
    "lazy_pirate": (
        r"40 answers from ([2-9]|1\d) lives of the service, asked again \d+ times\n"
        r"no answer to b'anybody there\?' after 2 attempts"
    ),
    "kept_values": (r"late: gold 2380\nlate: gas 3\nnews: gas 4\n3 topics kept, 2 messages given"),
    "resent_requests": (
        r"60 answers from ([3-9]|1\d) lives of two services, [1-9]\d* requests sent again"
    ),
    "majordomo": (
        r"echo: \[b'hello', b'world'\]\nsum: 1000 answers from 2 workers\n"
        r"no such service: no answer in time"
    ),
    "asyncio_gateway --demo": r"b'HELLO' b'b a'\n200 requests at once, each with its own answer",
    "numpy_arrays": (
        r"a view of the message: float32 \(1024, 1024\)\n"
        r"into an array that is there: 50 rounds of 4 MiB, .* GB/s both ways"
    ),
    "market_data": r"100,000 ticks at .* M/s\ndashboard: .*\nrecorder: .*'gaps': 0}\ntrader: .*",
    "model_server": r"2000 answers in \d+ batches, .* a second from 4 clients, .*",
}
NEEDS = {"numpy_arrays": "numpy", "model_server": "numpy"}
"""What each program prints when all went well; what it needs beside fastmq."""


def run(command, timeout=60):
    name, *arguments = command.split()
    return subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", SHOWN)
def test_the_program_does_what_it_says(command):
    if command in NEEDS:
        pytest.importorskip(NEEDS[command])
    done = run(command)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert re.fullmatch(SHOWN[command] + "\n", done.stdout), done.stdout


def test_every_program_is_tried():
    programs = {path.stem for path in EXAMPLES.glob("*.py")}
    assert programs == {command.split()[0] for command in SHOWN} | {
        "prometheus_exporter",
        "inspect_prometheus",
        "inspect_opentelemetry",
    }


def test_the_request_reply_client_tells_what_was_refused():
    service = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "request_reply.py"), "serve", "tcp://127.0.0.1:*"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = service.stdout.readline().split()[-1]
        assert run(f"request_reply call {address} add 2 3").stdout == "5\n"
        refused = run(f"request_reply call {address} add 2 x")
        assert refused.returncode == 1 and "add: TypeError" in refused.stderr
        service.send_signal(signal.SIGINT)
        assert service.wait(10) == 0
        assert service.stdout.read() == "the service ends\n"
    finally:
        service.kill()
        service.communicate()


SURPRISES = [
    [b""],
    [b"\xff\xfe"],
    [b"several", b"parts"],
    [b"", b""],
    [b'["longest", "\\ud800"]'],
    [b'[["add"]]'],
    [b"[" * 100_000],
    [b"\x01", b"", b"", b"\x02", b"MDPW01", b"MDPC01"],
]


@pytest.mark.parametrize(
    ("program", "call"),
    [
        ("request_reply serve", "request_reply call {} add 2 3"),
        ("majordomo broker", None),
    ],
)
def test_a_service_survives_what_a_peer_may_send(program, call, tmp_path, make):
    """It answers, or stays silent, and serves who comes after."""
    address = f"ipc://{tmp_path}/service"
    name, *arguments = program.split()
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments, address]
    service = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        dealer = make(zmq.DEALER)
        dealer.connect(address)
        for parts in SURPRISES:
            dealer.send_multipart([b"", *parts])
            dealer.send_multipart(parts)
        if call:
            assert run(call.format(address)).stdout == "5\n"
            for _ in SURPRISES:  # each as the request of a REQ: the others have no envelope
                assert dealer.poll(10_000)
                dealer.recv_multipart()
        else:
            with subprocess.Popen([*command[:2], "worker", address, "echo"]) as worker:
                try:
                    assert run(f"majordomo client {address} echo hello").stdout == "hello\n"
                finally:
                    worker.send_signal(signal.SIGINT)
        assert service.poll() is None
    finally:
        service.kill()
        service.communicate()


def test_majordomo_speaks_between_processes(tmp_path):
    address = f"ipc://{tmp_path}/mdp"
    command = [sys.executable, str(EXAMPLES / "majordomo.py")]
    programs = [
        subprocess.Popen([*command, "broker", address]),
        subprocess.Popen([*command, "worker", address, "echo"]),
    ]
    try:
        assert run(f"majordomo client {address} echo hello world").stdout == "hello world\n"
    finally:
        for program in reversed(programs):
            program.send_signal(signal.SIGINT)
        ends = [program.wait(10) for program in programs]
    assert ends == [0, 0]


def metrics(url):
    """The samples of a page: {'name{label="value"}': number}."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        page = answer.read().decode()
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    return {name: float(number) for name, number in (line.rsplit(" ", 1) for line in lines)}


@pytest.mark.skipif(
    importlib.util.find_spec("prometheus_client") is None, reason="needs prometheus_client"
)
def test_the_prometheus_exporter_shows_what_its_sockets_did():
    program = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "prometheus_exporter.py"), "--port=0", "--rate=200"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = program.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/metrics", url), program.stderr.read()

        def received(seen):
            names = ("even", "odd")
            key = 'fastmq_messages_total{{direction="received",socket="{}"}}'
            return sum(seen[key.format(name)] for name in names)

        eventually("twenty messages", lambda: received(metrics(url)) >= 20)
        seen = metrics(url)
        # The subscribers were asked after the publisher: at most one message came between.
        sent = seen['fastmq_messages_total{direction="sent",socket="publisher"}']
        assert sent >= 20 and abs(received(seen) - sent) <= 2
        assert seen['fastmq_bytes_total{direction="sent",socket="publisher"}'] > 20 * len("odd 1")
        assert seen['fastmq_peers{socket="publisher"}'] == 2
        assert seen['fastmq_subscriptions{socket="publisher"}'] == 2
        assert seen['fastmq_subscriptions{socket="odd"}'] == 1
        assert seen['fastmq_dropped_messages_total{socket="publisher"}'] == 0
        assert seen["fastmq_sockets"] == 3
        assert seen["fastmq_descriptors"] > 3
        queues = [name for name in seen if name.startswith("fastmq_queued_messages")]
        assert len(queues) == 2 * (2 + 1 + 1)
        eventually("a later look counts more", lambda: received(metrics(url)) > received(seen))
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 0, program.stderr.read()
    finally:
        program.kill()
        program.communicate()


# ---- programs that are looked into from outside ----

WATCHED = """
import fastmq, sys, time
context = fastmq.Context()
push, pull = context.socket(fastmq.PUSH), context.socket(fastmq.PULL)
pull.bind("tcp://127.0.0.1:*")
push.connect(pull.last_endpoint)
for _ in range(50):
    push.send(bytes(100))
    pull.recv()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def watched(monkeypatch):
    """The process number of a program that can be looked into."""
    folder = f"/tmp/fmqe{os.getpid()}"
    os.mkdir(folder, 0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    program = subprocess.Popen(
        [sys.executable, "-c", WATCHED],
        env={**os.environ, "FASTMQ_INSPECT": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout.readline() == "ready\n"
        yield program.pid
    finally:
        program.communicate("", timeout=20)
        shutil.rmtree(folder)


@pytest.mark.skipif(
    importlib.util.find_spec("prometheus_client") is None, reason="needs prometheus_client"
)
def test_prometheus_sees_a_program_from_outside_and_the_board_shows_what_it_exports(watched):
    program = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "inspect_prometheus.py"), "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = program.stdout.readline().strip()
        seen = metrics(url)
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 0, program.stderr.read()
    finally:
        program.kill()
        program.communicate()
    exported = {name.partition("{")[0] for name in seen}
    sent = [
        value
        for name, value in seen.items()
        if name.startswith("fastmq_messages_total{")
        and all(
            f'{label}"' in name for label in ('direction="sent', 'type="PUSH', f'pid="{watched}')
        )
    ]
    assert sent == [50]

    board = json.loads((EXAMPLES.parent / "docs/static/grafana.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    shown = {name for expr in asked for name in re.findall(r"fastmq_\w+", expr)}
    assert shown - exported <= {"fastmq_round_trip_seconds"}  # only with heartbeats
    variables = {v["name"] for v in board["templating"]["list"]}
    used = {name for expr in asked for name in re.findall(r"\$([a-z]+)", expr)}
    assert used == variables - {"datasource"}


@pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.sdk") is None
    if importlib.util.find_spec("opentelemetry")
    else True,
    reason="needs opentelemetry-sdk",
)
def test_opentelemetry_sees_a_program_from_outside(watched):
    done = run(f"inspect_opentelemetry {watched} --count=1")
    assert done.returncode == 0 and not done.stderr, done.stderr
    (scope,) = json.loads(done.stdout)["resource_metrics"][0]["scope_metrics"]
    found = {metric["name"]: metric for metric in scope["metrics"]}
    points = found["fastmq.messages"]["data"]["data_points"]
    sent = [
        point["value"]
        for point in points
        if point["attributes"]["direction"] == "sent" and point["attributes"]["type"] == "PUSH"
    ]
    assert sent == [50] and found["fastmq.messages"]["data"]["is_monotonic"]
    assert found["fastmq.messages"]["unit"] == "{message}"
    assert "is_monotonic" not in found["fastmq.queued_bytes"]["data"]
