"""A namespace on a real node as a team would have it: the operator installed by the chart, credentials, and a place in S3."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.node import Node
from cluster.python_images import LIBRARIES, OPERATOR, RUNTIME, SITE_PACKAGES
from cluster.store import SECRET, Store, give_credentials
from cluster.waiting import wait_until
from support.helm_release import Release
from support.runs import merged
from support.tiny_run import DOCUMENT, environment

_WORKERS: dict[str, Any] = {
    "volumes": [
        {"name": "libraries", "persistentVolumeClaim": {"claimName": "libraries"}, "mountPath": LIBRARIES, "readOnly": True},
    ],
    **{
        kind: {"resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"cpu": 1, "memory": "4Gi"}}}
        for kind in ("prepare", "train", "evaluate", "publish")
    },
}


@dataclass(frozen=True)
class Place:
    """A namespace that enforces the restricted Pod Security Standard, with an operator that works for it alone."""

    node: Node
    store: Store
    namespace: str
    bucket: str

    @property
    def artifacts(self) -> Path:
        """The folder in which the S3 server keeps what runs write."""
        return self.store.folder / self.bucket / "artifacts"

    def tiny_run(self, name: str = "tiny", **changes: Any) -> dict[str, Any]:
        """The document of a run with the tiny model and the sources of `write_tiny_run`, put into the bucket; two evaluators."""
        at = f"s3://{self.bucket}"
        sources = [{"name": source, "file": {"uri": f"{at}/{source}.jsonl"}} for source in ("count", "echo")]
        spec = {key: value for key, value in DOCUMENT["spec"].items() if key != "artifacts"}
        spec = merged(spec, {"model": {"uri": f"{at}/model"}, "sources": sources, "search": {"parallelism": 2}})
        return DOCUMENT | {"metadata": {"name": name}, "spec": merged(spec, changes)}

    def apply(self, document: dict[str, Any]) -> None:
        """Apply a run with kubectl, as a user does, with what its pods need here added."""
        artifacts = {"uri": f"s3://{self.bucket}/artifacts", "endpoint": self.store.endpoint, "secretName": SECRET}
        spec = merged({"artifacts": artifacts, "workers": _WORKERS}, document["spec"])
        self.node.cluster.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=json.dumps(document | {"spec": spec}))

    def run(self, name: str) -> dict[str, Any]:
        """The run as it stands."""
        return self.node.cluster.admin.expect("GET", f"/apis/autollm.dev/v1alpha1/namespaces/{self.namespace}/autollmruns/{name}")

    def condition(self, name: str, kind: str) -> dict[str, str]:
        """A condition of a run as it was applied last; of one that it does not have yet, the status is empty."""
        run = self.run(name)
        conditions = run.get("status", {}).get("conditions", [])
        if conditions and run["status"].get("observedGeneration") != run["metadata"]["generation"]:
            return {"status": ""}
        return next((condition for condition in conditions if condition["type"] == kind), {"status": ""})

    def wait_for_end(self, name: str, *, seconds: float) -> dict[str, str]:
        """Wait until a run has succeeded or failed and return its condition; raises RuntimeError with what can be seen of it."""
        try:
            wait_until(
                lambda: self.condition(name, "Succeeded")["status"] in ("True", "False"), "the run goes on", seconds=seconds, every=0.5
            )
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.described()}") from None
        return self.condition(name, "Succeeded")

    def revision(self, name: str) -> Path:
        """The folder of the model that a run has published."""
        revision: str = self.run(name)["status"]["published"]["revision"]
        return self.artifacts / "revisions" / revision

    def described(self) -> str:
        """What people would look at: the objects, the events, and the ends of the pods' logs."""
        kubectl = self.node.cluster.kubectl
        pods = kubectl("get", "pods", "-n", self.namespace, "-o", "name").split()
        logs = [kubectl("logs", "-n", self.namespace, pod, "--tail=15", "--ignore-errors") for pod in pods]
        seen = [kubectl("get", what, "-n", self.namespace) for what in ("autollm", "jobs,pods", "events")]
        return "\n".join([*seen, *(f"== {pod}\n{log}" for pod, log in zip(pods, logs, strict=True))])


def make_place(node: Node, store: Store) -> Place:
    """Make a namespace and install the operator in it, with helm."""
    namespace = node.cluster.empty_namespace(security="restricted")
    node.share(namespace, "libraries", SITE_PACKAGES)
    give_credentials(node, namespace)
    store.make_bucket(namespace)
    operator, runtime = (dict(zip(("repository", "tag"), image.rsplit(":", 1), strict=True)) for image in (OPERATOR, RUNTIME))
    values = {"crds": {"enabled": False}, "operator": {"image": operator}, "workers": {"image": runtime}}
    Release(node.cluster.kubeconfig, namespace).install(values)
    place = Place(node, store, namespace, namespace)
    try:
        node.cluster.kubectl("rollout", "status", "deployment", "-n", namespace, "--timeout=60s")
    except RuntimeError as error:
        raise RuntimeError(f"{error}\n{place.described()}") from None
    return place


def load_with_transformers(folder: Path) -> None:
    """Load a model in a process of its own and ask it something; raises CalledProcessError where that needs anything of ours."""
    program = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained(sys.argv[1]) for kind in (AutoModelForCausalLM, AutoTokenizer))
asked = [{"role": "user", "content": "w007"}]
ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=False)
assert torch.isfinite(model(ids).logits).all()
assert not [name for name in sys.modules if name.startswith("autollm")]
"""
    subprocess.run([sys.executable, "-c", program, folder], check=True, env=environment())
