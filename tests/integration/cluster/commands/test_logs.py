"""Logs of a run's pods, asked of a node through a real API server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from autollm.cli import main
from autollm_operator.commands import following
from autollm_operator.commands.cluster import open_cluster
from cluster.cluster import Cluster
from cluster.connection import MERGE
from cluster.waiting import wait_until
from support.fake_kubelet import FakeKubelet, fake_kubelet
from support.sample_run import scored_trials, write_sample_run
from support.stored_run import GROUP, store_run


@pytest.fixture
def kubelet(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[FakeKubelet]:
    with fake_kubelet(cluster, tmp_path, f"node-{namespace}") as kubelet:
        yield kubelet


class Workers:
    """Jobs of a run, made by hand, and their pods on the node."""

    def __init__(self, cluster: Cluster, namespace: str, node: str, run: dict[str, Any]) -> None:
        self.cluster, self.namespace, self.node, self.run = cluster, namespace, node, run
        self.jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.pods = f"/api/v1/namespaces/{namespace}/pods"

    def job(self, name: str, task: str, owner: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make a Job that belongs to another controller, so that the cluster's own makes no pods and lets go of none."""
        owner = owner or self.run
        labels = {"app.kubernetes.io/managed-by": "autollm", "autollm.dev/run": "quickstart", "autollm.dev/task": task}
        reference = {"apiVersion": "autollm.dev/v1alpha1", "kind": owner["kind"], "name": owner["metadata"]["name"], "controller": True}
        owners = [reference | {"uid": owner["metadata"]["uid"]}]
        template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "worker", "image": "localhost/none:1"}]}}
        metadata = {"name": name, "labels": labels, "ownerReferences": owners}
        spec = {"managedBy": "autollm.dev/tests", "template": template}
        return self.cluster.create(self.jobs, {"kind": "Job", "metadata": metadata, "spec": spec})

    def pod(self, job: dict[str, Any], name: str, *, index: int = 0, phase: str = "Running") -> None:
        """Make a pod of a Job on the node, in that phase."""
        reference = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
        labels = {"app.kubernetes.io/managed-by": "autollm", "batch.kubernetes.io/job-completion-index": str(index)}
        metadata = {"name": name, "labels": labels, "ownerReferences": [reference | {"controller": True}]}
        spec = {"nodeName": self.node, "restartPolicy": "Never", "containers": [{"name": "worker", "image": "localhost/none:1"}]}
        self.cluster.create(self.pods, {"kind": "Pod", "metadata": metadata, "spec": spec})
        self.cluster.admin.expect("PATCH", f"{self.pods}/{name}/status", {"status": {"phase": phase}}, content_type=MERGE)


@pytest.fixture
def workers(cluster: Cluster, namespace: str, kubelet: FakeKubelet, tmp_path: Path) -> Workers:
    run = store_run(cluster, namespace, write_sample_run(tmp_path, until=scored_trials(3)))
    return Workers(cluster, namespace, kubelet.node, run)


@pytest.fixture
def prepare(workers: Workers, kubelet: FakeKubelet) -> dict[str, Any]:
    job = workers.job("quickstart-prepare-1", "prepare")
    workers.pod(job, "prepare-pod", phase="Succeeded")
    kubelet.write("prepare-pod", "records read", "chunks written", end=True)
    return job


@pytest.fixture
def evaluators(workers: Workers, kubelet: FakeKubelet) -> dict[str, Any]:
    job = workers.job("quickstart-evaluate-1", "evaluate")
    for slot in (0, 1):
        workers.pod(job, f"evaluator-{slot}", index=slot)
        kubelet.write(f"evaluator-{slot}", f"slot {slot} is warm")
    return job


@pytest.fixture
def call(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["logs", *arguments, "-n", namespace])

    return call


def test_logs_of_a_run_are_those_of_all_its_workers(call: Any, prepare: dict[str, Any], evaluators: dict[str, Any]) -> None:
    result = call("alr/quickstart")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "evaluator-0  slot 0 is warm",
        "evaluator-1  slot 1 is warm",
        "prepare-pod  records read",
        "prepare-pod  chunks written",
    ]


