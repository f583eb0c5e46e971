"""Reports over real connections to an API server that answers as told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from autollm.errors import AutoLLMError, InputError, TemporaryError
from autollm.resources.facts import DeltaFact, Progress, PublishedRevision, TrainedDelta, TrialResult
from autollm.resources.metadata import Failure
from autollm_runtime.worker.cluster.api import ClusterApi
from autollm_runtime.worker.cluster.patience import Clock, Patience
from autollm_runtime.worker.cluster.reports import KubernetesReports
from support.scripted_api import Answer, ScriptedApi, refusal, scripted_api

DIGEST = "sha256:" + "a" * 64
UID = "7d9f0a52-0000-4000-8000-000000000001"
DELTA = TrainedDelta(**DeltaFact(key=DIGEST, digest=DIGEST).model_dump(), uri="s3://bucket/deltas/1")
REVISION = PublishedRevision(revision="r1", uri="s3://bucket/r1", digest=DIGEST, base=DIGEST, weights={}, deltas={})
RESULT = TrialResult.parse(
    {
        "score": "0.5",
        "standardError": "0.01",
        "items": 12,
        "metrics": [],
        "sources": [],
        "seconds": {"merge": "0", "evaluate": "1"},
        "results": "s3://bucket/t",
    }
)
FAILURE = Failure(reason="NonFinite", message="the logits are not finite")


class Time:
    """A clock that waiting moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.now, sleep=self.sleep)


@pytest.fixture
def script() -> Iterator[ScriptedApi]:
    with scripted_api() as server:
        yield server


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def reports(script: ScriptedApi, time: Time) -> KubernetesReports:
    return KubernetesReports(ClusterApi(script.client(), "team-a", clock=time.clock, patience=Patience()), UID, clock=lambda: time.now)


def trial(version: str = "5", uid: str = "t-1", owner: str = UID, **status: Any) -> Answer:
    metadata = {"name": "t1", "uid": uid, "resourceVersion": version, "generation": 1}
    return Answer({"metadata": metadata | {"ownerReferences": [{"uid": owner, "controller": True}]}, "status": status})


def ours(version: str = "3", uid: str = UID) -> Answer:
    return Answer({"metadata": {"name": "s-m", "uid": uid, "resourceVersion": version}})


def test_a_delta_is_applied_to_the_training_of_the_uid_by_a_manager_of_its_own(script: ScriptedApi, reports: KubernetesReports) -> None:
    script.then(ours(), Answer({}))
    reports.trained("s-m", DELTA)
    _, asked = script.asked
    assert (asked.method, asked.path) == ("PATCH", "/apis/autollm.dev/v1alpha1/namespaces/team-a/deltatrainings/s-m/status")
    assert asked.query == {"fieldManager": "autollm-train", "force": "true"}
    assert asked.headers["Content-Type"] == "application/apply-patch+yaml"
    assert asked.headers["Authorization"].lower() == "bearer a-token"
    assert asked.body["metadata"] == {"name": "s-m", "resourceVersion": "3"}
    assert asked.body["status"] == {"delta": DELTA.document()}


def test_a_minute_without_an_api_server_loses_no_result(script: ScriptedApi, reports: KubernetesReports, time: Time) -> None:
    away: list[Answer] = [Answer({}, absent=True), Answer({"x": "y"}, cut=True), refusal(500), refusal(503), refusal(408), refusal(401)]
    script.then(*away, ours(), *away, *away, Answer({}))
    reports.trained("s-m", DELTA)
    assert len(script.asked) == 20
    assert all(later >= earlier / 2 for earlier, later in zip(time.slept[6:], time.slept[7:], strict=False))
    assert 5 < max(time.slept) <= 15


