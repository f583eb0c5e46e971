"""Every bad document is refused with its field and its remedy; every good one is taken, and means to the types what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autollm.resources import AutoLLMRun
from autollm.resources.load import Document
from autollm.resources.validate import API_VERSION, KINDS, Verdict, check
from support.documents import ABSENT, BAD, EVERYTHING, GOOD, SHORTEST, Bad, changed


def verdict(document: dict[str, Any]) -> Verdict:
    return check(Document(document, Path("run.yaml"), {}))


def problems(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(problem.field, problem.message) for problem in verdict(document).problems]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_document_is_refused_with_its_field_and_its_remedy(bad: Bad) -> None:
    found = problems(bad.document)
    assert any(field == bad.field and bad.words in message for field, message in found), found


def test_the_table_has_no_entry_twice_and_is_long_enough() -> None:
    assert len({bad.name for bad in BAD}) == len(BAD) >= 60


@pytest.mark.parametrize("document", GOOD, ids=["shortest", "everything"])
def test_a_good_document_is_taken_and_the_types_agree_on_its_defaults(document: dict[str, Any]) -> None:
    checked = verdict(document)
    assert checked.problems == ()
    assert AutoLLMRun.parse(checked.data) == AutoLLMRun.parse(document)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("spec.search", None),
        ("spec.search.trials", None),
        ("spec.artifacts.endpoint", None),
        ("spec.data.split.search", 0),
        ("status", {"conditions": "not the user's to write"}),
    ],
)
def test_null_counts_as_absent_and_status_is_not_read(field: str, value: Any) -> None:
    extra = {"spec.sources[1].use": "Search"} if field.endswith("search") else {}
    assert problems(changed(SHORTEST, {field: value} | extra)) == []


def test_every_problem_is_told_at_once() -> None:
    found = problems(changed(SHORTEST, {"spec.search.trials": 0, "spec.modle": 1, "spec.training.methods[0].sft": ABSENT}))
    assert {field for field, _ in found} == {"spec.search.trials", "spec.modle", "spec.training.methods[0]"}


def test_the_names_of_the_kinds_are_those_of_the_types() -> None:
    from autollm.resources.crd import KINDS as DEFINED
    from autollm.resources.metadata import API_VERSION as OF_TYPES

    assert tuple(kind.name for kind in DEFINED) == KINDS
    assert API_VERSION == OF_TYPES


def test_weights_at_their_bounds_are_taken() -> None:
    weights = {f"math-{number:04}/sft": str(number % 20 - 10) for number in range(21)}
    assert problems(changed(EVERYTHING, {"spec.search.start": [{"weights": weights}] * 2})) == []
