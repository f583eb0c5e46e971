"""What earlier rounds and documents left is deleted: not at once, not much at a time, and nothing that somebody may ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import pytest

from autollm.contract.tasks import PrepareTask
from autollm.plan.actions import DeleteTraining, DeleteTrial
from autollm.plan.plan import plan
from autollm.plan.prune import EARLIER_LANDSCAPES, MOST_AT_ONCE
from autollm.plan.snapshot import TaskState
from autollm.report.state import RunState
from autollm.resources.facts import Prepared, PublishedRevision, TrialResult
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from support import synthetic
from support.runs import make_run
from support.world import World

SEARCH = {"trials": 6, "parallelism": 2}


class Edited:
    """Workers whose source math has a record edited in each round, so that its delta is trained anew."""

    trained, published, pinned = staticmethod(synthetic.trained), staticmethod(synthetic.published), staticmethod(synthetic.pinned)

    def __init__(self) -> None:
        self.edition = 0

    def prepared(self, task: PrepareTask, existing: Collection[str] = (), published: PublishedRevision | None = None) -> Prepared:
        facts = synthetic.prepared(task, existing, published)
        changed = [synthetic.chunk(one.name, f"edition {self.edition}") if one.name == "math" else one for one in facts.chunks]
        return facts.model_copy(update={"chunks": changed})

    def result(self, trial: MergeTrial, others: Any) -> TrialResult:
        return synthetic.result(trial, others)


def edited(**changes: Any) -> tuple[World, Edited]:
    workers = Edited()
    return World(make_run(refresh={"every": "24h"}, **{"search": SEARCH, **changes}), workers), workers


def another_round(world: World, workers: Edited) -> None:
    begin_round(world, workers)
    world.settle()


def begin_round(world: World, workers: Edited) -> None:
    due = world.settle().requeue_after
    assert due is not None
    workers.edition += 1
    world.now += due


def landscapes(world: World) -> list[str]:
    """All of which there are trials, the newest first."""
    newest: dict[str, str] = {}
    for trial in world.trials.values():
        known = newest.get(trial.spec.landscape or "", "")
        newest[trial.spec.landscape or ""] = max(known, trial.metadata.creation_timestamp or "")
    return sorted(newest, key=lambda landscape: newest[landscape], reverse=True)


@pytest.mark.parametrize("items", [None, 10], ids=["all items", "a sample"])
def test_a_run_of_many_rounds_has_a_bounded_number_of_children(items: int | None) -> None:
    world, workers = edited(search=SEARCH | ({"items": items, "finalists": 2} if items else {}))
    world.settle()
    counts = []
    for _ in range(8):
        another_round(world, workers)
        counts.append((len(world.trainings), len(landscapes(world))))
    of_one = 3 if items else 2
    assert world.run.status is not None
    assert world.run.status.refresh is not None
    assert world.run.status.refresh.round == 9
    assert counts[-1] == counts[-2] == counts[-3]
    # Two are planned, as many are kept beside them; every round publishes, so that the present round is the published one.
    assert counts[-1] == (4, of_one + EARLIER_LANDSCAPES)
    assert len(world.trials) < 100
    assert world.conditions()["Succeeded"] == ("True", "Published")


def test_all_that_a_status_and_a_report_tell_of_is_there() -> None:
    world, workers = edited()
    world.settle()
    for _ in range(4):
        another_round(world, workers)
    state = RunState(world.run, tuple(world.trainings.values()), tuple(world.trials.values()))
    assert state.status.best is not None
    assert state.status.trials is not None
    assert state.status.deltas is not None
    assert (state.status.deltas.total, state.status.deltas.ready, len(state.current_trainings)) == (2, 2, 2)
    assert state.status.best.trial in world.trials
    assert len(state.search_trials) == state.status.trials.total == SEARCH["trials"]
    assert all(state.test_trial(row) for row in state.rows if row.test)
    assert world.plan().actions == ()
    assert len(world.deltas) == 6, "what is in the artifacts stays: of math one a round, of code one"


def test_the_published_model_keeps_its_trainings_and_trials_however_many_rounds_find_nothing_better() -> None:
    world, workers = edited()
    world.settle()
    assert world.run.status is not None
    published = world.run.status.published
    assert published is not None
    first = set(landscapes(world))
    never = {"when": {"betterThan": "published", "confidence": "0.9999"}}
    workers.result = _no_better  # type: ignore[method-assign]  # this one world differs
    world.change(make_run(refresh={"every": "24h"}, search=SEARCH, publish=never).spec)
    for _ in range(6):
        another_round(world, workers)
    assert world.run.status.published == published
    assert first < set(landscapes(world))
    assert len(landscapes(world)) == 2 + len(first) + EARLIER_LANDSCAPES
    assert set(published.deltas.values()) <= {training.spec.key for training in world.trainings.values()}


def _no_better(trial: MergeTrial, others: Any) -> TrialResult:
    made = synthetic.result(trial, others)
    worse = [one.model_copy(update={"gate_low": synthetic.number(-0.1)}) for one in made.differences or []]
    return made.model_copy(update={"differences": worse or None})


def test_a_change_that_is_taken_back_finds_its_trials() -> None:
    world = World(make_run(search=SEARCH))
    world.settle()
    world.change(make_run(search=SEARCH, evaluation={"metrics": [{"name": "m", "match": {}}]}).spec)
    world.settle()
    done = list(world.done)
    world.change(make_run(search=SEARCH).spec)
    world.settle()
    assert world.done == done


def test_one_pass_deletes_a_few() -> None:
    world, workers = edited(search={"trials": 40, "parallelism": 2})
    world.settle()
    most = 0
    for _ in range(4):
        begin_round(world, workers)
        for _ in range(1000):
            made = world.plan()
            most = max(most, sum(isinstance(action, DeleteTrial) for action in made.actions))
            for action in made.actions:
                world.act(action)
            if waiting := world.running():
                world.finish(waiting[0])
            elif not made.actions and made.requeue_after:
                break
    assert most == MOST_AT_ONCE


def test_what_somebody_made_by_hand_stays() -> None:
    world, workers = edited()
    world.settle()
    trial, training = next(iter(world.trials.values())), next(iter(world.trainings.values()))
    by_hand = trial.spec.model_copy(update={"landscape": None, "number": None, "slot": None, "origin": None})
    mine = trial.metadata.model_copy(update={"name": "what-if"})
    world.trials["what-if"] = trial.model_copy(update={"metadata": mine, "spec": by_hand})
    world.trainings["mine"] = training.model_copy(update={"metadata": training.metadata.model_copy(update={"name": "mine"})})
    for _ in range(6):
        another_round(world, workers)
    assert "what-if" in world.trials
    assert "mine" in world.trainings


def test_a_training_whose_task_has_not_stopped_yet_stays_until_it_has() -> None:
    world, workers = edited()
    world.settle()
    for _ in range(2):
        another_round(world, workers)
    begin_round(world, workers)
    while not (doomed := [action.name for action in world.plan().actions if isinstance(action, DeleteTraining)]):
        for action in world.plan().actions:
            world.act(action)
        world.finish(world.running()[0])
    key = world.trainings[doomed[0]].spec.key
    (name,) = [name for name, (task, _) in world.tasks.items() if task.kind == "Train" and task.spec.key == key]
    still = dataclasses.replace(world.snapshot(), tasks=(TaskState(name, "Train", "Running"),))
    assert not [action for action in plan(still, world.now).actions if isinstance(action, DeleteTraining)]


def test_rounds_whose_trainings_fail_leave_no_more_either() -> None:
    world, workers = edited()
    world.fails = lambda work: Failure(reason="Diverged", message="lower it") if getattr(work, "kind", "") == "Train" else None
    world.settle()
    for _ in range(6):
        another_round(world, workers)
    assert len(world.trainings) == 4
