# SPDX-License-Identifier: MIT
"""The tree itself: no file that nothing builds, and a licence line in each."""

import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

import fastmq

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("csrc", "src", "tests", "bench", "fuzz", "tools", "docs")
ENDINGS = {".c", ".h", ".def", ".py", ".pyi", ".pyx", ".pxd", ".pxi"}
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


def test_every_test_lies_in_the_folder_of_what_it_tests():
    loose = [*(ROOT / "tests").glob("test_*"), *(ROOT / "tests/c").glob("test_*")]
    assert not loose


def test_no_two_files_of_tests_have_the_same_name():
    """They are imported by their names alone."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) > 60 and len(set(names)) == len(names), sorted(names)


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


def test_the_version_is_told_in_one_place():
    header = (ROOT / "csrc/include/fastmq.h").read_text(encoding="utf-8")
    parts = re.findall(r'^#define FMQ_VERSION_\w+ "?([\w.]*)"?$', header, re.MULTILINE)
    assert len(parts) == 4
    assert fastmq.__version__ == version("fastmq") == ".".join(parts[:3]) + parts[3]
    again = [
        path.relative_to(ROOT).as_posix()
        for path in (*sources(), ROOT / "pyproject.toml")
        if f'"{fastmq.__version__}"' in path.read_text(encoding="utf-8")
    ]
    assert not again


def test_actions_are_pinned_and_have_no_right_that_they_do_not_ask_for():
    workflows = sorted((ROOT / ".github/workflows").glob("*.yml"))
    if not workflows:  # a source distribution
        return
    for path in workflows:
        text = path.read_text(encoding="utf-8")
        assert "\npermissions: {}\n" in text, path.name
        assert "\nconcurrency:\n" in text, path.name
        for used in re.findall(r"uses: (?!\./)(.*)", text):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), (path.name, used)
        checkouts = text.count("uses: actions/checkout@")
        assert text.count("persist-credentials: false") == checkouts, path.name
        jobs = re.split(r"\n  (?=[\w-]+:\n)", text[text.index("\njobs:") :])[1:]
        for job in jobs:
            assert "permissions:" in job, (path.name, job.splitlines()[0])
            assert "timeout-minutes:" in job or "uses: ./" in job, (path.name, job.splitlines()[0])


def steps_of_ci():
    script = ROOT / ".ci/run"
    if not script.exists():
        pytest.skip("a source distribution has no .ci/run")
    text = script.read_text(encoding="utf-8")
    ordered = [re.search(rf"^{n}=\((.*)\)$", text, re.MULTILINE) for n in ("CHECKED", "NIGHTLY")]
    checked, nightly = (found[1].split() for found in ordered if found)
    return checked, nightly


def steps_called(workflow):
    text = (ROOT / ".github/workflows" / workflow).read_text(encoding="utf-8")
    called = set()
    for command in re.findall(r"run: \.ci/run (.*)", text):
        if command == "${{ matrix.step }}":
            for row in re.findall(r"step: \[(.*)\]", text):
                called.update(row.split(", "))
        else:
            called.update(command.split())
    return called


def test_each_step_of_ci_run_is_called_by_the_workflow_and_none_that_it_has_not():
    checked, nightly = steps_of_ci()
    # Each Python has a job of its own there, and the documentation a workflow that publishes it.
    assert steps_called("ci.yml") | steps_called("docs.yml") == set(checked) - {"pythons"}
    assert steps_called("nightly.yml") == set(nightly)


def test_ci_run_lists_its_steps_and_refuses_others():
    checked, nightly = steps_of_ci()
    script = str(ROOT / ".ci/run")
    listed = subprocess.run([script, "--list"], capture_output=True, text=True, check=True).stdout
    assert {line.split(":")[0] for line in listed.splitlines()} == {*checked, *nightly}
    refused = subprocess.run([script, "frobnicate"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "no step frobnicate" in refused.stdout


def test_ci_run_ends_with_the_summary_of_pytest():
    checked, _ = steps_of_ci()
    assert checked[-1] == "pytest"


def test_nothing_tells_people_to_install_from_the_index_before_the_name_is_ours():
    project = (ROOT / "pyproject.toml").read_text()
    if '"Private :: Do Not Upload"' not in project:
        pytest.skip("the name is settled")
    told = re.compile(r"pip install [^\n`]*\bfastmq\b")
    files = [p for folder in ("docs", "examples", "src") for p in (ROOT / folder).rglob("*.*")]
    wrong = [
        f"{path.relative_to(ROOT)}: {m.group()}"
        for path in [*ROOT.glob("*.md"), *files]
        if path.suffix in {".md", ".py", ".pxi", ".pyx"} and "_build" not in path.parts
        for m in told.finditer(path.read_text())
    ]
    assert wrong == []
    workflow = ROOT / ".github/workflows/release.yml"
    assert not workflow.exists() or "tools/release_check.py" in workflow.read_text()
