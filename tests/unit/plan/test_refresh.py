"""A run with `refresh` looks at its sources again and again: what is new is trained, searched and judged; nothing else is done."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest

from autollm.contract.tasks import PrepareTask
from autollm.plan.actions import AskCandidate, EnsureTask
from autollm.plan.conditions import stamp
from autollm.plan.plan import Plan
from autollm.plan.refresh import attempt
from autollm.resources.facts import Prepared, PublishedRevision
from autollm.resources.metadata import Failure
from autollm.resources.run_status import RefreshStatus
from support import synthetic
from support.runs import make_run
from support.world import START, World

DAILY: dict[str, Any] = {"refresh": {"every": "24h"}}
DAY = timedelta(hours=24)


class Growing:
    """Workers whose sources grow: `more` chunks of math beside the first."""

    trained, result = staticmethod(synthetic.trained), staticmethod(synthetic.result)
    published, pinned = staticmethod(synthetic.published), staticmethod(synthetic.pinned)

    def __init__(self) -> None:
        self.more = 0

    def prepared(self, task: PrepareTask, existing: Collection[str] = (), published: PublishedRevision | None = None) -> Prepared:
        facts = synthetic.prepared(task, existing, published)
        added = [synthetic.chunk(f"math-{number + 2:04}").model_copy(update={"source": "math"}) for number in range(self.more)]
        return facts.model_copy(update={"chunks": [*facts.chunks, *added]})


def daily(**changes: Any) -> tuple[World, Growing]:
    workers = Growing()
    return World(make_run(**DAILY, **changes), workers), workers


def refresh(world: World) -> RefreshStatus:
    assert world.run.status is not None
    assert world.run.status.refresh is not None
    return world.run.status.refresh


def reconciling(world: World) -> str:
    status = world.run.status
    return next(one.message for one in (status.conditions if status else None) or [] if one.type == "Reconciling")


def wait_until_due(world: World) -> Plan:
    """Wait as long as the plan says, and see the next round begin."""
    made = world.plan()
    assert made.requeue_after is not None
    world.now += made.requeue_after
    begun = world.plan()
    assert begun.requeue_after == timedelta(0)
    return begun


def test_the_first_round_is_the_run_and_the_next_is_due_a_day_after_it_began() -> None:
    world, _ = daily()
    world.plan()
    assert reconciling(world).startswith("Round 1: ")
    made = world.settle()
    assert refresh(world) == RefreshStatus(round=1, begun="2026-01-01T00:00:00Z", next="2026-01-02T00:00:00Z")
    assert made.requeue_after == START + DAY - world.now
    assert world.conditions()["Succeeded"] == ("True", "Published")


def test_where_nothing_is_new_the_round_looks_and_ends() -> None:
    world, _ = daily()
    world.settle()
    before, trials, revision = list(world.done), dict(world.trials), world.revisions
    wait_until_due(world)
    asked = [action.task for action in world.plan().actions if isinstance(action, EnsureTask)]
    assert [task.kind for task in asked] == ["Prepare"]
    assert reconciling(world).startswith("Round 2: ")
    assert world.conditions()["Succeeded"] == ("True", "Published")
    world.settle()
    assert (world.done, world.trials, world.revisions) == (before, trials, revision)
    assert world.conditions()["Succeeded"] == ("True", "Published")
    assert (refresh(world).round, refresh(world).begun) == (2, "2026-01-02T00:00:00Z")


def test_a_preparation_is_told_of_the_base_model_of_the_last_one_whose_number_format_stays() -> None:
    world, _ = daily()
    (first,) = [action.task for action in world.plan().actions if isinstance(action, EnsureTask)]
    world.settle()
    wait_until_due(world)
    (second,) = [action.task for action in world.plan().actions if isinstance(action, EnsureTask)]
    assert isinstance(first, PrepareTask)
    assert isinstance(second, PrepareTask)
    assert world.run.status is not None
    assert world.run.status.prepared is not None
    assert (first.last, second.last) == (None, world.run.status.prepared.model)


def test_new_records_train_their_delta_alone_and_are_searched_from_the_published_weights() -> None:
    world, workers = daily(search={"trials": 12})
    world.settle()
    deltas, trials = set(world.deltas), set(world.trials)
    published = world.run.status.published if world.run.status else None
    workers.more = 1
    wait_until_due(world)
    asked: list[AskCandidate] = []
    for _ in range(100):
        made = world.plan()
        assert world.conditions()["Succeeded"][0] == "True"
        asked += [action for action in made.actions if isinstance(action, AskCandidate)]
        for action in made.actions:
            world.act(action)
        if not made.actions and not world.running():
            break
        for name in world.running()[:1]:
            world.finish(name)
    assert len(world.deltas - deltas) == 1
    assert published is not None
    assert {name: str(weight) for name, weight in asked[0].request.starts[1].weights.items() if weight} == {
        name: str(float(weight)) for name, weight in published.weights.items() if weight
    }
    assert len([name for name in set(world.trials) - trials if world.trials[name].spec.split == "Search"]) == 12
    assert world.conditions()["Succeeded"] == ("True", "Published")
    assert len(world.revisions) == 2


def test_a_round_that_takes_longer_than_a_day_is_followed_at_once() -> None:
    world, workers = daily()
    workers.more = 1
    for _ in range(3):
        for action in world.plan().actions:
            world.act(action)
        for name in world.running():
            world.finish(name)
    world.now += 3 * DAY
    assert reconciling(world).startswith("Round 1: ")
    for _ in range(100):
        made = world.plan()
        if refresh(world).round == 2:
            break
        for action in made.actions:
            world.act(action)
        for name in world.running()[:1]:
            world.finish(name)
    begun = world.now
    assert refresh(world).begun == stamp(begun)
    assert world.settle().requeue_after == begun + DAY - world.now


def test_a_round_that_failed_is_followed_by_one_that_tries_again() -> None:
    world, _ = daily()
    world.fails = lambda work: Failure(reason="NotFound", message="s3://data/math.jsonl is not there.")
    world.settle()
    assert world.conditions()["Succeeded"] == ("False", "NotFound")
    world.fails = lambda work: None
    wait_until_due(world)
    world.settle()
    assert world.conditions()["Succeeded"] == ("True", "Published")
    assert refresh(world).round == 2


def test_after_success_a_round_that_fails_says_so() -> None:
    world, _ = daily()
    world.settle()
    world.fails = lambda work: Failure(reason="NotFound", message="s3://data/math.jsonl is not there.")
    wait_until_due(world)
    world.settle()
    assert world.conditions()["Succeeded"] == ("False", "NotFound")
    assert world.conditions()["DataReady"] == ("False", "NotFound")


def test_a_changed_spec_is_planned_in_the_present_round_and_does_not_count_as_succeeded_meanwhile() -> None:
    world, _ = daily()
    world.settle()
    world.change(make_run(search={"trials": 6}, **DAILY).spec)
    world.plan()
    assert world.conditions()["Succeeded"] == ("Unknown", "Searching")
    world.settle()
    assert refresh(world).round == 1
    wait_until_due(world)
    assert refresh(world).round == 2


def test_while_the_run_is_suspended_no_round_begins() -> None:
    world, _ = daily()
    world.settle()
    world.change(make_run(suspend=True, **DAILY).spec)
    world.now += 2 * DAY
    assert world.plan().requeue_after is None
    assert refresh(world).round == 1
    world.change(make_run(**DAILY).spec)
    world.settle()
    assert refresh(world).round == 2


def test_a_document_that_cannot_be_planned_begins_no_rounds() -> None:
    metrics = {"evaluation": {"metrics": [{"name": "m", "likelihood": {}, "sources": ["nowhere"]}]}}
    world, _ = daily(**metrics)
    world.settle()
    world.now += 2 * DAY
    assert world.settle().requeue_after is None
    assert refresh(world).round == 1


def test_without_refresh_any_more_the_last_round_stays_what_the_run_is_made_of() -> None:
    world, _ = daily()
    world.settle()
    wait_until_due(world)
    world.settle()
    world.change(make_run().spec)
    assert world.plan().actions == ()
    assert refresh(world) == RefreshStatus(round=2, begun="2026-01-02T00:00:00Z")
    world.now += 5 * DAY
    assert world.plan().requeue_after is None


def test_a_run_that_asks_for_it_later_is_not_prepared_again_at_once() -> None:
    world = World(make_run())
    world.settle()
    assert world.run.status is not None
    assert world.run.status.refresh is None
    world.now += 5 * DAY
    world.change(make_run(**DAILY).spec)
    made = world.plan()
    assert (made.actions, made.requeue_after) == ((), DAY)


@pytest.mark.parametrize(("every", "hours"), [("1h", 1), ("48h", 48)])
def test_another_interval_counts_from_when_the_round_began(every: str, hours: int) -> None:
    world, _ = daily()
    world.settle()
    world.change(make_run(refresh={"every": every}).spec)
    assert world.plan().requeue_after == START + timedelta(hours=hours) - world.now


def test_of_a_clock_that_was_ahead_the_next_round_knows_nothing() -> None:
    world, _ = daily()
    world.now += 30 * DAY
    world.plan()
    world.now = START
    made = world.settle()
    assert refresh(world).begun == stamp(START)
    assert made.requeue_after == START + DAY - world.now


def test_what_failed_is_tried_again_after_a_change_and_in_another_round() -> None:
    world, _ = daily()
    world.settle()
    first = attempt(world.run.metadata.generation, world.run.status)
    wait_until_due(world)
    second = attempt(world.run.metadata.generation, world.run.status)
    world.change(make_run(search={"trials": 6}, **DAILY).spec)
    assert first < second < attempt(world.run.metadata.generation, world.run.status)
