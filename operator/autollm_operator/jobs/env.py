"""The environment of a worker: where it is, its credentials by reference to Secrets, and what settings and document add."""

from __future__ import annotations

from typing import Any

from autollm.contract.pod import GPUS, NAMESPACE, OWNER_UID, SCRATCH_FOLDER
from autollm.contract.tasks import AnyTask, EvaluateTask, PinTask, PrepareTask, PublishTask, TrainTask
from autollm.resources.environment import EnvironmentVariable
from autollm.resources.run import Artifacts
from autollm.resources.workers import Workers
from autollm_operator.cache.views import Owner
from autollm_operator.jobs.kinds import asked_of
from autollm_operator.jobs.resources import usable_gpus
from autollm_operator.jobs.volumes import CA_FILE, CA_FOLDER, TEMPORARY_FOLDER
from autollm_operator.settings import WorkerDefaults

Variable = dict[str, Any]


def environment(task: AnyTask, workers: Workers, owner: Owner, defaults: WorkerDefaults) -> list[Variable]:
    """Return all variables; of one name the later of: the image's caches, the settings, the document, what the worker relies on.

    No value of a Secret is read: pods are only told where it is.
    """
    layers = (
        _literal({"HOME": SCRATCH_FOLDER, "TMPDIR": TEMPORARY_FOLDER, "HF_HOME": f"{SCRATCH_FOLDER}/huggingface"} | _patience(task)),
        _literal(_trust(defaults) | defaults.env),
        {variable.name: _asked(variable) for variable in workers.env or []},
        _credentials(task),
        {NAMESPACE: {"name": NAMESPACE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}},
        _literal({OWNER_UID: owner.uid} | _gpus(task, workers)),
    )
    merged: dict[str, Variable] = {}
    for layer in layers:
        merged |= layer
    return list(merged.values())


def _patience(task: AnyTask) -> dict[str, str]:
    """Let work that has begun wait some two minutes for an S3 server that is away, before it leaves its place to another pod.

    The preparation, which is the first to reach it, rather says within seconds that it does not.
    """
    return {} if isinstance(task, PrepareTask) else {"AWS_MAX_ATTEMPTS": "20"}


def _gpus(task: AnyTask, workers: Workers) -> dict[str, str]:
    """Tell those who compute how many GPUs they hold; data is prepared, and a model published, without any."""
    count = usable_gpus(asked_of(task, workers).resources) if isinstance(task, TrainTask | EvaluateTask) else 0
    return {GPUS: str(count)} if count else {}


def _literal(values: dict[str, str]) -> dict[str, Variable]:
    return {name: {"name": name, "value": value} for name, value in values.items()}


def _asked(variable: EnvironmentVariable) -> Variable:
    reference = variable.secret_key_ref
    if reference is None:
        return {"name": variable.name, "value": variable.value}
    return {"name": variable.name, "valueFrom": {"secretKeyRef": {"name": reference.name, "key": reference.key}}}


def _trust(defaults: WorkerDefaults) -> dict[str, str]:
    """Return how the libraries at work here are told of a bundle of certificates: each has a variable of its own."""
    if defaults.ca_bundle_config_map is None:
        return {}
    return dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "CURL_CA_BUNDLE"), f"{CA_FOLDER}/{CA_FILE}")


def _credentials(task: AnyTask) -> dict[str, Variable]:
    variables: list[Variable] = []
    if (secret := _artifacts(task).secret_name) is not None:
        variables += [_from_secret(secret, "AWS_ACCESS_KEY_ID"), _from_secret(secret, "AWS_SECRET_ACCESS_KEY")]
        variables.append(_from_secret(secret, "AWS_SESSION_TOKEN", optional=True))
    if (secret := _hub_secret(task)) is not None:
        variables.append(_from_secret(secret, "HF_TOKEN"))
    return {variable["name"]: variable for variable in variables}


def _artifacts(task: AnyTask) -> Artifacts:
    return task.spec.artifacts if isinstance(task, PrepareTask | TrainTask) else task.artifacts


def _hub_secret(task: AnyTask) -> str | None:
    match task:
        case PrepareTask() | TrainTask() | PublishTask():
            return task.spec.model.secret_name
        case EvaluateTask():
            return task.model.secret_name
        case PinTask():
            return None


def _from_secret(secret: str, key: str, *, optional: bool = False) -> Variable:
    reference = {"name": secret, "key": key} | ({"optional": True} if optional else {})
    return {"name": key, "valueFrom": {"secretKeyRef": reference}}
