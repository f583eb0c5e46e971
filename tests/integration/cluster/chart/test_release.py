"""A release on a real API server, by a real helm: installed, upgraded and removed, and every run outlives it."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.cluster import Cluster
from cluster.helm import helm
from cluster.waiting import wait_until
from support.chart import CHART, of_kind, pod_templates, render
from support.documents import SHORTEST
from support.helm_release import Release

RUNS = "/apis/autollm.dev/v1alpha1/namespaces/{}/autollmruns"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
EVERY_SWITCH: dict[str, Any] = {
    "clusterWide": True,
    "operator": {"replicas": 2, "tolerations": [{"key": "system", "operator": "Exists"}], "priorityClassName": "system-cluster-critical"},
    "workers": {"caBundle": {"certificates": "-----BEGIN CERTIFICATE-----"}, "proxy": {"https": "http://proxy:3128"}},
    "networkPolicy": {"enabled": True},
    "metrics": {"dashboard": {"enabled": True}},
}


def make_namespace(cluster: Cluster, name: str) -> str:
    """Make a namespace that enforces the restricted Pod Security Standard."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.create("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    return name


def served(cluster: Cluster) -> set[str]:
    return {crd["spec"]["names"]["kind"] for crd in cluster.admin.expect("GET", CRDS)["items"]}


def older(chart: Path) -> Path:
    """The chart as it might have been before: its CRD of runs had no column Doing, and nobody could say how long a suggestion may take."""
    shutil.copytree(CHART, chart)
    path = chart / "files" / "crds" / "autollmruns.yaml"
    crd = yaml.safe_load(path.read_text())
    columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
    crd["spec"]["versions"][0]["additionalPrinterColumns"] = [column for column in columns if column["name"] != "Doing"]
    path.write_text(yaml.safe_dump(crd, sort_keys=False))
    for name in ("values.yaml", "templates/_helpers.tpl"):
        lines = (chart / name).read_text().splitlines(keepends=True)
        kept = [line for line in lines if "suggestionSeconds" not in line]
        assert len(kept) == len(lines) - 1
        (chart / name).write_text("".join(kept))
    return chart


