"""Trials in slots to which no evaluator comes, as where fewer GPUs are free than `search.parallelism` asks for: others take their place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from autollm.plan.actions import FailTrial
from autollm.plan.deaths import failed_by
from autollm.plan.landscape import SUPERSEDED
from autollm.plan.snapshot import TaskState
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure

PATIENCE = timedelta(minutes=5)
"""How long a slot may be without an evaluator: longer than an image takes to come, or a worker that died to be replaced once."""

_UNATTENDED = Failure(
    reason=SUPERSEDED,
    message=f"No evaluator was in its slot for {PATIENCE.seconds // 60} minutes: a trial in another slot takes its place.",
)

_WITHOUT_SLOT = Failure(
    reason=SUPERSEDED,
    message="Its slot is one more than search.parallelism asks for, and no evaluator was at work yet: a trial in another takes its place.",
)


def without_slot(waiting: Sequence[MergeTrial], state: TaskState | None, parallelism: int) -> dict[str, FailTrial]:
    """Return the trials above `search.parallelism` to be given up, by name: all of them while no evaluator can be at work on one.

    Kept, they would keep a pool that is queued as large as it was, and it might never be granted.
    """
    if state is not None and state.started is not None:
        return {}
    above = (trial.metadata.name for trial in waiting if trial.spec.slot is not None and trial.spec.slot >= parallelism)
    return {name: _given_up(name, state, _WITHOUT_SLOT) for name in above}


def stranded(
    waiting: Sequence[MergeTrial], state: TaskState | None, parallelism: int, *, idle: bool, now: datetime
) -> tuple[tuple[FailTrial, ...], datetime | None]:
    """Return the trials to be given up, and when to look again; `idle` says that an evaluator at work has no trial.

    Without one that is idle a trial waits where it is, but for those above `search.parallelism`: their slots are to go.
    """
    if state is None:
        return (), None
    given_up: list[FailTrial] = []
    looks: list[datetime] = []
    for trial in waiting:
        slot, created = trial.spec.slot, trial.metadata.creation_timestamp
        if slot is None or created is None or slot not in state.vacant or not (idle or slot >= parallelism):
            continue
        name, due = trial.metadata.name, max(datetime.fromisoformat(created), state.vacant[slot]) + PATIENCE
        if now < due:
            looks.append(due)
        else:
            given_up.append(_given_up(name, state, _UNATTENDED))
    return tuple(given_up), min(looks, default=None)


def _given_up(name: str, state: TaskState | None, failure: Failure) -> FailTrial:
    deaths = state.deaths.get(name, ()) if state is not None else ()
    # Placed anew it would begin anew, and could kill one evaluator after the other.
    return failed_by(name, deaths) if deaths else FailTrial(name, failure)
