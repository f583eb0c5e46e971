"""The operator does a whole run with the rights that the chart gives it: none is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.cluster import Cluster
from cluster.waiting import wait_until
from support.access import Access, may
from support.cluster_run import ClusterRun
from support.helm_release import Release
from support.operator_process import running_operator
from support.scene import Scene
from support.simulated_pods import SimulatedPods

SYSTEM = "autollm-system"


@pytest.fixture(scope="module")
def released(empty: Cluster) -> Cluster:
    """A release for one namespace, with a standby and so with a Lease."""
    for name in (SYSTEM, "team-a"):
        empty.create("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": name}})
    Release(empty.kubeconfig, SYSTEM).install({"namespaces": ["team-a"], "operator": {"replicas": 2}})
    probe = Access("patch", "mergetrials/status.autollm.dev", "team-a")
    wait_until(lambda: may(empty.admin, f"system:serviceaccount:{SYSTEM}:autollm", probe), "the operator has no rights")
    return empty


@pytest.fixture
def scene(released: Cluster, tmp_path: Path) -> Iterator[Scene]:
    """The operator as its ServiceAccount, with the settings of the release."""
    settings = yaml.safe_load(released.admin.expect("GET", f"/api/v1/namespaces/{SYSTEM}/configmaps/autollm")["data"]["settings.yaml"])
    mine = {name: value for name, value in settings.items() if name not in ("port", "namespaces")}
    pods = SimulatedPods(released.admin, "team-a", seconds=lambda what: 2.0 if what == "train" else 0.2)
    account = released.kubeconfig_of(SYSTEM, "autollm")
    with running_operator(tmp_path, account, *settings["namespaces"], **mine) as operator, pods:
        operator.wait_ready()
        yield Scene(ClusterRun(released, "team-a"), pods, operator)


def test_from_data_to_a_published_model_with_a_change_and_a_pause(scene: Scene) -> None:
    run = scene.run
    run.apply(search={"trials": 12, "parallelism": 2}, workers={"train": {"nodes": 2}})
    run.until(lambda: bool(services(run)), "the pods of a training on several nodes cannot find each other")
    run.until(lambda: len(run.children("mergetrials")) > 3, "the search does not begin")
    run.change(search={"parallelism": 3})
    run.until(lambda: any(job["spec"]["completions"] == 3 for job in run.jobs("evaluate")), "the evaluators do not become three")
    run.change(suspend=True)
    run.wait("Reconciling", "False", "Suspended")
    run.until(lambda: not run.jobs("evaluate"), "the evaluators do not leave")
    run.change(suspend=False)
    run.wait("Succeeded", "True")
    assert [line for line in scene.operator.log if "forbidden" in str(line).lower()] == []
    # They go with their Jobs, which stay for a while when they are done.
    assert {service["metadata"]["ownerReferences"][0]["kind"] for service in services(run)} <= {"Job"}
    lease = run.cluster.admin.expect("GET", f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/autollm")
    assert lease["spec"]["holderIdentity"]
    events = run.cluster.admin.expect("GET", "/apis/events.k8s.io/v1/namespaces/team-a/events")["items"]
    assert any(event.get("reportingController") == "autollm.dev/operator" for event in events)


def services(run: ClusterRun) -> list[dict[str, Any]]:
    """The Services in the run's namespace."""
    found: list[dict[str, Any]] = run.cluster.admin.expect("GET", f"/api/v1/namespaces/{run.namespace}/services")["items"]
    return found
