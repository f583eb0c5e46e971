"""Argo CD's health of each kind at each stage, by a Lua interpreter of the version that Argo CD has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51

from autollm.resources.crd import KINDS
from support.stages import runs, trainings, trials

FILE = Path(__file__).parents[3] / "examples" / "gitops" / "argocd" / "health.yaml"
CHECKS = {key.rpartition("_")[2]: lua for key, lua in yaml.safe_load(FILE.read_text())["data"].items()}


def health(document: dict[str, Any]) -> tuple[str, str]:
    """Status and message of an object."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    lua.globals()["obj"] = lua.table_from(document, recursive=True)
    answer = lua.execute(CHECKS[document["kind"]])
    return answer["status"], answer["message"]


RUNS, TRAININGS, TRIALS = runs(), trainings(), trials()


def test_there_is_a_check_for_every_kind() -> None:
    assert CHECKS.keys() == {kind.name for kind in KINDS}


@pytest.mark.parametrize(
    ("stage", "expected", "says"),
    [
        ("applied", "Progressing", "has not looked"),
        ("preparing", "Progressing", ""),
        ("searching", "Progressing", ""),
        ("succeeded", "Healthy", ""),
        ("changed", "Progressing", "has not looked"),
        ("searching again", "Progressing", ""),
        ("suspended", "Suspended", "suspend is true"),
        ("failed", "Degraded", "row 3"),
        ("unreadable", "Degraded", "math.jsonl"),
        ("stalled", "Degraded", "exceeded quota"),
    ],
)
def test_the_health_of_a_run(stage: str, expected: str, says: str) -> None:
    status, message = health(RUNS[stage])
    assert (status, says in message) == (expected, True), message


def test_a_round_of_refresh_shows_as_progress() -> None:
    run = RUNS["succeeded"]
    again = [condition | ({"status": "True"} if condition["type"] == "Reconciling" else {}) for condition in run["status"]["conditions"]]
    assert health(run | {"status": run["status"] | {"conditions": again}})[0] == "Progressing"


@pytest.mark.parametrize(
    ("stage", "expected"), [("applied", "Progressing"), ("training", "Progressing"), ("trained", "Healthy"), ("failed", "Degraded")]
)
def test_the_health_of_a_training(stage: str, expected: str) -> None:
    assert health(TRAININGS[stage])[0] == expected


@pytest.mark.parametrize(("stage", "expected"), [("applied", "Progressing"), ("scored", "Healthy"), ("failed", "Degraded")])
def test_the_health_of_a_trial(stage: str, expected: str) -> None:
    assert health(TRIALS[stage])[0] == expected


@pytest.mark.parametrize("child", [TRAININGS["training"], TRIALS["applied"]], ids=["training", "trial"])
def test_a_child_that_cannot_begin_is_degraded(child: dict[str, Any]) -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "NotFound", "message": "there is no run demo"}
    unknown = {"type": "Succeeded", "status": "Unknown", "reason": "NotFound", "message": ""}
    for conditions in ([stalled, unknown], [unknown, stalled]):
        assert health(child | {"status": {"conditions": conditions}}) == ("Degraded", "there is no run demo")
