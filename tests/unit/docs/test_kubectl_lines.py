"""What documents tell people to ask kubectl can be asked: a category takes no name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "charts" / "autollm" / "templates" / "NOTES.txt"]
NAMED_CATEGORY = re.compile(r"kubectl (?:-n \S+ )?(?:get|describe|delete|edit|patch) autollm(?:/| (?!-)[A-Za-z])[^\n`]*")


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(text.relative_to(ROOT)))
def test_one_run_is_asked_for_by_its_kind(text: Path) -> None:
    assert NAMED_CATEGORY.findall(text.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line", ["kubectl get autollm NAME -o yaml", "kubectl describe autollm my-run", "kubectl -n a delete autollm/my-run"]
)
def test_a_category_with_a_name_is_found(line: str) -> None:
    assert NAMED_CATEGORY.search(line)
    assert not NAMED_CATEGORY.search("kubectl get autollm --namespace team-a  # all three")
