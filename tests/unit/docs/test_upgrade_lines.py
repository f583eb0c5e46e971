"""What documents tell people to upgrade with keeps their values, and takes what a new chart brings."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
UPGRADE = re.compile(r"^helm upgrade (?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)


def test_no_upgrade_drops_the_values_that_are_new() -> None:
    texts = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "charts").rglob("*.txt"))]
    upgrades = [line for text in texts for line in UPGRADE.findall(text.read_text(encoding="utf-8"))]
    assert len(upgrades) >= 5
    assert [line for line in upgrades if " --reset-then-reuse-values" not in line] == []
