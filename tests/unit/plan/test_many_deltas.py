"""A run of many deltas: its status stays small and what was published is known from round to round."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from autollm.plan.problems import MOST_DELTAS
from support.many_chunks import ManyChunks
from support.runs import make_run
from support.world import World

SOURCES = [{"name": f"source-{number:02}", "file": {"uri": f"file:///{number}.jsonl"}} for number in range(35)]
METHODS = [{"name": "sft", "sft": {}}, {"name": "long", "sft": {"epochs": 2}}]


def many(chunks: int = 35, **changes: Any) -> World:
    document: dict[str, Any] = {"sources": SOURCES, "training": {"methods": METHODS}, "refresh": {"every": "24h"}, **changes}
    return World(make_run(**document), ManyChunks(chunks))


def test_what_was_published_is_recognised_though_no_name_is_kept() -> None:
    world = many()
    world.settle()
    status = world.run.status
    assert status is not None
    assert status.published is not None
    assert status.published.packed
    assert status.published.weights == {}
    assert len(status.published.merged) > 64
    done = list(world.done)
    world.now += timedelta(days=1)
    world.settle()
    status = world.run.status
    assert status is not None
    assert status.refresh is not None
    assert status.prepared is not None
    assert status.prepared.published is not None
    # The second look at the sources said nothing once more of the seventy deltas.
    assert (status.refresh.round, status.prepared.published.packed) == (2, "")
    assert world.done == done
    assert not any(trial.spec.model for trial in world.trials.values())
    assert world.conditions()["Succeeded"] == ("True", "Published")


def test_of_many_deltas_each_alone_is_not_scored_and_the_largest_weights_are_shown() -> None:
    world = many()
    world.settle()
    status = world.run.status
    assert status is not None
    assert [row.name for row in status.results or []][:2] == ["base", "average"]
    assert status.best is not None
    assert len(status.best.weights) == 16
    winner = world.trials[status.best.trial].spec.weights
    least = min(abs(weight) for weight in status.best.weights.values())
    assert all(abs(weight) <= least for name, weight in winner.items() if name not in status.best.weights)


def test_more_deltas_than_weights_have_room_for_are_refused_before_any_is_trained() -> None:
    world = many(MOST_DELTAS // 2 + 1)
    made = world.settle()
    assert world.conditions()["Validated"] == ("False", "TooManyDeltas")
    assert made.state.message.startswith("training.methods: 2 methods on 1001 chunks make 2002 deltas, but a run may have 2000;")
    assert world.trainings == {}


def test_the_largest_run_has_a_status_of_less_than_a_hundred_kilobytes() -> None:
    world = many(490)
    for _ in range(2):
        for action in world.plan().actions:
            world.act(action)
        for name in world.running():
            world.finish(name)
    world.plan()
    assert len(world.trainings) == 980
    assert world.run.status is not None
    assert len(json.dumps(world.run.status.document())) < 50_000
