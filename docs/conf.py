# SPDX-License-Identifier: MIT
"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.pycode import ModuleAnalyzer

import fastmq

ROOT = Path(__file__).resolve().parent.parent

project = "fastmq"
author = "the fastmq authors"
copyright = "the fastmq authors, MIT licence"
version = release = fastmq.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

html_theme = "furo"
html_title = f"fastmq {version}"
html_static_path = ["static"]
html_css_files = ["fastmq.css"]
html_copy_source = False

# What is written in single backticks in a docstring is code.
default_role = "code"
nitpicky = True
# Annotations name types of the standard library and of the stubs, which have no pages here.
nitpick_ignore_regex = [("py:(class|obj|data)", ".*")]

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}

# Files beside docs/ that are pages here as well.
PAGES = {
    "CHANGELOG.md": "project/changelog",
    "CONTRIBUTING.md": "project/contributing",
    "SECURITY.md": "project/reporting",
}


def keep_links(_app: Any, docname: str, source: list[str]) -> None:
    """Puts in the text of a file beside docs/, and makes links to such files lead to their pages.

    Links in the sources are those that are right on a code host.
    """
    up = "../" * docname.count("/")
    for name, page in PAGES.items():
        if docname == page:
            text = (ROOT / name).read_text(encoding="utf-8")
            source[0] = re.sub(r"\]\((?!\w+:|#)", f"]({up}../", text)
    source[0] = source[0].replace(f"]({up}../docs/", f"]({up}")
    for name, page in PAGES.items():
        source[0] = source[0].replace(f"]({up}../{name}", f"]({up}{page}.md")


def qualify(
    _app: Any,
    _what: str,
    _name: str,
    _obj: Any,
    _options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Says in annotations which Socket is meant, of several, and shortens flags."""

    def plain(text: str | None) -> str | None:
        if text is None:
            return None
        text = re.sub(r"<\w+\.([\w|]+): \d+>", r"\1", text)
        return re.sub(r"(?<![\w.])(Context|Frame|MessageTracker|Socket)\b", r"fastmq.\1", text)

    return plain(signature), plain(returns)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", keep_links)
    app.connect("autodoc-process-signature", qualify)
    # One overload a type of socket is for type checkers; readers want the one signature.
    context = ModuleAnalyzer.for_module("fastmq.context")
    context.analyze()
    context.overloads.pop("Context.socket")
