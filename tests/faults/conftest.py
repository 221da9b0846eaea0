# SPDX-License-Identifier: MIT
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from process import Child


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
