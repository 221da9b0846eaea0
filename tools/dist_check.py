# SPDX-License-Identifier: MIT
"""What would be published, checked as a stranger gets it: `make dist-check`.

The source distribution is built from this tree, a wheel from the source distribution in an empty
environment, and the wheel is installed into another one. Nothing of the tree or of this environment
is within reach there, Cython neither: pip fetches what the build asks for.

    python tools/dist_check.py [--tests] [--twice] [PYTHON ...]

PYTHON: interpreters to do it with, one wheel each (the one that runs this, if none is named).
--tests: the fast tests, too, against the installed wheel. --twice: builds each wheel twice and
compares them. Everything is made in build/dist-check; needs build, twine, check-wheel-contents and
on Linux auditwheel.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterable
from email import message_from_bytes
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "dist-check"

# Of what git holds, what a source distribution needs not: it is of use only beside git.
NOT_IN_SDIST = (
    ".ci/",
    ".github/",
    ".clang-format",
    ".editorconfig",
    ".gitignore",
    "fuzz/corpus/",
)
# What setuptools adds.
MADE_IN_SDIST = ("PKG-INFO", "setup.cfg", "src/fastmq.egg-info/")
# What a wheel holds of src/fastmq; the rest is for building the extension.
IN_WHEEL = (".py", ".pyi", "py.typed", "/METADATA", "/INSTALLER")


def run(*command: str | Path, cwd: Path = WORK, quiet: bool = False) -> str:
    """Runs a command; its output is shown if it fails, and otherwise unless `quiet`."""
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        env.pop(name, None)
    done = subprocess.run(
        [str(c) for c in command],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode or not quiet:
        print(text, end="", flush=True)
    if done.returncode:
        raise SystemExit(f"dist-check: failed: {' '.join(map(str, command))}")
    return text


def tool(name: str, *arguments: str | Path, quiet: bool = True) -> str:
    """Runs a tool that was installed beside this interpreter."""
    return run(sys.executable, "-m", name, *arguments, quiet=quiet)


def complain(what: str, names: Iterable[str]) -> None:
    found = sorted(names)
    if found:
        raise SystemExit(f"dist-check: {what}: {', '.join(found)}")


def environment(python: str, name: str) -> Path:
    """A new virtual environment with nothing but pip; its interpreter."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    if python == sys.executable:
        venv.create(folder, with_pip=True)
    else:
        run(python, "-m", "venv", folder, quiet=True)
    return folder / "bin" / "python"


def tracked() -> set[str]:
    """The files that git holds, or nothing where this is no working copy of git's."""
    if not (ROOT / ".git").exists():
        return set()
    listed = run("git", "ls-files", "-z", cwd=ROOT, quiet=True)
    return {name for name in listed.split("\0") if name and (ROOT / name).exists()}


def check_sdist() -> Path:
    """Builds the source distribution and compares it with what git holds."""
    tool("build", "--sdist", "--outdir", WORK, ROOT)
    (sdist,) = WORK.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {
            member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()
        }
    wanted = {name for name in tracked() if not name.startswith(NOT_IN_SDIST)}
    if wanted:
        complain("not in the source distribution", wanted - inside)
        extra = {name for name in inside - wanted if not name.startswith(MADE_IN_SDIST)}
        complain("in the source distribution, but not in git", extra)
    print(f"{sdist.name}: {len(inside)} files, {sdist.stat().st_size // 1024} KiB")
    return sdist


def build_wheel(python: str, sdist: Path, name: str) -> Path:
    """A wheel from the source distribution, made in an empty environment."""
    folder = WORK / f"wheel-{name}"
    run(
        *(environment(python, f"build-{name}"), "-m", "pip", "wheel", "--quiet", "--no-deps"),
        *("--no-cache-dir", "--wheel-dir", folder, sdist),
        quiet=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def check_wheel(wheel: Path) -> None:
    """Its files, its metadata, and what the usual tools say of it."""
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if not n.endswith("/")}
        (metadata,) = (n for n in names if n.count("/") == 1 and n.endswith("/METADATA"))
        about = message_from_bytes(archive.read(metadata))
    info = metadata.partition("/")[0] + "/"
    inside = {n for n in names if not n.startswith(info)}
    extension = {n for n in inside if n.startswith("fastmq/_core.") and n.endswith(".so")}
    if len(extension) != 1:
        raise SystemExit(f"dist-check: not one extension module: {sorted(extension)}")
    wanted = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src/fastmq").rglob("*")
        if path.is_file() and path.as_posix().endswith(IN_WHEEL) and "egg-info" not in path.parts
    }
    complain("not in the wheel", wanted - inside)
    complain("in the wheel for nothing", inside - wanted - extension)
    complain("no licence in the wheel", {"LICENSE"} - {n.rpartition("/")[2] for n in names})

    for field in ("Name", "Version", "Summary", "License-Expression", "Requires-Python",
                  "Author", "Keywords", "Description-Content-Type"):  # fmt: skip
        if not about[field]:
            raise SystemExit(f"dist-check: the metadata has no {field}")
    needed = [r for r in about.get_all("Requires-Dist") or [] if "extra ==" not in r]
    complain(
        "required although it should be an extra",
        (r for r in needed if not r.startswith("PyNaCl")),
    )
    tool("twine", "check", "--strict", wheel)
    run(sys.executable, "-m", "check_wheel_contents", "--config", ROOT / "pyproject.toml", wheel,
        quiet=True)  # fmt: skip
    if sys.platform == "linux":
        said = " ".join(tool("auditwheel", "show", wheel).split())
        if "manylinux" not in said and "musllinux" not in said:
            raise SystemExit(f"dist-check: it fits no manylinux or musllinux: {said}")
    print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size // 1024} KiB")


def try_wheel(python: str, wheel: Path, sdist: Path, name: str, tests: bool) -> None:
    """Installs it alone, imports everything, and runs the demonstration or the fast tests."""
    inside = environment(python, f"use-{name}")
    run(inside, "-m", "pip", "install", "--quiet", wheel, quiet=True)
    run(inside, ROOT / "tools" / "import_all.py")
    run(inside, "-m", "fastmq", "demo", quiet=True)
    if not tests:
        return
    run(inside, "-m", "pip", "install", "--quiet", f"{wheel}[test]", quiet=True)
    with tarfile.open(sdist) as archive:
        archive.extractall(WORK / name, filter="data")
    (tree,) = (WORK / name).iterdir()
    shutil.rmtree(tree / "src")  # so that only the wheel can be imported
    run(
        *(inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "3", "--dist", "loadfile"),
        *("-m", "not slow", "--ignore=tests/interop", "tests"),
        cwd=tree,
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", default=[sys.executable])
    parser.add_argument("--tests", action="store_true", help="the fast tests against the wheel")
    parser.add_argument("--twice", action="store_true", help="two builds must be the same")
    chosen = parser.parse_args()

    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    sdist = check_sdist()
    tool("twine", "check", "--strict", sdist)
    for number, python in enumerate(chosen.pythons):
        name = str(number)
        wheel = build_wheel(python, sdist, name)
        check_wheel(wheel)
        if chosen.twice:
            again = build_wheel(python, sdist, f"{name}-again")
            if digest(wheel) != digest(again):
                raise SystemExit(f"dist-check: {wheel} and {again} differ")
            print(f"built twice, the same: {digest(wheel)}")
        try_wheel(python, wheel, sdist, name, chosen.tests)


if __name__ == "__main__":
    main()
