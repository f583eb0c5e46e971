"""Pruning: what earlier rounds and documents left is deleted, a few objects at a time; what is in the artifacts stays.

A training or a trial is an object that says how far something is and what came of it. The delta, the per-item results and the revision with
all that led to it are in the artifacts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from autollm.plan.actions import DeleteTraining, DeleteTrial
from autollm.plan.errands import task_id
from autollm.plan.landscape import Landscapes, is_pending
from autollm.plan.revisions import latest_revision
from autollm.plan.snapshot import Snapshot
from autollm.plan.step import Step
from autollm.plan.trainings import PlannedTraining
from autollm.plan.weights import normal
from autollm.resources.compact import short_key
from autollm.resources.delta_training import DeltaTraining
from autollm.resources.merge_trial import MergeTrial

EARLIER_LANDSCAPES = 3
"""Kept beside the present ones and those of the published revision, the newest: a change that is taken back finds its trials there."""

MOST_AT_ONCE = 20
"""Objects that one plan deletes: what is under way does not wait for it."""


def prune_trainings(snapshot: Snapshot, planned: Sequence[PlannedTraining]) -> Step:
    """Delete the trainings that the run does not plan any more.

    Kept are those whose deltas are in the published model, and of the others the newest, as many as are planned. A delta whose training is
    deleted is found in the artifacts where it is needed again.
    """
    wanted = {training.name(snapshot.name) for training in planned}
    others = [training for training in snapshot.trainings if training.metadata.name not in wanted and _is_own(snapshot, training)]
    if len(others) <= len(planned):
        return Step()
    others.sort(key=_by_age)
    latest = latest_revision(snapshot.run.status)
    published = latest.merged if latest is not None else {}
    running = {task.id for task in snapshot.tasks if task.phase == "Running"}
    doomed = (
        DeleteTraining(training.metadata.name)
        for training in others[: len(others) - len(planned)]
        if short_key(training.spec.key) not in published and task_id(snapshot.name, "Train", training.spec.key) not in running
    )
    return Step(actions=tuple(islice(doomed, MOST_AT_ONCE)))


def prune_trials(snapshot: Snapshot, now_in: Landscapes) -> Step:
    """Delete the trials of landscapes that are neither the present ones nor those of the published revision, nor among the last before."""
    found: dict[str, list[MergeTrial]] = {}
    for trial in snapshot.trials:
        if trial.spec.landscape is not None and not now_in.contains(trial):
            found.setdefault(trial.spec.landscape, []).append(trial)
    if len(found) <= EARLIER_LANDSCAPES:
        return Step()
    newest = {landscape: max(map(_by_age, trials)) for landscape, trials in found.items()}
    earlier = sorted(found.keys() - _of_published(snapshot), key=lambda landscape: newest[landscape])
    doomed = (
        DeleteTrial(trial.metadata.name)
        for landscape in earlier[: max(len(earlier) - EARLIER_LANDSCAPES, 0)]
        for trial in sorted(found[landscape], key=_by_age)
        if not is_pending(trial)
    )
    return Step(actions=tuple(islice(doomed, MOST_AT_ONCE)))


def _by_age(child: DeltaTraining | MergeTrial) -> tuple[str, str]:
    return child.metadata.creation_timestamp or "", child.metadata.name


def _is_own(snapshot: Snapshot, training: DeltaTraining) -> bool:
    """Say whether the run made a training: one that somebody made beside it has another name."""
    return PlannedTraining(training.spec.delta, training.spec).name(snapshot.name) == training.metadata.name


def _of_published(snapshot: Snapshot) -> frozenset[str]:
    """Return the landscapes in which the weights of the revision in use were searched, ranked and tested."""
    latest = latest_revision(snapshot.run.status)
    winner = snapshot.trial(latest.trial) if latest is not None and latest.trial is not None else None
    if winner is None:
        return frozenset()
    until = winner.metadata.creation_timestamp or ""
    before = (trial for trial in snapshot.trials if (trial.metadata.creation_timestamp or "") <= until)
    same = [trial for trial in before if normal(trial.spec.weights) == normal(winner.spec.weights)]
    last = {(trial.spec.split, trial.spec.items is None): trial.spec.landscape for trial in sorted(same, key=_by_age)}
    return frozenset(landscape for landscape in last.values() if landscape is not None)
