"""Start points: which candidates are tried first, in which order, and how many."""

from __future__ import annotations

from autollm.resources.search import Space as SpaceSpec
from autollm.search import Space, build_space, start_points

DELTAS = ["a/sft", "b/sft", "c/sft", "d/sft"]


def build(*deltas: str, **spec: object) -> Space:
    return build_space(SpaceSpec.model_validate(spec), deltas)


def test_anchors_come_in_the_order_of_what_they_tell() -> None:
    found = start_points(
        build(*DELTAS, "all"),
        trials=100,
        user=[{"a/sft": 0.3}],
        manual={"human": {"a/sft": 1, "b/sft": 0.5}},
        published={"a/sft": 0.7, "c/sft": 0.2},
    )
    told = [(start.name, {name: weight for name, weight in start.weights.items() if weight}) for start in found]
    assert told == [
        ("base", {}),
        ("published", {"a/sft": 0.7, "c/sft": 0.2}),
        ("human", {"a/sft": 1.0, "b/sft": 0.5}),
        (None, {"a/sft": 0.3}),
        ("all", {"all": 1.0}),
        ("average", dict.fromkeys(DELTAS, 0.25)),
        (None, dict.fromkeys(DELTAS, 0.5)),
        *((name, {name: 1.0}) for name in DELTAS),
        (None, dict.fromkeys(DELTAS, 1.0)),
    ]
    assert all(set(start.weights) == {*DELTAS, "all"} for start in found)


def test_half_of_the_trials_are_left_to_the_optimiser_but_what_the_user_asked_for_is_tried() -> None:
    space = build(*DELTAS)
    assert [start.name for start in start_points(space, trials=6)] == ["base", "average", None]
    asked = [{"a/sft": 0.1 * step} for step in range(1, 6)]
    assert len(start_points(space, trials=6, user=asked)) == 6


def test_repetitions_are_left_out() -> None:
    found = start_points(build("a/sft"), trials=100, user=[{"a/sft": 0.5}, {"a/sft": 0.5}, {}], published={"a/sft": 1})
    assert [(start.name, start.weights) for start in found] == [
        ("base", {"a/sft": 0.0}),
        ("published", {"a/sft": 1.0}),
        (None, {"a/sft": 0.5}),
    ]


def test_points_outside_are_moved_in_and_lose_their_name() -> None:
    found = start_points(build("a/sft", "b/sft", min="0.2", max="0.8"), trials=100)
    assert all(0.2 <= weight <= 0.8 for start in found for weight in start.weights.values())
    assert [start.name for start in found] == [None, "average", None, None, None, None]


def test_a_space_without_parameters_has_its_one_point() -> None:
    (only,) = start_points(build("a/sft", deltas=[{"match": "*", "fixed": 1}]), trials=10)
    assert (only.weights, only.name) == ({"a/sft": 1.0}, None)
