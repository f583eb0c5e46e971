"""Full lists into the cache: at the start, whenever a watch had to begin anew, and now and then in any case."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from autollm.errors import AutoLLMError
from autollm_operator.api.port import Api, UnavailableError
from autollm_operator.api.resources import Resource
from autollm_operator.cache.cache import Cache
from autollm_operator.watch import WATCHED, selector
from autollm_operator.workqueue import WorkQueue

_log = logging.getLogger(__name__)

FIRST_SECONDS = 5.0
"""How long the watch's own lists are waited for at the start: an object that vanishes between a list here and a later one there stays."""

FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 30.0


class Resync:
    """A thread that lists; what is missing in a list is gone from the cache, and whoever it concerned is looked at.

    Args:
        api: Lists.
        cache: Takes the lists.
        queue: Gets the keys that changed, and every key after the regular round: what was missed, whyever, is made good then.
        namespaces: What is listed; empty: all of them.
        seconds: Between two regular rounds.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        api: Api,
        cache: Cache,
        queue: WorkQueue,
        namespaces: Sequence[str],
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._cache = cache
        self._queue = queue
        self._namespaces: tuple[str | None, ...] = tuple(namespaces) or (None,)
        self._seconds = seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._due: dict[Resource, float] = {}
        self._missing = set(WATCHED)
        self._failures = 0
        self._next_round = clock() + FIRST_SECONDS
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="resync", daemon=True)
        self.complete = threading.Event()
        """Set when every kind has been listed once."""

    def start(self) -> None:
        """Begin to list."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """List no more, and wait so long at most for the list under way."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def request(self, resource: Resource) -> None:
        """Have a kind listed as soon as possible."""
        with self._changed:
            self._due[resource] = self._clock()
            self._changed.notify()

    def request_all(self) -> None:
        """Have every kind listed as soon as possible, and every key looked at."""
        with self._changed:
            self._next_round = self._clock()
            self._changed.notify()

    def _run(self) -> None:
        while (resource := self._next()) is not None:
            self.list_now(resource)

    def _next(self) -> Resource | None:
        with self._changed:
            while not self._stopped:
                now = self._clock()
                if now >= self._next_round:
                    self._begin_round(now)
                resource = min(self._due, key=self._due.__getitem__, default=None)
                if resource is not None and self._due[resource] <= now:
                    del self._due[resource]
                    return resource
                self._changed.wait(min([self._next_round, *self._due.values()]) - now)
            return None

    def _begin_round(self, now: float) -> None:
        self._next_round = now + self._seconds
        self._due |= dict.fromkeys(self._missing or WATCHED, now)
        if not self._missing:
            known = self._cache.keys()
            for key in known:
                self._queue.add(key)

    def list_now(self, resource: Resource) -> None:
        """List one kind; where that fails, nothing is forgotten, and it is tried again later and later."""
        try:
            for namespace in self._namespaces:
                for key in self._cache.replace(resource, namespace, self._api.list(resource, namespace, labels=selector(resource))):
                    self._queue.add(key)
        except Exception as error:  # whatever it is, it must not end the thread
            self._failures += 1
            seconds = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(self._failures - 1, 10))
            if isinstance(error, UnavailableError) and error.retry_after is not None:
                seconds = max(seconds, error.retry_after)
            extra = {"resource": resource.plural, "again_in": seconds}
            if isinstance(error, AutoLLMError):
                _log.warning("%s", error, extra=extra | {"reason": error.reason})
            else:
                _log.error("a list was not understood", exc_info=error, extra=extra)
            with self._changed:
                self._due.setdefault(resource, self._clock() + seconds)
            return
        self._failures = 0
        with self._changed:
            self._missing.discard(resource)
            if not self._missing and not self.complete.is_set():
                self._next_round = self._clock() + self._seconds
                self.complete.set()
