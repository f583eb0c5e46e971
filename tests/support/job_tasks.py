"""One task of every kind, as the planner makes them, to build Jobs of."""

from __future__ import annotations

from typing import Any

from autollm.contract.digests import digest_bytes
from autollm.contract.tasks import AnyTask, EvaluateTask, MergedDelta, PinTask, PrepareTask, PublishTask, TrainTask
from autollm.plan.errands import task_id
from autollm.plan.landscape import evaluator
from autollm.plan.trainings import loaded_model, planned_trainings
from autollm_operator.cache.views import Owner
from autollm_operator.settings import Settings, WorkerDefaults
from support import synthetic
from support.runs import make_run

RUN = "r" * 40
"""The longest name that a run can have."""

OWNER = Owner(kind="AutoLLMRun", name=RUN, uid="11111111-2222-3333-4444-555555555555")
SETTINGS = Settings(workers=WorkerDefaults(image="registry.example.org/autollm-runtime@sha256:" + "0" * 64))
_CLUSTER: dict[str, Any] = {
    "model": {"uri": "hf://org/gated", "secretName": "hub-token"},
    "artifacts": {"uri": "s3://models/demo", "secretName": "s3-credentials"},
}


def every_task(**changes: Any) -> dict[str, AnyTask]:
    """Return a task of every kind by its kind, of the run with the longest name."""
    spec = make_run(RUN, **(_CLUSTER | changes)).spec
    prepare = PrepareTask(id=task_id(RUN, "Prepare", "key"), run=RUN, key=digest_bytes(b"key"), spec=spec)
    facts = synthetic.prepared(prepare)
    planned = planned_trainings(spec, facts)
    keys = {training.delta: training.key for training in planned}
    train = TrainTask(id=task_id(RUN, "Train", planned[0].key), run=RUN, training=planned[0].name(RUN), spec=planned[0].spec)
    publish = PublishTask(
        id=task_id(RUN, "Publish", "winner"),
        run=RUN,
        model=loaded_model(facts.model, spec.model),
        deltas=[MergedDelta(name=name, key=key, weight=1) for name, key in keys.items()],
        weights=dict.fromkeys(keys, 1),
        trial="trial",
        results=[],
        data=facts.manifest,
        spec=spec,
        artifacts=spec.artifacts,
    )
    pin = PinTask(id=task_id(RUN, "Pin", "r6"), run=RUN, revision="r6", artifacts=spec.artifacts)
    tasks: list[AnyTask] = [prepare, train, evaluator(RUN, spec, facts, keys), publish, pin]
    return {task.kind: task for task in tasks}


def evaluate_task(**changes: Any) -> EvaluateTask:
    """Return the template of the evaluators."""
    task = every_task(**changes)["Evaluate"]
    assert isinstance(task, EvaluateTask)
    return task


def train_task(**changes: Any) -> TrainTask:
    """Return a training."""
    task = every_task(**changes)["Train"]
    assert isinstance(task, TrainTask)
    return task
