"""What kubectl makes of a document on its way: defaults, unions, empty members, nulls, and edits, as people do them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autollm.resources import AutoLLMRun
from cluster.cluster import Cluster
from cluster.connection import APPLY, MERGE
from support.documents import ABSENT, EVERYTHING, GOOD, SHORTEST, changed

RUNS = "/apis/autollm.dev/v1alpha1/namespaces/{}/autollmruns"


def apply(cluster: Cluster, namespace: str, document: dict[str, Any], *flags: str) -> dict[str, Any]:
    document = changed(document, {"metadata.namespace": namespace})
    cluster.kubectl("apply", "-f", "-", *flags, stdin=json.dumps(document))
    return stored(cluster, namespace, document["metadata"]["name"])


def stored(cluster: Cluster, namespace: str, name: str = "support-bot") -> dict[str, Any]:
    return cluster.admin.expect("GET", f"{RUNS.format(namespace)}/{name}")


@pytest.mark.parametrize("document", GOOD, ids=["shortest", "everything"])
def test_the_defaults_of_the_server_are_those_of_the_types(cluster: Cluster, namespace: str, document: dict[str, Any]) -> None:
    ours, theirs = AutoLLMRun.parse(document), AutoLLMRun.parse(apply(cluster, namespace, document))
    assert theirs.spec == ours.spec


def test_applying_a_document_again_changes_nothing(cluster: Cluster, namespace: str) -> None:
    first = apply(cluster, namespace, EVERYTHING)
    again = apply(cluster, namespace, EVERYTHING)
    assert first["metadata"]["generation"] == again["metadata"]["generation"] == 1
    assert first["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]


@pytest.mark.parametrize("flags", [(), ("--server-side",)], ids=["client side", "server side"])
def test_a_member_of_a_union_is_replaced_by_another(cluster: Cluster, namespace: str, flags: tuple[str, ...]) -> None:
    bayesian = changed(SHORTEST, {"spec.search.optimizer": {"bayesian": {}}})
    random = changed(SHORTEST, {"spec.search.optimizer": {"random": {}}})
    assert set(apply(cluster, namespace, bayesian, *flags)["spec"]["search"]["optimizer"]) == {"bayesian"}
    assert apply(cluster, namespace, random, *flags)["spec"]["search"]["optimizer"] == {"random": {}}
    assert "optimizer" not in apply(cluster, namespace, SHORTEST, *flags)["spec"].get("search", {})


def test_an_empty_member_survives_and_gets_its_defaults(cluster: Cluster, namespace: str) -> None:
    (method,) = apply(cluster, namespace, SHORTEST)["spec"]["training"]["methods"]
    assert method["name"] == "sft"
    assert method["sft"]["epochs"] >= 1


def test_a_blank_member_is_null_and_is_refused_with_the_remedy(cluster: Cluster, namespace: str) -> None:
    blank = changed(SHORTEST, {"spec.training.methods[0].sft": None})
    with pytest.raises(RuntimeError, match=r"spec.training.methods\[0\]: Invalid value: exactly one of .* is written {}"):
        apply(cluster, namespace, blank)


def test_null_counts_as_absent(cluster: Cluster, namespace: str) -> None:
    run = apply(cluster, namespace, changed(SHORTEST, {"spec.search": None, "spec.artifacts.endpoint": None}))
    assert "endpoint" not in run["spec"]["artifacts"]


def test_an_unknown_field_is_refused_by_kubectl(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(RuntimeError, match=r'unknown field "spec\.modle"'):
        apply(cluster, namespace, changed(SHORTEST, {"spec.modle": 1}))


def test_weights_are_replaced_whole(cluster: Cluster, namespace: str) -> None:
    def with_weights(weights: dict[str, str]) -> dict[str, Any]:
        return changed(SHORTEST, {"spec.search.start": [{"weights": weights}]})

    apply(cluster, namespace, with_weights({"math/sft": "1", "code/sft": "0.5"}))
    assert apply(cluster, namespace, with_weights({"math/sft": "0.25"}))["spec"]["search"]["start"] == [{"weights": {"math/sft": "0.25"}}]


def test_two_people_who_own_fields_of_a_run_do_not_undo_each_other(cluster: Cluster, namespace: str) -> None:
    path = f"{RUNS.format(namespace)}/support-bot"
    apply(cluster, namespace, SHORTEST, "--server-side")
    suspended = {"apiVersion": SHORTEST["apiVersion"], "kind": "AutoLLMRun", "spec": {"suspend": True}}
    cluster.admin.expect("PATCH", f"{path}?fieldManager=oncall", suspended, content_type=APPLY)
    assert apply(cluster, namespace, SHORTEST, "--server-side")["spec"]["suspend"] is True


def test_sources_are_merged_by_name(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, SHORTEST)
    one = {"spec": {"sources": [{"name": "code", "file": {"uri": "s3://data/other.jsonl"}}]}}
    cluster.kubectl("patch", "autollmrun", "support-bot", "-n", namespace, "--type=merge", "-p", json.dumps(one))
    assert [source["name"] for source in stored(cluster, namespace)["spec"]["sources"]] == ["code"], "a merge patch replaces lists"
    assert [source["name"] for source in apply(cluster, namespace, SHORTEST)["spec"]["sources"]] == ["math", "code"]


def test_edit_refuses_what_apply_refuses(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, SHORTEST)
    answer = cluster.admin.ask("PATCH", f"{RUNS.format(namespace)}/support-bot", {"spec": {"search": {"trials": 0}}}, content_type=MERGE)
    assert answer.status == 422
    assert "spec.search.trials" in answer.document["message"]


def test_the_status_in_an_applied_document_is_not_taken(cluster: Cluster, namespace: str) -> None:
    run = apply(cluster, namespace, changed(SHORTEST, {"status": {"observedGeneration": 7}}))
    assert "status" not in run


def test_a_spec_cannot_be_taken_away(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, SHORTEST)
    with pytest.raises(RuntimeError, match=r"spec: Required value"):
        cluster.kubectl("replace", "-f", "-", stdin=json.dumps(changed(SHORTEST, {"spec": ABSENT, "metadata.namespace": namespace})))
