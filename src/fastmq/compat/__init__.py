# SPDX-License-Identifier: MIT
"""Makes `import zmq` mean fastmq, for programs and libraries written for pyzmq.

    import fastmq.compat
    fastmq.compat.install()      # before anything imports zmq
    import zmq.asyncio           # is fastmq.asyncio

`python -m fastmq.compat script.py` runs a program that way, its child processes included, without a
change to it. `zmq` is a module that holds what fastmq holds, and says that it is the pyzmq whose
API fastmq has: in `zmq.__version__`, in the texts that name the package, and in
`importlib.metadata`. Every `zmq.*` is a second name of one of fastmq's modules, the same object.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import sys
import types
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from .. import _core
from .._version import PYZMQ_VERSION

_NAME = "zmq"
_OURS = __name__.partition(".")[0]

PATH = str(Path(__file__).parent / "path")
"""The directory that does the same when it stands on PYTHONPATH: it holds a package `zmq` that
calls install(), and the metadata of a pyzmq."""


def _own_name(fullname: str) -> str:
    """fastmq.asyncio of zmq.asyncio."""
    return _OURS + fullname[len(_NAME) :]


class _Zmq(types.ModuleType):
    """`zmq`: what fastmq has, by the name and with the version of pyzmq."""

    def __init__(self) -> None:
        super().__init__(_NAME)
        fastmq = sys.modules[_OURS]
        own = ("__name__", "__package__", "__spec__", "__loader__", "__path__")
        held = {name: value for name, value in vars(fastmq).items() if name not in own}
        self.__dict__.update(held, __version__=PYZMQ_VERSION, get_library_dirs=_library_dirs)

    def __getattr__(self, name: str) -> Any:
        """What fastmq was given since."""
        found = vars(sys.modules[_OURS]).get(name, _Zmq)
        if found is _Zmq or name.startswith("__"):
            raise AttributeError(f"module {_NAME!r} has no attribute {name!r}", name=name, obj=self)
        return found

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *vars(sys.modules[_OURS])})


def _library_dirs() -> list[str]:
    """Directories of libraries to link extensions with: the package's own."""
    return [str(Path(PATH) / _NAME)]


