"""The space: which parameters there are, and what a point means for every delta."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autollm.errors import InputError
from autollm.plan.weights import exact_weights
from autollm.resources.search import Space as SpaceSpec
from autollm.search import OLDEST, Space, build_space
from autollm.search.limits import Limits, limits_of, matches

DELTAS = ["math/sft", "math/dpo", "code/sft", "chat"]


def build(names: list[str] = DELTAS, /, **spec: Any) -> Space:
    return build_space(SpaceSpec.parse(spec), names)


def test_by_default_every_delta_is_a_parameter_between_0_and_1_5() -> None:
    space = build()
    assert [(p.name, p.low, p.high) for p in space.parameters] == [(name, 0.0, 1.5) for name in sorted(DELTAS)]
    assert space.expand((0.25, 0.5, 0.75, 1.0)) == {"chat": 0.25, "code/sft": 0.5, "math/dpo": 0.75, "math/sft": 1.0}


def test_the_last_matching_entry_counts() -> None:
    space = build(min="-1", deltas=[{"match": "math/*", "max": "0.5"}, {"match": "*/dpo", "min": "0.1"}, {"match": "chat", "fixed": 1}])
    bounds = {p.name: (p.low, p.high) for p in space.parameters}
    assert bounds == {"code/sft": (-1.0, 1.5), "math/sft": (-1.0, 0.5), "math/dpo": (0.1, 1.5)}
    assert space.fixed == {"chat": 1.0}


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("math/*", "math/sft", True),
        ("math/*", "aftermath/sft", False),
        ("*", "math/sft", True),
        ("math-000?/sft", "math-0003/sft", True),
        ("math-000?/sft", "math-00031/sft", False),
        ("chat", "chat-two", False),
    ],
)
def test_patterns(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


def test_a_group_is_one_parameter_within_the_bounds_of_all_its_members() -> None:
    space = build(deltas=[{"match": "math/*", "group": "maths"}, {"match": "math/dpo", "group": "maths", "max": "0.5"}])
    group = next(p for p in space.parameters if p.name == "group:maths")
    assert (group.low, group.high, group.members) == (0.0, 0.5, (("math/dpo", 1.0), ("math/sft", 1.0)))
    assert space.expand((0.0, 0.0, 0.3)) == {"chat": 0.0, "code/sft": 0.0, "math/dpo": 0.3, "math/sft": 0.3}


@pytest.mark.parametrize(
    ("spec", "weights", "allowed"),
    [
        ({}, {"math/sft": "1.5"}, True),
        ({"max": "0.1"}, {"math/sft": "0.1001"}, False),
        ({"min": "0.1"}, {"math/sft": "0.2"}, False),  # the others have weight 0
        ({"deltas": [{"match": "*", "fixed": "0.2"}, {"match": "math/*"}]}, {"chat": "0.2", "code/sft": "0.2", "math/sft": "1"}, True),
        ({"deltas": [{"match": "chat", "fixed": "0.2"}]}, {"chat": "0.3"}, False),
        ({"deltas": [{"match": "math/*", "group": "maths"}]}, {"math/sft": "0.3", "math/dpo": "0.3", "chat": "1"}, True),
        ({"deltas": [{"match": "math/*", "group": "maths"}]}, {"math/sft": "0.3"}, False),
    ],
)
def test_limits(spec: dict[str, Any], weights: dict[str, str], allowed: bool) -> None:
    decimals = {name: Decimal(weight) for name, weight in weights.items()}
    assert limits_of(SpaceSpec.parse(spec), DELTAS).allow(decimals) is allowed


def test_a_group_may_have_the_name_of_a_delta() -> None:
    space = build(deltas=[{"match": "math/*", "group": "chat"}])
    assert [p.name for p in space.parameters] == ["chat", "code/sft", "group:chat"]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([{"match": "chat", "min": "2"}], ["chat", "min 2", "max 1.5"]),
        ([{"match": "math/sft", "group": "m", "min": "1"}, {"match": "math/dpo", "group": "m", "max": "0.5"}], ["group m", "1", "0.5"]),
    ],
)
def test_bounds_that_leave_nothing_are_refused_by_name(entries: list[dict[str, Any]], words: list[str]) -> None:
    with pytest.raises(InputError) as refused:
        build(deltas=entries)
    assert all(word in str(refused.value) for word in ["search.space.deltas", *words])


def test_the_oldest_of_too_many_deltas_move_together_at_their_published_weights() -> None:
    deltas = [f"d{index}" for index in range(6)]
    published = {"d0": 0.5, "d1": 0.25, "d2": 0.0, "d5": 1.0}
    space = build_space(SpaceSpec(), ["all", *deltas], max_deltas=4, published=published)
    assert [p.name for p in space.parameters] == ["all", "d4", "d5", OLDEST]
    oldest = space.parameters[-1]
    # d3 was never published: it goes along at the mean of the others; d2 was left out and stays out.
    assert oldest.members == (("d0", 0.5), ("d1", 0.25), ("d3", 0.375))
    assert space.fixed == {"d2": 0.0}
    assert space.expand((0.0, 0.0, 0.0, 1.0)) == {"all": 0.0, "d0": 0.5, "d1": 0.25, "d2": 0.0, "d3": 0.375, "d4": 0.0, "d5": 0.0}


def test_without_published_weights_the_oldest_share_one_weight() -> None:
    space = build_space(SpaceSpec(), [f"d{index}" for index in range(4)], max_deltas=2)
    assert [(p.name, p.members) for p in space.parameters] == [("d3", (("d3", 1.0),)), (OLDEST, (("d0", 1.0), ("d1", 1.0), ("d2", 1.0)))]


def test_train_on_all_never_counts_as_old() -> None:
    space = build_space(SpaceSpec(), ["all", "d0", "d1"], max_deltas=1)
    assert [p.name for p in space.parameters] == ["all", OLDEST]


def test_groups_and_fixed_deltas_do_not_count_as_old() -> None:
    spec = SpaceSpec.parse({"deltas": [{"match": "d0", "fixed": 1}, {"match": "d1", "group": "g"}, {"match": "d2", "group": "g"}]})
    space = build_space(spec, [f"d{index}" for index in range(6)], max_deltas=3)
    assert [p.name for p in space.parameters] == ["d5", "group:g", OLDEST]


decimals = st.decimals(min_value=-10, max_value=10, places=3)


@st.composite
def documents(draw: st.DrawFn) -> tuple[Space, Limits]:
    """Any space that can be built, with its limits: own bounds, fixed weights, groups, and the oldest at their published weights."""
    names = draw(st.lists(st.sampled_from([f"s{index}/sft" for index in range(8)]), min_size=1, unique=True))
    entries: list[dict[str, object]] = []
    for name in draw(st.lists(st.sampled_from(names), unique=True)):
        kind = draw(st.sampled_from(["fixed", "bounds", "group"]))
        low, high = sorted(draw(st.lists(decimals, min_size=2, max_size=2, unique=True)))
        settings: dict[str, object] = {"fixed": low} if kind == "fixed" else {"min": low, "max": high}
        entries.append({"match": name, **(settings if kind != "group" else {"group": draw(st.sampled_from(["a", "b"]))})})
    spec = SpaceSpec.model_validate({"min": Decimal("-0.5"), "max": Decimal("1.5"), "deltas": entries})
    published = draw(st.dictionaries(st.sampled_from(names), st.floats(-10, 10).map(lambda value: round(value, 8))))
    return build_space(spec, names, max_deltas=draw(st.integers(1, 8)), published=published), limits_of(spec, names)


@given(documents(), st.data())
def test_expanded_points_stay_within_bounds_and_project_back_to_themselves(document: tuple[Space, Limits], data: st.DataObject) -> None:
    space, limits = document
    unit = [data.draw(st.floats(0, 1)) for _ in space.parameters]
    weights = space.expand([p.low + (p.high - p.low) * share for p, share in zip(space.parameters, unit, strict=True)])
    assert tuple(weights) == space.names
    assert limits.allow(exact_weights(weights))
    point = space.project(weights)
    assert all(p.low <= value <= p.high for p, value in zip(space.parameters, point, strict=True))
    assert space.expand(point) == weights
    assert space.contains(weights)
    assert space.spans(weights)


@given(documents(), st.dictionaries(st.sampled_from([f"s{index}/sft" for index in range(8)]), st.floats(-10, 10)))
def test_any_weights_project_into_the_space_once_and_for_all(document: tuple[Space, Limits], weights: dict[str, float]) -> None:
    space, _ = document
    point = space.project(weights)
    assert all(p.low <= value <= p.high for p, value in zip(space.parameters, point, strict=True))
    assert space.project(space.expand(point)) == point


def test_trials_beyond_narrowed_bounds_still_count_and_trials_of_another_fixed_weight_do_not() -> None:
    space = build(["chat", "code/sft"], deltas=[{"match": "chat", "fixed": 1}])
    outside, other = {"chat": 1.0, "code/sft": 2.0}, {"chat": 0.5, "code/sft": 1.0}
    assert (space.spans(outside), space.contains(outside)) == (True, False)
    assert (space.spans(other), space.contains(other)) == (False, False)


def test_a_bound_with_many_decimals_can_be_reached() -> None:
    space = build(["a"], max="0.333333")
    assert space.expand((1.0,)) == {"a": 0.333333}
    assert space.project({"a": 0.333333}) == (0.333333,)


def test_narrow_bounds_get_more_decimals() -> None:
    space = build(["a"], max="0.002")
    assert space.expand((0.0012345678,)) == {"a": 0.001235}