def test_pauses_are_as_long_as_the_server_asks_for(script: ScriptedApi, reports: KubernetesReports, time: Time) -> None:
    body = {"kind": "Status", "message": "slow down"}
    script.then(Answer(body, 429, {"Retry-After": "7"}), refusal(429, retryAfterSeconds=3), Answer(body, 503, {"Retry-After": "86400"}))
    script.then(ours(), Answer({}))
    reports.published("r", REVISION)
    assert time.slept == [7, 3, 60]


def test_patience_ends_as_a_failure_that_is_tried_again(script: ScriptedApi, reports: KubernetesReports, time: Time) -> None:
    script.then(*[refusal(500, "etcd is away")] * 200)
    with pytest.raises(TemporaryError, match="the API server answers 500: etcd is away"):
        reports.published("r", REVISION)
    assert 590 < time.now <= 601


def test_crds_that_are_too_old_are_told_without_asking_again(script: ScriptedApi, reports: KubernetesReports, time: Time) -> None:
    said = "failed to create typed patch object (team-a/s-m; autollm.dev/v1alpha1, Kind=DeltaTraining): .status.delta.x: field not declared"
    script.then(ours(), refusal(500, said))
    with pytest.raises(InputError, match=r"older than this worker: \.status\.delta\.x: field not declared; upgrade the CRDs") as caught:
        reports.trained("s-m", DELTA)
    assert caught.value.reason == "OldCRDs"
    assert time.slept == []


def test_a_missing_right_is_told_with_the_role_to_bind(script: ScriptedApi, reports: KubernetesReports, time: Time) -> None:
    script.then(*[refusal(403, 'deltatrainings "s-m" is forbidden')] * 50)
    with pytest.raises(InputError, match="bind the chart's Role for workers") as caught:
        reports.trained("s-m", DELTA)
    assert caught.value.reason == "Forbidden"
    assert 25 < time.now <= 31  # a binding that is made together with the Job is given time


def test_a_right_that_comes_a_little_late_is_no_failure(script: ScriptedApi, reports: KubernetesReports) -> None:
    script.then(refusal(403), ours(), refusal(403), Answer({}))
    reports.trained("s-m", DELTA)
    assert len(script.asked) == 4


@pytest.mark.parametrize("answers", [[refusal(404)], [ours(), refusal(404)], [ours(), refusal(409), refusal(404)], [ours(uid="another")]])
def test_a_deleted_object_ends_the_report_quietly(script: ScriptedApi, reports: KubernetesReports, answers: list[Answer]) -> None:
    script.then(*answers)
    reports.trained("s-m", DELTA)
    assert len(script.asked) == len(answers)


def test_a_conflict_with_another_writer_is_tried_again_on_what_that_one_wrote(script: ScriptedApi, reports: KubernetesReports) -> None:
    script.then(ours("3"), refusal(409), ours("4"), Answer({}))
    reports.trained("s-m", DELTA)
    assert script.asked[3].body["metadata"]["resourceVersion"] == "4"


def test_what_the_server_refuses_is_told_in_its_words_on_one_line(script: ScriptedApi, reports: KubernetesReports) -> None:
    script.then(ours(), refusal(422, "status.delta: Invalid value:\n\x1b[31m" + "x" * 5000))
    with pytest.raises(InputError, match=r"\(422\): status.delta: Invalid value: \\x1b\[31mxxx") as caught:
        reports.trained("s-m", DELTA)
    assert len(str(caught.value)) < 1200


def test_a_result_and_its_condition_are_one_write_on_the_version_that_was_read(script: ScriptedApi, reports: KubernetesReports) -> None:
    script.then(trial(conditions=[{"type": "Other", "status": "True"}, {"type": "Succeeded", "status": "Unknown"}]), Answer({}))
    reports.scored("t1", RESULT)
    patch = script.asked[1]
    assert patch.path.endswith("/mergetrials/t1/status")
    assert patch.headers["Content-Type"] == "application/merge-patch+json"
    assert patch.body["metadata"] == {"uid": "t-1", "resourceVersion": "5"}
    status = patch.body["status"]
    assert status["score"] == "0.5"
    other, succeeded = status["conditions"]
    assert other["type"] == "Other"
    assert (succeeded["type"], succeeded["status"], succeeded["reason"], succeeded["observedGeneration"]) == (
        "Succeeded",
        "True",
        "Scored",
        1,
    )