class _Loader(importlib.abc.InspectLoader):
    """Loads `zmq.x` by importing `fastmq.x`, whose module it is from then on."""

    def __init__(self, spec: importlib.machinery.ModuleSpec) -> None:
        self.spec = spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        if spec.name == _NAME:
            return _Zmq()
        return importlib.import_module(self.spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        if not isinstance(module, _Zmq):
            # The import system has just written the other name's spec into the module.
            module.__spec__ = self.spec

    # For `python -m zmq.log`, which asks for the code instead of importing.

    def _real(self, method: str) -> Any:
        found = getattr(self.spec.loader, method, None)
        if found is None:
            raise ImportError(f"{self.spec.name} has no {method}()", name=self.spec.name)
        return found(self.spec.name)

    def is_package(self, fullname: str) -> bool:
        return self.spec.submodule_search_locations is not None

    def get_code(self, fullname: str) -> types.CodeType | None:
        code: types.CodeType | None = self._real("get_code")
        return code

    def get_source(self, fullname: str) -> str | None:
        source: str | None = self._real("get_source")
        return source

    def get_filename(self, fullname: str) -> str:
        filename: str = self._real("get_filename")
        return filename


class _Finder(importlib.abc.MetaPathFinder):
    """Finds `zmq` and `zmq.*` in fastmq, and the metadata of pyzmq here."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _NAME and not fullname.startswith(_NAME + "."):
            return None
        own = importlib.util.find_spec(_own_name(fullname))
        if own is None:
            return None
        spec = importlib.machinery.ModuleSpec(
            fullname,
            _Loader(own),
            origin=own.origin,
            is_package=own.submodule_search_locations is not None,
        )
        spec.submodule_search_locations = own.submodule_search_locations
        spec.has_location = own.has_location
        return spec

    def find_distributions(self, context: Any = None) -> Iterable[importlib.metadata.Distribution]:
        name = getattr(context, "name", None)
        if name is None or name.lower() == "pyzmq":
            folder = Path(PATH) / f"pyzmq-{PYZMQ_VERSION}.dist-info"
            return [importlib.metadata.PathDistribution(folder)]
        return []


_finder = _Finder()


def _is_ours(module: types.ModuleType) -> bool:
    """Whether what stands under `zmq` is fastmq, or the package in PATH on its way there."""
    file = getattr(module, "__file__", None) or ""
    return isinstance(module, _Zmq) or file.startswith(PATH + os.sep)


def install(*, children: bool = False) -> None:
    """Makes `import zmq` and `import zmq.anything` give fastmq's modules in this process.

    children: also in Python processes that this one starts from now on, through PYTHONPATH (those
    that fork from this one are included anyway).

    It may be called more than once. RuntimeError: another `zmq` was imported before. Other modules
    may hold its classes, so install before any other import.
    """
    found = sys.modules.get(_NAME)
    if found is not None and not _is_ours(found):
        where = getattr(found, "__file__", None) or "an unknown place"
        raise RuntimeError(
            f"zmq was imported from {where} before fastmq.compat.install(): "
            "install() has to come before the first import of zmq"
        )
    if found is not None and not isinstance(found, _Zmq):
        del sys.modules[_NAME]
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _core.set_package_name(_NAME)
    if children:
        os.environ.update(environ())
        if PATH not in sys.path:  # what multiprocessing's spawn hands to the child
            sys.path.insert(0, PATH)


def uninstall() -> None:
    """Undoes install(): from now on `import zmq` imports the installed package of that name.

    Modules that have imported `zmq` keep fastmq's.
    """
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    _core.set_package_name(_OURS)
    for name, module in list(sys.modules.items()):
        below = name.startswith(_NAME + ".") and module is sys.modules.get(_own_name(name))
        if below or (name == _NAME and isinstance(module, _Zmq)):
            del sys.modules[name]
    while PATH in sys.path:
        sys.path.remove(PATH)
    left = [part for part in _split(os.environ) if part != PATH]
    if left:
        os.environ["PYTHONPATH"] = os.pathsep.join(left)
    else:
        os.environ.pop("PYTHONPATH", None)


def installed() -> bool:
    """Whether `import zmq` means fastmq in this process."""
    return _finder in sys.meta_path


def environ(base: MutableMapping[str, str] | None = None) -> dict[str, str]:
    """An environment for Python processes in which `import zmq` means fastmq.

    base: what to add it to, os.environ unless given.
    """
    env = dict(os.environ if base is None else base)
    env["PYTHONPATH"] = os.pathsep.join([PATH, *(p for p in _split(env) if p != PATH)])
    return env


def _split(env: MutableMapping[str, str]) -> list[str]:
    value = env.get("PYTHONPATH", "")
    return value.split(os.pathsep) if value else []


_USAGE = """\
usage: python [options] -m fastmq.compat script.py [arguments]
       python [options] -m fastmq.compat -m module [arguments]
       python [options] -m fastmq.compat -c code [arguments]

Runs a Python program in which `import zmq` means fastmq, its child processes included."""


def _interpreter() -> Iterator[str]:
    """How this interpreter was called, without `-m fastmq.compat` and what follows."""
    yield sys.executable
    head = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    for word in head:
        if word in ("-m", __name__, f"-m{__name__}"):
            return
        yield word


def main() -> None:
    """The command: replaces this process by the program's. Returns only with SystemExit."""
    args = sys.argv[1:]
    if not args or args[0] in ("-h", "--help"):
        print(_USAGE, file=sys.stdout if args else sys.stderr)
        raise SystemExit(0 if args else 2)
    if args[0] in ("-m", "-c") and len(args) == 1:
        raise SystemExit(f"python -m fastmq.compat: {args[0]} needs an argument\n{_USAGE}")
    if args[0].startswith("-") and args[0] not in ("-m", "-c"):
        raise SystemExit(f"python -m fastmq.compat: unknown option {args[0]}\n{_USAGE}")
    if sys.flags.ignore_environment:
        raise SystemExit(
            "python -m fastmq.compat: needs PYTHONPATH, which -E and -I switch off; "
            "call fastmq.compat.install() in the program instead"
        )
    command = [*_interpreter(), *args]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, environ())


__all__ = ["PATH", "environ", "install", "installed", "main", "uninstall"]
