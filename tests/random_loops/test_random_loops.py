# SPDX-License-Identifier: MIT
"""Random programs in event loops hold, and each check finds the fault that is planted for it."""

import concurrent.futures
import subprocess
import sys

import pytest
from target import fastmq_only

from random_loops import differential, driver, faults, kinds, plan, script
from random_loops.ledger import Broken, Flow, Shape

pytestmark = [
    fastmq_only("waits with timeouts, sockets of several threads, cancellation that loses nothing"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

SEEDS = 300
JOBS = 4
"""Programs wait for most of their time."""
PLANTED = [name for name in faults.FAULTS if name != faults.NOTHING]


@pytest.mark.slow
@pytest.mark.forks
@pytest.mark.deadline(240)
def test_random_programs_hold():
    report = driver.run([], range(1, SEEDS + 1), JOBS)
    assert not report.broken, "\n".join(text for _, _, text in report.broken)
    assert sum(report.ran.values()) + sum(report.skipped.values()) == SEEDS
    for kind in plan.KINDS:
        assert report.messages[kind] > 0 or kinds.missing(kind)


# ---- beside pyzmq ----


@pytest.mark.slow
@pytest.mark.deadline(120)
def test_scripts_have_the_outcomes_that_they_have_with_pyzmq():
    pytest.importorskip("zmq")
    assert not (found := differential.compare(list(range(1, 61)))), "\n".join(found)


@pytest.mark.parametrize(
    ("ours", "theirs", "number"),
    [
        ("PULL recv: [b'1']", "PULL recv: [b'1']", None),
        ("PULL recv: [b'1']", "PULL recv: [b'2']", 1),
        ("PULL recv: [b'1']", "PULL recv: nothing came", 1),
        ("PULL recv: nothing came", "PULL recv: [b'1']", 1),
        ("PULL poll: 1", "PULL poll: 0", 1),
        ("REQ recv: ZMQError 156384763", "REQ recv: nothing came", 1),
        ("REQ send: ZMQError 156384763", "REQ send: nothing came", 1),
        ("REQ recv: ZMQError 156384763", "REQ recv: [b'1']", 1),
        ("PUB cancelled recv: False", "PUB cancelled recv: True", 1),
        ("PULL recv: [b'1']", "PULL recv: hangs", None),
        ("PULL recv: hangs", "PULL recv: [b'1']", 1),
    ],
)
def test_a_different_outcome_is_noticed(ours, theirs, number):
    found = differential.first_difference(["same", ours], ["same", theirs])
    assert (found and found[0]) == number


def test_an_outcome_that_is_missing_is_noticed():
    assert differential.first_difference(["a"], []) == (0, "a", "nothing")


def test_scripts_draw_every_pair_and_every_step():
    drawn = [script.draw(seed) for seed in range(1, 61)]
    assert {one.types for one in drawn} == set(script.PAIRS)
    assert {one.transport for one in drawn} == {"inproc", "ipc", "tcp"}
    assert {what for one in drawn for what, _ in one.steps} == {what for what, _ in script.STEPS}


# ---- planted faults ----


@pytest.fixture(scope="module")
def planted() -> dict[str, driver.Report]:
    """The report of a program with each fault; several run at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTMQ_RANDOM_STUCK", "4")
        patch.setenv("FASTMQ_RANDOM_SETTLE", "0.5")
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            reports = pool.map(lambda name: driver.run(["--plant", name], [1], 1), PLANTED)
            return dict(zip(PLANTED, reports, strict=True))


@pytest.mark.slow
@pytest.mark.deadline(120)
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(planted, name):
    report = planted[name]
    assert report.broken, f"{name} was not found"
    assert faults.FAULTS[name][1] in report.broken[0][2]


def test_the_program_without_a_fault_holds():
    found = run_one("--plant", faults.NOTHING)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "'messages': 30" in found.stdout


# ---- the ledger ----


def flow(quota: int = 10, most_parts: int = 3) -> Flow:
    return Flow("f", Shape("k", most_parts, (3, 30)), {"s": quota}, ["a"])


def test_a_flow_accepts_what_its_sender_sends():
    one = flow(300)
    for n in range(300):
        assert one.accept("a", "r", one.shape.message("s", n), True) == n
        assert not one.complete()
        one.confirm("s")
    assert one.complete()
    one.verdict()


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [([0, 0], "doubled"), ([1, 0], "order"), ([0, 2, 1], "order"), ([10], "invented")],
)
def test_a_flow_complains_of_messages_doubled_reordered_or_invented(numbers, complaint):
    one = flow()
    with pytest.raises(Broken, match=complaint):
        for n in numbers:
            one.accept("a", "r", one.shape.message("s", n), True)


def test_a_flow_complains_of_every_byte_and_part_that_is_wrong():
    one = flow()
    parts = one.shape.message("s", 0)
    wrong = [parts[:-1], [*parts, b""], [b""], [], [b"s:0", *parts[1:]], [parts[0], *parts]]
    for i in range(len(parts)):
        for j in range(len(parts[i])):
            other = bytes([parts[i][j] ^ 1])
            wrong.append([*parts[:i], parts[i][:j] + other + parts[i][j + 1 :], *parts[i + 1 :]])
    for message in wrong:
        with pytest.raises(Broken, match=r"torn|strayed|invented|doubled"):
            one.accept("a", "r", message, True)
    assert one.accept("a", "r", parts, True) == 0


def test_a_flow_misses_what_was_sent_and_did_not_come():
    one = flow(2)
    one.confirm("s", 2)
    one.accept("a", "r", one.shape.message("s", 1), True)
    assert not one.complete()
    with pytest.raises(Broken, match=r"lost: f misses .*\[0\]"):
        one.verdict()
    one.lossy = True
    one.verdict()


def test_a_flow_complains_of_a_message_whose_send_failed():
    one = flow(2)
    one.accept("a", "r", one.shape.message("s", 0), True)
    with pytest.raises(Broken, match="unsent"):
        one.verdict()


# ---- seeds ----


def test_a_seed_means_one_program():
    for seed in range(1, 200):
        drawn = plan.draw(seed)
        assert str(drawn) == str(plan.draw(seed))
        assert drawn.kind == plan.KINDS[seed % len(plan.KINDS)]
    assert len({str(plan.draw(seed, "asyncio")).partition(":")[2] for seed in range(200)}) == 200


def test_seeds_draw_everything():
    drawn = [plan.draw(seed) for seed in range(1, SEEDS + 1)]
    sockets = [socket for one in drawn for socket in one.sockets.values()]
    actors = [actor for one in drawn for actor in one.actors]
    closings = [closing for one in drawn for closing in one.closings]
    forks = [fork for one in drawn for fork in one.forks]
    assert {socket.type for socket in sockets} == {
        "PUSH", "PULL", "PAIR", "DEALER", "ROUTER", "REQ", "REP", "PUB", "SUB", "XPUB", "XSUB",
    }  # fmt: skip
    assert {socket.transport for socket in sockets} == set(plan.TRANSPORTS)
    assert {actor.way for actor in actors} == {"task", "shadow", "stream", "poller", "iterate"}
    assert {actor.role for actor in actors} == {"send", "receive", "serve", "ask"}
    assert {closing.by for closing in closings} == {"loop", "thread", "shadow"}
    assert {fork.child for fork in forks} == {"exits", "closes", "works"}
    assert {one.end for one in drawn} == {"close", "thread", "cancel", "shutdown", "shadow"}
    assert {one.loops for one in drawn} == {1, 2, 3}


# ---- the command line ----


def run_one(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.random_loops", "--seed", "1", "--kind", "asyncio"]
    return subprocess.run(
        [*command, *args], cwd=driver.ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_seed_is_replayed_step_by_step():
    found = run_one("--plant", faults.NOTHING, "--verbose")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "actor name 'send8', role 'send'" in found.stdout
    assert "send8 sent 19" in found.stdout


def test_a_broken_seed_is_a_failure_with_its_program():
    found = run_one("--plant", "doubles")
    assert found.returncode == 1
    assert "Broken: doubled: [b'send8:3:'" in found.stdout
    assert "actor name 'send8', role 'send'" in found.stdout
