# SPDX-License-Identifier: MIT
"""What keeps a tree from being released, and what the package's page is made of."""

import importlib
import re
import runpy
import shutil
from pathlib import Path

import pytest
from target import fastmq_only

pytestmark = fastmq_only("of the repository")

ROOT = Path(__file__).resolve().parents[2]
NEEDED = (
    "pyproject.toml",
    "Makefile",
    "CHANGELOG.md",
    "README.md",
    "setup.py",
    "csrc/include/fastmq.h",
)
ADDRESS = "https://code.example/fastmq"


@pytest.fixture
def check(monkeypatch):
    pytest.importorskip("tomllib")
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("release_check")


def change(path, old, new):
    text = path.read_text()
    made = re.sub(old, new, text, count=1, flags=re.MULTILINE)
    assert made != text, (path.name, old)
    path.write_text(made)


@pytest.fixture
def tree(tmp_path):
    """What is checked, with all of it settled; and the version."""
    for name in NEEDED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    project = (tmp_path / "pyproject.toml").read_text()
    if "Private :: Do Not Upload" in project:
        change(tmp_path / "pyproject.toml", r'^ *"Private :: Do Not Upload",\n', "")
    labels = ("Repository", "Documentation", "Changelog", "Issues", "Security")
    urls = "".join(f'{label} = "{ADDRESS}"\n' for label in labels)
    change(tmp_path / "pyproject.toml", r"^\[project.urls\]\n(\w.*\n)*", f"[project.urls]\n{urls}")
    header = tmp_path / "csrc/include/fastmq.h"
    header.write_text(re.sub(r'(_SUFFIX) ".*"', r'\1 ""', header.read_text()))
    version = ".".join(re.findall(r"^#define FMQ_VERSION_\w+ (\d+)$", header.read_text(), re.M))
    change(tmp_path / "CHANGELOG.md", r"^## .*$", f"## [{version}] - 2026-01-02")
    return tmp_path, version


def test_a_settled_tree_may_be_released(check, tree):
    root, version = tree
    assert list(check.problems(root, f"v{version}")) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (
            "pyproject.toml",
            "^classifiers = \\[",
            'classifiers = ["Private :: Do Not Upload",',
            "Private",
        ),
        ("pyproject.toml", "^Security = .*$", "", "no Security"),
        ("pyproject.toml", "^Issues = .*$", 'Issues = "to be told"', "no Issues"),
        ("pyproject.toml", '"fastmq\\[cli\\]"', '"other[cli]"', "reference to other"),
        ("Makefile", r"'fastmq\[test\]'", "'another[test]'", "reference to another"),
        ("csrc/include/fastmq.h", '_SUFFIX ""', '_SUFFIX ".dev0"', "SUFFIX is .dev0"),
        ("csrc/include/fastmq.h", r"_PATCH \d+", "_PATCH 99", "is not v"),
        ("CHANGELOG.md", r"^## (\[.*\]) - .*$", r"## \1 - unreleased", "unreleased, not"),
    ],
)
def test_what_is_not_settled_is_named(check, tree, name, old, new, said):
    root, version = tree
    change(root / name, old, new)
    found = list(check.problems(root, f"v{version}"))
    assert any(said in problem for problem in found), found


def test_the_changelog_has_a_section_for_the_version():
    header = (ROOT / "csrc/include/fastmq.h").read_text()
    version = ".".join(re.findall(r"^#define FMQ_VERSION_\w+ (\d+)$", header, re.M))
    newest = re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    unreleased = '_SUFFIX ".dev0"' in header
    assert newest and newest[1].startswith(f"[{version}] - ")
    assert newest[1].endswith("unreleased") == unreleased


def page(root, monkeypatch):
    """The text of the package's page, from setup.py as it is run in that folder."""
    setuptools = pytest.importorskip("setuptools")
    given = {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    monkeypatch.chdir(root)
    runpy.run_path(str(root / "setup.py"))
    return given["long_description"], given["version"]


RELATIVE = re.compile(r"\]\((?!https?:|#|mailto:)([^)]*)\)")


def test_links_of_the_package_s_page_are_absolute_once_the_address_is_known(tree, monkeypatch):
    root, version = tree
    text, told = page(root, monkeypatch)
    assert told == version
    assert not RELATIVE.search(text)
    assert f"({ADDRESS}/blob/v{version}/docs/guide/start.md)" in text
    assert f"({ADDRESS}/raw/v{version}/docs/img/ratios.svg)" in text


def test_without_an_address_the_package_s_page_is_the_readme(tree, monkeypatch):
    root, _ = tree
    change(root / "pyproject.toml", "^Repository = .*$", "")
    assert page(root, monkeypatch)[0] == (ROOT / "README.md").read_text()


def test_links_of_the_readme_lead_to_files():
    for target in RELATIVE.findall((ROOT / "README.md").read_text()):
        assert (ROOT / target.partition("#")[0]).exists(), target
