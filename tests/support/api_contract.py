"""What the Kubernetes API does for the operator, as tests: a class of them takes `api` and `namespace`, an empty one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from autollm_operator.api.port import AlreadyExistsError, Api, ConflictError, Document, InvalidError, NotFoundError
from autollm_operator.api.resources import JOBS, LEASES, PODS, RUNS, TRIALS
from cluster.waiting import wait_until
from support.documents import SHORTEST

ONE = {"total": 1, "ready": 0, "reused": 0, "failed": 0}
TWO = {"total": 2, "ready": 0, "reused": 0, "failed": 0}
ABSENT_UID = "11111111-1111-4111-8111-111111111111"


def run_document(namespace: str, name: str = "support-bot", **labels: str) -> Document:
    """Return a run that the API server takes."""
    return copy.deepcopy(SHORTEST) | {"metadata": {"name": name, "namespace": namespace, "labels": labels}}


def job_document(namespace: str, name: str, owner: Document | None = None) -> Document:
    """Return a suspended Job, of which nothing runs."""
    references = [
        {"apiVersion": one["apiVersion"], "kind": one["kind"], "name": one["metadata"]["name"], "uid": one["metadata"]["uid"]}
        | {"controller": True, "blockOwnerDeletion": True}
        for one in ([owner] if owner else [])
    ]
    pod = {"restartPolicy": "Never", "containers": [{"name": "worker", "image": "localhost/none:1"}]}
    return {
        "metadata": {"name": name, "namespace": namespace, "ownerReferences": references},
        "spec": {"suspend": True, "template": {"spec": pod}},
    }


def status_of(document: Document, status: dict[str, Any]) -> Document:
    """Return what is applied as an object's status."""
    metadata = document["metadata"]
    return {"metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]}, "status": status}


def condition(kind: str, value: str, message: str = "m") -> dict[str, Any]:
    """Return a condition."""
    return {"type": kind, "status": value, "reason": "R", "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"}


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what a controller takes its time for."""
    wait_until(holds, "it does not come about", seconds=seconds)


class ApiContract:
    """Nothing here knows which API it tests; `worker` is the same one under another field manager."""

    @pytest.fixture
    def run(self, api: Api, namespace: str) -> Document:
        return api.create(RUNS, run_document(namespace))

    def test_what_is_created_is_stored_and_has_an_identity(self, api: Api, namespace: str) -> None:
        made = api.create(RUNS, run_document(namespace) | {"status": {"deltas": ONE}})
        assert made["metadata"]["generation"] == 1
        assert int(made["metadata"]["resourceVersion"]) > 0
        assert made["metadata"]["uid"]
        assert "status" not in made
        assert api.get(RUNS, namespace, "support-bot") == made

    def test_a_name_is_taken_once(self, api: Api, run: Document, namespace: str) -> None:
        with pytest.raises(AlreadyExistsError, match="already exists"):
            api.create(RUNS, run_document(namespace))
        assert api.get(RUNS, namespace, "support-bot") == run

    def test_what_is_ensured_is_made_once_and_left_as_it_is(self, api: Api, namespace: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: api.ensure(LEASES, namespace, "operator"), range(16)))
        assert len({(one["metadata"]["uid"], one["metadata"]["resourceVersion"]) for one in made}) == 1
        assert not made[0].get("spec")
        spec = {"holderIdentity": "a", "leaseDurationSeconds": 15}
        api.patch(LEASES, namespace, "operator", {"spec": spec})
        again = api.ensure(LEASES, namespace, "operator")
        assert (again["metadata"]["uid"], again["spec"]) == (made[0]["metadata"]["uid"], spec)

    def test_what_is_not_there_is_not_found(self, api: Api, namespace: str) -> None:
        with pytest.raises(NotFoundError, match=r"autollmruns .*none"):
            api.get(RUNS, namespace, "none")
        with pytest.raises(NotFoundError):
            api.patch(RUNS, namespace, "none", {"metadata": {"labels": {"a": "b"}}})
        with pytest.raises(NotFoundError):
            api.apply_status(RUNS, {"metadata": {"name": "none", "namespace": namespace}, "status": {"deltas": ONE}})

    def test_a_document_without_a_name_is_invalid(self, api: Api, namespace: str) -> None:
        with pytest.raises(InvalidError):
            api.create(RUNS, run_document(namespace, name=""))

    def test_a_list_has_all_of_its_kind_and_no_other(self, api: Api, namespace: str) -> None:
        names = [f"run-{number}" for number in range(7)]
        made = [api.create(RUNS, run_document(namespace, name)) for name in names]
        api.create(JOBS, job_document(namespace, "job"))
        assert list(api.list(RUNS, namespace)) == made
        assert [one["metadata"]["name"] for one in api.list(RUNS) if one["metadata"]["namespace"] == namespace] == names
        assert [one["kind"] for one in api.list(JOBS, namespace)] == ["Job"]
        assert list(api.list(TRIALS, namespace)) == []

    def test_labels_select(self, api: Api, namespace: str) -> None:
        for name, labels in {"a": {"team": "x", "tier": "1"}, "b": {"team": "x"}, "c": {"team": "y", "tier": "1"}}.items():
            api.create(RUNS, run_document(namespace, name, **labels))
        assert [one["metadata"]["name"] for one in api.list(RUNS, namespace, labels="team=x")] == ["a", "b"]
        assert [one["metadata"]["name"] for one in api.list(RUNS, namespace, labels="team=x,tier=1")] == ["a"]

    def test_a_status_leaves_the_generation_and_a_spec_raises_it(self, api: Api, run: Document, namespace: str) -> None:
        applied = api.apply_status(RUNS, status_of(run, {"deltas": ONE}))
        assert applied["status"] == {"deltas": ONE}
        assert applied["metadata"]["generation"] == 1
        assert int(applied["metadata"]["resourceVersion"]) > int(run["metadata"]["resourceVersion"])
        changed = api.patch(RUNS, namespace, "support-bot", {"spec": {"suspend": True}})
        assert changed["metadata"]["generation"] == 2
        assert changed["status"] == {"deltas": ONE}

    def test_writing_the_same_again_changes_nothing(self, api: Api, run: Document) -> None:
        first = api.apply_status(RUNS, status_of(run, {"deltas": ONE, "conditions": [condition("Succeeded", "Unknown")]}))
        again = api.apply_status(RUNS, status_of(run, {"deltas": ONE, "conditions": [condition("Succeeded", "Unknown")]}))
        assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]

    def test_a_status_is_exactly_what_was_applied_last(self, api: Api, run: Document) -> None:
        api.apply_status(
            RUNS, status_of(run, {"deltas": ONE, "conditions": [condition("Prepared", "True"), condition("Succeeded", "Unknown")]})
        )
        applied = api.apply_status(RUNS, status_of(run, {"observedGeneration": 1, "conditions": [condition("Succeeded", "True")]}))
        assert applied["status"] == {"observedGeneration": 1, "conditions": [condition("Succeeded", "True")]}

    def test_managers_own_their_fields(self, api: Api, worker: Api, run: Document) -> None:
        api.apply_status(RUNS, status_of(run, {"deltas": ONE, "conditions": [condition("Succeeded", "Unknown")]}))
        worker.apply_status(RUNS, status_of(run, {"conditions": [condition("Prepared", "True")], "observedGeneration": 1}))
        applied = api.apply_status(RUNS, status_of(run, {"deltas": TWO}))
        assert applied["status"] == {"deltas": TWO, "observedGeneration": 1, "conditions": [condition("Prepared", "True")]}
        assert worker.apply_status(RUNS, status_of(run, {}))["status"] == {"deltas": TWO}

    def test_who_applies_another_value_takes_the_field(self, api: Api, worker: Api, run: Document) -> None:
        worker.apply_status(RUNS, status_of(run, {"deltas": ONE}))
        api.apply_status(RUNS, status_of(run, {"deltas": TWO}))
        assert worker.apply_status(RUNS, status_of(run, {}))["status"] == {"deltas": TWO}

    def test_a_status_of_another_uid_is_a_conflict(self, api: Api, run: Document) -> None:
        other = status_of(run, {"deltas": ONE})
        other["metadata"]["uid"] = ABSENT_UID
        with pytest.raises(ConflictError):
            api.apply_status(RUNS, other)

    def test_a_status_of_another_version_is_a_conflict_and_not_written(self, api: Api, run: Document, namespace: str) -> None:
        other = status_of(run, {"deltas": ONE})
        other["metadata"]["resourceVersion"] = "1"
        with pytest.raises(ConflictError):
            api.apply_status(RUNS, other)
        with pytest.raises(ConflictError):
            api.patch(RUNS, namespace, "support-bot", {"metadata": {"resourceVersion": "1"}, **other}, subresource="status")
        assert api.get(RUNS, namespace, "support-bot") == run

    def test_a_status_of_a_deleted_object_does_not_land_on_the_next_of_its_name(self, api: Api, run: Document, namespace: str) -> None:
        api.delete(RUNS, namespace, "support-bot", uid=run["metadata"]["uid"])
        until(lambda: not list(api.list(RUNS, namespace)))
        following = api.create(RUNS, run_document(namespace))
        late = status_of(run, {"deltas": ONE})
        late["metadata"]["resourceVersion"] = run["metadata"]["resourceVersion"]
        with pytest.raises(ConflictError):
            api.apply_status(RUNS, late)
        assert api.get(RUNS, namespace, "support-bot") == following

    @pytest.mark.parametrize("subresource", [None, "status"])
    def test_a_patch_of_another_object_is_a_conflict(self, api: Api, run: Document, namespace: str, subresource: str | None) -> None:
        with pytest.raises(ConflictError):
            api.patch(RUNS, namespace, run["metadata"]["name"], {"metadata": {"uid": ABSENT_UID}}, subresource=subresource)

    def test_a_patch_merges_and_null_removes(self, api: Api, run: Document, namespace: str) -> None:
        own = {"uid": run["metadata"]["uid"], "resourceVersion": run["metadata"]["resourceVersion"]}
        patched = api.patch(RUNS, namespace, "support-bot", {"metadata": {**own, "labels": {"a": "1", "b": "2"}}})
        assert patched["metadata"]["labels"] == {"a": "1", "b": "2"}
        assert api.patch(RUNS, namespace, "support-bot", {"metadata": {"labels": {"a": None}}})["metadata"]["labels"] == {"b": "2"}
        with pytest.raises(ConflictError):
            api.patch(RUNS, namespace, "support-bot", {"metadata": {**own, "labels": {"c": "3"}}})

    def test_a_patch_of_an_object_leaves_its_status_and_the_reverse(self, api: Api, run: Document, namespace: str) -> None:
        assert "status" not in api.patch(RUNS, namespace, "support-bot", {"status": {"deltas": ONE}})
        patched = api.patch(RUNS, namespace, "support-bot", {"spec": {"suspend": True}, "status": {"deltas": ONE}}, subresource="status")
        assert (patched["spec"], patched["status"]) == (run["spec"], {"deltas": ONE})

    def test_only_the_object_of_the_uid_is_deleted(self, api: Api, run: Document, namespace: str) -> None:
        api.delete(RUNS, namespace, "support-bot", uid=ABSENT_UID)
        assert api.get(RUNS, namespace, "support-bot") == run
        api.delete(RUNS, namespace, "support-bot", uid=run["metadata"]["uid"])
        api.delete(RUNS, namespace, "support-bot", uid=run["metadata"]["uid"])
        with pytest.raises(NotFoundError):
            api.get(RUNS, namespace, "support-bot")

    def test_only_the_pod_of_the_uid_is_evicted(self, api: Api, namespace: str) -> None:
        template = job_document(namespace, "worker")["spec"]["template"]
        pod = api.create(PODS, {"metadata": {"name": "worker", "namespace": namespace}, **template})
        api.evict(namespace, "worker", uid=ABSENT_UID, grace_seconds=1)
        assert api.get(PODS, namespace, "worker")["metadata"]["uid"] == pod["metadata"]["uid"]
        api.evict(namespace, "worker", uid=pod["metadata"]["uid"], grace_seconds=1)
        api.evict(namespace, "worker", uid=pod["metadata"]["uid"], grace_seconds=1)
        with pytest.raises(NotFoundError):
            api.get(PODS, namespace, "worker")

    def test_children_go_with_their_owner(self, api: Api, run: Document, namespace: str) -> None:
        api.create(JOBS, job_document(namespace, "child", run))
        api.create(JOBS, job_document(namespace, "orphan"))
        api.delete(RUNS, namespace, "support-bot", uid=run["metadata"]["uid"])
        until(lambda: [one["metadata"]["name"] for one in api.list(JOBS, namespace)] == ["orphan"])

    def test_in_the_foreground_an_owner_waits_for_its_children(self, api: Api, run: Document, namespace: str) -> None:
        child = api.create(JOBS, job_document(namespace, "child", run) | {})
        api.patch(JOBS, namespace, "child", {"metadata": {"finalizers": ["example.org/wait"]}})
        api.delete(RUNS, namespace, "support-bot", uid=run["metadata"]["uid"], propagation="Foreground")
        until(lambda: "deletionTimestamp" in api.get(JOBS, namespace, "child")["metadata"])
        assert "deletionTimestamp" in api.get(RUNS, namespace, "support-bot")["metadata"]
        api.patch(JOBS, namespace, "child", {"metadata": {"finalizers": None, "uid": child["metadata"]["uid"]}})
        until(lambda: not list(api.list(RUNS, namespace)))

    def test_numbers_and_unknown_fields_stay_as_they_are(self, api: Api, namespace: str) -> None:
        job = job_document(namespace, "numbers")
        job["spec"] |= {"activeDeadlineSeconds": 9007199254740993, "backoffLimit": 0}
        job["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"memory": "1Gi", "cpu": "1"}}
        job["metadata"]["annotations"] = {"note": "ü\n\u2028"}
        made = api.create(JOBS, job)
        container = made["spec"]["template"]["spec"]["containers"][0]
        assert made["spec"]["activeDeadlineSeconds"] == 9007199254740993
        assert container["resources"]["limits"] == {"memory": "1Gi", "cpu": "1"}
        assert made["metadata"]["annotations"] == {"note": "ü\n\u2028"}

    def test_of_many_patches_of_one_version_one_wins(self, api: Api, run: Document, namespace: str) -> None:
        version = run["metadata"]["resourceVersion"]

        def attempt(number: int) -> bool:
            try:
                api.patch(RUNS, namespace, "support-bot", {"metadata": {"resourceVersion": version, "labels": {"n": str(number)}}})
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(attempt, range(16))) == 1
