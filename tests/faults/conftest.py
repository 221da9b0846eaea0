# SPDX-License-Identifier: MIT
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from process import START_MS, Child

HERE = Path(__file__).parent
CLONE_NEWNET = 0x40000000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == HERE:
            item.add_marker(pytest.mark.deadline(60), append=False)  # processes take time to start


@pytest.fixture
def child(accounting: None) -> Iterator[Callable[..., Child]]:
    """Processes that are gone at the end: child(code, *args)."""
    made: list[Child] = []

    def new(code: str, *args: Any, **options: Any) -> Child:
        made.append(Child(code, *args, **options))
        return made[-1]

    yield new
    for one in made:
        one.close()


class Network:
    """A cable between two networks (cable.py). The test lives in `here`, peers in `there`."""

    here, there = "10.77.0.1", "10.77.0.2"

    def __init__(self, cable: Child, namespaces: dict[str, str]) -> None:
        self.cable = cable
        self.namespace = namespaces["b"]
        """For children: child(code, network=network.namespace)."""

    def set(self, **order: Any) -> None:
        """What cable.py can be told: set(delay=0.05, loss=0.1)."""
        self.cable.hears(order)
        assert self.cable.says("answer of the cable") == "done"


def _enter(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(fd)


@pytest.fixture
def network(child: Callable[..., Child]) -> Iterator[Network]:
    """Comes before the first socket of the test, whose I/O thread then lives here, too."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs network namespaces")
    cable = child((HERE / "cable.py").read_text(encoding="utf-8"), prelude="")
    said = cable.says("namespaces", START_MS)
    if "sorry" in said:
        pytest.skip(f"no network namespaces: {said['sorry']}")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        try:
            _enter(said["a"])
        except OSError as e:
            pytest.skip(f"no network namespaces: {e}")
        yield Network(cable, said)
    finally:
        _enter(f"/proc/self/fd/{home}")
        os.close(home)
