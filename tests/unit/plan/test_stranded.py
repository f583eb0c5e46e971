"""Fewer evaluators than slots: what waits in a slot to which none comes is scored in another, and nothing waits for ever."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from autollm.plan.actions import EnsureEvaluators, FailTrial
from autollm.plan.landscape import failure_of, is_pending, is_superseded
from autollm.plan.plan import Plan
from autollm.plan.snapshot import TaskState
from autollm.plan.step import Working
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from support.runs import make_run
from support.world import World

OUT_OF_MEMORY = Failure(reason="OOMKilled", message="The pod x needed more than workers.evaluate.resources.limits.memory allows.")


class Pool:
    """A world whose evaluators of some slots have no node, from a stage of the run on."""

    def __init__(self, vacant: int, since: str, **search: object) -> None:
        self.world = World(make_run(search={"trials": 6, "parallelism": 3, **search}))
        self.vacant, self.since = vacant, since

    def state(self) -> TaskState:
        (state,) = [state for task, state in self.world.tasks.values() if task.kind == "Evaluate"]
        return state

    def change(self, **changes: object) -> None:
        name = self.state().id
        self.world.tasks[name] = (self.world.tasks[name][0], dataclasses.replace(self.state(), **changes))  # type: ignore[arg-type]  # named here

    def step(self) -> Plan:
        """Plan and act; a slot that is vacant stays so."""
        made = self.world.plan()
        for action in made.actions:
            self.world.act(action)
        evaluators = [task for task, _ in self.world.tasks.values() if task.kind == "Evaluate"]
        if evaluators and isinstance(made.state, Working) and made.state.reason == self.since:
            self.since = ""
        if evaluators and not self.since:
            slots = self.state().slots
            if self.vacant in slots:
                since = {self.vacant: self.state().vacant.get(self.vacant, self.world.now)}
                self.change(slots={slot: moment for slot, moment in slots.items() if slot != self.vacant}, vacant=since)
        return made

    def runnable(self) -> list[str]:
        """What could end next."""
        names = self.world.running()
        return [name for name in names if name not in self.world.trials or self.world.trials[name].spec.slot in self.state().slots]

    def pending(self) -> list[MergeTrial]:
        return [trial for trial in self.world.trials.values() if is_pending(trial)]

    def settle(self) -> Plan:
        """Let everything end that can; where nothing can, let time pass until the plan wants to look again."""
        for _ in range(200):
            made = self.step()
            if runnable := self.runnable():
                self.world.finish(runnable[0])
            elif not made.actions:
                if made.requeue_after is None:
                    return made
                self.world.now += made.requeue_after
        raise AssertionError(f"the run does not settle: {made.state}")

    def begin(self) -> None:
        """Go on until there is a trial in every slot."""
        while len(self.pending()) < 3:
            self.step()
            if not self.world.trials:
                self.world.finish(self.world.running()[0])

    def drain(self) -> None:
        """Let everything end until only the trial of the vacant slot is left."""
        while self.runnable() or len(self.pending()) != 1:
            self.step()
            if runnable := self.runnable():
                self.world.finish(runnable[0])

    def after(self, minutes: int) -> Plan:
        """Plan and act once some time later."""
        self.world.now += timedelta(minutes=minutes)
        return self.step()


@pytest.mark.parametrize("since", ["Searching", "Ranking", "Testing"])
@pytest.mark.parametrize("vacant", [0, 2])
def test_a_run_ends_as_it_would_with_all_of_them(vacant: int, since: str) -> None:
    pool = Pool(vacant, since, items=10, finalists=3)
    made = pool.settle()
    assert made.state.reason == "Published", made.state.message
    counts = made.status.trials
    assert counts is not None
    assert (counts.total, counts.succeeded, counts.failed) == (6, 6, 0)
    given_up = [trial for trial in pool.world.trials.values() if failure_of(trial) is not None]
    assert [(trial.spec.slot, is_superseded(trial)) for trial in given_up] == [(vacant, True)] * len(given_up)
    assert len(given_up) <= 1


def test_the_only_candidate_of_a_space_is_tried_again() -> None:
    """The optimiser said that every candidate was tried, of which one was then given up."""
    pool = Pool(
        0, "Searching", parallelism=2, space={"deltas": [{"match": "math/sft", "max": "0.01"}, {"match": "*", "fixed": "0.5"}]}, trials=50
    )
    made = pool.settle()
    assert made.state.reason == "Published", made.state.message
    assert pool.world.conditions()["SearchComplete"] == ("True", "SpaceExhausted")


def test_before_the_first_is_at_work_every_slot_has_a_trial() -> None:
    pool = Pool(2, "Searching")
    pool.begin()
    assert sorted(trial.spec.slot or 0 for trial in pool.pending()) == [0, 1, 2]


def test_nothing_is_given_up_while_all_the_others_have_work() -> None:
    pool = Pool(2, "Searching")
    pool.begin()
    assert not [action for action in pool.after(minutes=6).actions if isinstance(action, FailTrial)]


def test_an_evaluator_may_take_some_minutes_to_come() -> None:
    pool = Pool(2, "Searching", trials=3)
    pool.drain()
    made = pool.after(minutes=1)
    assert made.actions == ()
    assert made.requeue_after is not None
    assert timedelta(minutes=3) < made.requeue_after < timedelta(minutes=4)
    (action,) = pool.after(minutes=4).actions
    assert isinstance(action, FailTrial)


def test_one_on_which_an_evaluator_died_is_not_tried_on_another() -> None:
    pool = Pool(2, "Searching", trials=3)
    pool.drain()
    (trial,) = pool.pending()
    pool.change(deaths={trial.metadata.name: (OUT_OF_MEMORY,)})
    (action,) = pool.after(minutes=5).actions
    assert isinstance(action, FailTrial)
    assert action.failure.reason == "EvaluatorDied"


def test_a_slot_that_is_to_go_keeps_no_trial_that_nobody_scores() -> None:
    pool = Pool(2, "Searching")
    pool.begin()
    search = pool.world.run.spec.search.model_copy(update={"parallelism": 2})
    pool.world.change(pool.world.run.spec.model_copy(update={"search": search}))
    assert any(isinstance(action, FailTrial) for action in pool.after(minutes=6).actions)
    (ensured,) = [action for action in pool.step().actions if isinstance(action, EnsureEvaluators)]
    assert ensured.size == 2


def test_a_queued_pool_gets_smaller_at_once() -> None:
    """It may never be granted as large as it was, and nobody would score what waits above the new number."""
    pool = Pool(2, "Searching")
    pool.begin()
    pool.change(started=None, slots={}, vacant={})
    pool.world.change(make_run(search={"trials": 6, "parallelism": 2}).spec)
    made = pool.step()
    assert [action.size for action in made.actions if isinstance(action, EnsureEvaluators)] == [2]
    assert sorted(trial.spec.slot or 0 for trial in pool.pending()) == [0, 1]
    counts = pool.settle().status.trials
    assert counts is not None
    assert (counts.total, counts.failed) == (6, 0)
