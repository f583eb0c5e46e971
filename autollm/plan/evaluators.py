"""Evaluators: one warm worker a slot, each with one trial at a time, replaced where it hangs; a trial that kills its workers has failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from autollm.contract.wording import plain
from autollm.plan.actions import Action, EnsureEvaluators, FailTrial, RestartEvaluator
from autollm.plan.field import Field
from autollm.plan.landscape import SUPERSEDED, Landscapes, failure_of, is_pending
from autollm.plan.snapshot import Snapshot, TaskState
from autollm.plan.waiting import Wait
from autollm.resources.facts import Prepared
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure

FIRST_DEADLINE = timedelta(hours=24)
"""For a trial before which none was scored, so that nothing is known of how long one takes."""

GRACE = timedelta(minutes=10)
SLACK = 10.0
"""A trial hangs when it takes the grace, and this many times as long as the slowest so far took for as many items."""

MOST_DEATHS = 2
"""A trial on which so many evaluators died has failed: the second one tells that it was no accident."""

LONGEST_CAUSE = 1024


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
    superseded = tuple(FailTrial(trial.metadata.name, SUPERSEDED) for trial in pending if not now_in.contains(trial))
    waiting = [trial for trial in pending if now_in.contains(trial)]
    state = snapshot.task(template.id)
    fatal = _fatal(state, waiting)
    if state is not None and state.phase != "Running":
        if state.died_on in fatal:
            # Once that is written down, they are started again: what they left goes with them.
            return Slots((), (*superseded, *fatal.values()), frozenset())
        if not _ended_by_a_trial(snapshot, state):
            reason, message = "EvaluatorFailed", f"The evaluators {template.id} ended; see their log."
            return Slots((), superseded, frozenset(), state.failure or Failure(reason=reason, message=message))
        state = None
    parallelism = snapshot.spec.search.parallelism
    busy = {trial.spec.slot for trial in waiting if trial.spec.slot is not None}
    # Of fewer evaluators than there were, one at work above their number first scores its trial.
    size = max([parallelism, *(slot + 1 for slot in busy)])
    ensure = (EnsureEvaluators(template, size),) if state is None or state.size != size else ()
    hanging = [trial for trial in waiting if trial.metadata.name not in fatal]
    overdue, look_again = _overdue(snapshot, state, hanging, field, now)
    # A slot that is only asked for gets no trial: an evaluator may never be granted there, and the trial would wait for ever.
    granted = parallelism if state is None else min(parallelism, state.size)
    free = tuple(slot for slot in range(granted) if slot not in busy)
    waits = (Wait(state.id, state.waiting),) if state is not None else ()
    return Slots(free, (*superseded, *fatal.values(), *ensure, *overdue), frozenset({template.id}), look_again=look_again, waits=waits)


def _fatal(state: TaskState | None, waiting: Sequence[MergeTrial]) -> dict[str, FailTrial]:
    """Return what is to be done about the trials that kill their evaluators, by name."""
    if state is None:
        return {}
    found: dict[str, FailTrial] = {}
    for trial in waiting:
        name = trial.metadata.name
        deaths = state.deaths.get(name, ())
        # Where no retry is left, the one that used up the last is not tried on another evaluator.
        if len(deaths) >= MOST_DEATHS or (deaths and name == state.died_on):
            found[name] = FailTrial(name, _death(deaths))
    return found


def _death(deaths: Sequence[Failure]) -> Failure:
    last = deaths[-1]
    told = "Its evaluator died" if len(deaths) == 1 else f"{len(deaths)} evaluators died one after the other"
    return Failure(reason="EvaluatorDied", message=f"{told} while scoring it ({last.reason}): {plain(last.message, LONGEST_CAUSE)}")


def _ended_by_a_trial(snapshot: Snapshot, state: TaskState) -> bool:
    """Say whether evaluators that have failed did so on a trial that was failed for it: others go on without it."""
    trial = snapshot.trial(state.died_on)
    failure = failure_of(trial) if trial is not None else None
    return failure is not None and failure.reason == "EvaluatorDied"


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
