"""A run with a tiny model on a real node, as tests of faults look at it, and what they do to its pods."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autollm.contract.layout import checkpoint_prefix
from autollm.contract.pod import RUN_LABEL
from support.cluster_place import Place
from support.cluster_run import ClusterRun
from support.finished_work import Finished, finished_work

LONG = 480.0
"""Seconds within which anything comes about, however busy the machine is."""

_INDEX = "batch.kubernetes.io/job-completion-index"
_JOB = "batch.kubernetes.io/job-name"


@dataclass(frozen=True)
class RunOnNode:
    """One run in a place, whose artifacts are those of the place.

    Attributes:
        learning_rate: A run of the place that comes later and has the same finds its deltas.
    """

    place: Place
    name: str
    learning_rate: str = "2e-3"

    @property
    def seen(self) -> ClusterRun:
        """What the API says of it."""
        return ClusterRun(self.place.node.cluster, self.place.namespace, self.name)

    def apply(self, trials: int, **workers: Any) -> None:
        """Apply it with so many random trials, and trainings of some hundred steps: enough to be in the middle of them."""
        method = {"name": "sft", "sft": {"learningRate": self.learning_rate, "batchSize": 8, "epochs": 100}}
        search = {"trials": trials, "finalists": 1, "optimizer": {"random": {}}}
        # Better than what an earlier run of the place has published, of other deltas, it need not be.
        publish = {"when": {"betterThan": "base"}}
        self.place.apply(self.place.tiny_run(self.name, training={"methods": [method]}, search=search, publish=publish, workers=workers))

    def until(self, holds: Callable[[], bool], otherwise: str) -> None:
        """Wait for anything; what is told otherwise ends with what people would look at."""
        try:
            self.seen.until(holds, otherwise, seconds=LONG)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.place.described()}") from None

    def until_stalled(self, reason: str) -> str:
        """Wait until somebody is needed, and return what the run says of it."""
        self.until(lambda: self.seen.condition("Stalled") == ("True", reason), f"the run does not say {reason}")
        return self.seen.message("Stalled")

    def wait_published(self, trials: int) -> None:
        """Wait until its model is published, and check that all of its trials have a score."""
        condition = self.place.wait_for_end(self.name, seconds=2 * LONG)
        assert condition["reason"] == "Published", f"{condition}\n{self.place.described()}"
        assert self.seen.status()["trials"] == {"total": trials, "succeeded": trials, "failed": 0, "running": 0}

    def finished(self) -> dict[str, Finished]:
        """What it has finished so far."""
        return finished_work(self.seen, self.place.artifacts)

    def last_written(self) -> int:
        """When the store took the last of what it has finished, in nanoseconds since 1970."""
        return max((work.written_at for work in self.finished().values()), default=0)

    def pods(self, task: str) -> list[dict[str, Any]]:
        """Its pods of one kind of task that run, the first slot first."""
        pods = [pod for pod in self.seen.pods(task) if pod["metadata"]["labels"][RUN_LABEL] == self.name]
        running = [pod for pod in pods if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]]
        return sorted(running, key=_slot)

    def trainings(self) -> list[str]:
        """The names of its trainings."""
        return sorted(self._trainings())

    def step(self, training: str) -> int:
        """How many steps a training is known to have done; 0 before the first."""
        return int(self._trainings()[training].get("status", {}).get("progress", {}).get("step", 0))

    def saved_step(self, training: str) -> int:
        """How many steps the checkpoint holds that a training has left in the artifacts."""
        folder = self.place.artifacts / checkpoint_prefix(self._trainings()[training]["spec"]["key"])
        return int(json.loads((folder / "manifest.json").read_text())["trained"]["step"])

    def catch_trainings(self, size: int) -> dict[str, dict[str, Any]]:
        """Let so many trainings stand still after their first steps, and return the pods that work at them; `signal` lets them go on."""
        caught: dict[str, dict[str, Any]] = {}

        def all_stand() -> bool:
            for training in self.trainings():
                if training not in caught and self.step(training) > 0 and (trainer := self._trainer_of(training)) is not None:
                    caught[training] = trainer
                    self.signal([trainer], signal.SIGSTOP)
            return len(caught) == size

        self.until(all_stand, "nothing is trained")
        return caught

    def catch_evaluators(self, size: int) -> list[dict[str, Any]]:
        """Let each evaluator stand still in the middle of a trial, after it has scored another from now on; return them by slot."""
        before = self._scored()
        caught: dict[int, dict[str, Any]] = {}

        def all_stand() -> bool:
            scored = self._scored()
            for pod in self.pods("evaluate"):
                slot = _slot(pod)
                if slot not in caught and scored[slot] > before[slot]:
                    caught[slot] = pod
                    self.signal([pod], signal.SIGSTOP)
            return len(caught) == size and self._slots_at_work() >= caught.keys()

        self.until(all_stand, "not every evaluator scores a trial")
        return [caught[slot] for slot in sorted(caught)]

    def signal(self, pods: list[dict[str, Any]], number: signal.Signals) -> None:
        """Send a signal to what runs in pods."""
        for pod in pods:
            self.place.node.machine.signal(pod, number)

    def is_asked_to_end(self, pod: dict[str, Any]) -> bool:
        """Say whether SIGTERM waits for what runs in a pod, which stands still."""
        return self.place.node.machine.has_pending(pod, signal.SIGTERM)

    def evict(self, pod: dict[str, Any], **options: int) -> None:
        """Ask for a pod to be evicted, as `kubectl drain` does; the options are those of a deletion."""
        name = pod["metadata"]["name"]
        eviction: dict[str, Any] = {"apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": options}
        eviction["metadata"] = {"name": name, "namespace": self.place.namespace}
        self.place.node.cluster.create(f"/api/v1/namespaces/{self.place.namespace}/pods/{name}/eviction", eviction)

    def _trainings(self) -> dict[str, dict[str, Any]]:
        children = self.seen.children("deltatrainings")
        return {child["metadata"]["name"]: child for child in children if child["metadata"]["ownerReferences"][0]["name"] == self.name}

    def _trainer_of(self, training: str) -> dict[str, Any] | None:
        jobs = [job["metadata"]["name"] for job in self.seen.jobs("train") if job["metadata"]["ownerReferences"][0]["name"] == training]
        return next((pod for pod in self.pods("train") if pod["metadata"]["labels"][_JOB] in jobs), None)

    def _scored(self) -> Counter[int]:
        return Counter(int(trial["spec"]["slot"]) for trial in self._trials() if "score" in trial.get("status", {}))

    def _slots_at_work(self) -> set[int]:
        return {int(trial["spec"]["slot"]) for trial in self._trials() if "score" not in trial.get("status", {})}

    def _trials(self) -> list[dict[str, Any]]:
        return [trial for trial in self.seen.children("mergetrials") if trial["spec"]["run"] == self.name]


def _slot(pod: dict[str, Any]) -> int:
    return int(pod["metadata"]["labels"].get(_INDEX, "0"))
