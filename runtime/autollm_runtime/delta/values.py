"""A delta in memory: low-rank and full changes of single parameters, by the names of the base's state dict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class LowRank:
    """The change scale · b · a of one matrix, already in the orientation of the parameter it belongs to.

    Shapes: a (rank, columns), b (rows, rank). Linear in the weight it is added with.
    """

    a: Tensor
    b: Tensor
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the parameter that this changes."""
        return (self.b.shape[0], self.a.shape[1])


@dataclass(frozen=True)
class Delta:
    """What a training changed: W = W_base + weight · Δ, with Δ given per parameter.

    No parameter is both in `low_rank` and in `full`. Full changes may be mapped from a file; they are never written to.
    """

    name: str
    key: str
    low_rank: Mapping[str, LowRank] = field(default_factory=dict)
    full: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every changed parameter, in the order of names."""
        shapes: dict[str, tuple[int, ...]] = {name: change.shape for name, change in self.low_rank.items()}
        shapes |= {name: tuple(change.shape) for name, change in self.full.items()}
        return dict(sorted(shapes.items()))
