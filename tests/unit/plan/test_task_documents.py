"""Task documents have names that Kubernetes takes, and name the Secrets that their pods need."""

from __future__ import annotations

from typing import Any

import pytest

from autollm.contract.digests import digest_bytes
from autollm.contract.tasks import EvaluateTask, PrepareTask, in_slot
from autollm.plan.errands import task_id
from autollm.plan.landscape import evaluator
from autollm.plan.trainings import planned_trainings
from support import synthetic
from support.runs import make_run

HUB, COPY = "hf://org/gated", "s3://models/base/0"


def evaluators(run: str, *, uri: str = HUB, **model: Any) -> EvaluateTask:
    spec = make_run(model={"uri": HUB, **model}).spec
    facts = synthetic.prepared(PrepareTask(id="prepare", run=run, key=digest_bytes(b"asked"), spec=spec))
    facts = facts.model_copy(update={"model": facts.model.model_copy(update={"uri": uri})})
    keys = {training.delta: training.key for training in planned_trainings(spec, facts)}
    return evaluator(run, spec, facts, keys)


def test_the_pod_of_the_last_slot_of_the_longest_run_has_a_name_of_63_characters() -> None:
    assert len(in_slot(evaluators("r" * 40), 255).id) == 63


@pytest.mark.parametrize("kind", ["Prepare", "Train", "Publish", "Pin"])
def test_the_pod_of_the_last_node_has_a_name_of_63_characters_at_most(kind: str) -> None:
    assert len(f"{task_id('r' * 40, kind, 'anything')}-63") <= 63


@pytest.mark.parametrize(("uri", "secret"), [(HUB, "hub-token"), (COPY, None)])
def test_the_secret_of_the_hub_is_named_where_workers_load_from_the_hub(uri: str, secret: str | None) -> None:
    assert evaluators("demo", uri=uri, secretName="hub-token").model.secret_name == secret
