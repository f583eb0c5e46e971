"""What the API server fails to do for one object, again and again: people who look at the run see it, and see it go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from autollm_operator.api.port import ApiError, ConflictError, Document, ForbiddenError, InvalidError, UnavailableError
from autollm_operator.api.resources import EVENTS, JOBS, RUNS
from autollm_operator.cache.keys import Key
from autollm_operator.reconcile.attempts import COST_OF_A_FAILURE, WRITES_OF_A_PASS
from support.cluster_stages import started
from support.cluster_world import ClusterWorld, remote_run
from support.fake_api import Call, When

WEBHOOK = 'the API server refused to create jobs team-a: Internal error occurred: failed calling webhook "policy.test" (500)'

Broken = Callable[[Call], bool]


def failing(world: ClusterWorld, broken: Broken, error: Callable[[], ApiError]) -> None:
    """Have every request of a kind fail before it takes effect."""

    def on_call(call: Call, when: When) -> None:
        if when == "before" and broken(call):
            raise error()

    world.on_call = on_call


def of_jobs(call: Call) -> bool:
    return (call.verb, call.resource) == ("create", JOBS)


def everything(call: Call) -> bool:
    return True


def of_the_status(call: Call) -> bool:
    return (call.verb, call.resource) == ("apply_status", RUNS)


def webhook() -> ApiError:
    return UnavailableError(WEBHOOK, status=500)


def wait(world: ClusterWorld, minutes: int) -> int:
    """Let some time pass, in which the queue tries again what failed at the latest after half a minute; return how many passes failed."""
    world.deliver()
    until, failed = world.now + timedelta(minutes=minutes), 0
    while world.looks and min(world.looks.values()) <= until:
        world.now = max(world.now, min(world.looks.values()))
        before = dict(world.looks)
        try:
            world.reconcile()
        except ApiError:
            failed += 1
            world.looks |= {key: world.now + timedelta(seconds=30) for key in before if key not in world.looks}
    world.now = until
    return failed


def warnings(world: ClusterWorld) -> list[Document]:
    world.on_call = lambda call, when: None
    return [event for event in world.all(EVENTS) if event["type"] == "Warning"]


class TestOfAChild:
    def test_is_told_once_it_has_lasted_and_goes_when_it_passes(self) -> None:
        world = ClusterWorld()
        failing(world, of_jobs, webhook)
        world.apply(remote_run())
        world.reconcile()
        assert world.conditions()["Stalled"] == ("False", "Preparing"), "it may pass by itself"
        assert wait(world, minutes=3) == 0
        assert world.conditions()["Stalled"] == ("True", "ApiUnavailable")
        assert WEBHOOK in world.message("Stalled")
        assert "tried every few minutes" in world.message("Stalled")
        calls = len(world.api.calls)
        wait(world, minutes=60)
        assert len(world.api.calls) - calls < 60, "it is tried less and less often, and the status stays"
        (event,) = warnings(world)
        assert event["reason"] == "ApiUnavailable"
        assert WEBHOOK in event["note"]
        wait(world, minutes=6)
        assert world.conditions()["Stalled"] == ("False", "Preparing")
        assert WEBHOOK not in str(world.get(RUNS, "demo")["status"])
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")

    def test_that_stands_is_told_without_a_break_by_another_process(self) -> None:
        world = ClusterWorld()
        failing(world, of_jobs, webhook)
        world.apply(remote_run())
        wait(world, minutes=3)
        writes = len(world.api.writes())
        world.start_operator()
        world.reconcile()
        assert [call.verb for call in world.api.writes()[writes:]] == ["create"], "the status stays"
        assert world.conditions()["Stalled"] == ("True", "ApiUnavailable")

    def test_of_one_training_keeps_no_other_waiting(self) -> None:
        world = started()
        world.finish(world.running()[0])
        refused: list[str] = []

        def the_first(call: Call) -> bool:
            refused.extend([call.name] if of_jobs(call) and not refused else [])
            return of_jobs(call) and call.name == refused[0]

        failing(world, the_first, webhook)
        world.reconcile()
        assert len(world.jobs("train")) == 1

    def test_of_many_is_tried_in_short_passes_and_each_in_its_turn(self) -> None:
        sources = [{"name": f"s{number}", "file": {"uri": f"s3://data/{number}.jsonl"}} for number in range(10)]
        world = started(sources=sources)
        world.finish(world.running()[0])
        passes: list[list[str]] = []
        inner = world.reconciler.reconcile

        def reconcile(key: Key) -> float | None:
            passes.append([])
            return inner(key)

        def noted(call: Call) -> bool:
            passes[-1].extend([call.name] if of_jobs(call) else [])
            return of_jobs(call)

        world.reconciler.reconcile = reconcile  # type: ignore[method-assign]  # what is counted
        failing(world, noted, webhook)
        world.reconcile()
        assert max(map(len, passes)) == WRITES_OF_A_PASS // COST_OF_A_FAILURE
        assert len({name for names in passes for name in names}) == len(sources)
        world.on_call = lambda call, when: None
        wait(world, minutes=1)
        assert len(world.jobs("train")) == len(sources)


class TestOfEverything:
    @pytest.mark.parametrize(
        "error", [lambda: UnavailableError("etcdserver: leader changed", status=500), lambda: UnavailableError("no route")]
    )
    def test_leaves_no_word_once_the_api_server_is_back(self, error: Callable[[], ApiError]) -> None:
        world = started()
        world.finish(world.running()[0])
        world.reconcile()
        world.delete(JOBS, world.jobs("train")[0])
        failing(world, everything, error)
        assert wait(world, minutes=20) > 30, "the queue goes on to ask"
        world.on_call = lambda call, when: None
        wait(world, minutes=1)
        assert len(world.jobs("train")) == 2
        assert world.conditions()["Stalled"] == ("False", "Training")
        assert warnings(world) == []


class TestOfTheRunItself:
    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (webhook, "ApiUnavailable"),
            (lambda: ForbiddenError("ValidatingAdmissionPolicy 'frozen' denied request", status=403), "Forbidden"),
            (lambda: InvalidError('admission webhook "policy" denied the request', status=422), "Refused"),
            (lambda: ConflictError("the object has been modified", status=409), "Conflict"),
        ],
    )
    def test_a_status_that_cannot_be_written_is_told_by_an_event(self, error: Callable[[], ApiError], reason: str) -> None:
        world = ClusterWorld()
        failing(world, of_the_status, error)
        world.apply(remote_run())
        assert wait(world, minutes=50) > 30
        assert len([call for call in world.api.writes() if call.resource == EVENTS]) == 1
        (event,) = warnings(world)
        assert event["reason"] == reason
        assert event["regarding"]["name"] == "demo"
        assert str(error()) in event["note"]

    def test_that_passes_soon_is_not_told(self) -> None:
        world = ClusterWorld()
        failing(world, of_the_status, webhook)
        world.apply(remote_run())
        with pytest.raises(UnavailableError):
            world.reconcile()
        world.on_call = lambda call, when: None
        world.resync()
        world.settle()
        assert warnings(world) == []