def test_a_failed_trial_says_why(script: ScriptedApi, reports: KubernetesReports) -> None:
    script.then(trial(), Answer({}))
    reports.failed_trial("t1", FAILURE)
    status = script.asked[1].body["status"]
    assert status["failure"] == FAILURE.document()
    assert (status["conditions"][0]["status"], status["conditions"][0]["reason"]) == ("False", "NonFinite")


@pytest.mark.parametrize("outcome", [{"score": "0.4"}, {"failure": {"reason": "Late", "message": "m"}}])
def test_the_first_outcome_stays(script: ScriptedApi, reports: KubernetesReports, outcome: dict[str, Any]) -> None:
    script.then(trial(), refusal(409), trial("6", **outcome))
    reports.scored("t1", RESULT)
    assert [asked.method for asked in script.asked] == ["GET", "PATCH", "GET"]


def test_a_conflict_with_a_write_that_is_no_outcome_is_written_again(script: ScriptedApi, reports: KubernetesReports) -> None:
    script.then(trial(), refusal(409), trial("6"), Answer({}))
    reports.scored("t1", RESULT)
    assert script.asked[3].body["metadata"]["resourceVersion"] == "6"


def test_a_result_that_arrived_though_its_answer_was_lost_is_not_written_twice(script: ScriptedApi, reports: KubernetesReports) -> None:
    script.then(trial(), Answer({}, absent=True), refusal(409), trial("6", score="0.5"))
    reports.scored("t1", RESULT)
    assert [asked.method for asked in script.asked] == ["GET", "PATCH", "PATCH", "GET"]


def test_a_trial_of_another_run_of_that_name_gets_nothing(script: ScriptedApi, reports: KubernetesReports) -> None:
    script.then(trial(owner="another"))
    reports.scored("t1", RESULT)
    assert [asked.method for asked in script.asked] == ["GET"]


def test_a_result_that_the_rules_refuse_is_an_error_unless_another_came_first(script: ScriptedApi, reports: KubernetesReports) -> None:
    script.then(trial(), refusal(422, "a result once written is final"), trial("6", score="0.4"))
    reports.scored("t1", RESULT)
    script.then(trial(), refusal(422, "status.items: bad"), trial())
    with pytest.raises(InputError, match=r"status\.items: bad"):
        reports.scored("t1", RESULT)


def test_progress_is_told_now_and_then_and_never_stops_the_training(script: ScriptedApi, reports: KubernetesReports, time: Time) -> None:
    def tell(step: int) -> None:
        reports.progress("s-m", Progress(step=step, steps=9))
        for thread in threading.enumerate():
            if thread.name == "progress":
                thread.join()

    script.then(ours(), Answer({}), refusal(500), ours(), refusal(409), ours(), Answer({}))
    tell(1)
    tell(2)  # too soon
    time.now = 11
    tell(3)
    time.now = 22
    tell(4)
    tell(9)  # the last
    assert [asked.body["status"]["progress"]["step"] for asked in script.asked if asked.body] == [1, 4, 9]
    assert script.asked[1].query["fieldManager"] == "autollm-progress"


def test_nothing_of_the_token_is_in_an_error(script: ScriptedApi, time: Time) -> None:
    reports = KubernetesReports(ClusterApi(script.client("canary-token"), "team-a", clock=time.clock), UID)
    script.then(*[refusal(401, "Unauthorized")] * 200)
    with pytest.raises(AutoLLMError) as caught:
        reports.trained("s-m", DELTA)
    assert "canary" not in json.dumps([str(caught.value), repr(caught.value.__cause__)])
