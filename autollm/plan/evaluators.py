"""Evaluators: one warm worker a slot, each with one trial at a time, replaced where it hangs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from autollm.plan.actions import Action, EnsureEvaluators, FailTrial, RestartEvaluator
from autollm.plan.deaths import ended_by_a_trial, fatal
from autollm.plan.field import Field
from autollm.plan.landscape import OUTDATED, Landscapes, is_pending
from autollm.plan.snapshot import Snapshot, TaskState
from autollm.plan.stranded import stranded
from autollm.plan.waiting import Wait
from autollm.resources.facts import Prepared
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure

FIRST_DEADLINE = timedelta(hours=24)
"""For a trial before which none was scored, so that nothing is known of how long one takes."""

GRACE = timedelta(minutes=10)
SLACK = 10.0
"""A trial hangs when it takes the grace, and this many times as long as the slowest so far took for as many items."""


@dataclass(frozen=True)
class Slots:
    """The evaluators as they are: which slots are free, what is to be done about them, and whether they failed for good."""

    free: tuple[int, ...]
    actions: tuple[Action, ...]
    tasks: frozenset[str]
    failure: Failure | None = None
    look_again: datetime | None = None
    waits: tuple[Wait, ...] = ()


def occupy(snapshot: Snapshot, field: Field, now: datetime) -> Slots:
    """Keep the evaluators at work and say which slots have no trial.

    Trials that belong to an earlier state of the run are given up first, so that no evaluator takes them for its own.
    """
    template, now_in = field.template, field.landscapes
    pending = [trial for trial in snapshot.trials if is_pending(trial) and not trial.spec.by_hand]
    superseded = tuple(FailTrial(trial.metadata.name, OUTDATED) for trial in pending if not now_in.contains(trial))
    waiting = [trial for trial in pending if now_in.contains(trial)]
    state = snapshot.task(template.id)
    deadly = fatal(state, waiting)
    if state is not None and state.phase != "Running":
        if state.died_on in deadly:
            # Once that is written down, they are started again: what they left goes with them.
            return Slots((), (*superseded, *deadly.values()), frozenset())
        if not ended_by_a_trial(snapshot, state):
            reason, message = "EvaluatorFailed", f"The evaluators {template.id} ended; see their log."
            return Slots((), superseded, frozenset(), state.failure or Failure(reason=reason, message=message))
        state = None
    parallelism = snapshot.spec.search.parallelism
    busy = {trial.spec.slot for trial in waiting if trial.spec.slot is not None}
    # Of fewer evaluators than there were, one at work above their number first scores its trial.
    size = max([parallelism, *(slot + 1 for slot in busy)])
    ensure = (EnsureEvaluators(template, size),) if state is None or state.size != size else ()
    hanging = [trial for trial in waiting if trial.metadata.name not in deadly]
    overdue, look_again = _overdue(snapshot, state, hanging, field, now)
    # A slot that is only asked for gets no trial: an evaluator may never be granted there, and the trial would wait for ever.
    granted = parallelism if state is None else min(parallelism, state.size)
    at_work = {slot for slot in range(granted) if state is not None and slot in state.slots}
    # Before the first is at work every slot gets a trial, so that none has to wait; later only those in which somebody scores it.
    free = tuple(slot for slot in range(granted) if slot not in busy and (slot in at_work or not at_work))
    given_up, look_for_workers = stranded(hanging, state, parallelism, idle=not at_work.isdisjoint(free), now=now)
    return Slots(
        free,
        (*superseded, *deadly.values(), *given_up, *ensure, *overdue),
        frozenset({template.id}),
        look_again=min((moment for moment in (look_again, look_for_workers) if moment), default=None),
        waits=(Wait(state.id, state.waiting),) if state is not None else (),
    )


def _overdue(
    snapshot: Snapshot, state: TaskState | None, waiting: list[MergeTrial], field: Field, now: datetime
) -> tuple[tuple[Action, ...], datetime | None]:
    actions: list[Action] = []
    looks: list[datetime] = []
    paces = _paces(snapshot, field.landscapes) if waiting else iter(())
    slowest = max(paces, default=None)
    for trial in waiting:
        slot, created = trial.spec.slot, trial.metadata.creation_timestamp
        since = state.slots.get(slot) if state is not None and slot is not None else None
        if state is None or slot is None or since is None or created is None:
            continue
        begun = datetime.fromisoformat(created)
        if state.started is not None:
            begun = max(begun, state.started)  # none had it while the run was suspended, or all of them were queued
        allowed = FIRST_DEADLINE if slowest is None else GRACE + timedelta(seconds=SLACK * slowest * _items(trial, field.prepared))
        due = max(begun, since) + allowed
        if now < due:
            looks.append(due)
            continue
        # A worker was replaced already if the trial was there for one deadline before the present one was asked for.
        if begun + allowed <= state.wanted.get(slot, since):
            message = f"It was not scored within {int(allowed.total_seconds())} s, nor was it by the evaluator before this one."
            actions.append(FailTrial(trial.metadata.name, Failure(reason="DeadlineExceeded", message=message)))
        actions.append(RestartEvaluator(state.id, slot))
    return tuple(actions), min(looks, default=None)


def _paces(snapshot: Snapshot, now_in: Landscapes) -> Iterator[float]:
    """Yield the seconds that each scored trial took for an item."""
    for trial in snapshot.trials:
        status = trial.status
        if status and status.seconds and status.items and now_in.contains(trial):
            yield (float(status.seconds.merge) + float(status.seconds.evaluate)) / status.items


def _items(trial: MergeTrial, prepared: Prepared) -> int:
    split = prepared.search if trial.spec.split == "Search" else prepared.test
    return min(trial.spec.items or split.count, split.count)
