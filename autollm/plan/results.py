"""Results: the table people came for."""

from __future__ import annotations

from collections.abc import Sequence

from autollm.plan.baselines import Row, identity_of
from autollm.plan.field import Field
from autollm.plan.finals import Exam
from autollm.plan.snapshot import Snapshot
from autollm.plan.weights import shown
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.run_status import Interval, ResultRow, ScoredOn


def results_table(snapshot: Snapshot, field: Field, rows: Sequence[Row], exam: Exam) -> list[ResultRow]:
    """Return the rows with their scores on both splits; a search score on all items counts before one on a sample."""
    searched: dict[str, MergeTrial] = {}
    for landscape in (field.landscapes.whole, field.landscapes.search):
        for trial in field.landscapes.trials(snapshot, landscape):
            if _score(trial) is not None:
                searched.setdefault(identity_of(trial), trial)
    tested = {**exam.trials, **({rows[-1].identity: exam.winner} if exam.winner else {})}
    return [
        ResultRow(
            name=row.name,
            weights=shown(row.weights),
            search=_score(searched.get(row.identity)),
            test=_score(tested.get(row.identity)),
            versus=_versus(exam.winner, tested.get(row.identity)),
        )
        for row in rows
    ]


def _score(trial: MergeTrial | None) -> ScoredOn | None:
    result = trial.status.result if trial is not None and trial.status is not None else None
    return ScoredOn(score=result.score, standard_error=result.standard_error, items=result.items) if result else None


def _versus(winner: MergeTrial | None, other: MergeTrial | None) -> Interval | None:
    if winner is None or other is None or winner.status is None:
        return None
    for found in winner.status.differences or []:
        if found.trial == other.metadata.name and found.metric is None:
            return Interval(difference=found.difference, low=found.low, high=found.high)
    return None
