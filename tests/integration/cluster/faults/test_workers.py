"""Workers that die: retried by cause, replaced in their slot, and no result is lost or made twice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from autollm.contract.exit_codes import ExitCode
from autollm.contract.tasks import AnyTask
from cluster.connection import MERGE
from support.scene import Scene
from support.simulated_pods import GROUP, Ending, Fault

KILLED = Ending(ExitCode.KILLED, "Error")
OUT_OF_MEMORY = Ending(ExitCode.KILLED, "OOMKilled")
EVICTED = Ending(ExitCode.KILLED, "Error", disrupted=True)
STORE_IS_AWAY = Ending(ExitCode.UNAVAILABLE, "Error", '{"reason": "StoreUnavailable", "message": "s3://b does not answer."}')
BAD_INPUT = Ending(ExitCode.BAD_INPUT, "Error", '{"reason": "NoRecords", "message": "math.jsonl has no record: give it some."}')


def first(kind: str, ending: Ending, times: int = 1) -> Fault:
    """The first attempts at tasks of a kind end so."""
    return lambda task, attempt: ending if task.kind == kind and attempt < times else None


@pytest.mark.parametrize(
    "faults",
    [
        {"Prepare": (KILLED, 1), "Train": (KILLED, 1), "Publish": (KILLED, 1)},
        {"Train": (OUT_OF_MEMORY, 1), "Evaluate": (STORE_IS_AWAY, 4), "Publish": (STORE_IS_AWAY, 2)},
        {"Train": (EVICTED, 2), "Publish": (EVICTED, 2)},
        {"Train": (STORE_IS_AWAY, 2)},
    ],
    ids=["killed", "out-of-memory-and-store-away-beyond-their-retries", "evicted-beyond-their-retries", "trainings-find-the-store-away"],
)
def test_tasks_are_tried_again(scene: Scene, faults: Mapping[str, tuple[Ending, int]]) -> None:
    """Each kind of task ends so at its first attempts, of which a few count toward the one retry that it has, or none does."""

    def fault(task: AnyTask, attempt: int) -> Ending | None:
        ending, times = faults.get(task.kind, (None, 0))
        return ending if attempt < times else None

    scene.pods.fault = fault
    scene.run.apply(workers={kind.lower(): {"retries": 1} for kind in faults})
    scene.run.wait("Succeeded", "True", "Published", seconds=300)
    assert max(Counter(scene.pods.done).values()) == 1


def test_bad_input_is_never_tried_again_and_says_what_to_do(scene: Scene) -> None:
    scene.pods.fault = first("Prepare", BAD_INPUT, 99)
    scene.run.apply()
    scene.run.wait("Stalled", "True", "NoRecords")
    assert scene.run.message("Stalled") == "math.jsonl has no record: give it some."
    assert len(scene.run.pods("prepare")) == 1


def test_a_changed_document_tries_what_failed_before_again(scene: Scene) -> None:
    scene.pods.fault = first("Train", Ending(ExitCode.OUT_OF_GPU_MEMORY, "Error"), 1)
    scene.run.apply()
    scene.run.wait("DeltasReady", "False", "TrainingFailed")
    scene.run.change(workers={"train": {"resources": {"limits": {"memory": "64Gi"}}}})
    scene.run.wait("Succeeded", "True", "Published")


@pytest.mark.parametrize("kind", ["train", "evaluate"])
@pytest.mark.timeout(600)
def test_jobs_that_no_node_has_room_for_are_made_anew_with_smaller_workers(scene: Scene, kind: str) -> None:
    scene.pods.unplaced = lambda pod: "0/3 nodes are available: 3 Insufficient nvidia.com/gpu." if gpus(pod) > 1 else ""
    scene.run.apply(workers={kind: {"resources": {"limits": {"nvidia.com/gpu": 2}}}})
    scene.run.until(lambda: "Insufficient nvidia.com/gpu" in scene.run.message("Succeeded"), "nobody is told that there is no room")
    too_large = {job["metadata"]["name"]: job["metadata"]["uid"] for job in scene.run.jobs(kind)}
    scene.run.change(workers={kind: {"resources": {"limits": {"nvidia.com/gpu": 1}}}})
    scene.run.wait("Succeeded", "True", "Published", seconds=300)
    assert max(Counter(scene.pods.done).values()) == 1
    if kind == "train":
        now = {job["metadata"]["name"]: job["metadata"]["uid"] for job in scene.run.jobs(kind)}
        assert now.keys() == too_large.keys()
        assert not set(now.values()) & set(too_large.values())


def test_a_search_goes_on_with_the_evaluators_that_have_a_node(scene: Scene) -> None:
    scene.pods.unplaced = lambda pod: "0/3 nodes are available: 3 Insufficient nvidia.com/gpu." if slot(pod) == 1 else ""
    scene.run.apply()
    told = re.compile(r"5 of 6 trials are done\..*3 Insufficient nvidia\.com/gpu\. 1 of 2 pods run\.")
    scene.run.until(lambda: told.match(scene.run.message("Succeeded")) is not None, "nobody goes on, or is told why one waits")


def slot(pod: Mapping[str, Any]) -> int:
    """The slot of an evaluator; of other pods -1."""
    return int(pod["metadata"]["annotations"].get("batch.kubernetes.io/job-completion-index", "-1"))


def gpus(pod: Mapping[str, Any]) -> int:
    """How many a simulated node has to have for a pod."""
    (container,) = pod["spec"]["containers"]
    return int(container["resources"].get("limits", {}).get("nvidia.com/gpu", 0))


@pytest.mark.parametrize("ending", [KILLED, EVICTED], ids=["killed", "evicted"])
def test_an_evaluator_is_replaced_in_its_slot(scene: Scene, ending: Ending) -> None:
    """Its trial is found by the one that follows, and scored once."""
    scene.pods.seconds = lambda what: 2.0 if what == "trial" else 0.1
    scene.run.apply()
    scene.run.until(lambda: len(scene.pods.evaluators("demo")) == 2, "there are not two evaluators")
    gone = scene.pods.evaluators("demo")[0]
    scene.pods.end(scene.run.namespace, gone, ending)
    scene.run.wait("Succeeded", "True", "Published", seconds=300)
    assert max(Counter(scene.pods.done).values()) == 1
    assert scene.run.status()["trials"] == {"total": 6, "succeeded": 6, "failed": 0, "running": 0}


@pytest.mark.parametrize("retries", [3, 0])
def test_a_candidate_that_kills_every_worker_that_takes_it_fails_alone(scene: Scene, retries: int) -> None:
    """With retries left its slot goes on; with none left the evaluators are started again without it."""
    scene.pods.killer = lambda trial: OUT_OF_MEMORY if trial["spec"]["number"] == 2 and trial["spec"]["split"] == "Search" else None
    scene.run.apply(workers={"evaluate": {"retries": retries}})
    scene.run.wait("Succeeded", "True", "Published", seconds=300)
    assert scene.run.status()["trials"] == {"total": 6, "succeeded": 5, "failed": 1, "running": 0}
    (killer,) = [trial for trial in scene.run.children("mergetrials") if "failure" in trial["status"]]
    assert killer["spec"]["number"] == 2
    assert killer["status"]["failure"]["reason"] == "EvaluatorDied"
    assert "OOMKilled" in killer["status"]["failure"]["message"]
    assert max(Counter(scene.pods.done).values()) == 1


def test_evaluators_that_die_before_they_take_a_trial_end_the_run_after_their_retries(scene: Scene) -> None:
    scene.pods.fault = first("Evaluate", KILLED, 99)
    scene.run.apply(workers={"evaluate": {"retries": 1}})
    scene.run.wait("Succeeded", "False", "Killed", seconds=300)
    assert "workers.evaluate.resources.requests.memory" in scene.run.message("Succeeded")
    assert len(scene.run.pods("evaluate")) <= 4, "two slots, each with one retry"
    assert not [trial for trial in scene.run.children("mergetrials") if "failure" in trial.get("status", {})]


def test_a_result_stands_although_the_evaluator_before_still_writes(scene: Scene) -> None:
    """An old worker, cut off from its node's control plane, writes late what it made of a trial that was scored since."""
    scene.run.apply()
    scene.run.wait("Succeeded", "True", "Published")
    trial = scene.run.children("mergetrials")[0]
    path = f"{GROUP}/namespaces/{scene.run.namespace}/mergetrials/{trial['metadata']['name']}"
    late: dict[str, Any] = {"status": {"score": "0.99"}}
    answer = scene.run.cluster.admin.ask("PATCH", f"{path}/status", late, content_type=MERGE)
    assert answer.status == 422, answer
    assert "final" in answer.document["message"]
    assert scene.run.cluster.admin.expect("GET", path)["status"] == trial["status"]
