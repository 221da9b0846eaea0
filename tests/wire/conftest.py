# SPDX-License-Identifier: MIT
import pytest


@pytest.fixture(autouse=True)
def on_its_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are compared one by one here: without the property of a connection that may go into
    shared memory."""
    monkeypatch.setenv("FASTMQ_SHM", "0")
