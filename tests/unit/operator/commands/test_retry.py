"""`autollm retry` in a made-up cluster: what is forgotten is done again, and nothing else is."""

from __future__ import annotations

import json

from autollm.contract.pod import CONTAINER
from autollm_operator.api.resources import JOBS
from autollm_operator.commands.retry import forget_failures
from support.cluster_stages import searching, started, until
from support.cluster_world import NAMESPACE, REMOTE, ClusterWorld, remote_run


def refuse(world: ClusterWorld) -> str:
    """Let the evaluator of slot 0 end because its credentials are refused, and the Job controller end its Job; return its name."""
    (pool,) = world.jobs("evaluate")
    trial = next(trial.metadata.name for trial in world.trials() if trial.status is None)
    words = json.dumps({"reason": "AccessDenied", "message": "the credentials have expired", "trial": trial})
    told = {"exitCode": 42, "reason": "Error", "finishedAt": world.stamp(), "message": words}
    world.start_pod(pool, status={"phase": "Failed", "containerStatuses": [{"name": CONTAINER, "state": {"terminated": told}}]})
    world.end_job(pool, "Failed", "PodFailurePolicy", "Container worker failed with exit code 42")
    return pool


def test_a_search_whose_credentials_were_refused_goes_on_with_all_its_trials() -> None:
    world = searching(trials=6)
    for _ in range(3):
        world.reconcile()
        world.finish(next(name for name in world.running() if name not in world.jobs()))
    world.reconcile()
    before = {trial.metadata.name for trial in world.trials()}
    pool = refuse(world)
    world.settle()
    assert world.conditions()["Succeeded"] == ("False", "AccessDenied")
    assert "the credentials have expired" in world.message("Succeeded")

    assert list(forget_failures(world.api, NAMESPACE, "demo")) == [f"job/{pool} (PodFailurePolicy)"]
    world.settle()
    assert world.conditions()["Succeeded"] == ("True", "Published")
    assert before <= {trial.metadata.name for trial in world.trials()}
    assert len(world.trials("Search")) == 6
    assert len(set(world.done)) == len(world.done)


def test_a_preparation_that_an_overtaken_one_wrote_over_is_made_again_unasked() -> None:
    world = started()
    (overtaken,) = world.jobs("prepare")
    late = world.get(JOBS, overtaken)
    world.apply(remote_run(sources=[*REMOTE["sources"], {"name": "law", "file": {"uri": "s3://data/law.jsonl"}}]))
    world.reconcile()
    (prepare,) = world.jobs("prepare")
    assert prepare != overtaken
    world.finish(prepare)
    world.report(late)
    world.settle()
    assert world.conditions()["Succeeded"] == ("True", "Published")
    assert list(forget_failures(world.api, NAMESPACE, "demo")) == []


def test_a_training_that_ended_well_without_a_report_is_asked_again() -> None:
    world = until(started(), "DataReady")
    world.reconcile()
    job, other = world.jobs("train")
    world.end_job(job, "Complete", "CompletionsReached")
    world.settle()
    assert "ended well but reported nothing" in world.message("Succeeded")

    assert list(forget_failures(world.api, NAMESPACE, "demo")) == [f"job/{job} (NoReport)"]
    world.settle()
    assert world.conditions()["Succeeded"] == ("True", "Published")
    assert other in world.jobs("train")
