"""A run's folder put into a cluster: the same objects, owned and labelled as the operator makes them, with their statuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autollm.contract.folder import ObjectFolder
from autollm.contract.pod import GENERATION_LABEL, MANAGED_BY, MANAGED_BY_LABEL, RUN_LABEL
from cluster.cluster import Cluster
from cluster.connection import MERGE

GROUP = "/apis/autollm.dev/v1alpha1"
_PLURALS = {"AutoLLMRun": "autollmruns", "DeltaTraining": "deltatrainings", "MergeTrial": "mergetrials"}


def store_run(cluster: Cluster, namespace: str, folder: Path) -> dict[str, Any]:
    """Create the objects of a run's folder in a namespace and return the run as it is stored."""
    objects = ObjectFolder(folder / "objects")
    (document,) = objects.all("AutoLLMRun")
    run = _store(cluster, namespace, document, {})
    reference = {"apiVersion": "autollm.dev/v1alpha1", "kind": "AutoLLMRun", "controller": True}
    owner = [reference | {"name": run["metadata"]["name"], "uid": run["metadata"]["uid"]}]
    labels = {RUN_LABEL: run["metadata"]["name"], GENERATION_LABEL: "1", MANAGED_BY_LABEL: MANAGED_BY}
    for kind in ("DeltaTraining", "MergeTrial"):
        for child in objects.all(kind):
            _store(cluster, namespace, child, {"ownerReferences": owner, "labels": labels})
    return run


def _store(cluster: Cluster, namespace: str, document: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    path = f"{GROUP}/namespaces/{namespace}/{_PLURALS[document['kind']]}"
    name = document["metadata"]["name"]
    stored = cluster.create(path, {"kind": document["kind"], "metadata": {"name": name, **metadata}, "spec": document["spec"]})
    if status := document.get("status"):
        cluster.admin.expect("PATCH", f"{path}/{name}/status", {"status": status}, content_type=MERGE)
    return stored
