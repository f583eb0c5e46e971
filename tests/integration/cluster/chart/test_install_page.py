"""The commands of the installation page, one after the other, with a real helm and kubectl on a real API server."""

from __future__ import annotations

from pathlib import Path

from cluster.cluster import Cluster
from support.pages import HOW_TO, ROOT, Reader, commands, sections

PAGE = sections(HOW_TO / "install.md")
EVERYBODY, KUSTOMIZE = "For everybody", "With kustomize"
"""What is done in place of the rest of the page, and not after it."""


def test_every_command_works_in_its_order(empty: Cluster, tmp_path: Path) -> None:
    reader = Reader(tmp_path, empty.kubeconfig)
    lines = [line for heading, lines in PAGE.items() if heading not in (EVERYBODY, KUSTOMIZE) for line in lines]
    assert len(lines) > 10
    for command in lines:
        printed = reader.run(command)
        if "get autollm" in command:
            assert "support-bot" in printed
        if "helm uninstall" in command:
            assert "kept due to the resource policy" in printed
            runs = empty.kubectl("get", "autollmruns.autollm.dev", "--all-namespaces")
            assert "support-bot" in runs


def test_an_operator_for_everybody_takes_the_place_of_one_for_some(new: Cluster, tmp_path: Path) -> None:
    reader = Reader(tmp_path, new.kubeconfig)
    for line in PAGE["With helm"]:
        reader.run(line)
    (uninstall,) = PAGE["Uninstall"][:1]
    reader.run(uninstall)
    for line in PAGE[EVERYBODY]:
        reader.run(f"{line} --take-ownership" if line.startswith("helm install") else line)
    assert len(PAGE[EVERYBODY]) > 3
    assert operators(new) == {"autollm-system/everywhere-autollm"}
    for namespace in ("team-c", "team-d"):
        made = new.kubectl("get", "serviceaccounts,rolebindings,networkpolicies", "-n", namespace, "-o", "name")
        assert {"autollm-worker", "everywhere-autollm-worker-of-cluster", "everywhere-autollm-workers"} <= {
            line.partition("/")[2] for line in made.split()
        }
    assert "support-bot" in new.kubectl("get", "autollmruns.autollm.dev", "--all-namespaces")


def test_an_operator_for_everybody_is_installed_first_of_all(new: Cluster, tmp_path: Path) -> None:
    reader = Reader(tmp_path, new.kubeconfig)
    for line in PAGE[EVERYBODY]:
        reader.run(line)
    assert operators(new) == {"autollm-system/everywhere-autollm"}
    new.kubectl("wait", "--for=condition=Established", "crd/autollmruns.autollm.dev", "--timeout=60s")


def test_kustomize_installs_an_operator(new: Cluster, tmp_path: Path) -> None:
    reader = Reader(tmp_path, new.kubeconfig)
    *before, apply = PAGE[KUSTOMIZE]
    for line in [*before, f"{apply} --dry-run=server"]:
        reader.run(line)
    assert operators(new) == set()
    reader.run(apply)
    assert operators(new) == {"autollm-system/autollm"}
    new.kubectl("wait", "--for=condition=Established", "crd/autollmruns.autollm.dev", "--timeout=60s")


def operators(cluster: Cluster) -> set[str]:
    """Return the Deployments that are there, each as namespace/name."""
    listed = cluster.admin.expect("GET", "/apis/apps/v1/deployments")["items"]
    return {f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in listed}


def test_the_patch_of_argocd_is_taken(empty: Cluster) -> None:
    empty.kubectl("create", "namespace", "argocd")
    empty.kubectl("create", "configmap", "argocd-cm", "-n", "argocd", "--from-literal=url=https://argocd.example.org")
    command = commands(HOW_TO / "gitops.md")[0].removeprefix("kubectl ").split()
    command[-1] = str(ROOT / command[-1])
    empty.kubectl(*command)
    data = empty.admin.expect("GET", "/api/v1/namespaces/argocd/configmaps/argocd-cm")["data"]
    assert set(data) == {
        "url",
        *(f"resource.customizations.health.autollm.dev_{kind}" for kind in ("AutoLLMRun", "DeltaTraining", "MergeTrial")),
    }
