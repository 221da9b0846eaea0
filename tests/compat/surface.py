# SPDX-License-Identifier: MIT
"""What pyzmq makes public, as JSON on stdout: run by test_surface.py in a process of its own.

{module: {name: {"members": {name: parameters}, "parameters": parameters}}}; parameters is a list
of [name, kind], or null for what is no function. Modules whose requirements are missing are null.
"""

import importlib
import inspect
import json
import pkgutil
import sys
import types
import typing
import warnings
from typing import Any

LEFT_OUT = ("zmq.tests", "zmq.backend.cffi")


def parameters(value: Any) -> list[list[str]] | None:
    if not callable(value) or inspect.isclass(value):
        return None
    try:
        found = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    return [[p.name, p.kind.name] for p in found if p.name != "self"]


def is_public(module: types.ModuleType, name: str, value: Any) -> bool:
    """Whether a name is for users: in __all__, or written down in that very module."""
    if isinstance(value, types.ModuleType) or name.startswith("_"):
        return False
    if name in getattr(module, "__all__", ()):
        return True
    home = getattr(value, "__module__", None)
    if home is None:
        # A constant; without __all__ it may be the module's own.
        return not hasattr(module, "__all__") and name != "TYPE_CHECKING"
    return home == module.__name__ and not isinstance(value, typing.TypeVar)


def described(value: Any) -> dict[str, Any]:
    if not inspect.isclass(value):
        return {"parameters": parameters(value), "members": {}}
    members = {}
    for cls in value.__mro__:
        if cls.__module__.startswith("zmq"):
            for name, member in vars(cls).items():
                if not name.startswith("_") or name == "__init__":
                    members.setdefault(name, parameters(member))
    return {"parameters": None, "members": members}


def main() -> None:
    warnings.simplefilter("ignore")
    import zmq

    surface: dict[str, Any] = {}
    names = ["zmq", *(m.name for m in pkgutil.walk_packages(zmq.__path__, "zmq."))]
    for name in names:
        if name.startswith(LEFT_OUT) or name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(name)
        except ImportError:
            surface[name] = None
            continue
        surface[name] = {
            n: described(v) for n, v in sorted(vars(module).items()) if is_public(module, n, v)
        }
    json.dump(surface, sys.stdout)


if __name__ == "__main__":
    main()
