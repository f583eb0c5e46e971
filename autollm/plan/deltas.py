"""Deltas: one DeltaTraining for each, a task for each that is not in the artifacts yet, none trained twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from autollm.contract.layout import delta_manifest
from autollm.contract.tasks import TrainTask
from autollm.plan.actions import Action, EnsureTraining, SetTrainingStatus, SetTrainingWorkers
from autollm.plan.conditions import decided_since, settle
from autollm.plan.errands import ending, errand, task_id
from autollm.plan.snapshot import Snapshot
from autollm.plan.step import Ended, Step, Verdict, Working
from autollm.plan.trainings import PlannedTraining, planned_keys
from autollm.plan.waiting import Wait, with_waits
from autollm.resources.delta_training import DeltaTraining, DeltaTrainingStatus
from autollm.resources.facts import Prepared, TrainedDelta
from autollm.resources.metadata import ChildMetadata, Failure
from autollm.resources.run_status import DeltaCounts


@dataclass(frozen=True)
class Standing:
    """How one planned training stands: its verdict, the work it needs, and the delta or the failure it has come to."""

    planned: PlannedTraining
    verdict: Verdict
    delta: TrainedDelta | None = None
    reused: bool = False
    failure: Failure | None = None
    actions: tuple[Action, ...] = ()
    tasks: frozenset[str] = frozenset()
    look_again: datetime | None = None
    wait: Wait | None = None


def delta_keys(prepared: Prepared, planned: Sequence[PlannedTraining]) -> dict[str, str]:
    """Return the key of every delta of the run by its name, the ready-made ones, which are the oldest, first."""
    return {delta.name: delta.key for delta in prepared.imported} | {training.delta: training.key for training in planned}


def known_deltas(snapshot: Snapshot, prepared: Prepared, planned: Sequence[PlannedTraining]) -> frozenset[str]:
    """Return the keys of the trained deltas that are in the artifacts."""
    made = frozenset(training.status.delta.key for training in snapshot.trainings if training.status and training.status.delta)
    return made | prepared.existing.keys(planned_keys(planned)) if prepared.existing is not None else made


def make_deltas(snapshot: Snapshot, prepared: Prepared, planned: Sequence[PlannedTraining], now: datetime) -> Step:
    """Have every delta made; one that fails ends the run once the others have come to their end."""
    standings = _standings(snapshot, prepared, planned, now)
    ready = [standing for standing in standings if standing.delta is not None]
    failed = [standing for standing in standings if standing.failure is not None]
    imported = len(prepared.imported)
    counts = DeltaCounts(
        total=len(standings) + imported,
        ready=len(ready) + imported,
        reused=sum(standing.reused for standing in ready),
        failed=len(failed),
    )
    actions = [
        *_missing(snapshot, planned),
        *_other_workers(snapshot, standings),
        *_status_changes(snapshot, standings, now),
        *(action for standing in standings for action in standing.actions),
    ]
    tasks = frozenset[str]().union(*(standing.tasks for standing in standings))
    look_again = min((standing.look_again for standing in standings if standing.look_again), default=None)
    waits = [standing.wait for standing in standings if standing.wait is not None]
    state, verdict = _outcome(counts, failed, waits, unfinished=len(ready) + len(failed) < len(standings))
    return Step(state, (verdict,), tuple(actions), tasks, {"deltas": counts}, look_again)


def _outcome(
    counts: DeltaCounts, failed: Sequence[Standing], waits: Sequence[Wait], *, unfinished: bool
) -> tuple[Working | Ended | None, Verdict]:
    progress = f"{counts.ready} of {counts.total} deltas are ready, {counts.reused} of them reused."
    if unfinished:
        message = with_waits(progress, waits)
        return Working("Training", message), Verdict("DeltasReady", "Unknown", "Training", message)
    if failed:
        first = next((standing for standing in failed if standing.failure and standing.failure.reason != "StartFailed"), failed[0])
        told = f"{first.planned.delta}: {first.failure.message if first.failure else ''}".rstrip(".") + "."
        others = f" {len(failed) - 1} more failed too." if len(failed) > 1 else ""
        message = f"{told}{others} {progress} `autollm run`, in a cluster `autollm retry`, tries what failed once more."
        return Ended(False, "TrainingFailed", message), Verdict("DeltasReady", "False", "TrainingFailed", message)
    return None, Verdict("DeltasReady", "True", "Ready", progress)


def _standings(snapshot: Snapshot, prepared: Prepared, planned: Sequence[PlannedTraining], now: datetime) -> list[Standing]:
    known = known_deltas(snapshot, prepared, planned)
    by_key: dict[str, Standing] = {}
    standings = []
    for training in planned:
        standing = _standing(snapshot, training, known, by_key, now)
        by_key.setdefault(training.key, standing)
        standings.append(standing)
    return standings


def _standing(
    snapshot: Snapshot, training: PlannedTraining, known: frozenset[str], earlier: Mapping[str, Standing], now: datetime
) -> Standing:
    child = snapshot.training(training.name(snapshot.name))
    name = task_id(snapshot.name, "Train", training.key)
    if child is not None and child.status is not None and child.status.delta is not None:
        reused = bool(child.status.reused)
        done = ending(snapshot.task(name), decided_since(child.status.conditions, "Succeeded", now), now)
        delta = child.status.delta
        return Standing(training, _ready(reused=reused), delta, reused, tasks=done.tasks, look_again=done.look_again)
    if training.key in known:
        uri = f"{training.spec.artifacts.uri.rstrip('/')}/{delta_manifest(training.key)}"
        return Standing(training, _ready(reused=True), delta=TrainedDelta(key=training.key, uri=uri), reused=True)
    if (twin := earlier.get(training.key)) is not None:
        if twin.failure is not None:
            return _failed(training, twin.failure)
        return Standing(training, Verdict("Succeeded", "Unknown", "Waiting", f"{twin.planned.delta} is the same delta, not ready yet."))
    if training.start is not None and training.start not in known:
        start = earlier[training.start]
        if start.failure is not None:
            return _failed(training, Failure(reason="StartFailed", message=f"It continues {start.planned.delta}, which failed."))
        return Standing(training, Verdict("Succeeded", "Unknown", "Waiting", f"It continues {start.planned.delta}, which is not ready."))
    task = TrainTask(id=name, run=snapshot.name, training=training.name(snapshot.name), spec=training.spec)
    doing = errand(task, snapshot.task(name), now)
    if doing.failure is not None:
        return _failed(training, doing.failure)
    wait = Wait(name, doing.waiting)
    under_way = Verdict("Succeeded", "Unknown", "Waiting" if doing.waiting else "Training", wait.sentence)
    return Standing(training, under_way, actions=doing.actions, tasks=doing.tasks, look_again=doing.look_again, wait=wait)


def _ready(*, reused: bool) -> Verdict:
    if reused:
        return Verdict("Succeeded", "True", "Reused", "An equal delta was in the artifacts already.")
    return Verdict("Succeeded", "True", "Trained", "")


def _failed(training: PlannedTraining, failure: Failure) -> Standing:
    return Standing(training, Verdict("Succeeded", "False", failure.reason, failure.message), failure=failure)


def _missing(snapshot: Snapshot, planned: Sequence[PlannedTraining]) -> Iterator[EnsureTraining]:
    for training in planned:
        name = training.name(snapshot.name)
        if snapshot.training(name) is None:
            labels = {"autollm.dev/run": snapshot.name}
            yield EnsureTraining(DeltaTraining(metadata=ChildMetadata(name=name, labels=labels), spec=training.spec))


def _other_workers(snapshot: Snapshot, standings: Sequence[Standing]) -> Iterator[SetTrainingWorkers]:
    """What the pods of a training may use, as the run says now; where the delta is made, it is the record of what it was made with."""
    for standing in standings:
        name = standing.planned.name(snapshot.name)
        child = snapshot.training(name)
        if standing.delta is None and child is not None and child.spec.workers != snapshot.spec.workers:
            yield SetTrainingWorkers(name, snapshot.spec.workers)


def _status_changes(snapshot: Snapshot, standings: Sequence[Standing], now: datetime) -> Iterator[SetTrainingStatus]:
    """The status of a training, its conditions and where its delta was reused; progress and own deltas are the worker's to write."""
    for standing in standings:
        name = standing.planned.name(snapshot.name)
        child = snapshot.training(name)
        before = (child.status if child else None) or DeltaTrainingStatus()
        generation = child.metadata.generation if child else 1
        wanted = DeltaTrainingStatus(
            observed_generation=generation,
            conditions=settle(before.conditions, [standing.verdict], generation, now),
            reused=standing.reused if standing.delta is not None else None,
            delta=standing.delta if standing.reused else None,
            failure=standing.failure,
        )
        if _owned(before, reused=standing.reused) != _owned(wanted, reused=standing.reused):
            yield SetTrainingStatus(name, wanted)


def _owned(status: DeltaTrainingStatus, *, reused: bool) -> tuple[object, ...]:
    """Return the fields of a status that are the planner's own."""
    delta = status.delta if reused else None
    return status.observed_generation, status.conditions, status.reused, delta, status.failure
