"""The tests' cluster gives what tests rely on."""

from __future__ import annotations

import json

from cluster.cluster import WORKER, Cluster
from cluster.connection import connect
from support.documents import SHORTEST


def test_kubectl_applies_a_run_and_a_worker_may_read_it_and_patch_its_status_alone(cluster: Cluster, namespace: str) -> None:
    assert "created" in cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(SHORTEST))
    worker = connect(cluster.kubeconfig_of(namespace, WORKER))
    run = f"/apis/autollm.dev/v1alpha1/namespaces/{namespace}/autollmruns/support-bot"
    patch = "application/merge-patch+json"
    assert worker.ask("GET", run).status == 200
    assert worker.ask("PATCH", f"{run}/status", {"status": {"summary": "x"}}, content_type=patch).status == 200
    assert worker.ask("GET", run.rpartition("/")[0]).status == 403
    assert worker.ask("GET", f"{run}/status").status == 403
    assert worker.ask("PATCH", run, {"spec": {"suspend": True}}, content_type=patch).status == 403
    assert worker.ask("GET", f"/api/v1/namespaces/{namespace}/secrets").status == 403
    assert worker.ask("GET", run.replace(namespace, "default")).status == 403


def test_a_deleted_owner_takes_its_children_along(cluster: Cluster, namespace: str) -> None:
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    run = cluster.create(f"/apis/autollm.dev/v1alpha1/namespaces/{namespace}/autollmruns", SHORTEST)
    owner = {"apiVersion": run["apiVersion"], "kind": run["kind"], "name": "support-bot", "uid": run["metadata"]["uid"], "controller": True}
    pod = {"restartPolicy": "Never", "containers": [{"name": "worker", "image": "localhost/none:1"}]}
    metadata = {"name": "child", "ownerReferences": [owner]}
    cluster.create(jobs, {"kind": "Job", "metadata": metadata, "spec": {"suspend": True, "template": {"spec": pod}}})
    cluster.kubectl("delete", "autollmrun", "support-bot", "-n", namespace)
    cluster.kubectl("wait", "--for=delete", "job/child", "-n", namespace, "--timeout=60s")
