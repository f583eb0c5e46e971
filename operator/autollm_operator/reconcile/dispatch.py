"""From a key of the queue to the pass that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from autollm.resources.run import AutoLLMRun
from autollm.resources.workers import Workers
from autollm_operator.api.port import Api, ConflictError, NotFoundError
from autollm_operator.api.resources import RUNS
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.keys import Key
from autollm_operator.cache.parsed import Parsed
from autollm_operator.cache.views import Owner
from autollm_operator.reconcile.actions import Hands, Subject
from autollm_operator.reconcile.attempts import SOON
from autollm_operator.reconcile.children import Parent
from autollm_operator.reconcile.obstacles import Obstacles
from autollm_operator.reconcile.run import reconcile_run, say_unreadable
from autollm_operator.reconcile.status import Statuses
from autollm_operator.reconcile.suggesting import Suggesting
from autollm_operator.settings import Settings


class Reconciler:
    """Brings what a key names one step on. One key is given to one thread at a time; different keys may be at the same time.

    Nothing is kept here that a new process would miss: answers of the optimiser, what was written last, what was in the way.
    """

    def __init__(
        self, api: Api, cache: Cache, suggesting: Suggesting, settings: Settings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._obstacles = Obstacles()
        self._hands = Hands(api, cache, settings, suggesting, Statuses(api, cache))
        self._uids: dict[Key, str] = {}

    def reconcile(self, key: Key) -> float | None:
        """Look at one run, training or trial; return in how many seconds to look again, or None until something happens.

        Raises the errors of the API that may pass: the queue tries again later and later.
        """
        row = self._cache.run(key) if key.kind == RUNS.kind else None
        self._forget_others(key, row.uid if row else None)
        if row is None or row.deleting:
            return None
        try:
            return self._reconcile_run(key, row)
        except (NotFoundError, ConflictError):
            return SOON.total_seconds()

    def _reconcile_run(self, key: Key, row: Parsed[AutoLLMRun]) -> float | None:
        owner = Owner(RUNS.kind, row.name, row.uid)
        workers = row.value.spec.workers if row.value else Workers()
        subject = Subject(key, Parent(owner, row.namespace, row.name, row.generation), workers, self._clock())
        if row.value is None:
            say_unreadable(self._hands, row, subject)
            return None
        return reconcile_run(self._hands, self._obstacles, row, row.value, subject)

    def _forget_others(self, key: Key, uid: str | None) -> None:
        """Drop what is known of an object that had this key before."""
        before = self._uids.pop(key, None)
        if before is not None and before != uid:
            self._hands.suggesting.forget(before)
            self._obstacles.forget(before)
        if uid is not None:
            self._uids[key] = uid