def test_logs_of_one_task(call: Any, prepare: dict[str, Any], evaluators: dict[str, Any]) -> None:
    result = call("alr/quickstart", "--task", "quickstart-prepare-1")
    assert result.stdout.splitlines() == ["prepare-pod  records read", "prepare-pod  chunks written"]
    refused = call("alr/quickstart", "--task", "nobody")
    assert refused.exit_code == 1
    assert "has no Job nobody" in refused.stderr


def test_logs_of_a_trial_are_those_of_its_slot(call: Any, cluster: Cluster, namespace: str, evaluators: dict[str, Any]) -> None:
    trials = cluster.admin.expect("GET", f"{GROUP}/namespaces/{namespace}/mergetrials")["items"]
    trial = next(item["metadata"]["name"] for item in trials if item["spec"]["slot"] == 0)
    assert call(f"mt/{trial}").stdout.splitlines() == ["evaluator-0  slot 0 is warm"]


def test_logs_of_a_training(call: Any, cluster: Cluster, namespace: str, workers: Workers, kubelet: FakeKubelet, prepare: Any) -> None:
    training = cluster.admin.expect("GET", f"{GROUP}/namespaces/{namespace}/deltatrainings")["items"][0]
    training["kind"] = "DeltaTraining"
    workers.pod(workers.job("quickstart-train-1", "train", training), "trainer", phase="Failed")
    kubelet.write("trainer", "step 1", end=True)
    assert call(f"dt/{training['metadata']['name']}").stdout.splitlines() == ["trainer  step 1"]
    assert "trainer  step 1" in call("alr/quickstart").stdout.splitlines()


def test_a_pod_that_has_not_begun_says_so(call: Any, workers: Workers) -> None:
    workers.pod(workers.job("quickstart-prepare-1", "prepare"), "waiting", phase="Pending")
    assert call("alr/quickstart").stdout.startswith("waiting  ")


def test_a_node_that_does_not_answer_is_told_in_the_pods_place(
    call: Any, cluster: Cluster, workers: Workers, prepare: dict[str, Any], evaluators: dict[str, Any]
) -> None:
    gone = {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}
    cluster.admin.expect("PATCH", f"/api/v1/nodes/{workers.node}/status", {"status": gone}, content_type=MERGE)
    result = call("alr/quickstart")
    assert result.exit_code == 0
    assert "evaluator-0  the log of the pod evaluator-0 cannot be read" in result.stdout


def test_followed_logs_come_as_they_are_written_also_of_pods_that_come_later(
    cluster: Cluster,
    namespace: str,
    kubelet: FakeKubelet,
    workers: Workers,
    evaluators: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.1)
    told: list[tuple[str, str]] = []
    lines = open_cluster(namespace, None).logs("AutoLLMRun", "quickstart", None, follow=True)
    reader = threading.Thread(target=lambda: told.extend(lines), daemon=True)
    reader.start()
    wait_until(lambda: len(told) == 2, "the lines that were there are not told")
    kubelet.write("evaluator-0", "trial 1 scored")
    wait_until(lambda: ("evaluator-0", "trial 1 scored") in told, "a new line is not told")
    kubelet.cut()
    kubelet.write("evaluator-1", "trial 2 scored")
    wait_until(lambda: ("evaluator-1", "trial 2 scored") in told, "a stream that was cut does not go on")
    workers.pod(evaluators, "evaluator-2", index=2)
    kubelet.write("evaluator-2", "slot 2 is warm", end=True)
    wait_until(lambda: ("evaluator-2", "slot 2 is warm") in told, "a new pod's line is not told")
    cluster.admin.expect("DELETE", f"{workers.jobs}/quickstart-evaluate-1", {"propagationPolicy": "Orphan"})
    kubelet.write("evaluator-0", "stopping", end=True)
    kubelet.write("evaluator-1", end=True)
    reader.join(30)
    assert not reader.is_alive()
    assert told[-1] == ("evaluator-0", "stopping")
    assert len(told) == len(set(told)) == 6
