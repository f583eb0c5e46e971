"""Jobs: one for each task, named after it, owned by what it works for. Pure: the same task gives the same Job."""

from __future__ import annotations

from typing import Any

from autollm.contract.pod import GENERATION_LABEL, MANAGED_BY, MANAGED_BY_LABEL, RUN_LABEL, TASK_LABEL, WORKERS_ANNOTATION
from autollm.contract.tasks import AnyTask, EvaluateTask, TrainTask
from autollm.resources.metadata import API_VERSION
from autollm.resources.workers import Workers
from autollm_operator.api.port import Document
from autollm_operator.cache.views import Owner
from autollm_operator.jobs.deadline import active_deadline_seconds
from autollm_operator.jobs.kinds import KINDS_OF_TASKS, asked_of
from autollm_operator.jobs.made_with import made_with
from autollm_operator.jobs.pod import pod_template
from autollm_operator.jobs.pod_failure_policy import pod_failure_policy
from autollm_operator.jobs.queue_name import queue_labels
from autollm_operator.settings import Settings


def build_job(task: AnyTask, *, workers: Workers, owner: Owner, namespace: str, generation: int, settings: Settings) -> Document:
    """Return the Job of a task: one pod, or one for each of the nodes that share a training.

    Raises InputError where the task is too large for an annotation. That of several nodes needs a Service too.
    """
    nodes = workers.train.nodes if isinstance(task, TrainTask) else 1
    limits: Document = {"backoffLimit": asked_of(task, workers).retries * nodes}
    if nodes > 1:
        limits |= {"completionMode": "Indexed", "completions": nodes, "parallelism": nodes}
    return _job(task, limits, nodes=nodes, workers=workers, owner=owner, namespace=namespace, generation=generation, settings=settings)


def build_evaluators(
    template: EvaluateTask, size: int, *, workers: Workers, owner: Owner, namespace: str, generation: int, settings: Settings
) -> Document:
    """Return the Job of all evaluators of a search: the pod with completion index i works for slot i, each with retries of its own."""
    limits: Document = {
        "completionMode": "Indexed",
        **resize_patch(size)["spec"],
        "backoffLimitPerIndex": workers.evaluate.retries,
        # One that is given up ends them all: its slot would keep a trial for ever, for which the others never end.
        "maxFailedIndexes": 0,
    }
    return _job(template, limits, nodes=1, workers=workers, owner=owner, namespace=namespace, generation=generation, settings=settings)


def resize_patch(size: int) -> Document:
    """Return the patch that gives evaluators another number of slots: Kubernetes takes both numbers together or none."""
    return {"spec": {"completions": size, "parallelism": size}}


def _job(
    task: AnyTask,
    limits: Document,
    *,
    nodes: int,
    workers: Workers,
    owner: Owner,
    namespace: str,
    generation: int,
    settings: Settings,
) -> Document:
    labels = _labels(task, generation)
    annotations = {WORKERS_ANNOTATION: made_with(KINDS_OF_TASKS[task.kind].section, workers, settings.workers)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(task.id, labels | queue_labels(workers), owner, namespace) | {"annotations": annotations},
        "spec": {
            **limits,
            "activeDeadlineSeconds": active_deadline_seconds(asked_of(task, workers)),
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": pod_failure_policy(task),
            "template": pod_template(task, labels, workers=workers, owner=owner, nodes=nodes, defaults=settings.workers),
        },
    }


def _labels(task: AnyTask, generation: int) -> dict[str, str]:
    return {
        MANAGED_BY_LABEL: MANAGED_BY,
        RUN_LABEL: task.run,
        TASK_LABEL: task.kind.lower(),
        GENERATION_LABEL: str(generation),
    }


def _metadata(name: str, labels: dict[str, str], owner: Owner, namespace: str) -> dict[str, Any]:
    reference = {"apiVersion": API_VERSION, "kind": owner.kind, "name": owner.name, "uid": owner.uid, "controller": True}
    return {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": [reference]}
