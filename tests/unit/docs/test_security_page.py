"""The page on security names tests that are there, for every threat."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "how-to" / "security.md").read_text()
ROWS = [row.split(" | ") for row in re.findall(r"^\| (.*) \|$", PAGE.partition("## Threats")[2], re.MULTILINE)][1:]


def test_every_threat_has_an_answer_and_a_test() -> None:
    assert len(ROWS) >= 15
    for threat, answer, tests in ROWS:
        assert answer, threat
        named = re.findall(r"`(tests/[^`]+)`", tests)
        assert named, threat
        assert [name for name in named if not (ROOT / name).is_file()] == [], threat
