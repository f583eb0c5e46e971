"""Trainings on several nodes: the Service by which their pods find each other has to be there for as long as they may look for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from autollm_operator.cache.views import JobView

AGAIN = timedelta(minutes=5)
"""After what time a pass makes sure of a Service again: more often than every key is looked at, and not in each of many passes."""

REMEMBERED = 8192


@dataclass(frozen=True)
class EnsureService:
    """Have the Service of a Job, which somebody may have deleted: no Service is watched."""

    job: JobView


class Rendezvous:
    """Remembers when the Service of which Job, by uid, was last known to be there."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, datetime] = OrderedDict()

    def due(self, jobs: Iterable[JobView], now: datetime) -> list[EnsureService]:
        """Return what makes sure of the Services of those Jobs that need one and have not ended."""
        needed = [job for job in jobs if job.task == "train" and job.size > 1 and job.outcome is None and not job.deleting]
        return [EnsureService(job) for job in needed if job.uid not in self._seen or self._seen[job.uid] + AGAIN <= now]

    def seen(self, job: JobView, now: datetime) -> None:
        """Ask for the Service of this Job no more for a while."""
        self._seen[job.uid] = now
        self._seen.move_to_end(job.uid)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
