#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tells what is not settled yet for a release; .github/workflows/release.yml begins with it.

    python tools/release_check.py [TAG]

TAG: v1.2.3, which has to name the version of csrc/include/fastmq.h. The exit status is 0 if nothing
is left to settle. Needs Python 3.11.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

tomllib: Any = importlib.import_module("tomllib")
ROOT = Path(__file__).resolve().parent.parent
ADDRESSES = ("Repository", "Documentation", "Changelog", "Issues", "Security")


def problems(root: Path, tag: str | None = None) -> Iterator[str]:
    """What keeps the tree from being released, a line each."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    if "Private :: Do Not Upload" in project["classifiers"]:
        yield "pyproject.toml: the classifier Private says that the name is not settled"
    others = {
        found
        for path in ("pyproject.toml", "Makefile")
        for found in re.findall(r"[\"']([\w-]+)\[\w", (root / path).read_text(encoding="utf-8"))
        if found != project["name"] and found not in ("pyright",)
    }
    if others:
        names = ", ".join(sorted(others))
        yield f"extras are those of {project['name']}, and there is a reference to {names}"
    urls = project.get("urls", {})
    for label in ADDRESSES:
        if not re.match(r"https://\S+\.\S+", urls.get(label, "")):
            yield f"pyproject.toml: [project.urls] has no {label} (https://...)"

    header = (root / "csrc/include/fastmq.h").read_text(encoding="utf-8")
    parts = dict(re.findall(r'^#define FMQ_VERSION_(\w+) "?([\w.]*)"?$', header, re.MULTILINE))
    version = f"{parts['MAJOR']}.{parts['MINOR']}.{parts['PATCH']}"
    if parts["SUFFIX"]:
        yield f"csrc/include/fastmq.h: FMQ_VERSION_SUFFIX is {parts['SUFFIX']}, not empty"
    if tag is not None and tag != f"v{version}":
        yield f"the tag {tag} is not v{version}"
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (.*)$", changelog, re.MULTILINE)
    if not newest or not re.fullmatch(rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d", newest[1]):
        told = newest[1] if newest else "nothing"
        yield f"CHANGELOG.md: the newest section is {told}, not [{version}] with a date"


def main() -> int:
    found = list(problems(ROOT, *sys.argv[1:2]))
    for problem in found:
        print(f"release-check: {problem}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
