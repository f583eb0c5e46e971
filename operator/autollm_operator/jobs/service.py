"""The headless Service by which the pods of a training on several nodes find each other."""

from __future__ import annotations

from autollm.contract.pod import GENERATION_LABEL, MANAGED_BY, MANAGED_BY_LABEL, RUN_LABEL, TASK_LABEL
from autollm_operator.api.port import Document
from autollm_operator.api.resources import JOBS
from autollm_operator.cache.views import JobView
from autollm_operator.jobs.torchrun import PORT, service_name

JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
"""Set by Kubernetes on the pods of a Job."""


def build_service(job: JobView, run: str) -> Document:
    """Return the Service of a Job, which names its pods before they are ready; it belongs to the Job, and so goes with it."""
    labels = {MANAGED_BY_LABEL: MANAGED_BY, RUN_LABEL: run, TASK_LABEL: job.task, GENERATION_LABEL: str(job.generation)}
    owner = {"apiVersion": JOBS.api_version, "kind": JOBS.kind, "name": job.name, "uid": job.uid, "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service_name(job.name), "namespace": job.namespace, "labels": labels, "ownerReferences": [owner]},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {JOB_NAME_LABEL: job.name},
            "ports": [{"name": "rendezvous", "port": PORT}],
        },
    }
