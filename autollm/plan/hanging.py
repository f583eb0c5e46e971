"""Evaluators that hang are replaced; a trial on which two of them hang has failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from autollm.plan.actions import Action, FailTrial, RestartEvaluator
from autollm.plan.field import Field
from autollm.plan.landscape import Landscapes
from autollm.plan.snapshot import Snapshot, TaskState
from autollm.resources.facts import Prepared
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure

FIRST_DEADLINE = timedelta(hours=24)
"""For a trial before which none was scored, so that nothing is known of how long one takes."""

LOADING = timedelta(hours=2)
"""How much longer the trials of a worker may take that has scored none since it began: it fetches the base and the deltas first."""

GRACE = timedelta(minutes=10)
SLACK = 10.0
"""A trial hangs when it takes the grace, and this many times as long as the slowest so far took for as many items."""


def hanging(
    snapshot: Snapshot, state: TaskState | None, waiting: Sequence[MergeTrial], field: Field, now: datetime
) -> tuple[tuple[Action, ...], datetime | None]:
    """Return what is to be done about the trials that take too long, and when to look again."""
    actions: list[Action] = []
    looks: list[datetime] = []
    slowest = max(_paces(snapshot, field.landscapes), default=None) if waiting else None
    for trial in waiting:
        slot, created = trial.spec.slot, trial.metadata.creation_timestamp
        since = state.slots.get(slot) if state is not None and slot is not None else None
        if state is None or slot is None or since is None or created is None:
            continue
        begun = datetime.fromisoformat(created)
        if state.started is not None:
            begun = max(begun, state.started)  # none had it while the run was suspended, or all of them were queued
        allowed = FIRST_DEADLINE if slowest is None else GRACE + timedelta(seconds=SLACK * slowest * _items(trial, field.prepared))
        loading = timedelta(0) if slowest is None or _has_scored(snapshot, slot, since) else LOADING
        due = max(begun, since) + loading + allowed
        if now < due:
            looks.append(due)
            continue
        # A worker was replaced already if the trial was there for one deadline before the present one was asked for.
        if begun + allowed <= state.wanted.get(slot, since):
            told = int((loading + allowed).total_seconds())
            message = f"It was not scored within {told} s, nor was it by the evaluator before this one."
            actions.append(FailTrial(trial.metadata.name, Failure(reason="DeadlineExceeded", message=message)))
        actions.append(RestartEvaluator(state.id, slot))
    return tuple(actions), min(looks, default=None)


def _has_scored(snapshot: Snapshot, slot: int, since: datetime) -> bool:
    """Say whether a slot's worker has scored a trial that was made after the worker began: what it needs is loaded then."""
    return any(
        trial.spec.slot == slot
        and trial.status is not None
        and trial.status.score is not None
        and trial.metadata.creation_timestamp is not None
        and datetime.fromisoformat(trial.metadata.creation_timestamp) >= since
        for trial in reversed(snapshot.trials)
    )


def _paces(snapshot: Snapshot, now_in: Landscapes) -> Iterator[float]:
    """Yield the seconds that each scored trial took for an item."""
    for trial in snapshot.trials:
        status = trial.status
        if status and status.seconds and status.items and now_in.contains(trial):
            yield (float(status.seconds.merge) + float(status.seconds.evaluate)) / status.items


def _items(trial: MergeTrial, prepared: Prepared) -> int:
    split = prepared.search if trial.spec.split == "Search" else prepared.test
    return min(trial.spec.items or split.count, split.count)
