# SPDX-License-Identifier: MIT
"""Builds the one extension module, fastmq._core: Cython's C and all of csrc/.

Everything that is declarative is in pyproject.toml. The environment may say:

FASTMQ_SANITIZE=address|thread|undefined
    Instrument the extension (several names with commas between). The interpreter is not
    instrumented, so the sanitizer's runtime has to be preloaded: `make test-asan` shows how.
FASTMQ_DEBUG=1
    -O0 -g, assertions on, FMQ_DEBUG defined.
FASTMQ_WERROR=1
    The project's warnings, as errors, for the files of csrc/ and not for Cython's output.
FASTMQ_JOBS=n
    How many compilers run at once (default: one a processor).
"""

from __future__ import annotations

import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

ROOT = Path(__file__).resolve().parent
FOLDERS = ("base", "os", "msg", "wire", "reactor", "pipe", "net", "pattern", "transport", "socket")
CYTHON_SOURCE = "src/fastmq/_core.pyx"
# A message passes through small functions of several files.
LTO = ["-flto"]
WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wconversion",
    "-Wno-sign-conversion",
    "-Werror",
]

# Cython's one large file, when instrumented: -O3 and the undefined-behaviour checks, which are for
# code of our own, make its compilation take minutes.
CYTHON_SANITIZED = ["-O1", "-fno-sanitize=undefined"]


def version() -> str:
    """The version, from the one place that holds it: csrc/include/fastmq.h."""
    header = (ROOT / "csrc/include/fastmq.h").read_text(encoding="utf-8")
    parts = [
        re.search(rf"^#define FMQ_VERSION_{part} (.*)$", header, re.MULTILINE)
        for part in ("MAJOR", "MINOR", "PATCH", "SUFFIX")
    ]
    found = [part[1].strip('"') for part in parts if part]
    if len(found) != len(parts):
        raise SystemExit("setup.py: csrc/include/fastmq.h does not define FMQ_VERSION_*")
    return ".".join(found[:3]) + found[3]


def readme() -> str:
    """README.md for the package's page, where relative links lead nowhere: they are made absolute
    once pyproject.toml tells the repository's address."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    address = re.search(r'^Repository = "(.*)"$', project, re.MULTILINE)
    if not address:
        return text

    def absolute(found: re.Match[str]) -> str:
        kind = "raw" if found[1] else "blob"
        return f"{found[1]}[{found[2]}]({address[1]}/{kind}/v{version()}/{found[3]})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)]*)\)", absolute, text)


def flag(name: str) -> bool:
    """Whether an environment switch is on: unset, empty and 0 are off."""
    return os.environ.get(name, "") not in ("", "0")


def engine_sources() -> list[str]:
    """Every C file of the engine; those of another platform compile to nothing."""
    return sorted(
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / "csrc" / folder).glob("*.c")
    )


def headers() -> list[str]:
    """All that a C file may include: a change to any of them rebuilds."""
    return sorted(
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.h", "*.def")
        for path in (ROOT / "csrc").rglob(pattern)
    )


def compile_flags() -> list[str]:
    """Flags for every C file, Cython's included."""
    flags = ["-std=gnu11", "-fvisibility=hidden", "-pthread"]
    if flag("FASTMQ_DEBUG"):
        # After the interpreter's own -O3 -DNDEBUG, so these win.
        flags += ["-O0", "-g3", "-UNDEBUG", "-DFMQ_DEBUG=1", "-fno-omit-frame-pointer"]
    else:
        flags += ["-O3", "-g0"]  # an interpreter may ask for -g: several times the size
    return flags + sanitize_flags()


def sanitize_flags() -> list[str]:
    """Flags for both compiler and linker, from FASTMQ_SANITIZE."""
    names = [name for name in os.environ.get("FASTMQ_SANITIZE", "").split(",") if name]
    unknown = set(names) - {"address", "thread", "undefined"}
    if unknown:
        raise SystemExit(
            f"setup.py: FASTMQ_SANITIZE={','.join(sorted(unknown))}: "
            "known are address, thread, undefined"
        )
    if not names:
        return []
    return [
        f"-fsanitize={','.join(names)}",
        "-fno-sanitize-recover=all",
        "-fno-omit-frame-pointer",
        "-g",
    ]


