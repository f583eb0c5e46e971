"""What is built from run documents is taken by a real API server, its pods by a namespace that enforces the restricted standard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings

from autollm.plan.problems import document_problem
from autollm.resources.run import AutoLLMRun
from autollm.resources.validate import check_data
from autollm.resources.workers import Workers
from autollm_operator.cache.jobs import job_view
from autollm_operator.jobs.build import build_evaluators, build_job, resize_patch
from autollm_operator.jobs.service import build_service
from autollm_operator.settings import Settings
from cluster.cluster import WORKER, Cluster
from support.documents import EVERYTHING, SHORTEST, changed
from support.escalation import HOSTILE_WORKERS, escalations
from support.generated_documents import worker_sections
from support.job_tasks import OWNER, RUN, SETTINGS, evaluate_task, every_task

EXAMPLES = 1000 if os.environ.get("AUTOLLM_SOAK") else 40
TASKS = every_task()


@dataclass(frozen=True)
class Restricted:
    """A namespace that enforces the restricted Pod Security Standard."""

    cluster: Cluster
    name: str

    def dry_run(self, document: dict[str, Any]) -> str:
        """Return why a document is not taken, the empty text where it is."""
        group, plural = {"Job": ("apis/batch/v1", "jobs"), "Service": ("api/v1", "services"), "Pod": ("api/v1", "pods")}[document["kind"]]
        path = f"/{group}/namespaces/{self.name}/{plural}?dryRun=All&fieldValidation=Strict"
        answer = self.cluster.admin.ask("POST", path, document)
        return "" if answer.status < 400 else str(answer.document.get("message"))

    def build(self, workers: Workers) -> Iterator[dict[str, Any]]:
        """Yield every document that is made for these workers."""
        for task in TASKS.values():
            yield build_job(task, workers=workers, owner=OWNER, namespace=self.name, generation=1, settings=SETTINGS)
        yield build_evaluators(evaluate_task(), 256, workers=workers, owner=OWNER, namespace=self.name, generation=1, settings=SETTINGS)


@pytest.fixture(scope="module")
def restricted(cluster: Cluster) -> Iterator[Restricted]:
    name = cluster.namespace(security="restricted")
    yield Restricted(cluster, name)
    cluster.delete_namespace(name)


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    """Return a pod of a Job: the standard is enforced on pods, and only warned of on Jobs. Classes and accounts need not exist."""
    template = job["spec"]["template"]
    metadata = template["metadata"] | {"name": "p", "namespace": job["metadata"]["namespace"]}
    spec = template["spec"] | {"serviceAccountName": WORKER, "priorityClassName": None, "runtimeClassName": None}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(section=worker_sections())
def test_every_accepted_document_gives_jobs_that_the_api_server_takes(restricted: Restricted, section: dict[str, Any]) -> None:
    data, problems = check_data("AutoLLMRun", changed(SHORTEST, {"spec.workers": section}))
    assume(not problems)
    run = AutoLLMRun.parse(data)
    assume(document_problem(run.spec) is None)
    event("accepted")
    for job in restricted.build(run.spec.workers):
        assert restricted.dry_run(job) == "", job["metadata"]["name"]
    assert restricted.dry_run(pod_of(job)) == ""
    made = {"uid": OWNER.uid, "resourceVersion": "1"}
    assert restricted.dry_run(build_service(job_view(job | {"metadata": job["metadata"] | made}), RUN)) == ""


@pytest.mark.parametrize("workers", [{}, EVERYTHING["spec"]["workers"]], ids=["nothing", "everything"])
def test_pods_of_every_kind_of_task_meet_the_restricted_standard(restricted: Restricted, workers: dict[str, Any]) -> None:
    for job in restricted.build(Workers.parse(workers)):
        assert restricted.dry_run(pod_of(job)) == "", job["metadata"]["name"]


def test_the_api_server_takes_pods_with_what_autoscalers_and_meshes_read(restricted: Restricted) -> None:
    annotation, label = {"karpenter.sh/do-not-disrupt": "true"}, {"sidecar.istio.io/inject": "false"}
    everywhere = Settings.parse({"workers": {"image": "i", "podAnnotations": annotation, "podLabels": label}})
    job = build_job(TASKS["Train"], workers=Workers(), owner=OWNER, namespace=restricted.name, generation=1, settings=everywhere)
    assert restricted.dry_run(pod_of(job)) == ""
    stored = restricted.cluster.admin.expect("POST", f"/apis/batch/v1/namespaces/{restricted.name}/jobs?dryRun=All", job)
    of_pods = stored["spec"]["template"]["metadata"]
    assert annotation.items() <= of_pods["annotations"].items()
    assert (label | {"autollm.dev/run": RUN, "batch.kubernetes.io/job-name": TASKS["Train"].id}).items() <= of_pods["labels"].items()


def test_the_namespace_refuses_what_is_not_restricted(restricted: Restricted) -> None:
    job = next(restricted.build(Workers()))
    job["spec"]["template"]["spec"]["containers"][0]["securityContext"].pop("capabilities")
    assert 'violates PodSecurity "restricted' in restricted.dry_run(pod_of(job))


@pytest.mark.parametrize("section", HOSTILE_WORKERS, ids=str)
def test_a_hostile_document_is_refused_or_what_it_asks_for_is_dropped(restricted: Restricted, section: dict[str, Any]) -> None:
    document = changed(SHORTEST, {"spec.workers": section, "metadata.namespace": restricted.name})
    path = f"/apis/autollm.dev/v1alpha1/namespaces/{restricted.name}/autollmruns?dryRun=All&fieldValidation"
    admin = restricted.cluster.admin
    # Kept by name alone: the operator's settings say which ServiceAccounts there are.
    allowed_by_type = section == {"serviceAccountName": "cluster-admin"}
    assert (admin.ask("POST", f"{path}=Strict", document).status >= 400) is not allowed_by_type
    stored = admin.ask("POST", f"{path}=Ignore", document)
    if stored.status < 400:
        workers = AutoLLMRun.parse({name: stored.document[name] for name in ("metadata", "spec")}).spec.workers
        accounts = frozenset({"autollm-worker", "cluster-admin"})
        assert [found for job in restricted.build(workers) for found in escalations(job, restricted.name, accounts)] == []


def test_the_size_of_evaluators_changes_up_and_down(restricted: Restricted) -> None:
    job = build_evaluators(evaluate_task(), 2, workers=Workers(), owner=OWNER, namespace=restricted.name, generation=1, settings=SETTINGS)
    admin, path = restricted.cluster.admin, f"/apis/batch/v1/namespaces/{restricted.name}/jobs"
    job["metadata"].pop("ownerReferences")  # the garbage collector would look for an owner that was made up
    admin.expect("POST", path, job | {"spec": job["spec"] | {"suspend": True}})
    for size in (6, 1, 256):
        spec = admin.expect("PATCH", f"{path}/{job['metadata']['name']}", resize_patch(size), content_type="application/merge-patch+json")[
            "spec"
        ]
        assert (spec["completions"], spec["parallelism"]) == (size, size)


@pytest.mark.parametrize("document", [SHORTEST, EVERYTHING], ids=["shortest", "everything"])
def test_the_api_server_fills_in_the_defaults_that_the_types_have(restricted: Restricted, document: dict[str, Any]) -> None:
    path = f"/apis/autollm.dev/v1alpha1/namespaces/{restricted.name}/autollmruns?dryRun=All&fieldValidation=Strict"
    stored = restricted.cluster.admin.expect("POST", path, changed(document, {"metadata.namespace": restricted.name}))
    assert AutoLLMRun.parse({name: stored[name] for name in ("metadata", "spec")}).spec == AutoLLMRun.parse(document).spec
