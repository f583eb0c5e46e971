"""Jobs on nodes of GPUs that are only numbers: the real scheduler, and its words for a pod that has to wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from autollm_operator.cache.pods import pod_view
from cluster.cluster import Cluster
from cluster.kwok import LASTS, TOLERATION, fake_nodes
from cluster.waiting import wait_until


@pytest.fixture(scope="module")
def nodes(cluster: Cluster) -> Iterator[list[str]]:
    with fake_nodes(cluster, 1, {"cpu": "64", "nvidia.com/gpu": "2"}) as names:
        yield names


def make_job(cluster: Cluster, namespace: str, name: str, *, gpus: int, lasts: str | None = None) -> None:
    container = {"name": "worker", "image": "localhost/none:1", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
    template: dict[str, Any] = {"spec": {"restartPolicy": "Never", "containers": [container], "tolerations": [TOLERATION]}}
    if lasts:
        template["metadata"] = {"annotations": {LASTS: lasts}}
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    cluster.create(path, {"kind": "Job", "metadata": {"name": name}, "spec": {"template": template}})


def pods_of(cluster: Cluster, namespace: str, job: str) -> list[dict[str, Any]]:
    path = f"/api/v1/namespaces/{namespace}/pods?labelSelector=batch.kubernetes.io/job-name={job}"
    items: list[dict[str, Any]] = cluster.admin.expect("GET", path)["items"]
    return items


def test_a_pod_for_which_there_is_no_room_says_so_and_runs_once_there_is(cluster: Cluster, namespace: str, nodes: list[str]) -> None:
    make_job(cluster, namespace, "first", gpus=2)
    wait_until(lambda: [pod["status"]["phase"] for pod in pods_of(cluster, namespace, "first")] == ["Running"], "it does not run")
    make_job(cluster, namespace, "second", gpus=2, lasts="1s")

    def waiting() -> str:
        return next((pod_view(pod).waiting for pod in pods_of(cluster, namespace, "second")), "")

    wait_until(lambda: "Insufficient nvidia.com/gpu" in waiting(), "the scheduler does not say why")
    cluster.kubectl("delete", "job", "first", "-n", namespace)
    cluster.kubectl("wait", "--for=condition=Complete", "job/second", "-n", namespace, "--timeout=60s")
