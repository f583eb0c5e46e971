"""The commands of the installation page, one after the other, with a real helm and kubectl on a real API server."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from cluster.cluster import Cluster
from cluster.helm import helm

ROOT = Path(__file__).parents[4]
COMMANDS = [
    command
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "how-to" / "install.md").read_text(), re.DOTALL)
    for command in block.strip().splitlines()
]


def test_every_command_works_in_its_order(empty: Cluster, tmp_path: Path) -> None:
    path = f"{helm().parent}{os.pathsep}{os.environ['PATH']}"  # helm and its kubectl
    environment = os.environ | {"KUBECONFIG": str(empty.kubeconfig), "PATH": path}
    assert len(COMMANDS) > 15
    for link in ("charts", "examples"):
        (tmp_path / link).symlink_to(ROOT / link)
    (tmp_path / "build").mkdir()
    for command in COMMANDS:
        done = subprocess.run(
            ["sh", "-euc", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        if "get autollm" in command:
            assert "support-bot" in done.stdout
        if "helm uninstall" in command:
            assert "kept due to the resource policy" in done.stdout
            runs = empty.kubectl("get", "autollmruns.autollm.dev", "--all-namespaces")
            assert "support-bot" in runs


def test_the_patch_of_argocd_is_taken(empty: Cluster) -> None:
    empty.kubectl("create", "namespace", "argocd")
    empty.kubectl("create", "configmap", "argocd-cm", "-n", "argocd", "--from-literal=url=https://argocd.example.org")
    command = re.findall(r"```sh\nkubectl (.*?)\n```", (ROOT / "docs" / "how-to" / "gitops.md").read_text())[0].split()
    command[-1] = str(ROOT / command[-1])
    empty.kubectl(*command)
    data = empty.admin.expect("GET", "/api/v1/namespaces/argocd/configmaps/argocd-cm")["data"]
    assert set(data) == {
        "url",
        *(f"resource.customizations.health.autollm.dev_{kind}" for kind in ("AutoLLMRun", "DeltaTraining", "MergeTrial")),
    }
