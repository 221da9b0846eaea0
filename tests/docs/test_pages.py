# SPDX-License-Identifier: MIT
"""How pages are written: each begins with what it is for."""

import re

import pytest
from target import fastmq_only
from test_docs import name_of, pages

pytestmark = fastmq_only("of the repository")

ELSEWHERE = ("docs/reference/", "docs/project/")  # docstrings, and files of the root, say it
PAGES = [page for page in pages() if not name_of(page).startswith(ELSEWHERE)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_says_what_it_is_for_before_its_first_section(page):
    title, _, rest = page.read_text(encoding="utf-8").partition("\n")
    assert title.startswith("# ")
    beginning = re.sub(r"<!--.*?-->", "", rest.partition("\n## ")[0], flags=re.DOTALL)
    words = [
        line
        for line in beginning.splitlines()
        if line.strip() and not line.startswith(("![", "```", "#"))
    ]
    assert len(" ".join(words)) > 60
