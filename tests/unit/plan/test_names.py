"""What a document calls a delta goes on meaning it when its source grows past one chunk."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from autollm.contract.tasks import PrepareTask
from autollm.plan.names import with_present_names
from autollm.plan.step import Ended
from autollm.resources.facts import Prepared
from autollm.resources.run import RunSpec
from support import synthetic
from support.runs import make_run
from support.world import World

MINE: dict[str, Any] = {"baselines": {"manual": [{"name": "mine", "weights": {"math/sft": "0.7", "code/sft": "0.2"}}]}}


def numbered(prepared: Prepared, *names: str) -> Prepared:
    """Return the facts with the chunk of math cut into these."""
    math, *others = prepared.chunks
    cut = [synthetic.chunk(name).model_copy(update={"source": "math"}) for name in names[1:]]
    return prepared.model_copy(update={"chunks": [math.model_copy(update={"name": names[0]}), *cut, *others]})


def facts(spec: RunSpec, *names: str) -> Prepared:
    task = PrepareTask(id="prepare", run="demo", key="sha256:" + "0" * 64, spec=spec)
    return numbered(synthetic.prepared(task), *names)


def test_a_run_with_weights_by_hand_goes_on_when_data_are_appended() -> None:
    world = World(make_run(**MINE))
    world.settle()
    (math, *_), status = list(world.trainings.values()), world.run.status
    assert status is not None
    assert status.prepared is not None
    grown = numbered(status.prepared, "math-0001", "math-0002")
    world.run = world.run.model_copy(update={"status": status.model_copy(update={"prepared": grown})})
    before = list(world.done)
    world.settle()
    assert world.conditions()["Succeeded"][0] == "True"
    assert math.spec.key not in world.done[len(before) :], "the first chunk is the one there was"
    after = world.run.status
    assert after is not None
    (mine,) = [row for row in after.results or [] if row.name == "mine"]
    assert mine.weights == {"math-0001/sft": Decimal("0.7"), "code/sft": Decimal("0.2")}
    assert mine.search is not None, "it is a point of the search too"
    assert mine.test is not None


@pytest.mark.parametrize(
    ("match", "present"),
    [("math/sft", "math-0001/sft"), ("math/*", "math-0001/*"), ("math*/sft", "math*/sft"), ("*", "*"), ("code/sft", "code/sft")],
)
def test_patterns_keep_their_meaning(match: str, present: str) -> None:
    spec = make_run(search={"space": {"deltas": [{"match": match, "fixed": "0.5"}]}}).spec
    found = with_present_names(spec, facts(spec, "math-0001", "math-0002")).search.space.deltas
    assert found is not None
    assert [entry.match for entry in found] == [present]


def test_start_points_keep_their_meaning() -> None:
    spec = make_run(search={"start": [{"weights": {"math/sft": "1"}}]}).spec
    found = with_present_names(spec, facts(spec, "math-0001", "math-0002")).search.start
    assert found is not None
    assert [point.weights for point in found] == [{"math-0001/sft": Decimal(1)}]


@pytest.mark.parametrize("names", [["math"], ["math-0002", "math-0003"]])
def test_where_there_is_no_first_of_several_a_document_stays_as_it_is(names: list[str]) -> None:
    spec = make_run(**MINE, search={"space": {"deltas": [{"match": "math/sft", "max": "1"}]}}).spec
    assert with_present_names(spec, facts(spec, *names)) == spec


def test_two_names_of_one_delta_are_refused() -> None:
    world = World(make_run(baselines={"manual": [{"name": "mine", "weights": {"math/sft": "0.7", "math-0001/sft": "0.2"}}]}))
    world.settle()
    status = world.run.status
    assert status is not None
    assert status.prepared is not None
    grown = numbered(status.prepared, "math-0001", "math-0002")
    world.run = world.run.model_copy(update={"status": status.model_copy(update={"prepared": grown})})
    ended = world.settle().state
    assert isinstance(ended, Ended)
    assert ended.reason == "UnknownDelta"
    assert "baselines.manual.mine.weights: there is no delta math/sft " in ended.message
