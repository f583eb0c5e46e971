"""What Flux waits for: by kstatus until a run of hours is over, by the example's expressions until the operator took it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import celpy
import pytest
import yaml
from celpy.adapter import json_to_cel

from support.kstatus import kstatus
from support.stages import runs, trainings

FILE = Path(__file__).parents[3] / "examples" / "gitops" / "flux" / "team-a.yaml"
RUNS = runs()


def verdict(document: dict[str, Any]) -> str:
    """What the example's expressions say, asked in Flux' order; an expression of a field that is not there waits."""
    (kustomization,) = [one for one in yaml.safe_load_all(FILE.read_text()) if one["kind"] == "Kustomization"]
    (expressions,) = [one for one in kustomization["spec"]["healthCheckExprs"] if one["kind"] == document["kind"]]
    environment = celpy.Environment()
    for name, result in (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")):
        if name in expressions:
            program = environment.program(environment.compile(expressions[name]))
            fields: Any = json_to_cel({"status": {}} | document)
            if program.evaluate(fields):
                return result
    return "InProgress"


def test_what_the_runs_wait_for_is_there() -> None:
    documents = [one for file in FILE.parent.glob("*.yaml") for one in yaml.safe_load_all(file.read_text())]
    kustomizations = [one for one in documents if one["kind"] == "Kustomization"]
    waited_for = {other["name"] for one in kustomizations for other in one["spec"].get("dependsOn", [])}
    assert waited_for
    assert waited_for <= {one["metadata"]["name"] for one in kustomizations}


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("preparing", "InProgress"),
        ("searching", "InProgress"),
        ("succeeded", "Current"),
        ("changed", "InProgress"),
        ("searching again", "InProgress"),
        ("suspended", "Current"),
        ("failed", "Failed"),
        ("unreadable", "Failed"),
        ("stalled", "Failed"),
        ("applied", "Current"),  # kstatus takes an object without a status for done: hence the expressions
    ],
)
def test_kstatus_of_a_run(stage: str, expected: str) -> None:
    assert kstatus(RUNS[stage]) == expected


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("applied", "InProgress"),
        ("preparing", "Current"),
        ("searching", "Current"),
        ("succeeded", "Current"),
        ("changed", "InProgress"),
        ("searching again", "Current"),
        ("suspended", "Current"),
        ("failed", "Failed"),
        ("unreadable", "Failed"),
        ("stalled", "Failed"),
    ],
)
def test_the_expressions_wait_until_the_operator_took_the_run(stage: str, expected: str) -> None:
    assert verdict(RUNS[stage]) == expected


def test_children_are_nobodys_to_wait_for() -> None:
    """Flux waits for what it applied; trainings and trials are applied by the operator, and have no say."""
    assert {kstatus(training) for training in trainings().values()} == {"Current"}
