"""What is written once stays: a trial's outcome, a delta, what trainings and trials were asked; tried by every way there is to write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from autollm.contract.digests import digest_bytes
from cluster.cluster import Cluster
from support.documents import SHORTEST

DIGEST, OTHER = digest_bytes(b"one"), digest_bytes(b"other")
GROUP = "/apis/autollm.dev/v1alpha1"
MERGE, JSON, APPLY = "application/merge-patch+json", "application/json-patch+json", "application/apply-patch+yaml"
NOON = "2026-01-01T12:00:00Z"
ORIGIN = {"optimizer": "Random", "finished": 0, "pending": 0}
BY_HAND: dict[str, Any] = {"run": "demo", "split": "Search", "weights": {"math/sft": "0.5"}}
TRIAL = {**BY_HAND, "landscape": DIGEST, "number": 0, "slot": 0, "origin": ORIGIN}
TRAINING = {
    "delta": "math/sft",
    "key": DIGEST,
    "model": {"uri": "hf://org/model", "digest": DIGEST, "dtype": "BFloat16"},
    "chunk": {"name": "math", "digests": [DIGEST]},
    "method": {"name": "sft", "sft": {}},
    "adapter": {"lora": {}},
    "start": OTHER,
    "maxTokens": 2048,
    "artifacts": {"uri": "s3://bucket/prefix"},
}
RESULT: dict[str, Any] = {
    "observedGeneration": 1,
    "conditions": [
        {"type": "Succeeded", "status": "True", "reason": "Scored", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ],
    "score": "0.5",
    "standardError": "0.01",
    "items": 40,
    "metrics": [{"name": "answers", "score": "0.5", "standardError": "0.01", "items": 40}],
    "sources": [],
    "seconds": {"merge": "0.1", "evaluate": "2"},
    "results": "s3://bucket/prefix/trials/demo/one.jsonl",
    "differences": [{"trial": "two", "difference": "0.1", "low": "0", "high": "0.2", "gateLow": "0.01"}],
}
FAILED = {"failure": {"reason": "NonFinite", "message": "NaN in the logits."}}


class Writer:
    """Writes one object in every way, as the administrator, whom no role holds back."""

    def __init__(self, cluster: Cluster, namespace: str, plural: str, kind: str) -> None:
        self.ask = cluster.admin.ask
        self.head = {"apiVersion": "autollm.dev/v1alpha1", "kind": kind}
        self.plural = f"{GROUP}/namespaces/{namespace}/{plural}"

    def create(self, spec: Mapping[str, Any]) -> int:
        return self.ask("POST", self.plural, {**self.head, "metadata": {"name": "one"}, "spec": spec}).status

    def get(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"{self.plural}/one").document
        return found

    def merge(self, part: Mapping[str, Any], *, status: bool = False) -> int:
        return self.ask("PATCH", f"{self.plural}/one{'/status' if status else ''}", part, content_type=MERGE).status

    def patch(self, *operations: Mapping[str, Any], status: bool = False) -> int:
        return self.ask("PATCH", f"{self.plural}/one{'/status' if status else ''}", list(operations), content_type=JSON).status

    def apply(self, part: Mapping[str, Any], manager: str) -> int:
        """Server-side apply by force, of the status."""
        path = f"{self.plural}/one/status?fieldManager={manager}&force=true"
        return self.ask("PATCH", path, {**self.head, "metadata": {"name": "one"}, **part}, content_type=APPLY).status

    def replace(self, changes: Mapping[str, Any], *, status: bool = False) -> int:
        document = {name: part for name, part in {**self.get(), **changes}.items() if part is not None}
        return self.ask("PUT", f"{self.plural}/one{'/status' if status else ''}", document).status


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Writer:
    writer = Writer(cluster, namespace, "mergetrials", "MergeTrial")
    assert writer.create(TRIAL) == 201
    return writer


@pytest.fixture
def training(cluster: Cluster, namespace: str) -> Writer:
    writer = Writer(cluster, namespace, "deltatrainings", "DeltaTraining")
    assert writer.create(TRAINING) == 201
    return writer


@pytest.mark.parametrize("outcome", [RESULT, FAILED], ids=["score", "failure"])
def test_nothing_in_the_status_of_a_trial_changes_or_vanishes_once_it_has_an_outcome(trial: Writer, outcome: dict[str, Any]) -> None:
    waiting = [RESULT["conditions"][0] | {"status": "Unknown", "reason": "Waiting"}]
    assert trial.apply({"status": {"conditions": waiting}}, "autollm-operator") == 200
    assert trial.merge({"status": outcome}, status=True) == 200
    before = trial.get()["status"]
    for field in before:
        assert trial.merge({"status": {field: None}}, status=True) == 422, field
        assert trial.patch({"op": "remove", "path": f"/status/{field}"}, status=True) == 422, field
    changed = {**RESULT, "score": "0.9"} if outcome is RESULT else {"failure": {"reason": "Other", "message": "Other."}}
    added = {"failure": FAILED["failure"]} if outcome is RESULT else {"score": "0.9"}
    another = {"conditions": [RESULT["conditions"][0] | {"type": "Better"}]}
    attacks: list[dict[str, Any]] = [{"standardError": "0"}, {"results": "s3://elsewhere/x"}, {"differences": []}, changed, added, another]
    for attack in attacks:
        assert trial.merge({"status": attack}, status=True) == 422, attack
        assert trial.apply({"status": attack}, "attacker") == 422, attack
    assert trial.apply({"status": {}}, "autollm-operator") == 422  # which would take the conditions away that it had applied
    assert trial.patch({"op": "remove", "path": "/status"}, status=True) == 422
    assert trial.replace({"status": None}, status=True) == 422
    assert trial.replace({"status": {}}, status=True) == 422
    assert trial.merge({"status": None}, status=True) == 422
    assert trial.merge({"status": None}) == 200  # ignored, as is all of a status that is not written as such
    assert trial.replace({"status": None}) == 200
    assert trial.merge({"status": outcome}, status=True) == 200  # the same again
    assert trial.get()["status"] == before


def test_before_there_is_an_outcome_the_status_may_change(trial: Writer) -> None:
    waiting = [RESULT["conditions"][0] | {"status": "Unknown", "reason": "Waiting"}]
    assert trial.merge({"status": {"conditions": waiting}}, status=True) == 200
    assert trial.merge({"status": {"conditions": []}}, status=True) == 200
    assert trial.patch({"op": "remove", "path": "/status"}, status=True) == 200
    assert trial.merge({"status": RESULT}, status=True) == 200


@pytest.mark.parametrize("spec", [TRIAL, BY_HAND, {**BY_HAND, "split": "Test", "items": 10, "weights": {}}])
def test_a_trial_is_the_run_s_own_or_made_by_hand_and_never_changes(cluster: Cluster, namespace: str, spec: dict[str, Any]) -> None:
    writer = Writer(cluster, namespace, "mergetrials", "MergeTrial")
    assert writer.create(spec) == 201
    for change in ({"slot": 3}, {"weights": {"math/sft": 1}}, {"name": "other"}, {"model": {"uri": "hf://o/m", "digest": DIGEST}}):
        assert writer.merge({"spec": change}) == 422, change
    for field in set(spec) - {"run", "split", "weights"}:
        assert writer.merge({"spec": {field: None}}) == 422, field


@pytest.mark.parametrize("field", ["landscape", "number", "slot", "origin"])
def test_half_of_what_a_run_sets_is_refused(cluster: Cluster, namespace: str, field: str) -> None:
    writer = Writer(cluster, namespace, "mergetrials", "MergeTrial")
    assert writer.create({name: value for name, value in TRIAL.items() if name != field}) == 422
    assert writer.create({**BY_HAND, field: TRIAL[field]}) == 422


def test_trials_are_selected_by_run_and_slot_and_those_made_by_hand_have_none(cluster: Cluster, namespace: str) -> None:
    for name, spec in (("own", TRIAL), ("hand", BY_HAND)):
        document = {"apiVersion": "autollm.dev/v1alpha1", "kind": "MergeTrial", "metadata": {"name": name}, "spec": spec}
        assert cluster.admin.ask("POST", f"{GROUP}/namespaces/{namespace}/mergetrials", document).status == 201
    path = f"{GROUP}/namespaces/{namespace}/mergetrials?fieldSelector="
    for selector, names in (("spec.run%3Ddemo", ["hand", "own"]), ("spec.run%3Ddemo,spec.slot%3D0", ["own"]), ("spec.slot%3D", ["hand"])):
        found = cluster.admin.ask("GET", path + selector).document
        assert sorted(item["metadata"]["name"] for item in found["items"]) == names, selector


def test_of_a_training_s_spec_nothing_but_the_workers_changes(training: Writer) -> None:
    changes: dict[str, Any] = {
        "delta": "math/dpo",
        "key": OTHER,
        "model": {"uri": "hf://org/other"},
        "chunk": {"digests": [OTHER]},
        "method": {"sft": {"epochs": 2}},
        "adapter": {"lora": {"rank": 8}},
        "start": DIGEST,
        "maxTokens": 64,
        "artifacts": {"uri": "s3://bucket/other"},
    }
    assert {*changes, "workers"} == set(training.get()["spec"])
    for field, change in changes.items():
        assert training.merge({"spec": {field: change}}) == 422, field
        assert training.merge({"spec": {field: None}}) == 422, field
    assert training.patch({"op": "remove", "path": "/spec/start"}) == 422
    more = {"train": {"resources": {"limits": {"memory": "64Gi"}}}}
    assert training.merge({"spec": {"workers": more}}) == 200
    assert training.get()["spec"]["workers"]["train"]["resources"]["limits"] == {"memory": "64Gi"}
    assert training.merge({"spec": {"workers": None}}) == 200  # back to the defaults


def test_a_start_cannot_be_added_to_a_training_that_has_none(cluster: Cluster, namespace: str) -> None:
    writer = Writer(cluster, namespace, "deltatrainings", "DeltaTraining")
    assert writer.create({name: value for name, value in TRAINING.items() if name != "start"}) == 201
    assert writer.merge({"spec": {"start": OTHER}}) == 422


def test_a_delta_that_was_made_stays_what_it_is(training: Writer) -> None:
    delta = {"key": DIGEST, "digest": DIGEST, "uri": "s3://bucket/prefix/deltas/x/manifest.json", "seconds": "10"}
    assert training.merge({"status": {"progress": {"step": 1, "steps": 9}}}, status=True) == 200
    assert training.apply({"status": {"delta": delta}}, "autollm-train") == 200
    attacks: list[dict[str, Any]] = [{"delta": {"digest": OTHER}}, {"delta": {"key": OTHER}}, {"delta": None}]
    for attack in attacks:
        assert training.merge({"status": attack}, status=True) == 422, attack
    assert training.apply({"status": {}}, "autollm-train") == 422
    assert training.apply({"status": {"delta": {**delta, "digest": OTHER}}}, "attacker") == 422
    assert training.patch({"op": "remove", "path": "/status"}, status=True) == 422
    assert training.replace({"status": None}, status=True) == 422
    # What is said about it may change: another attempt finds the same delta, and took another time.
    assert training.merge({"status": {"delta": {"seconds": "11"}, "progress": None}}, status=True) == 200


def test_a_run_keeps_its_artifacts_where_they_are(cluster: Cluster, namespace: str) -> None:
    writer = Writer(cluster, namespace, "autollmruns", "AutoLLMRun")
    assert writer.create(SHORTEST["spec"]) == 201
    assert writer.merge({"spec": {"artifacts": {"uri": "s3://elsewhere/prefix"}}}) == 422
    assert writer.merge({"spec": {"artifacts": {"region": "eu-central-1"}, "search": {"trials": 60}}}) == 200
