# SPDX-License-Identifier: MIT
"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import re
from typing import Any

import fastmq

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
autodoc_default_options = {"members": True, "show-inheritance": True}

# Files beside docs/ that are pages here as well: links to them, right on a code host, lead there.
PAGES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/reporting.md",
}


def keep_links(app: Any, docname: str, source: list[str]) -> None:
    """Makes `](../SECURITY.md)` of a page lead to the page that holds that file."""
    up = "../" * docname.count("/")

    def page(found: re.Match[str]) -> str:
        return f"]({up}{PAGES[found[2]]}" if found[1] == f"{up}../" else found[0]

    names = "|".join(map(re.escape, PAGES))
    source[0] = re.sub(rf"\]\(((?:\.\./)+)({names})", page, source[0])


def qualify(
    _app: Any, _what: str, _name: str, _obj: Any, _options: Any, signature: str, returns: str
) -> tuple[str, str]:
    """Says in annotations which Socket is meant: several modules have one."""

    def qualified(text: str) -> str:
        return re.sub(
            r"(?<![\w.])(Context|Frame|MessageTracker|Socket)\b", r"fastmq.\1", text or ""
        )

    return qualified(signature), qualified(returns)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", keep_links)
    app.connect("autodoc-process-signature", qualify)
