"""The status of the largest run that there may be is taken by a real API server, and costs it little."""

from __future__ import annotations

import json

from autollm.plan.problems import MOST_DELTAS
from cluster.cluster import Cluster
from support.many_chunks import ManyChunks
from support.runs import make_run
from support.world import World


def test_a_run_of_two_thousand_deltas_fits(cluster: Cluster, namespace: str) -> None:
    sources = [{"name": f"source-{number:02}", "file": {"uri": f"file:///{number}.jsonl"}} for number in range(64)]
    world = World(make_run(sources=sources, search={"trials": 3}), ManyChunks(MOST_DELTAS))
    while world.conditions().get("Succeeded", ("", ""))[0] != "True":
        for action in world.plan().actions:
            world.act(action)
        for name in world.running():
            world.finish(name)
    assert world.run.status is not None
    assert len(json.dumps(world.run.status.document())) < 200_000
    runs = f"/apis/autollm.dev/v1alpha1/namespaces/{namespace}/autollmruns"
    cluster.create(runs, world.run.model_copy(update={"status": None}).document())
    patch = {"status": world.run.status.document()}
    answer = cluster.admin.ask("PATCH", f"{runs}/demo/status", patch, content_type="application/merge-patch+json")
    assert answer.status == 200, answer.document
    assert answer.document["status"] == patch["status"]
    largest = max(world.trials.values(), key=lambda trial: len(trial.spec.weights))
    assert len(largest.spec.weights) == MOST_DELTAS
    cluster.create(runs.replace("autollmruns", "mergetrials"), {**largest.document(), "metadata": {"name": "largest"}})
