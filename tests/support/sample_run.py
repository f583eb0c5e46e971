"""A run's folder as a real run leaves it, in a second: planned by the real planner, with made-up data, deltas, answers and scores.

Three sources, four deltas, a search on random candidates. What a candidate scores follows from its weights, item by item, so that
standard errors, paired differences and the gate are computed as a real evaluator computes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autollm.contract.folder import ObjectFolder
from autollm.plan.landscape import is_pending
from autollm.resources.facts import Progress
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from autollm.resources.run import AutoLLMRun
from autollm.store import open_store
from support.runs import make_run
from support.sample_workers import SOURCES, SampleWorkers
from support.world import AnyErrand, World

SPEC: dict[str, Any] = {
    "model": {"uri": "hf://HuggingFaceTB/SmolLM2-135M-Instruct"},
    "sources": [{"name": name, "file": {"uri": f"file:///data/{name}.jsonl"}} for name in SOURCES],
    "training": {
        "methods": [
            {"name": "sft", "sft": {"learningRate": "1e-3", "batchSize": 8}},
            {"name": "dpo", "dpo": {}, "sources": ["following"]},
        ]
    },
    "evaluation": {
        "metrics": [{"name": "exact", "match": {"kind": "Contains"}}, {"name": "likelihood", "likelihood": {}, "weight": "0.5"}],
    },
    "search": {"trials": 24, "optimizer": {"random": {}}, "seed": 1},
}


def sample_run(artifacts: Path, name: str = "quickstart", **changes: Any) -> AutoLLMRun:
    """Return the document of the run, with changes to its spec."""
    return make_run(name, **{**SPEC, **changes, "artifacts": {"uri": f"file://{artifacts}"}})


def write_sample_run(
    root: Path,
    *,
    run: AutoLLMRun | None = None,
    until: Callable[[World], bool] = lambda world: False,
    fails: Callable[[AnyErrand | MergeTrial], Failure | None] = lambda work: None,
    rewrite: Callable[[str], str] = lambda text: text,
) -> Path:
    """Write the run's folder below `root` as it stands once `until` holds, or at its end, and return it.

    `fails` says which tasks and trials fail; `rewrite` is applied to every prompt, reference and answer.
    """
    run = run or sample_run(root / "artifacts")
    store = open_store(run.spec.artifacts.uri)
    world = World(run, SampleWorkers(store, rewrite))
    world.fails = fails
    advance(world, until)
    folder = root / "runs" / run.metadata.name
    write_world(world, folder)
    return folder


def advance(world: World, until: Callable[[World], bool]) -> None:
    """Plan, act and let one thing end after the other, until the condition holds or nothing is left to do."""
    while not until(world):
        made = world.plan()
        for action in made.actions:
            world.act(action)
        if until(world):
            world.plan()
            return
        waiting = world.running()
        if waiting:
            world.finish(waiting[0])
        elif not made.actions:
            return


def write_world(world: World, folder: Path) -> None:
    """Write the objects of a world, each owner's status fields in a file of their own."""
    objects = ObjectFolder(folder / "objects")
    run = world.run.document()
    _write(objects, "AutoLLMRun", run, {"prepared": ["prepared"], "published": ["published"]})
    for training in world.trainings.values():
        _write(objects, "DeltaTraining", training.document(), {"progress": ["progress"], "delta": ["delta"]})
    for trial in world.trials.values():
        status = trial.document().get("status", {})
        _write(objects, "MergeTrial", trial.document(), {"result": list(status)})


def _write(objects: ObjectFolder, kind: Any, document: dict[str, Any], owned: Mapping[Any, list[str]]) -> None:
    name = document["metadata"]["name"]
    status = document.pop("status", {})
    objects.apply(kind, name, document)
    for part, fields in owned.items():
        found = {field: status.pop(field) for field in fields if field in status}
        if found:
            objects.report(kind, name, part, found)
    if status:
        objects.report(kind, name, "status", status)


def scored_trials(count: int) -> Callable[[World], bool]:
    """Return the condition that so many trials have come to their end and the next one is there."""
    return lambda world: (
        sum(not is_pending(trial) for trial in world.trials.values()) >= count and any(is_pending(trial) for trial in world.trials.values())
    )


def training_under_way(world: World) -> bool:
    """Let the first training be half done: true once it has begun."""
    for name, training in world.trainings.items():
        if training.status is not None and training.status.delta is None:
            progress = Progress.parse({"step": 45, "steps": 100, "loss": "1.2345", "tokensPerSecond": 812})
            world.trainings[name] = training.model_copy(update={"status": training.status.model_copy(update={"progress": progress})})
            return True
    return False


def read_json(path: Path) -> Any:
    """Return a file's JSON."""
    return json.loads(path.read_text(encoding="utf-8"))