def settings_of(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """The operator's settings, as the release wrote them."""
    found = cluster.admin.expect("GET", f"/api/v1/namespaces/{namespace}/configmaps/autollm")
    settings: dict[str, Any] = yaml.safe_load(found["data"]["settings.yaml"])
    return settings


def for_workers(cluster: Cluster, namespace: str) -> set[str]:
    """Kind and name of what the chart has made in a namespace."""
    kinds = "serviceaccounts,configmaps,networkpolicies,roles,rolebindings"
    listed = cluster.kubectl("get", kinds, "-n", namespace, "-l", "app.kubernetes.io/part-of=autollm", "-o", "json")
    return {f"{one['kind']} {one['metadata']['name']}" for one in json.loads(listed)["items"]}


def test_helm_finds_nothing_to_say_about_the_chart() -> None:
    done = subprocess.run([str(helm()), "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False)
    assert (done.returncode, "[WARNING]" in done.stdout, "[ERROR]" in done.stdout) == (0, False, False), done.stdout


def test_runs_outlive_upgrades_and_the_release(empty: Cluster, tmp_path: Path) -> None:
    namespace = make_namespace(empty, "team-a")
    release = Release(empty.kubeconfig, namespace)
    said = release.install({"operator": {"resyncSeconds": 300}}, chart=older(tmp_path / "older"))
    assert "suggestionSeconds" not in settings_of(empty, namespace)
    assert said.count("\n", said.index("AutoLLM")) == 3
    assert served(empty) == {"AutoLLMRun", "DeltaTraining", "MergeTrial"}
    wait_until(lambda: empty.admin.answers(RUNS.format(namespace)), "runs are not served")
    run = empty.create(RUNS.format(namespace), copy.deepcopy(SHORTEST))
    columns = ("get", "autollmruns.autollm.dev", "-n", namespace)
    assert "DOING" not in empty.kubectl(*columns)

    def still_there() -> bool:
        found = empty.admin.ask("GET", f"{RUNS.format(namespace)}/support-bot").document
        return bool(found.get("metadata", {}).get("uid") == run["metadata"]["uid"])

    release.upgrade({"operator": {"reconcilers": 3}})
    assert still_there()
    wait_until(lambda: "DOING" in empty.kubectl(*columns), "the upgrade did not bring the new CRD")
    settings = settings_of(empty, namespace)
    assert {name: settings[name] for name in ("reconcilers", "resyncSeconds", "suggestionSeconds")} == {
        "reconcilers": 3,
        "resyncSeconds": 300,
        "suggestionSeconds": 20,
    }

    release.uninstall()
    assert still_there()
    assert empty.admin.ask("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/autollm").status == 404

    release.install()
    assert still_there()
    release.uninstall()


def test_another_release_leaves_the_crds_to_the_first(empty: Cluster) -> None:
    """Namespaced and cluster-wide stand side by side: names of what belongs to no namespace differ."""
    first, second = make_namespace(empty, "first"), make_namespace(empty, "second")
    Release(empty.kubeconfig, first).install({"crds": {"enabled": False}})
    release = Release(empty.kubeconfig, second)
    with pytest.raises(RuntimeError, match="cannot be imported into the current release"):
        release.install()
    release.install({"crds": {"enabled": False}, "clusterWide": True})
    assert settings_of(empty, second)["namespaces"] == []


def test_a_further_namespace_of_a_cluster_wide_release_gets_all_that_workers_need(empty: Cluster) -> None:
    system, first, further = (make_namespace(empty, name) for name in ("system", "listed", "further"))
    release = Release(empty.kubeconfig, system)
    release.install(EVERY_SWITCH | {"crds": {"enabled": False}, "namespaces": [first]})
    assert for_workers(empty, further) == set()
    release.upgrade({"namespaces": [first, further]})
    assert for_workers(empty, further) == {
        "ConfigMap autollm-ca", "NetworkPolicy autollm-workers", "RoleBinding autollm-worker-of-cluster", "ServiceAccount autollm-worker",
    }  # fmt: skip
    assert for_workers(empty, first) == for_workers(empty, further)


def test_an_upgrade_leaves_the_lease_to_its_holder(empty: Cluster) -> None:
    namespace = make_namespace(empty, "standby")
    release, values = Release(empty.kubeconfig, namespace), {"crds": {"enabled": False}, "operator": {"replicas": 2}}
    release.install(values)
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/autollm"
    held = {"spec": {"holderIdentity": "autollm-1", "leaseDurationSeconds": 15}}
    empty.create(path.rpartition("/")[0], {"kind": "Lease", "metadata": {"name": "autollm"}} | held)
    release.upgrade(values | {"rbac": {"aggregate": False}})
    assert empty.admin.expect("GET", path)["spec"] == held["spec"]


def test_replicas_become_more_and_fewer(empty: Cluster) -> None:
    """helm applies on the server's side, as Argo CD may: what is left of a rolling update would be refused beside Recreate."""
    namespace = make_namespace(empty, "replicas")
    release = Release(empty.kubeconfig, namespace)
    release.install({"crds": {"enabled": False}, "operator": {"replicas": 2}})
    for replicas in (1, 2, 1, 2, 0):
        release.upgrade({"operator": {"replicas": replicas}})
        spec = empty.admin.expect("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/autollm")["spec"]
        assert (spec["replicas"], spec["strategy"]["type"]) == (replicas, "RollingUpdate" if replicas == 2 else "Recreate")


@pytest.mark.parametrize("values", [{}, EVERY_SWITCH], ids=["default", "every switch"])
def test_the_api_server_knows_every_field(empty: Cluster, values: dict[str, Any]) -> None:
    namespace = make_namespace(empty, "fields-" + ("all" if values else "default"))
    documents = "---\n".join(yaml.safe_dump(one) for one in render(values, namespace=namespace))
    empty.kubectl("apply", "--dry-run=server", "--validate=strict", "--server-side", "--force-conflicts", "-f", "-", stdin=documents)


@pytest.mark.parametrize("values", [{}, EVERY_SWITCH, {"operator": {"user": None}}], ids=["default", "every switch", "user of the cluster"])
def test_pod_security_takes_the_operator_as_restricted(empty: Cluster, values: dict[str, Any]) -> None:
    if not empty.admin.answers("/api/v1/namespaces/restricted"):
        make_namespace(empty, "restricted")
        empty.create("/api/v1/namespaces/restricted/serviceaccounts", {"kind": "ServiceAccount", "metadata": {"name": "autollm"}})
    (pod,) = pod_templates(render(values, namespace="restricted"))
    empty.create("/api/v1/namespaces/restricted/pods?dryRun=All", {"kind": "Pod", "metadata": {"name": "operator"}, "spec": pod})
    privileged = copy.deepcopy(pod)
    privileged["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(RuntimeError, match='violates PodSecurity "restricted'):
        empty.create("/api/v1/namespaces/restricted/pods?dryRun=All", {"kind": "Pod", "metadata": {"name": "other"}, "spec": privileged})


def test_a_quota_on_cpu_takes_the_operator_with_a_limit(empty: Cluster) -> None:
    """The one that the page on troubles tells people to set."""
    namespace = make_namespace(empty, "quota")
    core = f"/api/v1/namespaces/{namespace}"
    empty.create(f"{core}/resourcequotas", {"kind": "ResourceQuota", "metadata": {"name": "cpu"}, "spec": {"hard": {"limits.cpu": "2"}}})
    wait_until(lambda: "hard" in empty.admin.expect("GET", f"{core}/resourcequotas/cpu")["status"], "the quota does not hold")
    empty.create(f"{core}/serviceaccounts", {"kind": "ServiceAccount", "metadata": {"name": "autollm"}})

    def make_pod(values: dict[str, Any]) -> None:
        (pod,) = pod_templates(render(values, namespace=namespace))
        empty.create(f"{core}/pods?dryRun=All", {"kind": "Pod", "metadata": {"name": "operator"}, "spec": pod})

    with pytest.raises(RuntimeError, match=r"failed quota: cpu: must specify limits.cpu for: operator"):
        make_pod({})
    make_pod({"operator": {"resources": {"limits": {"cpu": 1}}}})


def test_kustomize_installs_the_same(empty: Cluster) -> None:
    namespace = make_namespace(empty, "autollm-system")
    base = str(CHART.parent / "kustomize" / "base")
    empty.kubectl("apply", "--server-side", "--force-conflicts", "-k", base)
    (deployment,) = of_kind(render(namespace=namespace), "Deployment")
    found = empty.admin.expect("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/autollm")
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert served(empty) == {"AutoLLMRun", "DeltaTraining", "MergeTrial"}
