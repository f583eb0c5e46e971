"""A worker's reports and feed on a real API server, with the rights of a worker's ServiceAccount and no others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from autollm.contract.exit_codes import ExitCode
from autollm.contract.tasks import PrepareTask
from autollm.resources.facts import PublishedRevision, TrialResult
from autollm.resources.metadata import Failure
from autollm.resources.run import RunSpec
from autollm_runtime.worker.cluster.answers import OldCRDsError
from autollm_runtime.worker.cluster.api import ClusterApi
from autollm_runtime.worker.cluster.feed import KubernetesFeed
from autollm_runtime.worker.cluster.login import sign_in
from autollm_runtime.worker.cluster.reports import KubernetesReports
from autollm_runtime.worker.ending import ending_of
from cluster.connection import MERGE, connect
from support import synthetic
from support.documents import SHORTEST

if TYPE_CHECKING:
    from cluster.cluster import Cluster

DIGEST = "sha256:" + "a" * 64
REVISION = PublishedRevision(revision="r1", uri="s3://bucket/r1", digest=DIGEST, base=DIGEST, weights={}, deltas={})
PREPARED = synthetic.prepared(PrepareTask(id="t", run="support-bot", key=DIGEST, spec=RunSpec.parse(SHORTEST["spec"])))
FAILURE = Failure(reason="NonFinite", message="the logits are not finite")
Create = Callable[..., dict[str, Any]]


def result(score: str) -> TrialResult:
    seconds = {"merge": "0", "evaluate": "1"}
    return TrialResult.parse(
        {"score": score, "standardError": "0.01", "items": 2, "metrics": [], "sources": [], "seconds": seconds, "results": "s3://bucket/t"}
    )


def trial_spec(number: int = 0, slot: int = 0) -> dict[str, Any]:
    origin = {"optimizer": "Random"}
    return {"run": "support-bot", "landscape": DIGEST, "split": "Search", "weights": {}, "number": number, "slot": slot, "origin": origin}


@pytest.fixture
def api(cluster: Cluster, namespace: str) -> ClusterApi:
    return ClusterApi(sign_in({"KUBECONFIG": str(cluster.kubeconfig_of(namespace))}), namespace)


@pytest.fixture
def reports(api: ClusterApi, run: dict[str, Any]) -> KubernetesReports:
    return KubernetesReports(api, run["metadata"]["uid"])


def status_of(cluster: Cluster, document: dict[str, Any]) -> dict[str, Any]:
    return read(cluster, document).get("status", {})  # type: ignore[no-any-return]  # of JSON


def path_of(document: dict[str, Any]) -> str:
    metadata = document["metadata"]
    return f"/apis/autollm.dev/v1alpha1/namespaces/{metadata['namespace']}/{document['kind'].lower()}s/{metadata['name']}"


def read(cluster: Cluster, document: dict[str, Any]) -> dict[str, Any]:
    return cluster.admin.expect("GET", path_of(document))


def test_tasks_own_the_fields_they_report(cluster: Cluster, reports: KubernetesReports, run: dict[str, Any]) -> None:
    reports.prepared("support-bot", PREPARED)
    reports.published("support-bot", REVISION)
    reports.prepared("support-bot", PREPARED.model_copy(update={"records": 3}))
    found = read(cluster, run)
    assert found["status"]["prepared"]["records"] == 3
    assert found["status"]["published"] == REVISION.document()
    managers = {entry["manager"]: entry for entry in found["metadata"]["managedFields"] if entry.get("subresource") == "status"}
    assert set(managers) == {"autollm-prepare", "autollm-publish"}
    assert set(managers["autollm-publish"]["fieldsV1"]["f:status"]) == {"f:published"}


def test_a_run_of_the_same_name_that_was_made_later_gets_no_report(
    cluster: Cluster, reports: KubernetesReports, run: dict[str, Any]
) -> None:
    namespace = run["metadata"]["namespace"]
    cluster.kubectl("delete", "autollmrun", "support-bot", "-n", namespace)
    reports.prepared("support-bot", PREPARED)
    later = cluster.create(f"/apis/autollm.dev/v1alpha1/namespaces/{namespace}/autollmruns", SHORTEST)
    reports.prepared("support-bot", PREPARED)
    assert "prepared" not in status_of(cluster, later)


def test_the_first_outcome_of_a_trial_stays(cluster: Cluster, reports: KubernetesReports, create: Create) -> None:
    scored, failed = create("MergeTrial", "scored", trial_spec()), create("MergeTrial", "failed", trial_spec(1))
    reports.scored("scored", result("0.5"))
    reports.scored("scored", result("0.9"))
    reports.failed_trial("scored", FAILURE)
    reports.failed_trial("failed", FAILURE)
    reports.scored("failed", result("0.9"))
    status = status_of(cluster, scored)
    assert status["score"] == "0.5"
    assert "failure" not in status
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"], condition["observedGeneration"]) == ("Succeeded", "True", 1)
    status = status_of(cluster, failed)
    assert status["failure"]["reason"] == "NonFinite"
    assert "score" not in status


def test_two_workers_in_one_slot_leave_one_outcome(cluster: Cluster, api: ClusterApi, run: dict[str, Any], create: Create) -> None:
    trials = [create("MergeTrial", f"t{number}", trial_spec(number)) for number in range(8)]

    def score(value: str) -> None:
        reports = KubernetesReports(api, run["metadata"]["uid"])
        for trial in trials:
            reports.scored(trial["metadata"]["name"], result(value))

    threads = [threading.Thread(target=score, args=(value,)) for value in ("0.25", "0.75")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for trial in trials:
        found = read(cluster, trial)
        assert found["status"]["score"] in ("0.25", "0.75")
        assert f"The score is {found['status']['score']} " in found["status"]["conditions"][0]["message"]


def test_a_field_that_the_crds_do_not_know_ends_the_work_at_once(cluster: Cluster, api: ClusterApi, create: Create) -> None:
    """The runtime's image is newer than the CRDs: asking again for ten minutes would change nothing."""
    trial = create("MergeTrial", "t", trial_spec())
    newer = {"prepared": {**PREPARED.document(), "fromTheFuture": 1}}
    version = api.get("AutoLLMRun", "support-bot")["metadata"]["resourceVersion"]
    writes: list[tuple[str, Callable[[], None]]] = [
        ("status.prepared.fromTheFuture", lambda: api.apply_status("AutoLLMRun", "support-bot", version, "autollm-prepare", newer)),
        ("status.fromTheFuture", lambda: api.patch_status("MergeTrial", "t", {"status": {"fromTheFuture": 1}}, "autollm-evaluate")),
    ]
    for field, write in writes:
        with pytest.raises(OldCRDsError, match=f"{field}.*upgrade the CRDs of the chart") as caught:
            write()
        assert ending_of(caught.value).code is ExitCode.BAD_INPUT
        assert len(str(caught.value)) < 500, "the object itself is not repeated"
    assert status_of(cluster, trial) == {}


