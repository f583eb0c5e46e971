"""The commands of the installation page, one after the other, with a real helm and kubectl on a real API server."""

from __future__ import annotations

from pathlib import Path

from cluster.cluster import Cluster
from support.pages import HOW_TO, ROOT, Reader, commands

COMMANDS = commands(HOW_TO / "install.md")


def test_every_command_works_in_its_order(empty: Cluster, tmp_path: Path) -> None:
    reader = Reader(tmp_path, empty.kubeconfig)
    assert len(COMMANDS) > 15
    for command in COMMANDS:
        printed = reader.run(command)
        if "get autollm" in command:
            assert "support-bot" in printed
        if "{team-c,team-d}" in command:
            made = empty.kubectl("get", "serviceaccounts,rolebindings,networkpolicies", "-n", "team-d", "-o", "name")
            assert {"autollm-worker", "everywhere-autollm-worker", "everywhere-autollm-workers"} <= {
                line.partition("/")[2] for line in made.split()
            }
        if "helm uninstall" in command:
            assert "kept due to the resource policy" in printed
            runs = empty.kubectl("get", "autollmruns.autollm.dev", "--all-namespaces")
            assert "support-bot" in runs


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
