"""What the operator may not change of Jobs that have ended: the log says it once, and it is asked for again now and then."""

from __future__ import annotations

import logging
from collections import OrderedDict
from datetime import datetime, timedelta

from autollm_operator.api.port import ForbiddenError, InvalidError
from autollm_operator.cache.views import JobView

AGAIN = timedelta(hours=1)
REMEMBERED = 8192

_log = logging.getLogger(__name__)


class Refusals:
    """Remembers the Jobs that could not be changed, by uid; no run waits for any of them."""

    def __init__(self) -> None:
        self._again: OrderedDict[str, datetime] = OrderedDict()
        self._told: set[tuple[str, str]] = set()

    def is_due(self, job: JobView, now: datetime) -> bool:
        """Say whether a change of a Job may be asked for."""
        again = self._again.get(job.uid)
        return again is None or again <= now

    def remember(self, job: JobView, error: ForbiddenError | InvalidError, now: datetime) -> None:
        """Ask for no change of this Job for a while; say so once in each namespace."""
        self._again[job.uid] = now + AGAIN
        self._again.move_to_end(job.uid)
        while len(self._again) > REMEMBERED:
            self._again.popitem(last=False)
        if (told := (job.namespace, error.reason)) not in self._told:
            self._told.add(told)
            _log.warning(
                "Jobs that have ended cannot be given a time to live, or a note of why they failed; delete them by hand",
                extra={"namespace": job.namespace, "job": job.name, "cause": str(error)},
            )
