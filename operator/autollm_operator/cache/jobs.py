"""Jobs as the API server tells them, projected to what is read here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from sys import intern
from typing import Any, Literal

from autollm.contract.pod import FAILURE_ANNOTATION, GENERATION_LABEL, TASK_LABEL, WORKERS_ANNOTATION
from autollm.resources.quantities import is_gpu
from autollm_operator.cache.parsed import controller
from autollm_operator.cache.views import JobView

LONGEST = 1024


def job_view(document: Mapping[str, Any]) -> JobView:
    """Return the view of a Job. Only Complete and Failed decide: with FailureTarget or SuccessCriteriaMet alone its pods still run."""
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    held = {condition["type"]: condition for condition in status.get("conditions") or () if condition["status"] == "True"}
    outcome: Literal["Complete", "Failed"] | None = "Complete" if "Complete" in held else "Failed" if "Failed" in held else None
    told = held.get(outcome or "Suspended", {})
    generation = labels.get(GENERATION_LABEL, "")
    return JobView(
        namespace=intern(metadata["namespace"]),
        name=metadata["name"],
        uid=metadata["uid"],
        version=int(metadata["resourceVersion"]),
        owner=controller(metadata),
        task=intern(labels.get(TASK_LABEL, "")),
        generation=int(generation) if generation.isascii() and generation.isdigit() else 0,
        size=spec.get("parallelism", 1),
        suspended=bool(spec.get("suspend")),
        deleting="deletionTimestamp" in metadata,
        outcome=outcome,
        reason=intern(told.get("reason", "")),
        message=told.get("message", "")[:LONGEST],
        started=moment(status.get("startTime")),
        finished=moment(status.get("completionTime") or (told.get("lastTransitionTime") if outcome else None)),
        has_ttl=spec.get("ttlSecondsAfterFinished") is not None,
        gpus=_gpus(spec.get("template", {}).get("spec", {}).get("containers") or ()),
        failure=annotations.get(FAILURE_ANNOTATION, ""),
        made_with=intern(annotations.get(WORKERS_ANNOTATION, "")),
        failed_indexes=_indexes(status.get("failedIndexes") or ""),
    )


def moment(text: str | None) -> datetime | None:
    """Return a metav1.Time."""
    return None if text is None else datetime.fromisoformat(text)


def _indexes(listed: str) -> frozenset[int]:
    """Return indexes that the Job controller writes as in `1,3-5,7`."""
    ends = [part.split("-") for part in listed.split(",") if part]
    return frozenset(index for first, *last in ends for index in range(int(first), int(last[0] if last else first) + 1))


def _gpus(containers: Iterable[Mapping[str, Any]]) -> int:
    limits = [(container.get("resources") or {}).get("limits") or {} for container in containers]
    return sum(int(count) for limit in limits for name, count in limit.items() if is_gpu(name) and str(count).isdigit())
