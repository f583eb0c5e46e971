"""The kustomize bases are the chart's objects, and an overlay can put them elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from autollm_operator.settings import read_settings
from cluster.helm import helm, kubectl
from support.chart import CHART, Document, of_kind, render

BASES = CHART.parent / "kustomize"


def built(folder: Path) -> list[Document]:
    output = subprocess.run([str(kubectl()), "kustomize", str(folder)], check=True, capture_output=True, text=True).stdout
    return list(yaml.load_all(output, yaml.CSafeLoader))


def overlay(folder: Path, **kustomization: Any) -> list[Document]:
    """Build an overlay beside the bases, as a user's repository has it."""
    bases = [str(Path(*[".."] * (len(folder.parts) - 1)) / str(BASES / name).lstrip("/")) for name in kustomization.pop("bases")]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": bases} | kustomization))
    return built(folder)


def identities(documents: list[Document]) -> Counter[tuple[str, str | None, str]]:
    return Counter((one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in documents)


def test_they_are_what_the_chart_says() -> None:
    check = [sys.executable, str(BASES / "generate.py"), "--check", "--helm", str(helm())]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_they_build_to_the_objects_of_the_chart() -> None:
    documents = built(BASES / "base")
    (settings,) = of_kind(documents, "ConfigMap")
    (deployment,) = of_kind(documents, "Deployment")
    volume = deployment["spec"]["template"]["spec"]["volumes"][0]
    assert volume["configMap"]["name"] == settings["metadata"]["name"] != "autollm"  # changed settings change the name, and so the pod
    settings["metadata"]["name"] = "autollm"
    assert identities(documents) == identities(render(namespace="autollm-system"))


def test_an_overlay_moves_everything_to_another_namespace(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("namespaces: [team-a]\nworkers: {image: mine}\n")
    generator = [{"name": "autollm", "behavior": "merge", "files": ["settings.yaml"]}]
    documents = overlay(tmp_path, bases=["base"], namespace="team-a", configMapGenerator=generator)
    assert {one["metadata"].get("namespace", "team-a") for one in documents} == {"team-a"}
    assert {subject["namespace"] for one in of_kind(documents, "RoleBinding") for subject in one["subjects"]} == {"team-a"}
    path = tmp_path / "read.yaml"
    path.write_text(of_kind(documents, "ConfigMap")[0]["data"]["settings.yaml"])
    assert read_settings(path).namespaces == ["team-a"]


def test_a_further_namespace_gets_its_workers_and_lets_the_operator_in(tmp_path: Path) -> None:
    documents = overlay(tmp_path, bases=["namespace"], namespace="team-b")
    assert {one["metadata"]["namespace"] for one in documents} == {"team-b"}
    (operator,) = of_kind(documents, "RoleBinding", "autollm")
    assert operator["subjects"] == [{"kind": "ServiceAccount", "name": "autollm", "namespace": "autollm-system"}]
    (worker,) = of_kind(documents, "RoleBinding", "autollm-worker")
    assert worker["subjects"] == [{"kind": "ServiceAccount", "name": "autollm-worker", "namespace": "team-b"}]
