"""Runs, trainings and trials as the API server holds them at each stage of their lives, written by the planner itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autollm.plan.problems import Problem
from autollm.resources.facts import TrialResult
from autollm.resources.metadata import Failure
from autollm_operator.reconcile.status import with_problem
from autollm_runtime.worker.cluster.outcome import outcome_patch
from support import synthetic
from support.runs import make_run
from support.world import START, World

Document = dict[str, Any]
SEARCH = {"trials": 2, "finalists": 1, "maxFailed": 0}


def runs() -> dict[str, Document]:
    """Return a run at each stage, by the stage's name."""
    world = World(make_run(search=SEARCH))
    found = {"applied": _document(world)}
    world.plan()
    found["preparing"] = _document(world)
    _until(world, lambda: bool(world.trials))
    found["searching"] = _document(world)
    world.settle()
    found["succeeded"] = _document(world)
    world.change(make_run(search=SEARCH | {"trials": 3}).spec)
    found["changed"] = _document(world)
    world.plan()
    found["searching again"] = _document(world)
    world.change(make_run(search=SEARCH, suspend=True).spec)
    world.plan()
    found["suspended"] = _document(world)

    failing = World(make_run(search=SEARCH))
    failing.fails = _bad_data
    failing.settle()
    found["failed"] = _document(failing)
    unreadable = World(make_run(search=SEARCH))
    unreadable.fails = lambda work: Failure(reason="NotFound", message="there is no file math.jsonl")
    unreadable.settle()
    found["unreadable"] = _document(unreadable)
    blocked = World(make_run(search=SEARCH))
    status = with_problem(blocked.plan().status, Problem("Forbidden", "exceeded quota: team-a"), [], 1, START)
    found["stalled"] = _document(blocked) | {"status": status.document()}
    return found


def trainings() -> dict[str, Document]:
    """Return a DeltaTraining at each stage."""
    world = World(make_run(search=SEARCH))
    found: dict[str, Document] = {}
    _until(world, lambda: bool(world.trainings))
    (name, *_) = world.trainings
    found["training"] = world.trainings[name].document()
    found["applied"] = {key: value for key, value in found["training"].items() if key != "status"}
    world.settle()
    found["trained"] = world.trainings[name].document()
    world = World(make_run(search=SEARCH))
    world.fails = _bad_data
    world.settle()
    found["failed"] = world.trainings[name].document()
    return found


def trials() -> dict[str, Document]:
    """Return a MergeTrial at each stage; its worker writes the outcome."""
    world = World(make_run(search=SEARCH))
    _until(world, lambda: bool(world.trials))
    trial = next(iter(world.trials.values()))
    applied = {key: value for key, value in trial.document().items() if key != "status"}
    failure = Failure(reason="NonFinite", message="the merged model has a weight that is not finite")
    outcomes: dict[str, TrialResult | Failure] = {"scored": synthetic.result(trial, world.trials), "failed": failure}
    stored = applied | {"metadata": applied["metadata"] | {"uid": "1", "resourceVersion": "1"}}
    patched = {name: stored | {"status": outcome_patch(stored, outcome, START)["status"]} for name, outcome in outcomes.items()}
    return {"applied": applied, **patched}


def _bad_data(work: object) -> Failure | None:
    return Failure(reason="BadData", message="row 3 is no record") if getattr(work, "kind", "") == "Train" else None


def _until(world: World, holds: Callable[[], bool]) -> None:
    for _ in range(100):
        for action in world.plan().actions:
            world.act(action)
        if holds():
            world.plan()
            return
        world.finish(world.running()[0])
    raise AssertionError("the run never came so far")


def _document(world: World) -> Document:
    return world.run.document()
