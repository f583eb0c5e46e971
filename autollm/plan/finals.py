"""Finals: every row of the table on the test split, the winner last so that it is compared with all others item by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from autollm.plan.actions import EnsureTrial
from autollm.plan.baselines import Row, identity_of
from autollm.plan.evaluators import occupy
from autollm.plan.field import Field
from autollm.plan.landscape import NON_FINITE, failure_of, is_pending, placed, trial_name
from autollm.plan.snapshot import Snapshot
from autollm.plan.step import Ended, Step, Verdict, Working
from autollm.plan.waiting import with_waits
from autollm.resources.merge_trial import Comparison, MergeTrial, MergeTrialSpec, Origin
from autollm.resources.metadata import ChildMetadata


@dataclass(frozen=True)
class Exam:
    """The test trials by the identity of what they score, and the winner's once it is done; until then the step says what is to be done."""

    step: Step
    trials: Mapping[str, MergeTrial]
    winner: MergeTrial | None = None


def examine(snapshot: Snapshot, field: Field, rows: Sequence[Row], now: datetime) -> Exam:
    """Have the rows scored on the test split; the last row is the winner."""
    *others, auto = rows
    contenders = {row.identity: row for row in others if row.identity != auto.identity}
    existing = field.landscapes.trials(snapshot, field.landscapes.test)
    trials = {identity_of(trial): trial for trial in reversed(existing) if identity_of(trial) in contenders}
    missing = [_test_trial(snapshot, field, row, number) for number, row in enumerate(contenders.values()) if row.identity not in trials]
    done = not missing and not any(is_pending(trial) for trial in trials.values())
    winner = None
    if done:
        last = _test_trial(snapshot, field, auto, len(contenders), [trials[identity] for identity in contenders])
        winner = next((trial for trial in existing if trial.metadata.name == last.metadata.name), None)
        missing = [] if winner else [last]
    if winner is not None and not is_pending(winner):
        return Exam(_finished(winner), trials, winner)
    slots = occupy(snapshot, field, now)
    if slots.failure is not None:
        return Exam(_failed(slots.failure.reason, slots.failure.message), trials)
    ensured = tuple(EnsureTrial(placed(trial, slot)) for trial, slot in zip(missing, slots.free, strict=False))
    scored = sum(not is_pending(trial) for trial in trials.values())
    message = f"{scored} of {len(contenders) + 1} candidates are scored on the test split."
    working = Working("Testing", with_waits(message, slots.waits))
    verdict = Verdict("Published", "Unknown", working.reason, working.message)
    return Exam(Step(working, (verdict,), (*slots.actions, *ensured), slots.tasks, look_again=slots.look_again), trials)


def _finished(winner: MergeTrial) -> Step:
    failure = failure_of(winner)
    if failure is None:
        return Step()
    remedy = "" if failure.reason == NON_FINITE else " `autollm run`, in a cluster `autollm retry`, tries it once more."
    return _failed("TestFailed", f"The winner could not be scored on the test split: {failure.message.rstrip('.')}.{remedy}")


def _failed(reason: str, message: str) -> Step:
    return Step(Ended(False, reason, message), (Verdict("Published", "False", reason, message),))


def _test_trial(snapshot: Snapshot, field: Field, row: Row, number: int, against: Sequence[MergeTrial] | None = None) -> MergeTrial:
    landscape = field.landscapes.test
    compared = [
        Comparison(trial=trial.metadata.name, results=trial.status.results)
        for trial in against or []
        if trial.status is not None and trial.status.results is not None
    ]
    confidence = snapshot.spec.publish.when.confidence if against is not None else None
    asked = {"landscape": landscape, "identity": row.identity, "against": [one.trial for one in compared], "confidence": str(confidence)}
    # What it is compared by besides the objective; whether a difference is too large is for the gate, at any margin.
    constrained = sorted({constraint.metric for constraint in snapshot.spec.evaluation.constraints or []}) if against is not None else []
    metrics = {"constrained": constrained} if constrained else {}
    return MergeTrial(
        metadata=ChildMetadata(name=trial_name(snapshot, {**asked, **metrics})),
        spec=MergeTrialSpec(
            run=snapshot.name,
            name=row.name,
            landscape=landscape,
            split="Test",
            weights={} if row.model is not None else dict(row.weights),
            model=row.model,
            number=number,
            slot=0,
            against=compared or None,
            compared_by=constrained or None,
            confidence=confidence,
            origin=Origin(optimizer="Baseline"),
        ),
    )
