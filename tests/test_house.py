# SPDX-License-Identifier: MIT
"""The tree itself: no file that nothing builds, and a licence line in each."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("csrc", "src", "tests", "bench", "fuzz", "tools", "docs")
ENDINGS = {".c", ".h", ".def", ".py", ".pyi", ".pyx", ".pxd"}
MADE = {"_build", "build", "corpus", "results"}


def sources():
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in ENDINGS and not MADE & set(path.relative_to(ROOT).parts):
                yield path


def test_every_folder_of_c_files_is_compiled():
    told = re.search(r"^FOLDERS = \((.*)\)$", (ROOT / "setup.py").read_text(), re.MULTILINE)
    assert told
    compiled = set(re.findall(r'"(\w+)"', told[1]))
    assert {path.parent for path in (ROOT / "csrc").rglob("*.c")} == {
        ROOT / "csrc" / folder for folder in compiled
    }


def test_every_header_is_included():
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources())
    for path in (ROOT / "csrc").rglob("*.[hd]*"):
        name = path.relative_to(ROOT / "csrc").as_posix().removeprefix("include/")
        assert f'include "{name}"' in text or f'extern from "{name}"' in text, name


def test_every_file_tells_its_licence():
    without = [
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if not any(
            "SPDX-License-Identifier: MIT" in line
            for line in path.read_text(encoding="utf-8").splitlines()[:2]
        )
    ]
    assert not without
