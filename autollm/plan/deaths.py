"""Trials on which evaluators die: the second death tells that it was no accident, and fails the trial, never the search."""

from __future__ import annotations

from collections.abc import Sequence

from autollm.contract.wording import plain
from autollm.plan.actions import FailTrial
from autollm.plan.landscape import failure_of
from autollm.plan.snapshot import Snapshot, TaskState
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure

MOST_DEATHS = 2
"""A trial on which so many evaluators died has failed."""

LONGEST_CAUSE = 1024


def fatal(state: TaskState | None, waiting: Sequence[MergeTrial]) -> dict[str, FailTrial]:
    """Return what is to be done about the trials that kill their evaluators, by name."""
    if state is None:
        return {}
    found: dict[str, FailTrial] = {}
    for trial in waiting:
        name = trial.metadata.name
        deaths = state.deaths.get(name, ())
        # Where no retry is left, the one that used up the last is not tried on another evaluator.
        if len(deaths) >= MOST_DEATHS or (deaths and name == state.died_on):
            found[name] = failed_by(name, deaths)
    return found


def failed_by(trial: str, deaths: Sequence[Failure]) -> FailTrial:
    """Return what fails a trial for the deaths of its evaluators, of which there is one at least."""
    last = deaths[-1]
    told = "Its evaluator died" if len(deaths) == 1 else f"{len(deaths)} evaluators died one after the other"
    message = f"{told} while scoring it ({last.reason}): {plain(last.message, LONGEST_CAUSE)}"
    return FailTrial(trial, Failure(reason="EvaluatorDied", message=message))


def ended_by_a_trial(snapshot: Snapshot, state: TaskState) -> bool:
    """Say whether evaluators that have failed did so on a trial that was failed for it: others go on without it."""
    trial = snapshot.trial(state.died_on)
    failure = failure_of(trial) if trial is not None else None
    return failure is not None and failure.reason == "EvaluatorDied"
