"""What becomes of Jobs that have ended, and what follows where their namespace does not allow it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest

from autollm.contract.exit_codes import ExitCode
from autollm.contract.tasks import TrainTask
from autollm_operator.api.port import ApiError, ConflictError, Document, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from autollm_operator.api.resources import EVENTS, JOBS
from support.cluster_stages import started
from support.cluster_world import ClusterWorld, remote_run
from support.fake_api import Call, When

REFUSALS: list[Callable[[], ApiError]] = [
    lambda: ForbiddenError('jobs.batch "x" is forbidden', status=403),
    lambda: InvalidError('admission webhook "policy" denied the request', status=422),
    lambda: ConflictError("the object has been modified", status=409),
    lambda: NotFoundError("not found", status=404),
]


def refusing(refusal: Callable[[], ApiError]) -> ClusterWorld:
    """A world that does not let Jobs be changed once they are there."""
    world = ClusterWorld()

    def on_call(call: Call, when: When) -> None:
        if (call.verb, call.resource, when) == ("patch", JOBS, "before"):
            raise refusal()

    world.on_call = on_call
    return world


def test_jobs_go_once_their_reports_are_safe() -> None:
    world = started()
    world.settle()
    assert {world.get(JOBS, name)["spec"].get("ttlSecondsAfterFinished") for name in world.jobs()} == {3600}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_time_to_live_that_is_refused_stops_nothing(refusal: Callable[[], ApiError]) -> None:
    world = refusing(refusal)
    world.apply(remote_run(refresh={"every": "8h"}))
    world.settle()
    assert world.conditions()["Succeeded"] == ("True", "Published")
    assert world.looks, "the next round is waited for"
    assert "Published" in [event["reason"] for event in world.all(EVENTS)]


@pytest.mark.parametrize("refusal", REFUSALS[:2])
def test_a_note_that_is_refused_stops_nothing_and_is_told_once(refusal: Callable[[], ApiError], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    world = refusing(refusal)
    world.fails = lambda task: (ExitCode.BAD_INPUT, None) if isinstance(task, TrainTask) else None
    world.apply(remote_run())
    world.settle()
    assert world.conditions()["Succeeded"] == ("False", "TrainingFailed")
    assert "TrainingFailed" in [event["reason"] for event in world.all(EVENTS)]
    told = [record for record in caplog.records if record.name == "autollm_operator.reconcile.refusals"]
    assert [getattr(record, "cause", "") for record in told] == [str(refusal())]
    assert [event["note"] for event in world.all(EVENTS) if str(refusal()) in event["note"]], "people who look at the run see it too"
    calls = len(world.api.writes())
    world.resync()
    world.reconcile()
    assert len(world.api.writes()) == calls, "it is not asked for in every pass"


def test_a_note_that_the_api_server_fails_to_write_is_told_when_that_lasts() -> None:
    world = refusing(lambda: UnavailableError('failed calling webhook "policy"', status=500))
    world.fails = lambda task: (ExitCode.BAD_INPUT, None) if isinstance(task, TrainTask) else None
    world.apply(remote_run())
    world.settle()
    assert world.conditions()["Succeeded"] == ("False", "TrainingFailed")
    assert told_of(world, "webhook") == []
    for _ in range(3):
        world.now += timedelta(minutes=2)
        world.resync()
        world.reconcile()
    (event,) = told_of(world, "webhook")
    assert (event["type"], event["reason"]) == ("Warning", "ApiUnavailable")


def told_of(world: ClusterWorld, word: str) -> list[Document]:
    return [event for event in world.all(EVENTS) if word in event["note"]]
