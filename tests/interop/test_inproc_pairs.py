# SPDX-License-Identifier: MIT
"""Over inproc every type meets every other, and what passes is what passes in libzmq."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from target import MODULE

LIBZMQ_PYTHON = os.environ.get("FASTMQ_TEST_LIBZMQ_PYTHON", sys.executable)
PROGRAM = Path(__file__).with_name("inproc_pairs.py")


def pairs(python, module):
    run = subprocess.run(
        [python, str(PROGRAM), module], capture_output=True, text=True, timeout=110, check=True
    )
    return {tuple(pair): result for pair, result in map(json.loads, run.stdout.splitlines())}


@pytest.mark.slow
@pytest.mark.deadline(240)
def test_what_passes_between_two_types_is_what_passes_in_libzmq():
    theirs, ours = pairs(LIBZMQ_PYTHON, "zmq"), pairs(sys.executable, MODULE)
    assert len(ours) == len(theirs) == 288
    assert "died" not in ours.values()
    differing = {
        pair: (theirs[pair], ours[pair])
        for pair in ours
        if theirs[pair] not in ("died", ours[pair])
    }
    # A ROUTER there takes nothing from a SUB that comes later, which tells it no id.
    differing.pop(("SUB", "ROUTER", "connect"), None)
    assert differing == {}
