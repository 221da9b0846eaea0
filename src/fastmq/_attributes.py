# SPDX-License-Identifier: MIT
"""Which attributes of sockets and contexts are a program's own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    plain = property
else:

    class plain:  # noqa: N801  # in place of property
        """An attribute that is computed until a program, or a subclass, gives it a value: in pyzmq
        it is a plain one."""

        def __init__(self, compute: Any) -> None:
            self.compute = compute
            self.__doc__ = compute.__doc__

        def __get__(self, obj: Any, owner: Any = None) -> Any:
            return self if obj is None else self.compute(obj)


def _annotations(cls: type) -> dict[str, Any]:
    """What the body of this class annotates, whether or not the types can be evaluated."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    import inspect

    return inspect.get_annotations(cls)


def is_annotated(cls: type, name: str) -> bool:
    """Whether a class or one of its bases declares an attribute by annotating it."""
    return any(name in _annotations(base) for base in cls.__mro__)


def unknown_option(owner: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error of a program that sets an option that there is not."""
    import difflib  # here: few programs get this far

    text = f"{owner} has no such option: {name.upper()}"
    close = difflib.get_close_matches(name.upper(), known, n=1)
    return AttributeError(f"{text}; did you mean {close[0]}?" if close else text)
