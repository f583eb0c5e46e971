"""A candidate that kills its evaluators, in a cluster: told from what nodes, users and the operator end, and never the search's end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from autollm.contract.pod import CONTAINER
from autollm.plan.hanging import FIRST_DEADLINE
from autollm.plan.landscape import failure_of
from autollm_operator.api.port import UnavailableError
from autollm_operator.api.resources import JOBS, PODS, TRIALS, Resource
from autollm_operator.cache.jobs import job_view
from autollm_operator.cache.pods import pod_view
from autollm_operator.reconcile.deaths import died_on
from autollm_operator.reconcile.tasks import task_state
from support.cluster_stages import searching
from support.cluster_world import NAMESPACE, START, ClusterWorld, Killed
from support.fake_api import Call, When
from support.kubernetes_objects import Document, condition, ended, job, pod_with

ON_A = '{"trial": "demo-a"}'
USED_UP = condition("Failed", reason="MaxFailedIndexesExceeded", message="Job has exceeded the specified maximal number of failed indexes")


def evicted() -> Document:
    return ended(137, "Error", ON_A, condition("DisruptionTarget", reason="EvictionByEvictionAPI"))


def deleted() -> Document:
    document = ended(137, "Error", ON_A)
    document["metadata"]["deletionTimestamp"] = "2026-01-01T10:30:00Z"
    return document


@pytest.mark.parametrize(
    ("document", "trial"),
    [
        (ended(137, "OOMKilled", ON_A), "demo-a"),
        (ended(139, "Error", ON_A), "demo-a"),
        (ended(1, "Error", '{"reason": "ApiError", "message": "x", "trial": "demo-a"}'), "demo-a"),
        (ended(137, "OOMKilled"), ""),
        (ended(137, "OOMKilled", '{"trial": 7}'), ""),
        (ended(137, "OOMKilled", "Traceback"), ""),
        (ended(137, "OOMKilled", "[]"), ""),
        (ended(2, "Error", ON_A), ""),
        (ended(42, "Error", ON_A), ""),
        (ended(43, "Error", ON_A), ""),
        (ended(69, "Error", ON_A), ""),
        (ended(75, "Error", ON_A), ""),
        (ended(143, "Error", ON_A), ""),
        (ended(0, "Completed", ON_A), ""),
        (evicted(), ""),
        (ended(137, "Error", ON_A, reason="NodeLost"), ""),
        (deleted(), ""),
        (pod_with({"running": {"startedAt": "2026-01-01T10:00:00Z"}}, "Running"), ""),
    ],
)  # fmt: skip
def test_on_which_trial_a_pod_died(document: Document, trial: str) -> None:
    assert died_on(pod_view(document)) == trial


def worker(index: int, finished: str, document: Document) -> Document:
    document["metadata"] |= {"name": f"w{index}-{finished}", "labels": {"batch.kubernetes.io/job-completion-index": str(index)}}
    document["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = f"2026-01-01T10:{finished}:00Z"
    return document


def evaluators(*conditions: Document, failed: str = "") -> Document:
    labels = {"autollm.dev/task": "evaluate"}
    return job(metadata={"labels": labels}, status={"conditions": [*conditions], "failedIndexes": failed})


class TestHowTheyAreDoing:
    PODS = (
        worker(1, "20", ended(139, "Error", ON_A)),
        worker(1, "10", ended(137, "OOMKilled", ON_A)),
        worker(0, "25", ended(137, "Error", '{"trial": "demo-b"}')),
    )

    def test_deaths_by_trial_the_first_one_first(self) -> None:
        state = task_state(job_view(evaluators()), map(pod_view, self.PODS), START)
        assert {trial: [death.reason for death in died] for trial, died in state.deaths.items()} == {
            "demo-a": ["OOMKilled", "WorkerFailed"],
            "demo-b": ["Killed"],
        }
        assert "workers.evaluate.resources.limits.memory" in state.deaths["demo-a"][0].message
        assert state.died_on == ""

    @pytest.mark.parametrize(("failed", "trial"), [("1", "demo-a"), ("0", "demo-b"), ("0-1", "demo-b"), ("", "demo-b")])
    def test_the_index_that_was_given_up_tells_by_which(self, failed: str, trial: str) -> None:
        state = task_state(job_view(evaluators(USED_UP, failed=failed)), map(pod_view, self.PODS), START)
        assert (state.phase, state.died_on) == ("Failed", trial)

    @pytest.mark.parametrize("reason", ["DeadlineExceeded", "PodFailurePolicy"])
    def test_what_ended_otherwise_was_ended_by_no_trial(self, reason: str) -> None:
        state = task_state(job_view(evaluators(condition("Failed", reason=reason), failed="1")), map(pod_view, self.PODS), START)
        assert (state.phase, state.died_on) == ("Failed", "")


def die(world: ClusterWorld, trial: str, code: int = 137) -> None:
    """Let the evaluator of slot 0 die, on a trial or, where that has no name, on none."""
    (pool,) = world.jobs("evaluate")
    told = {"exitCode": code, "reason": "Error", "finishedAt": world.stamp()} | ({"message": f'{{"trial": "{trial}"}}'} if trial else {})
    state = {"phase": "Failed", "containerStatuses": [{"name": CONTAINER, "state": {"terminated": told}}]}
    world.start_pod(pool, status=state)


def give_up(world: ClusterWorld) -> str:
    """Let the Job controller give up the index 0, and return the uid of its Job."""
    (pool,) = world.jobs("evaluate")
    world.api.patch(JOBS, NAMESPACE, pool, {"status": {"failedIndexes": "0"}}, subresource="status")
    world.end_job(pool, "Failed", "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
    uid: str = world.get(JOBS, pool)["metadata"]["uid"]
    return uid


def first_trial(world: ClusterWorld) -> str:
    world.reconcile()
    return world.trials("Search")[0].metadata.name


def failed(world: ClusterWorld) -> dict[str, str]:
    """Return the reasons of the trials that have failed."""
    found = {trial.metadata.name: failure_of(trial) for trial in world.trials()}
    return {name: failure.reason for name, failure in found.items() if failure is not None}


class TestARun:
    def test_one_candidate_that_kills_fails_and_the_run_is_published(self) -> None:
        world = searching(trials=4)
        killer = first_trial(world)
        for _ in range(2):
            die(world, killer)
            world.start_operator()
            world.reconcile()
        world.settle()
        assert failed(world) == {killer: "EvaluatorDied"}
        assert world.conditions()["Succeeded"] == ("True", "Published")
        assert len(set(world.done)) == len(world.done)

    @pytest.mark.parametrize("deaths", [1, 2])
    def test_where_it_uses_the_retries_up_others_go_on_without_it(self, deaths: int) -> None:
        world = searching(trials=4)
        killer = first_trial(world)
        for _ in range(deaths):
            die(world, killer)
        before = give_up(world)
        world.reconcile()
        (pool,) = world.jobs("evaluate")
        assert world.get(JOBS, pool)["metadata"]["uid"] != before
        world.settle()
        assert failed(world) == {killer: "EvaluatorDied"}
        assert world.conditions()["Succeeded"] == ("True", "Published")

    def test_they_end_the_run_where_they_cannot_start(self) -> None:
        world = searching(trials=4)
        first_trial(world)
        for _ in range(4):
            die(world, "", code=1)
        before = give_up(world)
        world.settle()
        (pool,) = world.jobs("evaluate")
        assert world.get(JOBS, pool)["metadata"]["uid"] == before
        assert failed(world) == {}
        assert world.conditions()["Succeeded"] == ("False", "WorkerFailed")

    def test_candidates_that_all_kill_end_the_search(self) -> None:
        world = searching(trials=9, maxFailed=2)
        for _ in range(3):
            world.reconcile()
            (pending,) = [trial.metadata.name for trial in world.trials("Search") if trial.status is None]
            for _ in range(2):
                die(world, pending)
            give_up(world)
        world.settle()
        assert sorted(failed(world).values()) == ["EvaluatorDied"] * 3
        assert world.conditions()["Succeeded"] == ("False", "TooManyFailedTrials")
        assert "killed (signal 9)" in world.message("Succeeded")

    @pytest.mark.parametrize(("verb", "resource"), [("patch/status", TRIALS), ("delete", JOBS), ("create", JOBS)])
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_another_operator_comes_to_the_same(self, verb: str, resource: Resource, when: When) -> None:
        world = searching(trials=4)
        killer = first_trial(world)
        die(world, killer)
        give_up(world)
        struck: list[Call] = []

        def on_call(call: Call, moment: When) -> None:
            if (call.verb, call.resource, moment) == (verb, resource, when) and not struck:
                struck.append(call)
                raise Killed

        world.on_call = on_call
        with pytest.raises(Killed):
            world.reconcile()
        world.start_operator()
        world.settle()
        assert failed(world) == {killer: "EvaluatorDied"}
        assert world.conditions()["Succeeded"] == ("True", "Published")
        assert len(world.all(PODS)) == 0


def hanging() -> ClusterWorld:
    """A search in which the evaluators have had their trials for longer than they may."""
    world = searching(trials=4)
    world.finish(first_trial(world))
    (pool,) = world.jobs("evaluate")
    for slot in range(2):
        world.start_pod(pool, slot)
    world.reconcile()
    world.now += FIRST_DEADLINE
    world.resync()
    return world


def test_an_evaluator_that_hangs_is_evicted_as_that_uses_up_no_retry_of_its_slot() -> None:
    world = hanging()
    world.reconcile()
    evicted = [call for call in world.api.writes() if call.resource == PODS and call.verb in ("evict", "delete")]
    assert {call.verb for call in evicted} == {"evict"}
    assert evicted[0].name.startswith(f"{world.jobs('evaluate')[0]}-0-")


def test_a_budget_that_keeps_an_evaluator_that_hangs_is_told_and_stops_nothing_else() -> None:
    world = hanging()

    def on_call(call: Call, when: When) -> None:
        if (call.verb, when) == ("evict", "before"):
            raise UnavailableError("Cannot evict pod as it would violate the pod's disruption budget.", status=429)

    world.on_call = on_call
    world.reconcile()
    assert world.conditions()["Stalled"] == ("True", "EvictionRefused")
    world.on_call = lambda call, when: None
    world.now += timedelta(minutes=5)
    world.resync()
    world.settle()
    assert world.conditions()["Succeeded"] == ("True", "Published")
