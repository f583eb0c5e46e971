"""Rounds of `refresh` on a real API server: each trains and searches anew, and what the ones before left does not grow for ever."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from autollm.contract.tasks import PrepareTask
from autollm.resources.facts import Prepared, PublishedRevision
from cluster.connection import MERGE
from support import synthetic
from support.cluster_run import ClusterRun
from support.scene import Scene

SEARCH = {"trials": 6, "parallelism": 2, "optimizer": {"random": {}}, "items": 10, "finalists": 2}
LONG_AGO = "2020-01-01T00:00:00Z"
BY_HAND = {"run": "demo", "split": "Search", "weights": {"math/sft": "0.5"}}


class Editions:
    """Sources of which every record is edited between one round and the next."""

    def __init__(self) -> None:
        self.present = 1

    def prepared(self, task: PrepareTask, existing: Collection[str] = (), published: PublishedRevision | None = None) -> Prepared:
        facts = synthetic.prepared(task, existing, published)
        edited = [synthetic.chunk(one.name, f"edition {self.present}") for one in facts.chunks]
        return facts.model_copy(update={"chunks": edited, "existing": None})


def test_three_rounds_leave_a_bounded_number_of_children(scene: Scene) -> None:
    run, editions = scene.run, Editions()
    scene.pods.prepares = editions.prepared
    scene.pods.seconds = lambda what: 0.05
    run.apply(refresh={"every": "24h"}, search=SEARCH)
    run.until(lambda: is_over(run, 1), "the first round does not end", seconds=180)
    first = {plural: names(run, plural) for plural in ("deltatrainings", "mergetrials")}
    make_by_hand(run)
    for number in (2, 3):
        editions.present = number
        run.cluster.admin.expect("PATCH", f"{run.path}/status", {"status": {"refresh": {"begun": LONG_AGO}}}, content_type=MERGE)
        run.until(lambda number=number: is_over(run, number), f"round {number} does not end", seconds=180)  # type: ignore[misc]  # mypy and defaults of lambdas
    run.until(lambda: not first["mergetrials"] & names(run, "mergetrials"), "trials of the first round are still there")
    run.until(lambda: not first["deltatrainings"] & names(run, "deltatrainings"), "trainings of the first round are still there")
    status = run.status()
    trials = {child["metadata"]["name"]: child for child in run.children("mergetrials")}
    assert status["refresh"]["round"] == 3
    assert (status["trials"]["total"], status["trials"]["succeeded"]) == (6, 6)
    assert (status["deltas"]["total"], status["deltas"]["ready"]) == (2, 2)
    assert status["published"]["revision"] == "r3"
    assert {status["best"]["trial"], status["published"]["trial"], "what-if"} <= trials.keys()
    assert len({trial["spec"].get("landscape") for trial in trials.values()}) == 3 + 3 + 1, "of two rounds, and one made by hand"
    assert len(names(run, "deltatrainings")) == 4 + 1
    assert "mine" in names(run, "deltatrainings")
    assert "Stalled" not in {one["type"] for one in status["conditions"] if one["status"] == "True"}


def names(run: ClusterRun, plural: str) -> set[str]:
    return {child["metadata"]["name"] for child in run.children(plural)}


def is_over(run: ClusterRun, number: int) -> bool:
    """Say whether a round has published its model and come to rest; one that has only begun rests too, with the model of the one before."""
    status = run.status()
    resting = {one["type"]: one["status"] for one in status.get("conditions", [])}.get("Reconciling") == "False"
    return resting and status["refresh"]["round"] == number and status["published"]["revision"] == f"r{number}"


def make_by_hand(run: ClusterRun) -> None:
    """Make a trial and a training of the run's deltas beside its own."""
    run.cluster.create(run.of("mergetrials"), {"kind": "MergeTrial", "metadata": {"name": "what-if"}, "spec": BY_HAND})
    spec: dict[str, Any] = run.children("deltatrainings")[0]["spec"]
    run.cluster.create(run.of("deltatrainings"), {"kind": "DeltaTraining", "metadata": {"name": "mine"}, "spec": spec})
