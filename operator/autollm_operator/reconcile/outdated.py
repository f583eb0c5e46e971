"""Jobs that wait and were made with other workers than are asked for now: they are stopped, and the next plan has them made anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from autollm.plan.actions import StopTask
from autollm_operator.cache.views import JobView, PodView
from autollm_operator.jobs.made_with import made_with
from autollm_operator.reconcile.failures import SECTIONS
from autollm_operator.reconcile.hands import Hands, Subject


def outdated(hands: Hands, subject: Subject, jobs: Iterable[JobView]) -> Iterator[StopTask]:
    """Yield what stops the Jobs among these that would be made otherwise now, and for which no pod is at work.

    One at work keeps what it has: what it has done since it last saved is worth more than a change that the next one gets in any case.
    """
    wanted: dict[str, str] = {}  # the same for all Jobs of a section, of which there may be thousands
    for job in jobs:
        if job.outcome is not None or job.deleting or not job.made_with or job.task not in SECTIONS:
            continue
        if any(_is_at_work(pod) for pod in hands.cache.pods(job.uid)):
            continue
        section = SECTIONS[job.task]
        if section not in wanted:
            wanted[section] = made_with(section, subject.workers, hands.settings.workers)
        if job.made_with != wanted[section]:
            yield StopTask(job.name)


def _is_at_work(pod: PodView) -> bool:
    """Say whether a pod has begun and not failed since: also one that saves what it has, and one whose report is on its way."""
    return pod.phase not in ("Pending", "Failed")
