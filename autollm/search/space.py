"""The space of weights: which parameters the search moves, and what each of them means for every delta."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autollm.errors import InputError
from autollm.resources import search as documents
from autollm.search.limits import bounds_of, rule_of

OLDEST = "oldest:deltas"
"""The parameter that scales the published weights of the oldest deltas; no delta or group can have this name."""

ALL = "all"
WEIGHT_DECIMALS = 8

Point = tuple[float, ...]
"""One value per parameter, in the order of `Space.parameters`."""


@dataclass(frozen=True)
class Parameter:
    """One number that the search moves, from `low` to `high`; the weight of each member is its factor times that number."""

    name: str
    low: float
    high: float
    members: tuple[tuple[str, float], ...]

    @property
    def decimals(self) -> int:
        """Decimals that values are rounded to: four, and more only where the bounds are closer than that can resolve."""
        return min(WEIGHT_DECIMALS, max(4, 3 - math.floor(math.log10(self.high - self.low))))

    def settle(self, value: float) -> float:
        """Return the value as it is stored: within the bounds and rounded, but for the bounds themselves, which may have more decimals."""
        nearest = min(max(float(value), self.low), self.high)  # a NumPy scalar rounds ten times slower
        for bound in (self.low, self.high):
            if abs(nearest - bound) < 0.5 * 10**-self.decimals:
                return bound + 0.0
        return round(nearest, self.decimals) + 0.0


@dataclass(frozen=True)
class Space:
    """The weights that may be chosen. `fixed` weights are part of every candidate; the parameters are ordered by name."""

    parameters: tuple[Parameter, ...]
    fixed: Mapping[str, float]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every delta of the space, sorted."""
        return tuple(sorted([*self.fixed, *(name for parameter in self.parameters for name, _ in parameter.members)]))

    def expand(self, point: Sequence[float]) -> dict[str, float]:
        """Return the weights by delta name that a point means, exactly as they are to be stored and applied."""
        weights = dict(self.fixed)
        for parameter, value in zip(self.parameters, point, strict=True):
            settled = parameter.settle(value)
            weights |= {name: round(factor * settled, WEIGHT_DECIMALS) + 0.0 for name, factor in parameter.members}
        return {name: weights[name] for name in self.names}

    def locate(self, weights: Mapping[str, float]) -> Point:
        """Return the values of the parameters that come nearest to the weights (least squares), bounds left aside."""
        values = []
        for parameter in self.parameters:
            scale = sum(factor * factor for _, factor in parameter.members)
            dot = sum(factor * weights.get(name, 0.0) for name, factor in parameter.members)
            values.append(round(dot / scale, WEIGHT_DECIMALS) + 0.0)
        return tuple(values)

    def project(self, weights: Mapping[str, float]) -> Point:
        """Return the point of the space nearest to the weights; deltas that are not named count as 0.

        The inverse of `expand` for every point on the grid of stored values.
        """
        return tuple(parameter.settle(value) for parameter, value in zip(self.parameters, self.locate(weights), strict=True))

    def find(self, weights: Mapping[str, float]) -> Point | None:
        """Return the point that means exactly these weights, if the space has one."""
        point = self.project(weights)
        return point if same_weights(self.expand(point), weights) else None

    def contains(self, weights: Mapping[str, float]) -> bool:
        """Say whether the weights are a candidate of this space as they are."""
        return self.find(weights) is not None

    def spans(self, weights: Mapping[str, float]) -> bool:
        """Say whether the weights differ from a candidate only by parameters beyond their bounds, as after bounds were narrowed."""
        values = self.locate(weights)
        meant = dict(self.fixed)
        for parameter, value in zip(self.parameters, values, strict=True):
            meant |= {name: factor * value for name, factor in parameter.members}
        return all(abs(meant.get(name, 0.0) - weights.get(name, 0.0)) < 1e-4 for name in {*meant, *weights})

    def to_unit(self, points: Sequence[Point]) -> np.ndarray:
        """Return the points with every parameter's bounds mapped to 0 and 1, shape (points, parameters)."""
        lows, widths = self._scales
        rows: np.ndarray = np.asarray(points, dtype=np.float64).reshape(len(points), len(self.parameters))
        return np.asarray((rows - lows) / widths)

    def from_unit(self, unit: np.ndarray) -> Point:
        """Return the storable point of one row of unit coordinates."""
        lows, widths = self._scales
        return tuple(parameter.settle(float(value)) for parameter, value in zip(self.parameters, lows + unit * widths, strict=True))

    @cached_property
    def _scales(self) -> tuple[np.ndarray, np.ndarray]:
        lows = np.array([parameter.low for parameter in self.parameters], dtype=np.float64)
        return lows, np.array([parameter.high for parameter in self.parameters], dtype=np.float64) - lows


