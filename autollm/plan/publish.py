"""Publish: the winner where the gate lets it through, or the revision that is pinned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from autollm.contract.tasks import MergedDelta, PinTask, PublishTask
from autollm.plan.conditions import decided_since
from autollm.plan.errands import Errand, ending, errand, task_id, turn
from autollm.plan.field import Field
from autollm.plan.gate import Gate
from autollm.plan.revisions import consists_of, latest_revision
from autollm.plan.snapshot import Snapshot
from autollm.plan.step import Ended, Step, Verdict, Working
from autollm.plan.trainings import loaded_model
from autollm.plan.waiting import Wait, with_waits
from autollm.plan.weights import normal
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.run_status import ResultRow


def pin(snapshot: Snapshot, now: datetime) -> Step:
    """Have `latest` point to the pinned revision, before anything else is done."""
    wanted, status = snapshot.spec.publish.pin, snapshot.run.status
    latest = latest_revision(status)
    if wanted is None:
        return Step()
    if latest is not None and latest.revision == wanted:
        done = _ending(snapshot, now)
        return Step(verdicts=(_pinned(wanted),), tasks=done.tasks, look_again=done.look_again)
    as_of = status.prepared.key if status and status.prepared else None
    name = task_id(snapshot.name, "Pin", wanted, as_of, _turn(snapshot))
    task = PinTask(id=name, run=snapshot.name, revision=wanted, artifacts=snapshot.spec.artifacts, as_of=as_of)
    return _pursued(errand(task, snapshot.task(name), now), "Pinning", f"publish.pin: `latest` is moved to {wanted}.", name)


def publish(snapshot: Snapshot, field: Field, gate: Gate, winner: MergeTrial, results: Sequence[ResultRow], now: datetime) -> Step:
    """Publish the winner, or end the run without."""
    spec, latest = snapshot.spec, latest_revision(snapshot.run.status)
    weights = winner.spec.weights
    if spec.publish.pin is not None:
        message = f"{spec.publish.pin} is pinned, so nothing newer is published. {gate.message}"
        return Step(Ended(True, "Pinned", message), (_pinned(spec.publish.pin),))
    if latest is not None and consists_of(latest, field.base, weights, field.deltas):
        message = f"{latest.revision} is the model of this run. {gate.message}"
        verdict = Verdict("Published", "True", "Published", message)
        done = _ending(snapshot, now)
        return Step(Ended(True, "Published", message), (verdict,), tasks=done.tasks, look_again=done.look_again)
    if not gate.passed:
        return Step(Ended(True, "NotPublished", gate.message), (Verdict("Published", "False", gate.reason, gate.message),))
    kept = normal(weights)
    merged = {field.deltas[name]: weight for name, weight in kept.items()}
    replaces = latest.revision if latest is not None else None
    keep = spec.artifacts.keep.document() if spec.artifacts.keep is not None else None
    name = task_id(snapshot.name, "Publish", merged, field.prepared.key, replaces, keep, _turn(snapshot))
    task = PublishTask(
        id=name,
        run=snapshot.name,
        model=loaded_model(field.prepared.model, spec.model),
        deltas=[MergedDelta(name=name, key=key, weight=weights[name]) for name, key in field.deltas.items() if name in kept],
        weights={name: weights[name] for name in kept},
        trial=winner.metadata.name,
        results=list(results),
        data=field.prepared.manifest,
        spec=spec,
        artifacts=spec.artifacts,
        as_of=field.prepared.key,
        replaces=replaces,
        keep=spec.artifacts.keep,
    )
    return _pursued(errand(task, snapshot.task(name), now), "Publishing", gate.message, name)


def _ending(snapshot: Snapshot, now: datetime) -> Errand:
    """Return what is to be done about the task that has reported what `latest` points to."""
    status = snapshot.run.status
    since = decided_since(status.conditions if status is not None else None, "Published", now)
    reported = status.published.task if status is not None and status.published is not None else None
    return ending(snapshot.task(reported or ""), since, now)


def _turn(snapshot: Snapshot) -> str | int | None:
    status = snapshot.run.status
    return turn(status.published if status is not None else None, snapshot.run.metadata.generation)


def _pinned(revision: str) -> Verdict:
    return Verdict("Published", "True", "Pinned", f"publish.pin holds {revision}.")


def _pursued(doing: Errand, reason: str, message: str, task: str) -> Step:
    if doing.failure is not None:
        failed = doing.failure
        ended = Ended(False, failed.reason, failed.message)
        return Step(ended, (Verdict("Published", "False", failed.reason, failed.message),))
    working = Working(reason, with_waits(message, [Wait(task, doing.waiting)]))
    verdict = Verdict("Published", "Unknown", working.reason, working.message)
    return Step(working, (verdict,), doing.actions, doing.tasks, look_again=doing.look_again)
