"""The page on errors has every reason that the program can give, and none that it cannot."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autollm.contract.exit_codes import ExitCode
from support.reasons import reasons_in

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "errors.md").read_text(encoding="utf-8")
EXPLAINED = {word for row in re.findall(r"^\| (`[A-Z][^|]*) \|", PAGE, re.MULTILINE) for word in re.findall(r"`([A-Z]\w+)`", row)}


@pytest.fixture(scope="module")
def given() -> dict[str, set[str]]:
    return reasons_in(ROOT / name for name in ("autollm", "runtime", "operator"))


def test_every_reason_is_explained(given: dict[str, set[str]]) -> None:
    assert {reason: sorted(files) for reason, files in given.items() if reason not in EXPLAINED} == {}


def test_no_reason_is_explained_that_is_never_given(given: dict[str, set[str]]) -> None:
    assert set(given) >= EXPLAINED


def test_every_exit_code_of_a_worker_is_explained() -> None:
    table = PAGE.partition("| a worker (")[2].partition("\n\n")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == sorted(ExitCode)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise InputError("no", reason="Given")', {"Given"}),
        ('class Broken(Exception):\n    reason = "Own"', {"Own"}),
        ('class Gate:\n    passed: bool\n    reason: str\nGate(False, "Field" if x else "Other")', {"Field", "Other"}),
        ('class Bad(Exception):\n    def __init__(self, reason, message): ...\nBad("First", "Second")', {"First"}),
        ('class Place:\n    def fault(self, reason): ...\nplace.fault("Method")', {"Method"}),
        ('reason, message = "Paired", "Not"', {"Paired"}),
        ('def f(reason): ...\nf("not one")', set()),
    ],
)
def test_reasons_are_found_however_they_are_given(tmp_path: Path, source: str, found: set[str]) -> None:
    (tmp_path / "module.py").write_text(source)
    assert set(reasons_in([tmp_path])) == found
