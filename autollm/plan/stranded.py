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
        elif deaths := state.deaths.get(name):
            # Placed anew it would begin anew, and could kill one evaluator after the other.
            given_up.append(failed_by(name, deaths))
        else:
            given_up.append(FailTrial(name, _UNATTENDED))
    return tuple(given_up), min(looks, default=None)
