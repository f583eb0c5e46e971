"""Kubernetes Events: told when a run reaches another stage, or something of it fails, and never twice for the same."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from autollm.contract.digests import digest_document
from autollm.contract.layout import child_name
from autollm.errors import AutoLLMError
from autollm.resources.metadata import API_VERSION
from autollm.resources.run_status import RunStatus
from autollm_operator.api.port import AlreadyExistsError, Api
from autollm_operator.api.resources import EVENTS
from autollm_operator.reconcile.children import Parent
from autollm_operator.reconcile.status import condition_of

_log = logging.getLogger(__name__)

LONGEST_NOTE = 1000
"""Bytes; Kubernetes takes 1024, and no Event with more."""

CONTROLLER = "autollm.dev/operator"


@dataclass(frozen=True)
class News:
    """What is told: `action` is what the operator was doing."""

    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    note: str


def news(before: RunStatus, after: RunStatus) -> Iterator[News]:
    """Yield what happened between two statuses of a run."""
    # Reconciling has the stage also in the rounds of a refresh, between which Succeeded stays True.
    old, new = condition_of(before, "Reconciling"), condition_of(after, "Reconciling")
    if new is not None and new.reason != (old.reason if old else ""):
        ended, stalled = condition_of(after, "Succeeded"), condition_of(after, "Stalled")
        bad = [told for told in (stalled, ended) if told is not None and told.status == ("True" if told is stalled else "False")]
        told = bad[0] if bad else new if new.message or ended is None else ended
        yield News("Warning" if bad else "Normal", new.reason, "Reconcile", told.message)
    lost = after.trials.failed if after.trials else 0
    if lost > (before.trials.failed if before.trials else 0):
        yield News("Warning", "TrialFailed", "Search", f"{lost} trials failed; `kubectl get mergetrials` tells why.")


def tell(api: Api, parent: Parent, told: News, now: datetime) -> None:
    """Write an Event of a run, a training or a trial; it does not fail because it could not be told of."""
    owner, namespace = parent.owner, parent.namespace
    told_once = {"uid": owner.uid, "generation": parent.generation, "reason": told.reason, "note": told.note}
    document = {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"name": child_name(owner.name, digest_document(told_once)), "namespace": namespace},
        "regarding": {"apiVersion": API_VERSION, "kind": owner.kind, "name": owner.name, "namespace": namespace, "uid": owner.uid},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": told.type,
        "reason": told.reason,
        "action": told.action,
        "note": told.note.encode()[:LONGEST_NOTE].decode(errors="ignore"),
        "reportingController": CONTROLLER,
        "reportingInstance": socket.gethostname()[:128],
    }
    try:
        api.create(EVENTS, document)
    except AlreadyExistsError:
        return
    except AutoLLMError as error:
        _log.debug("an Event could not be written", extra={"name": owner.name, "namespace": namespace, "cause": str(error)})
