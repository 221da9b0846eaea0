# SPDX-License-Identifier: MIT
"""Every kind of argument that pyzmq takes is taken, with the same result.

What pyzmq 27.3 gives is recorded in arguments.json, for the calls that it does not refuse;
`python tests/compat/test_arguments.py` records it anew.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from target import fastmq_only

HERE = Path(__file__).parent
RECORDED = HERE / "arguments.json"

pytestmark = fastmq_only("compares fastmq with pyzmq")

Results = dict[str, dict[str, str]]

# "call <- kind": why it is otherwise.
ALLOWED = {
    **{
        f"Context.destroy(n) <- {kind}": "pyzmq looks at it only when a socket is open"
        for kind in ("str", "bytes", "complex")
    },
    "poll(_, n) <- None": "no flags: pyzmq then waits for nothing",
    "send(data, copy=False) <- Frame": "a MessageTracker that is done, not None",
    "send_multipart([_, data], copy=False) <- Frame": "a MessageTracker that is done, not None",
}


def results(module: str) -> Results:
    done = subprocess.run(
        [sys.executable, str(HERE / "arguments.py"), module],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: Results = json.loads(done.stdout)
    return found


def taken(found: Results) -> Results:
    """The calls that were not refused."""
    return {
        call: {kind: result for kind, result in row.items() if result.startswith("ok")}
        for call, row in found.items()
    }


def test_what_pyzmq_takes_is_taken_with_the_same_result() -> None:
    expected: Results = json.loads(RECORDED.read_text(encoding="utf-8"))
    found = results("fastmq")
    assert found.keys() == expected.keys() and sum(map(len, expected.values())) > 350
    wrong = [
        f"{call} <- {kind}: {found[call][kind]}, and not {result}"
        for call, row in expected.items()
        for kind, result in row.items()
        if kind in found[call]  # numpy may be missing, and what another Python has
        and found[call][kind] != result
        and f"{call} <- {kind}" not in ALLOWED
    ]
    assert not wrong, "\n".join(wrong)


def test_the_record_is_what_pyzmq_does() -> None:
    if importlib.util.find_spec("zmq") is None or importlib.util.find_spec("numpy") is None:
        pytest.skip("pyzmq or numpy is not installed")
    if sys.version_info[:2] != (3, 11):
        pytest.skip("recorded with Python 3.11: pyzmq's wheels for others take a little less")
    expected: Results = json.loads(RECORDED.read_text(encoding="utf-8"))
    all_found = results("zmq")
    known = {  # a Fraction is no whole number before Python 3.11
        call: {kind: result for kind, result in row.items() if kind in all_found[call]}
        for call, row in expected.items()
    }
    assert taken(all_found) == known, f"run python {__file__}, and look at what changed"


if __name__ == "__main__":
    text = json.dumps(taken(results("zmq")), indent=1, ensure_ascii=True)
    RECORDED.write_text(text + "\n", encoding="utf-8")
