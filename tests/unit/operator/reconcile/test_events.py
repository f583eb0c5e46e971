"""Kubernetes Events: what they tell, and that each is told once."""

from __future__ import annotations

import pytest

from autollm.resources.metadata import Condition
from autollm.resources.run_status import DeltaCounts, RunStatus, TrialCounts
from autollm_operator.api.port import UnavailableError
from autollm_operator.api.resources import EVENTS, JOBS, RUNS
from autollm_operator.cache.views import Owner
from autollm_operator.reconcile.children import Parent
from autollm_operator.reconcile.events import News, news, tell
from support.cluster_world import NAMESPACE, START, ClusterWorld, remote_run
from support.fake_api import Call, When


def status(reason: str, truth: str = "Unknown", stalled: str = "False", **fields: object) -> RunStatus:
    held = {"Succeeded": truth, "Stalled": stalled, "Reconciling": "True" if truth == "Unknown" and stalled == "False" else "False"}
    conditions = [
        Condition.parse({"type": kind, "status": value, "reason": reason, "message": f"It is {reason}.", "lastTransitionTime": "now"})
        for kind, value in held.items()
    ]
    return RunStatus(conditions=conditions).model_copy(update=fields)


def in_a_round(reason: str) -> RunStatus:
    """Between the rounds of a refresh Succeeded stays True."""
    ended, now = status("Published", "True"), status(reason)
    conditions = [*(ended.conditions or [])[:2], *(now.conditions or [])[2:]]
    return ended.model_copy(update={"conditions": conditions})


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (RunStatus(), status("Preparing"), [("Normal", "Preparing")]),
        (status("Preparing"), status("Preparing"), []),
        (status("Training"), status("Searching"), [("Normal", "Searching")]),
        (status("Published", "True"), in_a_round("Preparing"), [("Normal", "Preparing")]),
        (status("Publishing"), status("Published", "True"), [("Normal", "Published")]),
        (status("Training"), status("TrainingFailed", "False"), [("Warning", "TrainingFailed")]),
        (status("Training"), status("Forbidden", stalled="True"), [("Warning", "Forbidden")]),
        (
            status("Searching", trials=TrialCounts(total=3, succeeded=2, failed=0, running=1)),
            status("Searching", trials=TrialCounts(total=4, succeeded=2, failed=1, running=1)),
            [("Warning", "TrialFailed")],
        ),
        (
            status("Searching", trials=TrialCounts(total=4, succeeded=2, failed=1, running=1)),
            status("Searching", trials=TrialCounts(total=4, succeeded=3, failed=1, running=0)),
            [],
        ),
        (
            status("Training"),
            status("Training", deltas=DeltaCounts(total=4, ready=1, reused=0, failed=1)),
            [],
        ),
        (
            status("Training", deltas=DeltaCounts(total=4, ready=3, reused=0, failed=0)),
            status("TrainingFailed", "False", "True", deltas=DeltaCounts(total=4, ready=3, reused=0, failed=1)),
            [("Warning", "TrainingFailed")],
        ),
    ],
)
def test_what_is_news(before: RunStatus, after: RunStatus, told: list[tuple[str, str]]) -> None:
    assert [(one.type, one.reason) for one in news(before, after)] == told


def test_is_told_once_of_the_run_it_is_about() -> None:
    world = ClusterWorld()
    world.apply(remote_run())
    uid = world.get(RUNS, "demo")["metadata"]["uid"]
    parent = Parent(Owner(RUNS.kind, "demo", uid), NAMESPACE, "demo", 1)
    for _ in range(2):
        tell(world.api, parent, News("Warning", "TrialFailed", "Search", "x" + "…" * 5000), START)
    (event,) = world.all(EVENTS)
    assert event["regarding"] == {
        "apiVersion": "autollm.dev/v1alpha1",
        "kind": "AutoLLMRun",
        "name": "demo",
        "namespace": NAMESPACE,
        "uid": uid,
    }
    assert (event["type"], event["reason"], event["note"]) == ("Warning", "TrialFailed", "x" + "…" * 333)
    assert event["eventTime"] == "2026-01-01T00:00:00.000000Z"


def test_is_told_although_what_follows_the_status_fails() -> None:
    world = ClusterWorld()

    def busy(call: Call, when: When) -> None:
        if (call.verb, call.resource, when) == ("create", JOBS, "before"):
            raise UnavailableError("too many requests, please try again later", status=429)

    world.on_call = busy
    world.apply(remote_run())
    with pytest.raises(UnavailableError):
        world.reconcile()
    world.on_call = lambda call, when: None
    world.resync()
    world.reconcile()
    assert world.jobs("prepare"), "the next pass goes on"
    assert [event["reason"] for event in world.all(EVENTS)] == ["Preparing"]
