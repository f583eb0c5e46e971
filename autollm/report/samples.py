"""Sample answers: what the base, the best single delta and the winner said to the same test items."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from autollm.contract import layout
from autollm.contract.manifests import ItemResult, Record
from autollm.report.state import RunState, compared_rows
from autollm.resources.run_status import ResultRow
from autollm.store import NotFoundError, Store
from autollm.store.objects import read_verified

SAMPLES_A_SOURCE = 3


@dataclass(frozen=True)
class Answer:
    """What a model answered, what that scored, and whether it is right: by the match metrics, else where it equals the reference."""

    text: str
    score: float | None
    right: bool


@dataclass(frozen=True)
class Sample:
    """One test item with its reference and what several models answered, by the name of their row."""

    source: str
    prompt: str
    reference: str
    answers: Mapping[str, Answer]


def samples(state: RunState, items: str, store: Store) -> Iterator[Sample]:
    """Yield the first items of each source that all compared rows answered."""
    answers = {row.name: _answers(state, row, store) for row in compared_rows(state)}
    if not answers or not all(answers.values()):
        return
    shown: dict[str, int] = {}
    for line in read_verified(store, layout.records(items), items).splitlines():
        record = Record.parse(json.loads(line))
        if shown.get(record.source, 0) < SAMPLES_A_SOURCE and all(record.id in known for known in answers.values()):
            shown[record.source] = shown.get(record.source, 0) + 1
            prompt, reference = _asked(record)
            yield Sample(
                record.source, prompt, reference, {name: _judged(state, known[record.id], reference) for name, known in answers.items()}
            )


def _answers(state: RunState, row: ResultRow, store: Store) -> dict[str, ItemResult]:
    trial = state.test_trial(row)
    if trial is None:
        return {}
    try:
        lines = store.read(layout.trial_results(state.run.metadata.name, trial.metadata.name)).splitlines()
    except NotFoundError:
        return {}
    results = (ItemResult.parse(json.loads(line)) for line in lines)
    return {result.id: result for result in results if result.answer is not None}


def _judged(state: RunState, result: ItemResult, reference: str) -> Answer:
    matches = {metric.name for metric in state.run.spec.evaluation.effective_metrics if metric.match is not None}
    judged = [value for name, value in result.values.items() if name in matches]
    text = result.answer or ""
    return Answer(text, result.score, all(value == 1 for value in judged) if judged else text.strip() == reference.strip())


def _asked(record: Record) -> tuple[str, str]:
    """Return the last question of a record and its reference answer."""
    if record.messages is not None:
        return next((turn.content for turn in reversed(record.messages[:-1]) if turn.role == "user"), ""), record.messages[-1].content
    if record.prompt is not None:
        return record.prompt[-1].content if record.prompt else "", record.chosen or ""
    return "", record.text or ""
