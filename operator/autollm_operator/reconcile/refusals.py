"""What the operator may not change of Jobs that have ended: told once for each run, and asked for again now and then."""

from __future__ import annotations

import logging
from collections import OrderedDict
from datetime import datetime, timedelta

from autollm_operator.api.port import ForbiddenError, InvalidError, UnavailableError
from autollm_operator.cache.views import JobView

AGAIN, SOON_AGAIN = timedelta(hours=1), timedelta(minutes=1)
"""How long to wait after a refusal, and after a failure of the API server, which may pass by itself."""

REMEMBERED = 8192

_log = logging.getLogger(__name__)


class Refusals:
    """Remembers the Jobs that could not be changed, by uid; no run waits for any of them."""

    def __init__(self) -> None:
        self._again: OrderedDict[str, datetime] = OrderedDict()
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()

    def is_due(self, job: JobView, now: datetime) -> bool:
        """Say whether a change of a Job may be asked for."""
        again = self._again.get(job.uid)
        return again is None or again <= now

    def remember(self, uid: str, job: JobView, error: ForbiddenError | InvalidError | UnavailableError, now: datetime) -> bool:
        """Ask for no change of this Job for a while; say whether the run, training or trial of this uid is to be told of it now.

        It is once of each kind of error, and of a failure of the API server when it has not passed.
        """
        passing = isinstance(error, UnavailableError)
        news = (uid, error.reason) not in self._told and (not passing or job.uid in self._again)
        self._again[job.uid] = now + (SOON_AGAIN if passing else AGAIN)
        self._again.move_to_end(job.uid)
        while len(self._again) > REMEMBERED:
            self._again.popitem(last=False)
        if news:
            self._told[uid, error.reason] = None
            while len(self._told) > REMEMBERED:
                self._told.popitem(last=False)
            _log.warning(
                "Jobs that have ended cannot be given a time to live, or a note of why they failed; delete them by hand",
                extra={"namespace": job.namespace, "job": job.name, "cause": str(error)},
            )
        return news
