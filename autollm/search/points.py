"""Start points: the candidates that are tried before any optimiser is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from autollm.search.space import ALL, Space, same_weights

AVERAGE = "average"
BASE = "base"
PUBLISHED = "published"


@dataclass(frozen=True)
class Start:
    """A candidate that is tried early; `name` is its row of the results table where it is exactly that baseline."""

    weights: Mapping[str, float]
    name: str | None = None


def uniform(deltas: Sequence[str], weight: float) -> dict[str, float]:
    """Return the same weight for every delta; train-on-all, which contains the others, gets none."""
    return {name: weight for name in sorted(deltas) if name != ALL}


def average(deltas: Sequence[str]) -> dict[str, float]:
    """Return the weights of the baseline `average`: one part in n for each of n deltas."""
    shares = uniform(deltas, 1.0)
    return {name: round(1 / len(shares), 8) for name in shares}


def start_points(
    space: Space,
    *,
    trials: int,
    user: Sequence[Mapping[str, float]] = (),
    manual: Mapping[str, Mapping[str, float]] | None = None,
    published: Mapping[str, float] | None = None,
) -> tuple[Start, ...]:
    """Return the start points, moved into the space where they lie outside and without repetitions, the most telling first.

    Zero; the published weights; the user's own points and baselines; train-on-all; uniform points at three scales; each delta alone.
    All but those that the user asked for are cut off at half of the `trials`, so that the optimiser has the other half.
    """
    found: list[Start] = []
    asked = 2 + len(user) + len(manual or {})
    for position, start in enumerate(_anchors(space, user, manual or {}, published)):
        if position >= asked and len(found) >= trials // 2:
            break
        weights = space.expand(space.project(start.weights))
        if not any(same_weights(weights, other.weights) for other in found):
            found.append(Start(weights, start.name if same_weights(weights, start.weights) else None))
    return tuple(found)


def _anchors(
    space: Space, user: Sequence[Mapping[str, float]], manual: Mapping[str, Mapping[str, float]], published: Mapping[str, float] | None
) -> Iterator[Start]:
    yield Start({}, BASE)
    yield Start(published or {}, PUBLISHED)
    yield from (Start(weights, name) for name, weights in manual.items())
    yield from (Start(weights) for weights in user)
    if ALL in space.names:
        yield Start({ALL: 1.0}, ALL)
    others = uniform(space.names, 1.0)
    yield Start(average(space.names), AVERAGE)
    yield Start(uniform(space.names, 1 / math.sqrt(max(len(others), 1))))
    for name in _apart(space):
        if name in others:
            yield Start({name: 1.0}, name)
    yield Start(others)


def _apart(space: Space) -> Iterator[str]:
    """Yield a delta of each weight that is free: those that move with it are not apart from it, and of a run's deltas they may be most."""
    yield from sorted(min(name for name, _ in parameter.members) for parameter in space.parameters)
