"""The commands that look at a run, on a real API server: they say of alr/NAME what they say of its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from autollm.cli import main
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from autollm_operator.cache.parsed import LOOK_AGAIN_ANNOTATION
from cluster.cluster import Cluster
from cluster.connection import MERGE
from support.chart_rights import VIEW, rules
from support.sample_run import sample_run, scored_trials, write_sample_run
from support.stored_run import GROUP, store_run
from support.world import AnyErrand

Call = Callable[..., Result]


@pytest.fixture
def call(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call `autollm` for the test's namespace."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    return lambda *arguments: CliRunner().invoke(main, [*map(str, arguments), "-n", namespace])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_run(tmp_path_factory.mktemp("finished"))


def test_status_says_what_it_says_of_the_folder(call: Call, cluster: Cluster, namespace: str, finished: Path) -> None:
    store_run(cluster, namespace, finished)
    here = CliRunner().invoke(main, ["status", str(finished)])
    there = call("status", "alr/quickstart")
    assert there.exit_code == 0, there.output
    assert there.stdout == here.stdout
    assert there.stdout.startswith("quickstart  succeeded")


def test_status_for_programs(call: Call, cluster: Cluster, namespace: str, finished: Path) -> None:
    store_run(cluster, namespace, finished)
    assert json.loads(call("status", "autollmrun/quickstart", "--format", "json").stdout)["published"]["revision"] == "r1"


def test_the_namespace_is_the_contexts_own_and_the_context_must_exist(
    cluster: Cluster, namespace: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_run(cluster, namespace, finished)
    cluster.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"kind": "ServiceAccount", "metadata": {"name": "reader"}})
    cluster.allow(namespace, "reader", rules(VIEW))
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig_of(namespace, "reader")))
    assert CliRunner().invoke(main, ["status", "alr/quickstart"]).stdout.startswith("quickstart  succeeded")
    result = CliRunner().invoke(main, ["status", "alr/quickstart", "--context", "elsewhere"])
    assert result.exit_code != 0
    assert "elsewhere" in result.stderr


def test_a_run_that_is_not_there_is_told_with_where_to_look(call: Call, namespace: str) -> None:
    result = call("status", "alr/nobody")
    assert result.exit_code == 1
    assert f"there is no AutoLLMRun nobody in the namespace {namespace}" in result.stderr
    assert "kubectl get autollmruns -A" in result.stderr


def test_children_that_only_carry_the_label_are_not_the_runs(call: Call, cluster: Cluster, namespace: str, finished: Path) -> None:
    store_run(cluster, namespace, finished)
    path = f"{GROUP}/namespaces/{namespace}/deltatrainings"
    training = cluster.admin.expect("GET", path)["items"][0]
    labels = training["metadata"]["labels"]
    cluster.create(path, {"kind": "DeltaTraining", "metadata": {"name": "foreign", "labels": labels}, "spec": training["spec"]})
    foreign = {"status": {"failure": {"reason": "Foreign", "message": "not this run's"}}}
    cluster.admin.expect("PATCH", f"{path}/foreign/status", foreign, content_type=MERGE)
    assert "Foreign" not in call("status", "alr/quickstart").stdout


def test_watch_ends_when_the_run_has_ended(
    call: Call, cluster: Cluster, namespace: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_run(cluster, namespace, write_sample_run(tmp_path, until=scored_trials(3)))
    status = next((finished / "objects" / "autollmruns").glob("*/status.json"))

    def meanwhile(seconds: float) -> None:
        patch = {"status": json.loads(status.read_text())}
        cluster.admin.expect("PATCH", f"{GROUP}/namespaces/{namespace}/autollmruns/quickstart/status", patch, content_type=MERGE)

    monkeypatch.setattr("autollm.cli.watch.time.sleep", meanwhile)
    result = call("watch", "alr/quickstart")
    assert result.exit_code == 0, result.output
    first, last = result.stdout.splitlines()
    assert first == "running, Searching: 3 of 24 trials are done."
    assert last.startswith("succeeded, Published: ")


def test_report_is_the_same_as_of_the_folder(call: Call, cluster: Cluster, namespace: str, finished: Path, tmp_path: Path) -> None:
    store_run(cluster, namespace, finished)
    result = call("report", "alr/quickstart", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [str(tmp_path / "out" / name) for name in ("report.html", "results.json")]
    CliRunner().invoke(main, ["report", str(finished)])
    mine, theirs = (json.loads((folder / "results.json").read_text()) for folder in (finished, tmp_path / "out"))
    assert theirs["results"] == mine["results"]
    assert theirs["trials"] == mine["trials"]


def test_compare_takes_runs_of_a_cluster_and_of_folders(
    call: Call, cluster: Cluster, namespace: str, finished: Path, tmp_path: Path
) -> None:
    shorter = write_sample_run(tmp_path, run=sample_run(tmp_path / "artifacts", "shorter", search={"trials": 6}))
    store_run(cluster, namespace, shorter)
    result = call("compare", finished, "alr/shorter")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split() == ["model", "quickstart", "shorter"]


def job(namespace: str, owner: dict[str, Any], name: str, task: str) -> dict[str, Any]:
    reference = {"apiVersion": "autollm.dev/v1alpha1", "kind": owner["kind"], "name": owner["metadata"]["name"], "controller": True}
    labels = {"app.kubernetes.io/managed-by": "autollm", "autollm.dev/run": "quickstart", "autollm.dev/task": task}
    container = {"name": "worker", "image": "localhost/none:1"}
    return {
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [reference | {"uid": owner["metadata"]["uid"]}],
        },
        "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }


def failed(cluster: Cluster, namespace: str, name: str) -> None:
    """Let a Job have failed, as the Job controller says it."""
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}"
    cluster.admin.expect("PATCH", path, {"spec": {"activeDeadlineSeconds": 1, "suspend": False}}, content_type=MERGE)


@pytest.fixture
def stalled(cluster: Cluster, namespace: str, tmp_path: Path) -> dict[str, Any]:
    """A run with a training Job that failed, a prepare Job that did not, a foreign Job that failed, and failed trials."""

    def fails(work: AnyErrand | MergeTrial) -> Failure | None:
        if isinstance(work, MergeTrial) and work.spec.number == 3:
            return Failure(reason="WorkerLost", message="its node is gone")
        return Failure(reason="NonFinite", message="not a number") if isinstance(work, MergeTrial) and work.spec.number == 5 else None

    run = store_run(cluster, namespace, write_sample_run(tmp_path, until=scored_trials(8), fails=fails))
    training = cluster.admin.expect("GET", f"{GROUP}/namespaces/{namespace}/deltatrainings")["items"][0]
    training["kind"] = "DeltaTraining"
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    cluster.create(jobs, job(namespace, run, "quickstart-prepare-1", "prepare"))
    cluster.create(jobs, job(namespace, training, "quickstart-train-1", "train"))
    foreign = job(namespace, run, "foreign", "train")
    foreign["metadata"].pop("ownerReferences")
    cluster.create(jobs, foreign)
    for name in ("quickstart-train-1", "foreign"):
        failed(cluster, namespace, name)
    for name in ("quickstart-train-1", "foreign"):
        cluster.kubectl("wait", "--for=condition=failed", f"job/{name}", "-n", namespace, "--timeout=60s")
    return run


def names(cluster: Cluster, path: str) -> set[str]:
    return {item["metadata"]["name"] for item in cluster.admin.expect("GET", path)["items"] if "deletionTimestamp" not in item["metadata"]}


def test_retry_removes_what_failed_and_nothing_else(call: Call, cluster: Cluster, namespace: str, stalled: dict[str, Any]) -> None:
    trials = f"{GROUP}/namespaces/{namespace}/mergetrials"
    before = {
        item["metadata"]["name"]: item.get("status", {}).get("failure", {}).get("reason")
        for item in cluster.admin.expect("GET", trials)["items"]
    }
    result = call("retry", "alr/quickstart")
    assert result.exit_code == 0, result.output
    assert "job/quickstart-train-1 (DeadlineExceeded)" in result.stdout
    assert names(cluster, f"/apis/batch/v1/namespaces/{namespace}/jobs") == {"quickstart-prepare-1", "foreign"}
    assert names(cluster, trials) == {name for name, reason in before.items() if reason != "WorkerLost"}
    assert {"WorkerLost", "NonFinite"} <= set(before.values())
    again = call("retry", "alr/quickstart")
    assert "nothing that failed" in again.stdout


def test_looking_again_asks_for_it_and_removes_every_training(
    call: Call, cluster: Cluster, namespace: str, stalled: dict[str, Any]
) -> None:
    run = f"{GROUP}/namespaces/{namespace}/autollmruns/quickstart"
    before = cluster.admin.expect("GET", run)
    result = call("retry", "alr/quickstart", "--look-again")
    assert result.exit_code == 0, result.output
    assert names(cluster, f"{GROUP}/namespaces/{namespace}/deltatrainings") == set()
    after = cluster.admin.expect("GET", run)
    assert LOOK_AGAIN_ANNOTATION in after["metadata"]["annotations"]
    assert (after["status"], after["spec"]) == (before["status"], before["spec"])
