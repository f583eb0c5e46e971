"""A run with many children is worked at in passes of bounded length: a pass that takes minutes looks like an operator that hangs."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from autollm_operator.api.port import ForbiddenError
from autollm_operator.api.resources import JOBS, RUNS
from autollm_operator.cache.keys import Key
from autollm_operator.reconcile import attempts
from autollm_operator.reconcile.attempts import SECONDS_OF_A_PASS
from support.cluster_stages import started
from support.cluster_world import NAMESPACE, ClusterWorld, remote_run
from support.fake_api import Call, When

LIMIT, CHUNKS = 5, 12
SOURCES = [{"name": f"s{number}", "file": {"uri": f"s3://data/{number}.jsonl"}} for number in range(CHUNKS)]
STATUS_AND_EVENT = 2


@pytest.fixture(autouse=True)
def _short_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "WRITES_OF_A_PASS", LIMIT)


def prepared() -> ClusterWorld:
    """A world whose run is about to have more trainings than one pass makes."""
    world = started(sources=SOURCES)
    world.finish(world.running()[0])
    return world


def longest_pass(world: ClusterWorld) -> int:
    """Let the operator work; return how many writes the pass with most of them asked for."""
    inner, marks = world.reconciler.reconcile, [len(world.api.writes())]

    def reconcile(key: Key) -> float | None:
        seconds = inner(key)
        marks.append(len(world.api.writes()))
        return seconds

    world.reconciler.reconcile = reconcile  # type: ignore[method-assign]  # what is measured
    world.reconcile()
    return max(after - before for before, after in pairwise(marks))


def test_children_are_made_in_several_passes_that_follow_at_once() -> None:
    world = prepared()
    now, longest = world.now, longest_pass(world)
    assert world.now == now
    assert len(world.jobs("train")) == CHUNKS
    assert longest <= LIMIT + STATUS_AND_EVENT
    world.settle()
    assert world.conditions()["Succeeded"] == ("True", "Published")


def test_jobs_that_have_ended_are_let_go_in_several_passes() -> None:
    world = prepared()
    world.reconcile()
    for name in world.jobs("train"):
        world.finish(name)
    assert longest_pass(world) <= LIMIT + STATUS_AND_EVENT
    assert all("ttlSecondsAfterFinished" in world.get(JOBS, name)["spec"] for name in world.jobs("train"))


def test_what_cannot_be_made_yet_keeps_nothing_waiting_that_comes_after_it() -> None:
    world = prepared()
    world.reconcile()
    world.api.holds = lambda resource, document: resource == JOBS
    world.delete(RUNS, "demo")
    leaving = world.jobs("train")
    world.api.holds = lambda resource, document: False
    world.api.release(JOBS, NAMESPACE, *world.jobs("prepare"))
    world.api.release(JOBS, NAMESPACE, leaving[-1])
    world.apply(remote_run(sources=SOURCES))
    world.reconcile()
    world.finish(*world.running())
    world.reconcile()
    assert [name for name in world.jobs("train") if "deletionTimestamp" not in world.get(JOBS, name)["metadata"]] == [leaving[-1]]


def test_what_is_refused_is_bounded_too_and_each_is_tried() -> None:
    world = prepared()
    tried: list[str] = []

    def on_call(call: Call, when: When) -> None:
        if (call.verb, call.resource, when) == ("create", JOBS, "before"):
            tried.append(call.name)
            raise ForbiddenError("exceeded quota", status=403)

    world.on_call = on_call
    assert longest_pass(world) <= LIMIT + STATUS_AND_EVENT
    assert len(tried) == len(set(tried)) == CHUNKS


@pytest.mark.parametrize("answer", [2.0, 35.0], ids=["a slow webhook", "the longest request"])
def test_a_slow_api_server_makes_passes_of_fewer_writes_and_not_longer_ones(monkeypatch: pytest.MonkeyPatch, answer: float) -> None:
    monkeypatch.setattr(attempts, "WRITES_OF_A_PASS", 200)
    world = started(sources=[{"name": f"s{number}", "file": {"uri": f"s3://data/{number}.jsonl"}} for number in range(40)])
    world.finish(world.running()[0])
    passes: list[float] = []
    inner = world.reconciler.reconcile

    def reconcile(key: Key) -> float | None:
        before = world.now
        seconds = inner(key)
        passes.append((world.now - before).total_seconds())
        return seconds

    def on_call(call: Call, when: When) -> None:
        if when == "after" and call.verb not in ("get", "list"):
            world.now += timedelta(seconds=answer)

    world.reconciler.reconcile = reconcile  # type: ignore[method-assign]  # what is measured
    world.on_call = on_call
    world.reconcile()
    assert len(world.jobs("train")) == 40
    assert sum(passes) > 2 * SECONDS_OF_A_PASS
    assert max(passes) <= SECONDS_OF_A_PASS + (1 + STATUS_AND_EVENT) * answer
