"""The pin task: have `latest` point to a revision that was published before."""

from __future__ import annotations

import logging

from autollm.contract.tasks import PinTask
from autollm.errors import TemporaryError
from autollm.store import PreconditionError, open_store
from autollm.store.revisions import published_fact, rollback, verify_revision
from autollm_runtime.worker.context import Context

_log = logging.getLogger(__name__)


def run_pin(task: PinTask, context: Context) -> None:
    """Move `latest` to a revision whose every file was just checked, and report it.

    Raises Interrupted when asked to stop, NotFoundError where there is no such revision, IntegrityError where it is damaged;
    `latest` stays where there is none or a damaged one.
    """
    store = open_store(task.artifacts.uri, endpoint=task.artifacts.endpoint, region=task.artifacts.region)
    context.check_stop()
    try:
        rollback(store, task.revision)
    except PreconditionError as error:
        raise TemporaryError(str(error)) from error
    manifest, digest = verify_revision(store, task.revision)
    _log.info("latest points to the pinned revision", extra={"revision": task.revision})
    context.check_stop()  # once another task has taken the place of this one, `latest` is that one's to report
    fact = published_fact(store, manifest, digest, as_of=task.as_of, task=task.id)
    context.reports.published(task.run, fact.fit_for_status())