def test_a_new_trial_wakes_its_slot_at_once(
    api: ClusterApi, run: dict[str, Any], create: Create, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autollm_runtime.worker.cluster.feed._LONGEST_WAIT", 600.0)
    feed = KubernetesFeed(api, run["metadata"]["uid"])
    request.addfinalizer(feed.close)
    stop = threading.Event()

    def next_of(slot: int) -> str:
        while (found := feed.next(slot, "support-bot")) is None:
            feed.wait(stop)
        return found.metadata.name

    create("MergeTrial", "early", trial_spec(0, slot=3))
    assert next_of(3) == "early"
    assert feed.next(3, "support-bot") is None
    create("MergeTrial", "elsewhere", trial_spec(1, slot=4))
    create("MergeTrial", "by-another", trial_spec(1, slot=3), owned=False)
    waited: list[str] = []
    waiting = threading.Thread(target=lambda: waited.append(next_of(3)), daemon=True)
    waiting.start()
    create("MergeTrial", "late", trial_spec(2, slot=3))
    waiting.join(300)  # sooner than it looks by itself
    assert waited == ["late"]


def test_a_worker_may_read_its_kinds_and_patch_their_status_and_nothing_else(cluster: Cluster, namespace: str, create: Create) -> None:
    trial = create("MergeTrial", "t", trial_spec())
    worker = connect(cluster.kubeconfig_of(namespace))
    kinds = f"/apis/autollm.dev/v1alpha1/namespaces/{namespace}"
    for kind in ("autollmruns", "deltatrainings", "mergetrials"):
        assert worker.ask("GET", f"{kinds}/{kind}/nobody").status == 404
        assert worker.ask("GET", f"{kinds}/{kind}").status == (200 if kind == "mergetrials" else 403)
        assert worker.ask("POST", f"{kinds}/{kind}", {}).status == 403
        assert worker.ask("GET", f"{kinds.replace(namespace, 'default')}/{kind}").status == 403
        assert worker.ask("GET", f"/apis/autollm.dev/v1alpha1/{kind}").status == 403
    place = path_of(trial)
    refused: list[tuple[str, str, dict[str, Any] | None]] = [
        ("GET", f"{place}/status", None),
        ("PATCH", place, {"spec": {}}),
        ("PATCH", place, {"metadata": {"labels": {"a": "b"}}}),
        ("PUT", f"{place}/status", trial),
        ("DELETE", place, None),
        ("DELETE", f"{kinds}/mergetrials", None),
        *(("GET", f"/api/v1/namespaces/{namespace}/{kind}", None) for kind in ("secrets", "configmaps", "pods", "services", "events")),
        ("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs", None),
        ("POST", f"/api/v1/namespaces/{namespace}/pods", {}),
        ("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/autollm-worker/token", {}),
        ("GET", "/api/v1/nodes", None),
        ("GET", "/api/v1/namespaces", None),
    ]
    kinds_of = {"PATCH": MERGE}
    answers = {
        (verb, path): worker.ask(verb, path, body, content_type=kinds_of.get(verb, "application/json")).status
        for verb, path, body in refused
    }
    assert {request: status for request, status in answers.items() if status != 403} == {}
    # A write to the status changes nothing of the spec that it may carry along.
    patched = worker.expect("PATCH", f"{place}/status", {"spec": {"slot": 9}, "status": {"items": 2}}, content_type=MERGE)
    assert patched["spec"]["slot"] == 0
