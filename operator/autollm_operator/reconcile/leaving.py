"""One pass over what is being deleted and still there, because somebody's finalizer holds it."""

from __future__ import annotations

from typing import Any

from autollm.plan.actions import StopTask
from autollm_operator.cache.parsed import Parsed
from autollm_operator.reconcile.attempts import Attempts
from autollm_operator.reconcile.hands import Hands, Subject
from autollm_operator.reconcile.obstacles import Obstacles
from autollm_operator.reconcile.tasks import jobs_of


def stop_work(hands: Hands, obstacles: Obstacles, row: Parsed[Any], subject: Subject) -> float | None:
    """Stop all work for it, and write nothing more; return in how many seconds to look again.

    The garbage collector comes for its Jobs only once it is gone, and until then they would hold their GPUs.
    """
    if row.leaves_children:
        return None
    attempts = Attempts(hands, obstacles, subject)
    stops = [StopTask(job.name) for job in jobs_of(hands.cache, row.uid) if job.outcome is None and not job.deleting]
    attempts.all(stops)
    attempts.end()
    obstacles.retain(row.uid, stops)
    looks = [obstacles.next_look(row.uid, subject.now), *attempts.looks]
    return min((look.total_seconds() for look in looks if look is not None), default=None)
