"""The pod template of every Job: one container that is told one task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autollm.contract.pod import (
    CONTAINER,
    LARGEST_TASK,
    NAMESPACE,
    SCRATCH_FOLDER,
    TASK_ANNOTATION,
    TASK_FILE,
    TERMINATION_FILE,
    pack_task,
)
from autollm.contract.tasks import AnyTask, TrainTask
from autollm.errors import InputError
from autollm.resources.workers import Workers
from autollm_operator.cache.views import Owner
from autollm_operator.jobs.deadline import active_deadline_seconds
from autollm_operator.jobs.env import environment
from autollm_operator.jobs.kinds import KINDS_OF_TASKS, asked_of
from autollm_operator.jobs.placement import placement
from autollm_operator.jobs.resources import container_resources, threads
from autollm_operator.jobs.security_context import container_security_context, pod_security_context
from autollm_operator.jobs.torchrun import launched, service_name
from autollm_operator.jobs.volumes import mounted_volumes
from autollm_operator.settings import WorkerDefaults


def pod_template(
    task: AnyTask, labels: Mapping[str, str], *, workers: Workers, owner: Owner, nodes: int, defaults: WorkerDefaults
) -> dict[str, Any]:
    """Return the template; raises InputError where the task is larger than an annotation may be."""
    asked = asked_of(task, workers)
    volumes = mounted_volumes(workers.volumes or [], defaults, gpus=asked.resources.gpus)
    pull_secrets = [*defaults.image_pull_secrets, *(secret.name for secret in workers.image_pull_secrets or [])]
    container = {
        "name": CONTAINER,
        "image": workers.image or defaults.image,
        "imagePullPolicy": defaults.image_pull_policy,
        "command": _command(task, workers, nodes=nodes),
        "env": environment(task, workers, owner, defaults),
        "resources": container_resources(asked.resources),
        "volumeMounts": [one.mount for one in volumes],
        "securityContext": container_security_context(),
        "terminationMessagePath": TERMINATION_FILE,
        # Not the log's end where the file is empty: what a library prints is not for a status that many can read.
        "terminationMessagePolicy": "File",
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": workers.service_account_name or defaults.service_account_name,
        "automountServiceAccountToken": True,  # with it the worker reports
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": KINDS_OF_TASKS[task.kind].grace_seconds,
        "securityContext": pod_security_context(defaults),
        "containers": [container],
        "volumes": [one.volume for one in volumes],
        **placement(workers),
    }
    if pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in dict.fromkeys(pull_secrets)]
    if nodes > 1:
        spec["subdomain"] = service_name(task.id)
    metadata = {
        "labels": {**defaults.pod_labels, **labels},
        "annotations": {**defaults.pod_annotations, TASK_ANNOTATION: _packed(task)},
    }
    return {"metadata": metadata, "spec": spec}


def _command(task: AnyTask, workers: Workers, *, nodes: int) -> list[str]:
    asked = asked_of(task, workers)
    resources = asked.resources
    command = ["autollm-runtime", KINDS_OF_TASKS[task.kind].section, "--task", TASK_FILE, "--namespace", f"$({NAMESPACE})"]
    command += ["--termination", TERMINATION_FILE, "--scratch", SCRATCH_FOLDER]
    gpus = resources.gpus if isinstance(task, TrainTask) else 0
    if (cores := threads(resources)) is not None:
        command += ["--threads", str(max(1, cores // max(1, gpus)))]
    return launched(command, job=task.id, gpus=gpus, nodes=nodes, deadline=active_deadline_seconds(asked))


def _packed(task: AnyTask) -> str:
    packed = pack_task(task.model_dump_json(by_alias=True, exclude_none=True).encode())
    if len(packed) > LARGEST_TASK:
        message = (
            f"The task {task.id} takes {len(packed)} bytes, and a pod can be told {LARGEST_TASK}: "
            "make fewer deltas, by fewer methods or larger chunks (data.chunk.maxRecords)."
        )
        raise InputError(message, reason="TaskTooLarge")
    return packed
