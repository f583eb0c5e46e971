"""What an optimiser is asked and what it answers, as values that also travel between processes as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from autollm.resources.merge_trial import Origin
from autollm.resources.search import Optimizer
from autollm.search.points import Start
from autollm.search.space import Parameter, Point, Space


@dataclass(frozen=True)
class Finished:
    """A trial with its outcome: a score, or None where it failed (such a candidate is avoided, but never counts as a score)."""

    number: int
    weights: Mapping[str, float]
    score: float | None
    standard_error: float = 0.0


@dataclass(frozen=True)
class Request:
    """All that a suggestion depends on. `number` is that of the trial to come; `optimizer` None lets the space's size choose."""

    space: Space
    finished: tuple[Finished, ...] = ()
    pending: tuple[Mapping[str, float], ...] = ()
    starts: tuple[Start, ...] = ()
    optimizer: Optimizer | None = None
    seed: int = 0
    number: int = 0

    @property
    def trials(self) -> int:
        """How many trials it knows of, pending ones included."""
        return len(self.finished) + len(self.pending)

    @cached_property
    def tried(self) -> frozenset[Point]:
        """The points of the space that are finished, failed or pending: none of them is suggested again."""
        weights = [*(trial.weights for trial in self.finished), *self.pending]
        return frozenset(point for point in map(self.space.find, weights) if point is not None)

    def followed_by(self, weights: Mapping[str, float]) -> Request:
        """Return the request for the trial after this one, whose candidate is under way by then."""
        following = replace(self, pending=(*self.pending, weights), number=self.number + 1)
        point = self.space.find(weights)
        # What was tried is known but for one point: found anew for each of many slots, it would cost the square of the trials.
        vars(following)["tried"] = self.tried if point is None else self.tried | {point}
        return following

    def asks_the_same(self, other: Request) -> bool:
        """Say whether both are for the same trial of the same search, however many trials have ended between them."""
        return replace(self, finished=(), pending=()) == replace(other, finished=(), pending=())

    def document(self) -> dict[str, Any]:
        """Return the request as JSON values."""
        return asdict(self) | {"optimizer": None if self.optimizer is None else self.optimizer.document()}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Request:
        """Read what `document` wrote."""
        space = document["space"]
        parameters = (
            Parameter(one["name"], one["low"], one["high"], tuple((name, factor) for name, factor in one["members"]))
            for one in space["parameters"]
        )
        optimizer = document["optimizer"]
        return cls(
            space=Space(tuple(parameters), space["fixed"]),
            finished=tuple(Finished(**trial) for trial in document["finished"]),
            pending=tuple(document["pending"]),
            starts=tuple(Start(**start) for start in document["starts"]),
            optimizer=None if optimizer is None else Optimizer.parse(optimizer),
            seed=document["seed"],
            number=document["number"],
        )


@dataclass(frozen=True)
class Suggestion:
    """The next candidate, its row of the results table where it is a baseline, and what it was made from."""

    weights: Mapping[str, float]
    origin: Origin
    name: str | None = None
