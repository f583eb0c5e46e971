"""Pods as the API server tells them, projected to what is read here."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any

from autollm.contract.pod import CONTAINER
from autollm_operator.cache.jobs import moment
from autollm_operator.cache.parsed import controller
from autollm_operator.cache.views import PodView

INDEX = "batch.kubernetes.io/job-completion-index"
DISRUPTIONS = frozenset({"Evicted", "Preempting", "NodeLost", "NodeShutdown", "Shutdown", "Terminated"})
"""Reasons of pods whose node, or whose place on it, was taken away; kubelets that end them so need not set DisruptionTarget."""

UNREMARKABLE = frozenset({"ContainerCreating", "PodInitializing"})
LONGEST = 512
LONGEST_TERMINATION = 4096


def pod_view(document: Mapping[str, Any]) -> PodView:
    """Return the view of a pod."""
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    named = metadata.get("labels") or {}
    index = str(named.get(INDEX) or (metadata.get("annotations") or {}).get(INDEX) or "0")
    worker = _worker(status)
    ended = worker.get("terminated") or {}
    running = worker.get("running") or {}
    held = {condition["type"]: condition for condition in status.get("conditions") or ()}
    reason = status.get("reason", "")
    return PodView(
        namespace=intern(metadata["namespace"]),
        name=metadata["name"],
        uid=metadata["uid"],
        version=int(metadata["resourceVersion"]),
        owner=controller(metadata),
        index=int(index) if index.isascii() and index.isdigit() else 0,
        phase=intern(status.get("phase", "Pending")),
        deleting="deletionTimestamp" in metadata,
        created=moment(metadata.get("creationTimestamp")),
        started=moment(running.get("startedAt")),
        finished=moment(ended.get("finishedAt")),
        waiting=_waiting(spec, status, worker, held) if status.get("phase", "Pending") == "Pending" else "",
        exit_code=ended.get("exitCode"),
        ended_because=intern(reason or ended.get("reason", "")),
        termination=ended.get("message", "")[:LONGEST_TERMINATION],
        disrupted=held.get("DisruptionTarget", {}).get("status") == "True" or reason in DISRUPTIONS,
        message=one_line(status.get("message", "")),
        node=intern(spec.get("nodeName", "")),
        gone_by=moment(metadata.get("deletionTimestamp")),
    )


def one_line(text: str, longest: int = LONGEST) -> str:
    """Return what others wrote as one printable line of bounded length."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: 4 * longest]).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _worker(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state of the worker's container; others, such as a service mesh's, say nothing about the task."""
    found: Mapping[str, Any] = next((told for told in status.get("containerStatuses") or () if told["name"] == CONTAINER), {})
    return found.get("state") or {}


def _waiting(spec: Mapping[str, Any], status: Mapping[str, Any], worker: Mapping[str, Any], held: Mapping[str, Any]) -> str:
    scheduled = held.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"Its pod has no node yet ({scheduled.get('reason', 'Unschedulable')}): {one_line(scheduled.get('message', ''))}"
    beside = [told.get("state", {}) for told in status.get("initContainerStatuses") or ()]
    for waiting in (state.get("waiting") for state in (worker, *beside)):
        if waiting and waiting.get("reason") not in UNREMARKABLE:
            return _container_waits(spec, waiting)
    if scheduled.get("status") == "True":
        return "Its container is being made: the image is pulled and volumes are mounted."
    return ""


def _container_waits(spec: Mapping[str, Any], waiting: Mapping[str, Any]) -> str:
    reason, message = waiting.get("reason", "Waiting"), waiting.get("message", "")
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        # Both alternate for as long as the image is missing; told alike, a status that repeats them is written once.
        cause = message.partition("ErrImagePull: ")[2] or ("" if reason == "ImagePullBackOff" else message)
        image = next((container["image"] for container in spec.get("containers") or () if container["name"] == CONTAINER), "its image")
        return f"The image {image} cannot be pulled{': ' if cause else '.'}{one_line(cause)}"
    return f"Its container cannot be made ({reason}): {one_line(message)}"
