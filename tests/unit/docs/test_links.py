"""Every relative link of the documents leads to a file that is there, and to a heading of it where it names one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)>\s]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)|(?:src|href|srcset)=\"([^\"]+)\"", re.MULTILINE)
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:")


def links(text: str) -> Iterator[str]:
    """Yield where the links of a page lead, those to other places on the web left out."""
    for found in LINK.finditer(FENCE.sub("", text)):
        target = next(group for group in found.groups() if group is not None)
        if not ELSEWHERE.match(target):
            yield target


def anchors(text: str) -> set[str]:
    """Return the names that headings get, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    found = []
    for link in links(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        there = target.exists() and ROOT in [target.resolve(), *target.resolve().parents]
        if not there or (anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8"))):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_broken_links_of_every_kind_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading, here\n[a](page.md#a-heading-here) [b](gone.md) ![c](gone.png 'title') [d](#nowhere) [e](https://example.org/x)\n"
        '<img src="gone.svg">\n[f]: gone/too.md\n```\n[g](in-code.md)\n```\n[h](../outside.md)\n'
    )
    (tmp_path.parent / "outside.md").touch()
    assert broken(page) == ["gone.md", "gone.png", "#nowhere", "gone.svg", "gone/too.md", "../outside.md"]
