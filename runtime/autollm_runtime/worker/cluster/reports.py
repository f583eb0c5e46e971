"""Reports as status fields of Kubernetes objects, each owned by a field manager of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from autollm.contract.folder import Kind
from autollm.errors import AutoLLMError, TemporaryError
from autollm.resources.facts import Prepared, Progress, PublishedRevision, TrainedDelta, TrialResult
from autollm.resources.metadata import Failure
from autollm_runtime.worker.cluster.answers import ConflictError, ObjectGoneError, RefusedError
from autollm_runtime.worker.cluster.api import ClusterApi
from autollm_runtime.worker.cluster.outcome import has_outcome, outcome_patch
from autollm_runtime.worker.cluster.ownership import belongs_to

_log = logging.getLogger(__name__)

PROGRESS_SECONDS = 10.0
"""The shortest time between two reports of progress; the last one of a training is always sent."""

_LAST_PROGRESS_SECONDS = 5.0
_CONFLICTS = 20


class KubernetesReports:
    """Reports to the object whose uid the pod was given, and to the trials of that run.

    An object that was deleted gets no report and neither does one of the same name that was made later: the work was for nothing then,
    which is logged and no error. Every verb but `progress` waits for an API server that is away, for as long as the patience
    of `api` lasts, and raises ApiUnavailableError after that.
    """

    def __init__(self, api: ClusterApi, uid: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._uid = uid
        self._clock = clock
        self._told = float("-inf")
        self._telling: threading.Thread | None = None

    def prepared(self, run: str, fact: Prepared) -> None:
        """Apply the run's `prepared`."""
        self._apply("AutoLLMRun", run, "autollm-prepare", {"prepared": fact.document()})

    def published(self, run: str, fact: PublishedRevision) -> None:
        """Apply the run's `published`."""
        self._apply("AutoLLMRun", run, "autollm-publish", {"published": fact.document()})

    def progress(self, training: str, fact: Progress) -> None:
        """Apply the training's `progress`, beside the training and now and then only: one that cannot be told is left out."""
        if self._clock() - self._told < PROGRESS_SECONDS and fact.step < fact.steps:
            return
        if self._telling is not None and self._telling.is_alive():
            return
        self._told = self._clock()
        self._telling = threading.Thread(target=self._tell, args=(training, fact), name="progress", daemon=True)
        self._telling.start()

    def trained(self, training: str, fact: TrainedDelta) -> None:
        """Apply the training's `delta`."""
        if self._telling is not None:
            self._telling.join(_LAST_PROGRESS_SECONDS)
        self._apply("DeltaTraining", training, "autollm-train", {"delta": fact.document()})

    def scored(self, trial: str, result: TrialResult) -> None:
        """Write the trial's result, unless it has an outcome already."""
        self._end(trial, result)

    def failed_trial(self, trial: str, failure: Failure) -> None:
        """Write the trial's failure, unless it has an outcome already."""
        self._end(trial, failure)

    def _tell(self, training: str, fact: Progress) -> None:
        try:
            found = self._api.get("DeltaTraining", training, patient=False)
            if belongs_to(found, self._uid):
                version = found["metadata"]["resourceVersion"]
                status = {"progress": fact.document()}
                self._api.apply_status("DeltaTraining", training, version, "autollm-progress", status, patient=False)
        except AutoLLMError as error:
            _log.warning("the progress could not be told", extra={"training": training, "cause": str(error)})

    def _apply(self, kind: Kind, name: str, manager: str, status: Mapping[str, Any]) -> None:
        for _ in range(_CONFLICTS):
            try:
                found = self._api.get(kind, name)
                if not belongs_to(found, self._uid):
                    return _log_gone(kind, name)
                self._api.apply_status(kind, name, found["metadata"]["resourceVersion"], manager, status)
            except ObjectGoneError:
                return _log_gone(kind, name)
            except ConflictError:
                continue
            else:
                return None
        raise TemporaryError(f"{kind} {name}: others wrote its status {_CONFLICTS} times while a report was: it is tried again later")

    def _end(self, name: str, outcome: TrialResult | Failure) -> None:
        refused: RefusedError | None = None
        for _ in range(_CONFLICTS):
            try:
                trial = self._api.get("MergeTrial", name)
                if not belongs_to(trial, self._uid):
                    return _log_gone("MergeTrial", name)
                if has_outcome(trial):
                    _log.info("the trial has its outcome already", extra={"trial": name})
                    return None
                if refused is not None:
                    raise refused
                self._api.patch_status("MergeTrial", name, outcome_patch(trial, outcome, datetime.now(UTC)), "autollm-evaluate")
            except ObjectGoneError:
                return _log_gone("MergeTrial", name)
            except ConflictError:
                continue
            except RefusedError as error:
                if refused is not None:
                    raise
                refused = error  # somebody else's outcome may have come between, and that one is final
            else:
                return None
        raise TemporaryError(
            f"MergeTrial {name}: others wrote its status {_CONFLICTS} times while its result was: it is scored again later"
        )


def _log_gone(kind: Kind, name: str) -> None:
    _log.info("the object was deleted: there is nothing to report to", extra={"kind": kind, "object": name})