class BuildExt(build_ext):  # type: ignore[misc]
    """Compiles in parallel, gives csrc/ its own warnings, runs Cython when it has to."""

    def finalize_options(self) -> None:
        super().finalize_options()
        # An object's age says nothing of the switches it was built with.
        self.force = True

    def build_extensions(self) -> None:
        if self.compiler.compiler_type != "unix":
            raise SystemExit("setup.py: fastmq builds with gcc or clang on Linux and macOS")
        compile_one = self.compiler._compile

        def compile_with_own_flags(
            obj: str, src: str, ext: str, cc_args: list[str], extra: list[str], pp: list[str]
        ) -> None:
            ours = Path(src).parts[0] == "csrc"
            if flag("FASTMQ_WERROR") and ours:
                extra = extra + WARNINGS
            if sanitize_flags() and not ours:
                extra = extra + CYTHON_SANITIZED
            compile_one(obj, src, ext, cc_args, extra, pp)

        self.compiler._compile = compile_with_own_flags
        self.compiler.compile = self.compile_in_parallel
        super().build_extensions()

    def can_optimise_when_linking(self) -> bool:
        """Whether compiler and linker know -flto: not every clang on Linux has the plug-in."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text("int probe(void); int probe(void) { return 1; }\n", encoding="utf-8")
            try:
                objects = self.compiler.object_filenames(
                    [str(source)], strip_dir=True, output_dir=folder
                )
                self.compiler._compile(objects[0], str(source), ".c", ["-c"], LTO, [])
                self.compiler.link_shared_object(
                    objects, str(Path(folder) / "probe.so"), extra_postargs=LTO
                )
            except (CompileError, LinkError):
                return False
        return True

    def build_extension(self, ext: Extension) -> None:
        if not (flag("FASTMQ_DEBUG") or sanitize_flags()) and self.can_optimise_when_linking():
            ext.extra_compile_args += LTO
            ext.extra_link_args += [*LTO, "-O3"]
        # Here and not in setup(): reading the metadata must not need Cython.
        ext.sources = [
            self.cythonize(source) if source.endswith(".pyx") else source for source in ext.sources
        ]
        super().build_extension(ext)

    def cythonize(self, source: str) -> str:
        """Translate a .pyx file when it is newer than its C file; give the C file's name."""
        from Cython.Build import cythonize

        # In the tree's own build/ when possible, so that _core.c stays out of src/.
        folder = Path(self.build_temp) / "cython"
        folder.mkdir(parents=True, exist_ok=True)
        made: list[Any] = cythonize(
            [Extension("fastmq._core", [source])],
            build_dir=str(folder),
            include_path=["src"],
            compiler_directives={"language_level": "3", "autotestdict": False},
        )
        return str(made[0].sources[0])

    def compile_in_parallel(
        self,
        sources: list[str],
        output_dir: str | None = None,
        macros: Any = None,
        include_dirs: Any = None,
        debug: bool = False,
        extra_preargs: Any = None,
        extra_postargs: Any = None,
        depends: Any = None,
    ) -> list[str]:
        """What the compiler object's own compile() does, several files at a time."""
        _, objects, extra_postargs, pp_opts, build = self.compiler._setup_compile(
            output_dir, macros, include_dirs, sources, depends, extra_postargs
        )
        cc_args = self.compiler._get_cc_args(pp_opts, debug, extra_preargs)

        def compile_object(obj: str) -> None:
            src, ext = build[obj]
            self.compiler._compile(obj, src, ext, cc_args, extra_postargs, pp_opts)

        # The largest file (Cython's) first: it takes longest.
        todo = sorted(
            (obj for obj in objects if obj in build),
            key=lambda obj: Path(build[obj][0]).stat().st_size,
            reverse=True,
        )
        jobs = int(os.environ.get("FASTMQ_JOBS") or os.cpu_count() or 1)
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            for _ in pool.map(compile_object, todo):
                pass
        return list(objects)


def extension() -> Extension:
    return Extension(
        "fastmq._core",
        sources=[CYTHON_SOURCE, *engine_sources()],
        include_dirs=["csrc", "csrc/include"],
        define_macros=[("_GNU_SOURCE", "1")],
        extra_compile_args=compile_flags(),
        extra_link_args=["-pthread", *sanitize_flags()],
        depends=headers(),
        language="c",
    )


os.chdir(ROOT)
setup(
    version=version(),
    long_description=readme(),
    long_description_content_type="text/markdown",
    ext_modules=[extension()],
    cmdclass={"build_ext": BuildExt},
)
