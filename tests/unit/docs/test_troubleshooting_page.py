"""The page on troubles names only reasons that are on the page of all reasons, and every chapter can be found from its top."""

from __future__ import annotations

import re
from pathlib import Path

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to"
PAGE, ERRORS = ((HOW_TO / name).read_text() for name in ("troubleshooting.md", "errors.md"))


def reasons(page: str) -> set[str]:
    """Return the words in the first column of a page's tables that are written as reasons."""
    rows = re.findall(r"^\| (`[A-Z][^|]*) \|", page, re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`([A-Z]\w+)`", row)}


def test_reasons_are_those_of_the_page_on_errors() -> None:
    assert len(reasons(PAGE)) > 15
    assert reasons(PAGE) <= reasons(ERRORS)


def test_every_chapter_is_linked_on_the_page() -> None:
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)}
    assert anchors - set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) == {"still-stuck"}
