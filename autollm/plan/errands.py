"""Tasks that run once and report: started where they are missing, believed only by their report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from autollm.contract.digests import digest_document, short
from autollm.contract.tasks import EvaluateTask, PinTask, PrepareTask, PublishTask, TrainTask
from autollm.plan.actions import Action, EnsureTask
from autollm.plan.snapshot import TaskState
from autollm.resources.facts import Prepared, PublishedRevision
from autollm.resources.metadata import Failure

REPORT_GRACE = timedelta(minutes=1)
"""How long after a task's success its report may still be on its way."""

TIME_TO_END = timedelta(minutes=10)
"""How long a task whose report is there may take to end by itself: it may hang, wait for a node again, or for a peer that has ended."""


@dataclass(frozen=True)
class Errand:
    """What is to be done about a task; `failure` where it will not be tried again, `waiting` why it does not run yet."""

    actions: tuple[Action, ...] = ()
    tasks: frozenset[str] = frozenset()
    failure: Failure | None = None
    look_again: datetime | None = None
    waiting: str = ""


def task_id(owner: str, kind: str, *determined_by: object) -> str:
    """Return the id of a task of a run, a training or a trial: at most 60 characters, a DNS label, the same for the same work."""
    label = owner[:40].replace(".", "-").rstrip("-")
    return f"{label}-{kind.lower()}-{short(digest_document({'kind': kind, 'by': list(determined_by)}), 10)}"


def turn(report: Prepared | PublishedRevision | None, generation: int) -> str | int | None:
    """Return what makes the id of a task another than those of all that have reported: which one did last, of this kind of report.

    Where that is not known, because the workers' image is of a version that does not say it, the generation stands for it.
    """
    return None if report is None else report.task or generation


def errand(task: PrepareTask | TrainTask | EvaluateTask | PublishTask | PinTask, state: TaskState | None, now: datetime) -> Errand:
    """Return what is to be done about a task whose report is not there, `state` being how its engine says that it is doing."""
    return Errand(actions=(EnsureTask(task),), tasks=frozenset({task.id})) if state is None else in_hand(state, now)


def ending(state: TaskState | None, since: datetime, now: datetime) -> Errand:
    """Return what is to be done about a task whose report has been there since then: it ends by itself, for which it has some time."""
    until = since + TIME_TO_END
    if state is None or state.phase != "Running" or now >= until:
        return Errand()
    return Errand(tasks=frozenset({state.id}), look_again=until)


def in_hand(state: TaskState, now: datetime) -> Errand:
    """Return what is to be done about a task that its engine knows, and whose report is not there."""
    if state.phase == "Running":
        return Errand(tasks=frozenset({state.id}), waiting=state.waiting)
    if state.phase == "Failed":
        return Errand(failure=state.failure or Failure(reason="Failed", message=f"The task {state.id} failed; see its log."))
    until = (state.finished or now) + REPORT_GRACE
    if now < until:
        return Errand(look_again=until)
    return Errand(failure=Failure(reason="NoReport", message=f"The task {state.id} ended well but reported nothing; see its log."))
