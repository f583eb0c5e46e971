"""A run on a real API server, as tests apply it, look at it and compare how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.cluster import Cluster
from cluster.connection import MERGE
from cluster.waiting import wait_until
from support.runs import merged

GROUP = "/apis/autollm.dev/v1alpha1"
SPEC: dict[str, Any] = {
    "model": {"uri": "hf://example/model"},
    "artifacts": {"uri": "s3://artifacts/run"},
    "sources": [{"name": name, "file": {"uri": f"s3://data/{name}.jsonl"}} for name in ("math", "code")],
    "training": {"methods": [{"name": "sft", "sft": {}}]},
    "search": {"trials": 6, "parallelism": 2, "optimizer": {"random": {}}},
}


@dataclass(frozen=True)
class ClusterRun:
    """One run in a namespace."""

    cluster: Cluster
    namespace: str
    name: str = "demo"

    @property
    def path(self) -> str:
        """Its path."""
        return self.of("autollmruns", self.name)

    def of(self, plural: str, name: str = "") -> str:
        """The path of an object of ours in its namespace, or of their list."""
        return f"{GROUP}/namespaces/{self.namespace}/{plural}{'/' if name else ''}{name}"

    def batch(self, name: str = "") -> str:
        """The path of a Job, or of their list."""
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs{'/' if name else ''}{name}"

    def apply(self, **changes: Any) -> None:
        """Create the run with changes to its spec."""
        document = {"kind": "AutoLLMRun", "metadata": {"name": self.name}, "spec": merged(SPEC, changes)}
        self.cluster.create(self.of("autollmruns"), document)

    def change(self, **changes: Any) -> None:
        """Merge changes into the spec."""
        self.cluster.admin.expect("PATCH", self.path, {"spec": changes}, content_type=MERGE)

    def delete(self) -> None:
        """Delete the run, as `kubectl delete --wait=false` does."""
        self.cluster.admin.expect("DELETE", self.path, {"propagationPolicy": "Background"})

    def status(self) -> dict[str, Any]:
        """Its status, empty before anything was written."""
        status: dict[str, Any] = self.cluster.admin.expect("GET", self.path).get("status", {})
        return status

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition, both empty where it is not there."""
        found: dict[str, str] = next((one for one in self.status().get("conditions", []) if one["type"] == kind), {})
        return found.get("status", ""), found.get("reason", "")

    def message(self, kind: str) -> str:
        """The message of a condition."""
        return next((str(one["message"]) for one in self.status().get("conditions", []) if one["type"] == kind), "")

    def children(self, plural: str) -> list[dict[str, Any]]:
        """All objects of ours of a kind in its namespace."""
        items: list[dict[str, Any]] = self.cluster.admin.expect("GET", self.of(plural))["items"]
        return items

    def jobs(self, task: str = "") -> list[dict[str, Any]]:
        """The Jobs in its namespace, or those of one kind of task."""
        query = f"?labelSelector=autollm.dev/task={task}" if task else ""
        items: list[dict[str, Any]] = self.cluster.admin.expect("GET", self.batch() + query)["items"]
        return items

    def pods(self, task: str) -> list[dict[str, Any]]:
        """The pods of one kind of task."""
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=autollm.dev/task={task}"
        items: list[dict[str, Any]] = self.cluster.admin.expect("GET", path)["items"]
        return items

    def wait(self, kind: str, status: str, reason: str = "", *, seconds: float = 240.0) -> None:
        """Wait for a condition of the present generation."""
        generation = self.cluster.admin.expect("GET", self.path)["metadata"]["generation"]

        def holds() -> bool:
            now = self.status()
            return now.get("observedGeneration") == generation and self._is(now, kind, status, reason)

        # Conditions last, and each question costs the API server as much as the work it is asked about.
        self.until(holds, f"{kind} is not {status} {reason}", seconds=seconds, every=0.25)

    def until(self, holds: Callable[[], bool], otherwise: str, *, seconds: float = 240.0, every: float = 0.05) -> None:
        """Wait for anything; what is told otherwise ends with the run's conditions."""
        try:
            wait_until(holds, otherwise, seconds=seconds, every=every)
        except RuntimeError as error:
            conditions = [f"{one['type']}={one['status']} {one['reason']}: {one['message']}" for one in self.status().get("conditions", [])]
            raise RuntimeError("\n".join([str(error), *conditions])) from None

    def outcome(self) -> dict[str, Any]:
        """What must be the same however a run came to its end: conditions, counts, deltas, trials with their weights and scores."""
        status = self.status()
        return {
            "conditions": {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]},
            "deltas": {**status["deltas"]},
            "trials": {**status["trials"]},
            "trainings": sorted(child["metadata"]["name"] for child in self.children("deltatrainings")),
            "scores": {child["metadata"]["name"]: self._score(child) for child in self.children("mergetrials")},
            "published": status["published"]["revision"],
            "weights": status["best"]["weights"],
        }

    @staticmethod
    def _is(status: Mapping[str, Any], kind: str, wanted: str, reason: str) -> bool:
        found: dict[str, str] = next((one for one in status.get("conditions", []) if one["type"] == kind), {})
        return bool(found.get("status") == wanted and (not reason or found.get("reason") == reason))

    @staticmethod
    def _score(trial: Mapping[str, Any]) -> tuple[str, str]:
        return str(trial["spec"]["weights"]), str(trial["status"].get("score"))
