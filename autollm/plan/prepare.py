"""Prepare: the data and the base model, again whenever what they depend on has changed."""

from __future__ import annotations

from datetime import datetime

from autollm.contract.digests import digest_document
from autollm.contract.keys import PREPARE_VERSION
from autollm.contract.tasks import PrepareTask
from autollm.plan.conditions import decided_since
from autollm.plan.errands import ending, errand, task_id, turn
from autollm.plan.snapshot import Snapshot
from autollm.plan.step import Ended, Step, Verdict, Working
from autollm.plan.waiting import Wait, with_waits
from autollm.resources.facts import Prepared
from autollm.resources.run import RunSpec
from autollm.resources.run_status import DataCounts, RunStatus


def prepare_key(spec: RunSpec, seen: str = "") -> str:
    """Return the digest of everything that prepare is asked."""
    document = spec.document()
    parts = {name: document.get(name) for name in ("model", "sources", "data", "training", "deltas")}
    artifacts = {name: value for name, value in document["artifacts"].items() if name != "keep"}
    asked = {"version": PREPARE_VERSION, "trainOnAll": spec.baselines.train_on_all, "artifacts": artifacts, "seen": seen}
    return digest_document(parts | asked)


def current_preparation(snapshot: Snapshot) -> Prepared | None:
    """Return what prepare reported, if that is what is asked of it now."""
    prepared = snapshot.run.status.prepared if snapshot.run.status else None
    return prepared if prepared is not None and prepared.key == prepare_key(snapshot.spec, snapshot.seen) else None


def prepare(snapshot: Snapshot, now: datetime) -> Step:
    """Have the data prepared, unless that is done."""
    status, prepared = snapshot.run.status, current_preparation(snapshot)
    if prepared is not None:
        counts = DataCounts(records=prepared.records, dropped=prepared.dropped, chunks=len(prepared.chunks))
        message = (
            f"{prepared.records} records in {_chunks(counts.chunks)}, {prepared.search.count} search and {prepared.test.count} test items."
        )
        verdict = Verdict("DataReady", "True", "Prepared", message)
        since = decided_since(status.conditions if status is not None else None, verdict.type, now)
        done = ending(snapshot.task(prepared.task or ""), since, now)
        fields = {"model": prepared.model, "data": counts}
        return Step(verdicts=(verdict,), tasks=done.tasks, fields=fields, look_again=done.look_again)
    last = status.prepared if status is not None else None
    key = prepare_key(snapshot.spec, snapshot.seen)
    # What is asked may go back to what it was, for which a task has reported before. By the GPUs it chooses the number format.
    name = task_id(snapshot.name, "Prepare", key, turn(last, snapshot.run.metadata.generation), snapshot.spec.workers.compute_on_gpus)
    doing = errand(_task(snapshot, name, key), snapshot.task(name), now)
    if doing.failure is not None:
        failed = doing.failure
        verdict = Verdict("DataReady", "False", failed.reason, failed.message)
        return Step(Ended(False, failed.reason, failed.message), (verdict,))
    message = with_waits("The sources are read, split and cut into chunks.", [Wait(name, doing.waiting)])
    working = Working("Preparing", message)
    return Step(
        working,
        (Verdict("DataReady", "Unknown", working.reason, working.message),),
        doing.actions,
        doing.tasks,
        look_again=doing.look_again,
    )


def _task(snapshot: Snapshot, name: str, key: str) -> PrepareTask:
    status = snapshot.run.status or RunStatus()
    known = status.published.digest if status.published is not None else None
    last = status.prepared.model if status.prepared is not None else None
    return PrepareTask(id=name, run=snapshot.name, key=key, known=known, last=last, spec=snapshot.spec)


def _chunks(count: int) -> str:
    return "1 chunk" if count == 1 else f"{count} chunks"
