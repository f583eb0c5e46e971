"""Jobs and pods as a Kubernetes 1.36 tells them, cut to what an operator could read."""

from __future__ import annotations

import copy
from typing import Any

from autollm.contract.pod import CONTAINER
from support.runs import merged

Document = dict[str, Any]

JOB: Document = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {
        "name": "demo-train-0123456789",
        "namespace": "team-a",
        "uid": "job-uid",
        "resourceVersion": "731",
        "generation": 1,
        "labels": {
            "app.kubernetes.io/managed-by": "autollm",
            "autollm.dev/generation": "3",
            "autollm.dev/run": "demo",
            "autollm.dev/task": "train",
        },
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "beside", "uid": "other-uid"},
            {"apiVersion": "autollm.dev/v1alpha1", "kind": "DeltaTraining", "name": "demo-abc", "uid": "training-uid", "controller": True},
        ],
    },
    "spec": {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 3,
        "completionMode": "NonIndexed",
        "suspend": False,
        "template": {"spec": {"containers": [{"name": CONTAINER, "image": "runtime", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]}},
    },
    "status": {"active": 1, "ready": 1, "startTime": "2026-01-01T10:00:00Z", "terminating": 0, "uncountedTerminatedPods": {}},
}

POD: Document = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "demo-train-0123456789-x7k2p",
        "namespace": "team-a",
        "uid": "pod-uid",
        "resourceVersion": "740",
        "labels": {"batch.kubernetes.io/job-name": "demo-train-0123456789", "app.kubernetes.io/managed-by": "autollm"},
        "ownerReferences": [
            {"apiVersion": "batch/v1", "kind": "Job", "name": "demo-train-0123456789", "uid": "job-uid", "controller": True}
        ],
    },
    "spec": {"containers": [{"name": CONTAINER, "image": "registry.test/runtime:1"}]},
    "status": {"phase": "Pending", "conditions": []},
}


def condition(kind: str, status: str = "True", **told: str) -> Document:
    """Return a condition of a Job or a pod."""
    return {"type": kind, "status": status, "lastTransitionTime": "2026-01-01T11:00:00Z", **told}


def job(**changes: Any) -> Document:
    """Return a Job that runs, with changes: mappings are merged, everything else is replaced."""
    return copy.deepcopy(merged(JOB, changes))


def job_with(*conditions: Document, **status: Any) -> Document:
    """Return a Job with these conditions."""
    return job(status={"conditions": [*conditions], **status})


def pod(**changes: Any) -> Document:
    """Return a pod that nobody has looked at yet, with changes."""
    return copy.deepcopy(merged(POD, changes))


def pod_with(state: Document, phase: str = "Pending", *conditions: Document, **status: Any) -> Document:
    """Return a pod whose worker's container is in this state."""
    told = {"name": CONTAINER, "ready": False, "restartCount": 0, "image": "registry.test/runtime:1", "state": state}
    scheduled = condition("PodScheduled")
    return pod(status={"phase": phase, "conditions": [scheduled, *conditions], "containerStatuses": [told], **status})


def waiting(reason: str, message: str = "") -> Document:
    """Return a pod that has a node and whose container does not start."""
    return pod_with({"waiting": {"reason": reason, "message": message}})


def ended(code: int, because: str = "Error", termination: str = "", *conditions: Document, **status: Any) -> Document:
    """Return a pod whose worker has ended."""
    times = {"startedAt": "2026-01-01T10:00:05Z", "finishedAt": "2026-01-01T10:30:00Z"}
    told = {"terminated": {"exitCode": code, "reason": because, **times} | ({"message": termination} if termination else {})}
    return pod_with(told, "Succeeded" if code == 0 else "Failed", *conditions, **status)
