"""A made-up world as the API server tells it: documents with uids, owners and versions, Jobs and pods, ready for the operator's cache."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from autollm.contract.pod import CONTAINER, MANAGED_BY, MANAGED_BY_LABEL, RUN_LABEL, TASK_LABEL
from autollm.contract.tasks import TrainTask
from autollm.plan.conditions import stamp
from autollm.plan.snapshot import TaskState
from autollm_operator.api.resources import JOBS, PODS, RUNS, TRAININGS, TRIALS, Resource
from support.world import World

Document = dict[str, Any]


def uid(resource: Resource, namespace: str, name: str) -> str:
    """Return an object's uid: always the same."""
    return str(uuid5(NAMESPACE_URL, f"{resource.kind}/{namespace}/{name}"))


def controlled_by(resource: Resource, namespace: str, name: str) -> list[Document]:
    """Return the owner references of what an object controls."""
    owner = {"apiVersion": resource.api_version, "kind": resource.kind, "name": name, "uid": uid(resource, namespace, name)}
    return [{**owner, "controller": True, "blockOwnerDeletion": True}]


def documents(world: World, namespace: str = "team-a", *, version: int = 1, gpus: int = 1) -> Iterator[tuple[Resource, Document]]:
    """Yield a run, its children, and the Jobs and pods of its tasks; each running Job has a running pod."""
    run = world.run.metadata.name
    owner = controlled_by(RUNS, namespace, run)
    yield RUNS, _stored(RUNS, world.run.document(), namespace, version)
    for training in world.trainings.values():
        yield TRAININGS, _stored(TRAININGS, training.document(), namespace, version, owner)
    for trial in world.trials.values():
        document = trial.document()
        status = document.get("status", {})
        if "score" in status or "failure" in status:
            made = datetime.fromisoformat(document["metadata"]["creationTimestamp"])
            held = {"type": "Succeeded", "status": "True" if "score" in status else "False", "reason": "Scored", "message": ""}
            status["conditions"] = [{**held, "lastTransitionTime": stamp(made)}]
        yield TRIALS, _stored(TRIALS, document, namespace, version, owner)
    for name, (task, state) in world.tasks.items():
        if isinstance(task, TrainTask):
            yield from _job(run, name, "train", controlled_by(TRAININGS, namespace, task.training), state, namespace, version, gpus)
        else:
            needed = gpus if task.kind == "Evaluate" else 0
            yield from _job(run, name, task.kind.lower(), owner, state, namespace, version, needed)


def _stored(
    resource: Resource, document: Document, namespace: str, version: int, owners: list[Document] | None = None, **labels: str
) -> Document:
    metadata = document["metadata"]
    metadata |= {"namespace": namespace, "uid": uid(resource, namespace, metadata["name"]), "resourceVersion": str(version)}
    metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
    if labels:
        metadata["labels"] = {MANAGED_BY_LABEL: MANAGED_BY, **labels}
    return {**document, "metadata": metadata | ({"ownerReferences": owners} if owners else {})}


def _job(
    run: str, name: str, task: str, owners: list[Document], state: TaskState, namespace: str, version: int, gpus: int
) -> Iterator[tuple[Resource, Document]]:
    labels = {RUN_LABEL: run, TASK_LABEL: task}
    container = {"name": CONTAINER, "image": "runtime", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}}
    status: Document = {"startTime": "2026-01-01T00:00:00Z"}
    if state.phase != "Running":
        condition = "Complete" if state.phase == "Succeeded" else "Failed"
        status["conditions"] = [{"type": condition, "status": "True", "lastTransitionTime": "2026-01-01T00:10:00Z"}]
    spec = {"parallelism": state.size, "template": {"spec": {"containers": [container]}}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec, "status": status}
    yield JOBS, _stored(JOBS, job, namespace, version, owners, **labels)
    for index in range(state.size if state.phase == "Running" else 0):
        running = {"name": CONTAINER, "state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{name}-{index}"}, "spec": {"containers": [container]}}
        pod["status"] = {"phase": "Running", "containerStatuses": [running]}
        yield PODS, _stored(PODS, pod, namespace, version, controlled_by(JOBS, namespace, name), **labels)
