"""The schema with its rules, and the types, are made from one text: what one takes, the other takes, and means the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from pydantic import ValidationError

from autollm.resources import AutoLLMRun
from autollm.resources.load import Document
from autollm.resources.validate import check
from support.generated_documents import run_documents


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(run_documents())
def test_what_validate_takes_the_types_take_and_mean_the_same_by(document: dict[str, Any]) -> None:
    verdict = check(Document(document, Path("run.yaml"), {}))
    try:
        run = AutoLLMRun.parse(_without_nulls(document))
    except ValidationError:
        event("the types refuse")
        assert verdict.problems
    else:
        event("refused by a rule or by a type that pydantic converts" if verdict.problems else "taken")
        assert verdict.problems or AutoLLMRun.parse(verdict.data) == run


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value