def same_weights(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Say whether two candidates are the same, a delta that is not named counting as 0."""
    return all(abs(one.get(name, 0.0) - other.get(name, 0.0)) < 10**-WEIGHT_DECIMALS for name in {*one, *other})


def build_space(
    spec: documents.Space, deltas: Sequence[str], *, max_deltas: int = 1000, published: Mapping[str, float] | None = None
) -> Space:
    """Build the space of these deltas, given from the oldest to the newest.

    Args:
        spec: `search.space` of the run; of its entries, the last that matches a delta counts.
        deltas: Names of all deltas, the oldest first; `all`, the train-on-all delta, always counts as the newest.
        max_deltas: With more free parameters than this, the oldest deltas without a group move together as `OLDEST`.
        published: Weights of the published model: what OLDEST = 1 stands for. A delta without one gets the mean of the others, or 1.

    Raises:
        InputError: Bounds leave nothing to choose, or a pattern's bounds contradict another's within a group.
    """
    ordered = sorted(dict.fromkeys(deltas), key=lambda name: name == ALL)
    rules = {name: rule_of(spec, name) for name in ordered}
    fixed = {name: float(rule.fixed) for name, rule in rules.items() if rule.fixed is not None}
    bounds = {name: bounds_of(spec, name, rule) for name, rule in rules.items() if name not in fixed}

    groups: dict[str, list[str]] = {}
    for name in bounds:
        group = rules[name].group
        groups.setdefault(f"group:{group}" if group else name, []).append(name)

    singles = [key for key in groups if key in bounds and key != ALL]
    surplus = len(groups) - max_deltas
    oldest = singles[: surplus + 1] if surplus > 0 else []
    parameters = [_equal_parameter(key, members, bounds) for key, members in groups.items() if key not in oldest]
    if len(oldest) > 1:
        parameters.append(_scaled_parameter(spec, oldest, bounds, published or {}))
    else:
        parameters += [_equal_parameter(key, [key], bounds) for key in oldest]

    for parameter in parameters:
        if parameter.low == parameter.high:
            fixed |= {name: round(factor * parameter.low, WEIGHT_DECIMALS) for name, factor in parameter.members}
    moving = {name for parameter in parameters for name, _ in parameter.members}
    for name in (name for name in bounds if name not in fixed and name not in moving):
        fixed[name] = _clip(0.0, bounds[name])
    free = tuple(sorted((p for p in parameters if p.members and p.low < p.high), key=lambda parameter: parameter.name))
    return Space(free, dict(sorted(fixed.items())))


def _equal_parameter(key: str, members: Sequence[str], bounds: Mapping[str, tuple[float, float]]) -> Parameter:
    low, high = max(bounds[name][0] for name in members), min(bounds[name][1] for name in members)
    if low > high:
        raise InputError(
            f"search.space.deltas: the deltas {', '.join(members)} share one weight as {key.replace(':', ' ')}, but their bounds "
            f"leave none: the highest min is {low:g} and the lowest max is {high:g}; let their bounds overlap",
            reason="EmptySpace",
        )
    return Parameter(key, low, high, tuple((name, 1.0) for name in sorted(members)))


def _scaled_parameter(
    spec: documents.Space, members: Sequence[str], bounds: Mapping[str, tuple[float, float]], published: Mapping[str, float]
) -> Parameter:
    """At 1 every member has its published weight; the bounds are those of the space as far as all members' own allow."""
    known = [published[name] for name in members if published.get(name)]
    default = sum(known) / len(known) if known else 1.0
    factors = {name: _clip(published.get(name, default), bounds[name]) for name in members}
    # A factor of almost nothing would make the inverse of `expand` depend on the last stored decimal.
    moving = {name: factor for name, factor in factors.items() if abs(factor) >= 1e-3}
    low, high = min(float(spec.min), 1.0), max(float(spec.max), 1.0)
    for name, factor in moving.items():
        ends = sorted(limit / factor for limit in bounds[name])
        low, high = max(low, ends[0]), min(high, ends[1])
    # The ends are quotients: rounded inwards, they stay within every member's own bounds.
    low, high = math.ceil(round(low * 1e6, 3)) / 1e6, math.floor(round(high * 1e6, 3)) / 1e6
    return Parameter(OLDEST, min(low, 1.0), max(high, 1.0), tuple(sorted(moving.items())))


def _clip(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])
