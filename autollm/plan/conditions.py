"""Conditions: what people and tools read first. Times change only where the status of a condition does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from autollm.plan.step import ConditionType, Ended, Paused, Truth, Verdict, Working
from autollm.resources.metadata import Condition

STAGES: tuple[ConditionType, ...] = ("Validated", "DataReady", "DeltasReady", "SearchComplete", "Published")
MESSAGE_LENGTH = 4096


def stamp(moment: datetime) -> str:
    """Return a moment as metav1.Time writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def settle(before: Sequence[Condition] | None, verdicts: Iterable[Verdict], generation: int, now: datetime) -> list[Condition]:
    """Return the conditions for these verdicts; one whose status is the same keeps its transition time."""
    known = {condition.type: condition for condition in before or []}
    settled = []
    for verdict in verdicts:
        old = known.get(verdict.type)
        same = old is not None and old.status == verdict.status
        settled.append(
            Condition(
                type=verdict.type,
                status=verdict.status,
                reason=verdict.reason,
                message=_shortened(verdict.message),
                observed_generation=generation,
                last_transition_time=old.last_transition_time if same and old is not None else stamp(now),
            )
        )
    return settled


def decided_since(conditions: Sequence[Condition] | None, name: ConditionType, now: datetime) -> datetime:
    """Return since when a condition has been True or False: from now on, where it is neither yet."""
    for condition in conditions or []:
        if condition.type == name and condition.status != "Unknown":
            return datetime.fromisoformat(condition.last_transition_time)
    return now


def with_summary(verdicts: Sequence[Verdict], state: Working | Paused | Ended, before: Sequence[Condition] | None) -> list[Verdict]:
    """Return one verdict for every condition of a run: those of the decisions, then what they come to together.

    A stage that was not reached or is being worked on is Unknown, one that failed False; of a paused run it stays what it was, but one
    that was being worked on says that it is paused.
    """
    reached = {verdict.type: verdict for verdict in verdicts}
    if isinstance(state, Paused):
        old = {condition.type: condition for condition in before or []}
        for stage in STAGES:
            if stage in old and stage not in reached:
                under_way = old[stage].status == "Unknown" and old[stage].reason != "NotReached"
                told: Paused | Condition = state if under_way else old[stage]
                reached[stage] = Verdict(stage, old[stage].status, told.reason, told.message)
    stages = [reached.get(stage, Verdict(stage, "Unknown", "NotReached", "An earlier stage is not done.")) for stage in STAGES]
    return [*stages, *summary(state)]


def still_succeeded(verdicts: Sequence[Verdict], before: Sequence[Condition] | None, generation: int) -> list[Verdict]:
    """Return the verdicts of a round that is under way: a run that has succeeded with this spec goes on to have done so."""
    kept = {
        condition.type: Verdict("Succeeded", "True", condition.reason, condition.message)
        for condition in before or []
        if (condition.type, condition.status, condition.observed_generation) == ("Succeeded", "True", generation)
    }
    return [kept.get(verdict.type, verdict) if verdict.status == "Unknown" else verdict for verdict in verdicts]


def summary(state: Working | Paused | Ended) -> list[Verdict]:
    """Return what a state comes to: Reconciling and Stalled, by which tools wait, and Succeeded.

    An end without success is Stalled, whatever led to it: to those tools anything else at rest has gone well.
    """
    working = isinstance(state, Working)
    stalled = isinstance(state, Ended) and not state.succeeded
    succeeded: Truth = "Unknown" if not isinstance(state, Ended) else "True" if state.succeeded else "False"
    return [
        Verdict("Reconciling", "True" if working else "False", state.reason, state.message if working else ""),
        Verdict("Stalled", "True" if stalled else "False", state.reason, state.message if stalled else ""),
        Verdict("Succeeded", succeeded, state.reason, state.message),
    ]


def _shortened(message: str) -> str:
    return message if len(message) <= MESSAGE_LENGTH else message[: MESSAGE_LENGTH - 1] + "…"
