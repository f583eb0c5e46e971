"""The threads that take keys from the queue and have them looked at."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from autollm.errors import AutoLLMError
from autollm_operator.api.port import ConflictError, NotFoundError, UnavailableError
from autollm_operator.cache.keys import Key
from autollm_operator.metrics.process import reconciling
from autollm_operator.workqueue import WorkQueue

_log = logging.getLogger(__name__)

FAILURES_TO_TELL = 4
"""So often in a row an object may change or go under a pass, or the API server be away, before it is worth a line: two seconds."""

Reconcile = Callable[[Key], float | None]
"""Looks at one object and does what is to be done; returns in how many seconds it wants to look again."""


class Workers:
    """Threads that reconcile; `may_work` is asked before every pass, and one that may not is the last of its thread."""

    def __init__(self, queue: WorkQueue, reconcile: Reconcile, count: int, *, may_work: Callable[[], bool] = lambda: True) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._may_work = may_work
        self._threads = [threading.Thread(target=self._work, name=f"reconciler-{number}", daemon=True) for number in range(count)]

    def start(self) -> None:
        """Begin to work."""
        self._queue.begin()
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> bool:
        """Close the queue and wait until every pass under way is over; False where one is not, after so many seconds."""
        self._queue.close()
        end = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (key := self._queue.take()) is not None and self._may_work():
            try:
                with reconciling(key.kind):
                    seconds = self._reconcile(key)
            except Exception as error:  # whatever it is, it must not end the thread: the key waits, and the others go on
                self._tell(key, error, self._queue.failed(key, at_least=getattr(error, "retry_after", None) or 0.0))
            else:
                if seconds is not None:
                    self._queue.add_after(key, seconds)
                self._queue.succeeded(key)

    def _tell(self, key: Key, error: Exception, failures: int) -> None:
        extra = {"object": f"{key.kind} {key.namespace}/{key.name}", "failures": failures}
        if isinstance(error, ConflictError | NotFoundError | UnavailableError):
            if failures == FAILURES_TO_TELL:
                _log.warning("%s", error, extra=extra | {"reason": error.reason})
        elif isinstance(error, AutoLLMError):
            _log.warning("%s", error, extra=extra | {"reason": error.reason})
        else:
            _log.error("a pass failed unexpectedly", exc_info=error, extra=extra)
