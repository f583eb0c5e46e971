"""Obstacles that a user has to move out of the way: told in the run's status, and tried again at growing intervals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from autollm.plan.actions import (
    Action,
    AskCandidate,
    DeleteTraining,
    DeleteTrial,
    EnsureEvaluators,
    EnsureTask,
    EnsureTraining,
    EnsureTrial,
    FailTrial,
    RestartEvaluator,
    SetTrainingStatus,
    SetTrainingWorkers,
    StopTask,
)
from autollm.plan.problems import Problem
from autollm_operator.reconcile.rendezvous import EnsureService

Deed = Action | EnsureService
"""What a pass tries to do: what a plan asks for, and what the Jobs need beside it."""

SOON = timedelta(seconds=1)
"""Until what is being deleted is gone, or the cache knows what others did in between."""

FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(minutes=5)


@dataclass(frozen=True)
class Met:
    """An obstacle to one action; `is_in_the_way` of the run where the action is more than tidying up."""

    problem: Problem
    wait: timedelta
    again: datetime
    is_in_the_way: bool


@dataclass(frozen=True)
class Waiting:
    """What may pass by itself, and of which nothing is said yet."""

    since: datetime
    again: datetime


class Obstacles:
    """What stood in the way of each run's actions, by the run's uid."""

    def __init__(self) -> None:
        self._met: dict[str, dict[str, Met]] = {}
        self._waiting: dict[str, dict[str, Waiting]] = {}
        self._passed: set[str] = set()
        self._without_effect: dict[str, frozenset[str]] = {}

    def meet(self, uid: str, action: Deed, problem: Problem, now: datetime) -> None:
        """Remember what is in the way of an action."""
        met = self._met.setdefault(uid, {})
        before = met.get(named(action))
        wait = FIRST_WAIT if before is None else min(2 * before.wait, LONGEST_WAIT)
        met[named(action)] = Met(problem, wait, now + wait, not isinstance(action, DeleteTraining | DeleteTrial))

    def wait(self, uid: str, action: Deed, now: datetime) -> timedelta:
        """Have an action tried again, twice as late each time; return for how long it has had to wait."""
        waiting = self._waiting.setdefault(uid, {})
        before = waiting.get(named(action))
        waited = now - before.since if before else timedelta(0)
        waiting[named(action)] = Waiting(now - waited, now + max(SOON, min(waited, LONGEST_WAIT)))
        return waited

    def overcome(self, uid: str, action: Deed) -> None:
        """Forget what was in the way of an action that was carried out."""
        for known in (self._met, self._waiting):
            known.get(uid, {}).pop(named(action), None)

    def is_due(self, uid: str, action: Deed, now: datetime) -> bool:
        """Say whether an action may be tried: at first, and again when its time has come."""
        met = self._met.get(uid, {}).get(named(action))
        return met is None or met.again <= now

    def retain(self, uid: str, actions: Iterable[Deed]) -> None:
        """At the end of a pass: forget what was in the way of actions that nobody asks for any more."""
        self._passed.add(uid)
        wanted = {named(action) for action in actions}
        for known in (self._met, self._waiting):
            for name in known.get(uid, {}).keys() - wanted:
                del known[uid][name]

    def has_passed(self, uid: str) -> bool:
        """Say whether a pass has come to its end, so that what is in the way is known."""
        return uid in self._passed

    def first(self, uid: str) -> Problem | None:
        """Return the obstacle that is told: the same one for as long as it stands."""
        met = {name: one.problem for name, one in self._met.get(uid, {}).items() if one.is_in_the_way}
        return met[min(met)] if met else None

    def next_look(self, uid: str, now: datetime) -> timedelta | None:
        """Return after what time the next action is to be tried again."""
        waiting = {name: one.again for name, one in self._waiting.get(uid, {}).items()}
        met = {name: one.again for name, one in self._met.get(uid, {}).items()}
        return min((max(again - now, timedelta(0)) for again in (waiting | met).values()), default=None)

    def forget(self, uid: str) -> None:
        """Drop what is known of a run that is gone."""
        self._met.pop(uid, None)
        self._waiting.pop(uid, None)
        self._without_effect.pop(uid, None)
        self._passed.discard(uid)

    def without_effect(self, uid: str) -> frozenset[str]:
        """Return the names of what was tried in vain since a pass last came to the end of its actions."""
        return self._without_effect.get(uid, frozenset())

    def set_without_effect(self, uid: str, names: frozenset[str]) -> None:
        """Remember what was tried in vain in passes that were cut; nothing, where one came to its end."""
        if names:
            self._without_effect[uid] = names
        else:
            self._without_effect.pop(uid, None)


def named(action: Deed) -> str:
    """Return the name of what an action makes, or changes; the same in every plan that asks for it."""
    match action:
        case EnsureTask(task):
            return task.id
        case EnsureEvaluators(template):
            return template.id
        case EnsureService(job):
            return f"{type(action).__name__} {job.name}"
        case EnsureTraining(training):
            return training.metadata.name
        case EnsureTrial(trial):
            return trial.metadata.name
        case SetTrainingStatus(name) | SetTrainingWorkers(name) | FailTrial(name) | DeleteTraining(name) | DeleteTrial(name):
            return f"{type(action).__name__} {name}"
        case StopTask(task_id) | RestartEvaluator(task_id):
            return f"{type(action).__name__} {task_id}"
        case AskCandidate():
            return type(action).__name__
