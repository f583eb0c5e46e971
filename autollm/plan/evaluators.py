"""Evaluators: one warm worker a slot, each with one trial at a time, replaced where it hangs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from autollm.plan.actions import Action, EnsureEvaluators, FailTrial
from autollm.plan.deaths import ended_by_a_trial, fatal
from autollm.plan.field import Field
from autollm.plan.hanging import hanging
from autollm.plan.landscape import OUTDATED, is_pending
from autollm.plan.snapshot import Snapshot
from autollm.plan.stranded import stranded, without_slot
from autollm.plan.waiting import Wait
from autollm.resources.metadata import Failure


@dataclass(frozen=True)
class Slots:
    """The evaluators as they are: the free slots, what is to be done, whether one is at work, and why they failed if they did for good."""

    free: tuple[int, ...]
    actions: tuple[Action, ...]
    tasks: frozenset[str]
    failure: Failure | None = None
    look_again: datetime | None = None
    waits: tuple[Wait, ...] = ()
    at_work: bool = False


def occupy(snapshot: Snapshot, field: Field, now: datetime) -> Slots:
    """Keep the evaluators at work and say which slots have no trial.

    Trials that belong to an earlier state of the run are given up first, so that no evaluator takes them for its own.
    """
    template = field.template
    pending = [trial for trial in snapshot.trials if is_pending(trial) and not trial.spec.by_hand]
    superseded = tuple(FailTrial(trial.metadata.name, OUTDATED) for trial in pending if not field.asks_for(trial))
    waiting = [trial for trial in pending if field.asks_for(trial)]
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
    ended = deadly | without_slot(waiting, state, parallelism)
    alive = [trial for trial in waiting if trial.metadata.name not in ended]
    # Of fewer evaluators than there were, one at work above their number first scores its trial.
    size = max([parallelism, *(trial.spec.slot + 1 for trial in alive if trial.spec.slot is not None)])
    ensure = (EnsureEvaluators(template, size),) if state is None or state.size != size else ()
    overdue, look_for_results = hanging(snapshot, state, alive, field, now)
    # A slot that is only asked for gets no trial: an evaluator may never be granted there, and the trial would wait for ever.
    granted = parallelism if state is None else min(parallelism, state.size)
    at_work = {slot for slot in range(granted) if state is not None and slot in state.slots}
    # Before the first is at work every slot gets a trial, so that none has to wait; later only those in which somebody scores it.
    free = tuple(slot for slot in range(granted) if slot not in busy and (slot in at_work or not at_work))
    given_up, look_for_workers = stranded(alive, state, parallelism, idle=not at_work.isdisjoint(free), now=now)
    return Slots(
        free,
        (*superseded, *ended.values(), *given_up, *ensure, *overdue),
        frozenset({template.id}),
        look_again=min((moment for moment in (look_for_results, look_for_workers) if moment), default=None),
        waits=(Wait(state.id, state.waiting),) if state is not None else (),
        at_work=bool(at_work),
    )
