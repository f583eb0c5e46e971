"""The planner: from a run as it stands to what is to be done next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from autollm.plan.actions import Action, StopTask
from autollm.plan.baselines import result_rows
from autollm.plan.clock import stopped_clock
from autollm.plan.conditions import settle, still_succeeded, with_summary
from autollm.plan.deltas import delta_keys, make_deltas
from autollm.plan.field import Field, lay_out
from autollm.plan.finalists import rank_finalists
from autollm.plan.finals import examine
from autollm.plan.gate import judge
from autollm.plan.names import with_present_names
from autollm.plan.prepare import current_preparation, prepare
from autollm.plan.problems import Problem, data_problem, document_problem
from autollm.plan.prune import prune_trainings, prune_trials
from autollm.plan.publish import pin, publish
from autollm.plan.refresh import next_round, round_now
from autollm.plan.results import results_table
from autollm.plan.revisions import replaced_revision
from autollm.plan.search import search
from autollm.plan.snapshot import Snapshot
from autollm.plan.step import Ended, Paused, Step, Verdict, Working
from autollm.plan.trainings import planned_trainings
from autollm.resources.run_status import RunStatus


@dataclass(frozen=True)
class Plan:
    """What is to be done, in this order, and what the run's status then says.

    Attributes:
        status: The fields that the planner owns; those that workers report are left out. It is written before the actions are carried out.
        requeue_after: When to plan again even if nothing happens.
    """

    actions: tuple[Action, ...]
    status: RunStatus
    requeue_after: timedelta | None
    state: Working | Paused | Ended


def plan(snapshot: Snapshot, now: datetime) -> Plan:
    """Decide what to do next: the same for the same snapshot, and nothing new where the last plan has been carried out."""
    steps: list[Step] = []
    for step in _decisions(snapshot, now):
        steps.append(step)
        if step.state is not None:
            break
    return _together(snapshot, steps, now)


def _decisions(snapshot: Snapshot, now: datetime) -> Iterator[Step]:
    """Yield one decision after another; each relies on those before it having let it follow."""
    spec, status = snapshot.spec, snapshot.run.status
    yield _checked(snapshot.refused or document_problem(spec))
    yield Step(Paused("Suspended", "suspend is true: set it to false to go on.")) if spec.suspend else Step()
    yield pin(snapshot, now)
    yield prepare(snapshot, now)
    prepared = current_preparation(snapshot)
    if prepared is None:
        return
    spec = with_present_names(spec, prepared)
    named = replace(snapshot, run=snapshot.run.model_copy(update={"spec": spec}))
    planned = planned_trainings(spec, prepared)
    yield _checked(data_problem(spec, prepared, planned))
    yield prune_trainings(snapshot, planned)
    yield make_deltas(snapshot, prepared, planned, now)
    field = lay_out(named, prepared, delta_keys(prepared, planned))
    if not isinstance(field, Field):
        yield _checked(field)
        return
    yield prune_trials(snapshot, field.landscapes)
    yield search(named, field, now)
    podium = rank_finalists(snapshot, field, now)
    yield podium.step
    replaced = replaced_revision(status, field.base, podium.finalists[0].spec.weights, field.deltas)
    rows = result_rows(spec, field, podium.finalists, replaced)
    exam = examine(snapshot, field, rows, now)
    results = results_table(snapshot, field, rows, exam)
    yield Step(fields={"results": results, "replaces": replaced})
    yield exam.step
    if exam.winner is not None:
        yield publish(snapshot, field, judge(spec, rows, exam.trials, exam.winner), exam.winner, results, now)


def _checked(problem: Problem | None) -> Step:
    if problem is None:
        return Step(verdicts=(Verdict("Validated", "True", "Accepted", "The document can be planned."),))
    verdict = Verdict("Validated", "False", problem.reason, problem.message)
    return Step(Ended(False, problem.reason, problem.message), (verdict,))


def _together(snapshot: Snapshot, steps: Sequence[Step], now: datetime) -> Plan:
    state = steps[-1].state or Ended(False, "NothingToDo", "No decision was left to make.")
    before = snapshot.run.status or RunStatus()
    refresh = round_now(snapshot, now)
    begins, due = next_round(refresh, steps, now)
    if refresh is not None and isinstance(state, Working):
        state = replace(state, message=f"Round {refresh.round}: {state.message}")
    needed = frozenset[str]().union(*(step.tasks for step in steps))
    stops = [StopTask(task.id) for task in snapshot.tasks if task.phase == "Running" and task.id not in needed]
    verdicts = with_summary([verdict for step in steps for verdict in step.verdicts], state, before.conditions)
    generation = snapshot.run.metadata.generation
    if refresh is not None and refresh.round > 1:
        verdicts = still_succeeded(verdicts, before.conditions, generation)
    fields: dict[str, object] = {
        "prepared": None,
        "published": None,
        "observed_generation": generation,
        "refresh": begins or refresh,
        "clock": stopped_clock(snapshot, now),
    }
    for step in steps:
        fields |= step.fields
    fields["conditions"] = settle(before.conditions, verdicts, generation, now)
    # A round that begins is first written down: what is done in it is planned from that.
    looks = [now if begins else due, *(step.look_again for step in steps)]
    look = min((moment for moment in looks if moment is not None), default=None)
    return Plan(
        actions=(*stops, *(action for step in steps for action in step.actions)),
        status=before.model_copy(update=fields),
        requeue_after=None if look is None else max(look - now, timedelta(0)),
        state=state,
    )
