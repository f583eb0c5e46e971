"""Full lists into the cache: at the start, whenever a watch had to begin anew, and now and then in any case."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple

from autollm.errors import AutoLLMError
from autollm_operator.api.port import Api, ForbiddenError, UnavailableError
from autollm_operator.api.resources import WATCHED, Resource
from autollm_operator.cache.cache import Cache
from autollm_operator.watch import selector
from autollm_operator.workqueue import WorkQueue

_log = logging.getLogger(__name__)

FIRST_SECONDS = 5.0
"""How long the watch's own lists are waited for at the start: an object that vanishes between a list here and a later one there stays."""

FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 30.0


class _List(NamedTuple):
    """What one list has: a kind in a namespace, or in all of them."""

    resource: Resource
    namespace: str | None


class Resync:
    """A thread that lists; what is missing in a list is gone from the cache, and whoever it concerned is looked at.

    A namespace that is named and whose objects may not be listed, as one that was deleted with its role, stops no other: it is not served
    until all its kinds may be listed again.

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
        self._lists = tuple(_List(resource, namespace) for namespace in tuple(namespaces) or (None,) for resource in WATCHED)
        self._seconds = seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._due: dict[_List, float] = {}
        self._missing = set(self._lists)
        self._refused: set[_List] = set()
        self._failures = Counter[_List]()
        self._next_round = clock() + FIRST_SECONDS
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="resync", daemon=True)
        self.complete = threading.Event()
        """Set when every kind has been listed once, in every namespace that may be listed at all."""

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

    def serves(self, namespace: str) -> bool:
        """Say whether all is known of a namespace that is: nothing may be decided there by a part of it."""
        with self._changed:
            return not self._refused_in(namespace)

    def request(self, resource: Resource) -> None:
        """Have a kind listed as soon as possible."""
        with self._changed:
            self._due |= dict.fromkeys((one for one in self._lists if one.resource == resource), self._clock())
            self._changed.notify()

    def request_all(self) -> None:
        """Have every kind listed as soon as possible, and every key looked at."""
        with self._changed:
            self._next_round = self._clock()
            self._changed.notify()

    def _run(self) -> None:
        while (one := self._next()) is not None:
            self.list_now(*one)

    def _next(self) -> _List | None:
        with self._changed:
            while not self._stopped:
                now = self._clock()
                if now >= self._next_round:
                    self._begin_round(now)
                one = min(self._due, key=self._due.__getitem__, default=None)
                if one is not None and self._due[one] <= now:
                    del self._due[one]
                    return one
                self._changed.wait(min([self._next_round, *self._due.values()]) - now)
            return None

    def _begin_round(self, now: float) -> None:
        self._next_round = now + self._seconds
        self._due |= dict.fromkeys(self._missing or self._lists, now)
        if not self._missing:
            known = self._cache.keys()
            for key in known:
                self._queue.add(key)

    def list_now(self, resource: Resource, namespace: str | None = None) -> None:
        """List a kind in a namespace, or in all; where that fails, nothing is forgotten, and it is tried again later and later."""
        one = _List(resource, namespace)
        try:
            for key in self._cache.replace(resource, namespace, self._api.list(resource, namespace, labels=selector(resource))):
                self._queue.add(key)
        except Exception as error:  # whatever it is, it must not end the thread
            if namespace is not None and isinstance(error, ForbiddenError) and error.status == HTTPStatus.FORBIDDEN:
                self._refuse(one, namespace, error)
            else:
                _log_failure(error, one, self._try_again(one, error))
        else:
            self._listed(one)

    def _listed(self, one: _List) -> None:
        with self._changed:
            del self._failures[one]
            opened = one in self._refused and len(self._refused_in(one.namespace)) == 1
            self._refused.discard(one)
            self._settle(one)
        if opened:
            _log.info("the namespace may be listed again", extra={"namespace": one.namespace})
            for key in self._cache.keys():  # noqa: SIM118  # a cache is no dict
                if key.namespace == one.namespace:
                    self._queue.add(key)

    def _refuse(self, one: _List, namespace: str, error: ForbiddenError) -> None:
        """Serve this namespace no more, and all others; once nothing of it may be listed, nothing is known of it."""
        with self._changed:
            closed = not self._refused_in(namespace)
            self._refused.add(one)
            gone = len(self._refused_in(namespace)) == len(WATCHED)
            self._settle(one)
        if closed:
            message = "%s; nothing is done in this namespace until it may be listed: if it was deleted, take it out of the settings"
            _log.warning(message, error, extra={"namespace": namespace, "reason": error.reason})
        if gone:
            self._cache.forget(namespace)
        self._try_again(one, error)

    def _refused_in(self, namespace: str | None) -> list[_List]:
        return [one for one in self._refused if one.namespace == namespace]

    def _settle(self, one: _List) -> None:
        self._missing.discard(one)
        served = any(not self._refused_in(other.namespace) for other in self._lists)
        if served and not self._missing and not self.complete.is_set():
            self._next_round = self._clock() + self._seconds
            self.complete.set()

    def _try_again(self, one: _List, error: Exception) -> float:
        with self._changed:
            self._failures[one] += 1
            seconds: float = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(self._failures[one] - 1, 10))
            if isinstance(error, UnavailableError) and error.retry_after is not None:
                seconds = max(seconds, error.retry_after)
            self._due.setdefault(one, self._clock() + seconds)
            return seconds


def _log_failure(error: Exception, one: _List, again_in: float) -> None:
    extra = {"resource": one.resource.plural, "again_in": again_in} | ({"namespace": one.namespace} if one.namespace else {})
    if isinstance(error, AutoLLMError):
        _log.warning("%s", error, extra=extra | {"reason": error.reason})
    else:
        _log.error("a list was not understood", exc_info=error, extra=extra)
