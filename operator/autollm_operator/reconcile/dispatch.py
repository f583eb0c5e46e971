"""From a key of the queue to the pass that it stands for."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from autollm.plan.refresh import attempt
from autollm.resources.delta_training import DeltaTraining
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.run import AutoLLMRun
from autollm.resources.workers import Workers
from autollm_operator.api.port import Api, ApiError
from autollm_operator.api.resources import RUNS, TRAININGS, TRIALS, Resource
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.keys import Key
from autollm_operator.cache.parsed import Parsed, is_of_a_run
from autollm_operator.cache.views import Owner
from autollm_operator.reconcile.alone import reconcile_training, reconcile_trial, say_unreadable
from autollm_operator.reconcile.breakdowns import Breakdowns
from autollm_operator.reconcile.children import Parent
from autollm_operator.reconcile.hands import Hands, Subject
from autollm_operator.reconcile.leaving import stop_work
from autollm_operator.reconcile.obstacles import Obstacles
from autollm_operator.reconcile.refusals import Refusals
from autollm_operator.reconcile.rendezvous import Rendezvous
from autollm_operator.reconcile.run import reconcile_run
from autollm_operator.reconcile.status import Statuses
from autollm_operator.reconcile.suggesting import Suggesting
from autollm_operator.settings import Settings

RECONCILED = {resource.kind: resource for resource in (RUNS, TRAININGS, TRIALS)}


class _Seen(NamedTuple):
    """Of what something is known beside the cache: an object, and its spec."""

    uid: str
    generation: int


class Reconciler:
    """Brings what a key names one step on. One key is given to one thread at a time; different keys may be at the same time.

    Nothing is kept here that a new process would miss: answers of the optimiser, what was written last, what was in the way.

    Args:
        clock: The time as the API server has it.
        seconds: A clock that never goes back.
    """

    def __init__(
        self,
        api: Api,
        cache: Cache,
        suggesting: Suggesting,
        settings: Settings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._obstacles = Obstacles()
        self._breakdowns = Breakdowns()
        self._hands = Hands(api, cache, settings, suggesting, Statuses(api, cache), Refusals(), Rendezvous(), seconds)
        self._seen: dict[Key, _Seen] = {}

    def reconcile(self, key: Key) -> float | None:
        """Look at one run, training or trial; return in how many seconds to look again, or None until something happens.

        Raises the errors of the API that may pass: the queue tries again later and later.
        """
        resource = RECONCILED[key.kind]
        row = self._row(resource, key)
        self._forget_others(key, _Seen(row.uid, row.generation) if row else None)
        if row is None or is_of_a_run(row.owner):
            return None
        made_for = attempt(row.generation, row.value.status) if isinstance(row.value, AutoLLMRun) else row.generation
        parent = Parent(Owner(resource.kind, row.name, row.uid), row.namespace, row.name, made_for)
        try:
            seconds = self._pass(resource, row, Subject(key, parent, self._workers(row), self._clock()))
        except ApiError as error:
            self._breakdowns.failed(self._hands.api, parent, error, self._clock())
            raise
        self._breakdowns.forget(row.uid)
        return seconds

    def _row(self, resource: Resource, key: Key) -> Parsed[Any] | None:
        if resource == RUNS:
            return self._cache.run(key)
        return self._cache.training(key) if resource == TRAININGS else self._cache.trial(key)

    def _pass(self, resource: Resource, row: Parsed[Any], subject: Subject) -> float | None:
        if row.deleting:
            return stop_work(self._hands, self._obstacles, row, subject)
        match row.value:
            case AutoLLMRun() as run:
                return reconcile_run(self._hands, self._obstacles, row, run, subject)
            case DeltaTraining() as training:
                return reconcile_training(self._hands, self._obstacles, row, training, subject)
            case MergeTrial() as trial:
                return reconcile_trial(self._hands, self._obstacles, row, trial, subject)
            case _:
                say_unreadable(self._hands, resource, row, subject.now)
                return None

    def _workers(self, row: Parsed[Any]) -> Workers:
        """Return what the pods may look like: as the run says, or the training itself."""
        match row.value:
            case AutoLLMRun() | DeltaTraining() as value:
                return value.spec.workers
            case MergeTrial() as trial:
                run = self._cache.run(Key(RUNS.kind, row.namespace, trial.spec.run))
                return run.value.spec.workers if run is not None and run.value is not None else Workers()
            case _:
                return Workers()

    def _forget_others(self, key: Key, seen: _Seen | None) -> None:
        """Drop what is known of an object that had this key before, or of this one as it was: it may ask for other weights by now."""
        before = self._seen.pop(key, None)
        if before is not None and before != seen:
            self._hands.suggesting.forget(before.uid)
            self._obstacles.forget(before.uid)
            self._breakdowns.forget(before.uid)
        if seen is not None:
            self._seen[key] = seen
