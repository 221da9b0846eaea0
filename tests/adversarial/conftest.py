# SPDX-License-Identifier: MIT
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scene import Scene
from security import Handler
from target import IS_FASTMQ, zmq


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if IS_FASTMQ and Path("/proc/self/task").is_dir():
        return
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.skip("looks at fastmq's counters and at Linux' /proc"))


@pytest.fixture
def scene(
    ctx: Any, handler: Callable[..., Handler], tmp_path: Path
) -> Iterator[Callable[..., Scene]]:
    """scene("PULL", "CURVE", "tcp", maxmsgsize=100): the healthy peer is connected."""
    made: list[Scene] = []
    other = zmq.Context()

    def new(kind: str, mechanism: str = "NULL", transport: str = "tcp", **options: Any) -> Scene:
        if mechanism == "PLAIN":
            handler()
        made.append(Scene(ctx, other, kind, mechanism, transport, tmp_path, **options))
        return made[-1]

    try:
        yield new
    finally:
        for one in made:
            one.close()
        other.term(timeout=6000)
