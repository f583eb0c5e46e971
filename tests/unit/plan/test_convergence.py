"""Whatever happens on the way, a run comes to the same end, and nothing that was finished is done again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.runs import make_run
from support.world import World

RUNS: dict[str, dict[str, Any]] = {
    "one evaluator": {"search": {"trials": 5}},
    "a sample and train-on-all": {"search": {"trials": 5, "items": 10}, "baselines": {"trainOnAll": True}},
    "a chain of methods": {
        "sources": [
            {"name": "chats", "file": {"uri": "file:///preference.jsonl"}},
            {"name": "math", "file": {"uri": "file:///math.jsonl"}},
        ],
        "training": {"methods": [{"name": "sft", "sft": {}}, {"name": "dpo", "dpo": {}, "after": "sft"}]},
        "search": {"trials": 4},
    },
}


def settle_roughly(world: World, choices: st.DataObject) -> None:
    """Carry plans out as a world full of faults does: late, twice, half, out of order, with tasks that are lost on the way."""
    for _ in range(400):
        made = world.plan()
        actions = list(made.actions)
        how = choices.draw(st.sampled_from(["whole", "whole", "twice", "killed half-way", "nothing"]), label="actions")
        kept = {"whole": actions, "twice": actions * 2, "killed half-way": actions[: len(actions) // 2], "nothing": []}[how]
        for action in kept:
            world.act(action)
        waiting = world.running()
        if not actions and not waiting:
            return
        event = choices.draw(st.sampled_from(["finish", "finish", "finish", "lose", "wait"]), label="event")
        if event == "finish" and waiting:
            world.finish(choices.draw(st.sampled_from(waiting), label="which"))
        elif event == "lose":
            lost = sorted(name for name, (_, state) in world.tasks.items() if state.phase == "Running")
            if lost:
                world.lose(choices.draw(st.sampled_from(lost), label="lost"))
    raise AssertionError("the run does not come to an end")


@pytest.mark.parametrize("name", sorted(RUNS))
@given(choices=st.data())
@settings(max_examples=15)
def test_any_order_of_events_ends_in_the_same_state(name: str, choices: st.DataObject) -> None:
    smooth, rough = World(make_run(**RUNS[name])), World(make_run(**RUNS[name]))
    smooth.settle()
    settle_roughly(rough, choices)
    assert rough.final_state() == smooth.final_state()
    assert max(Counter(rough.done).values()) == 1
    assert rough.plan().actions == ()


@given(choices=st.data())
@settings(max_examples=15)
def test_with_several_evaluators_no_trial_is_lost_or_done_twice(choices: st.DataObject) -> None:
    # The candidates themselves depend on which trials were finished when they were asked for.
    world = World(make_run(search={"trials": 7, "parallelism": 3}))
    settle_roughly(world, choices)
    assert sorted(trial.spec.place for trial in world.trials.values() if trial.spec.split == "Search") == list(range(7))
    assert max(Counter(world.done).values()) == 1
    assert world.conditions()["Succeeded"][0] == "True"
