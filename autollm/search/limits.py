"""Limits: what a document lets every weight be, whatever a space makes of that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from autollm.errors import InputError
from autollm.resources import search as documents

_NONE = Decimal(0)
_ROUNDING = Decimal("1e-6")
"""Candidates are rounded, each weight by less than this: one never falls out of the space that it was taken from."""


@dataclass(frozen=True)
class Limits:
    """The bounds of every delta's weight, with room for rounding, and the deltas of each group, which share one weight.

    Unlike a space they do not change with the published weights, nor with which deltas move together because there are many.
    """

    bounds: Mapping[str, tuple[Decimal, Decimal]]
    groups: tuple[tuple[str, ...], ...]

    def allow(self, weights: Mapping[str, Decimal]) -> bool:
        """Say whether a candidate keeps to them; a delta that is not named has weight 0."""
        for name, (low, high) in self.bounds.items():
            if not low <= weights.get(name, _NONE) <= high:
                return False
        shared = ([weights.get(name, _NONE) for name in group] for group in self.groups)
        return all(max(values) - min(values) <= _ROUNDING for values in shared)


def limits_of(spec: documents.Space, deltas: Sequence[str]) -> Limits:
    """Return the limits of these deltas; of the entries of `search.space`, the last that matches a delta counts.

    Raises InputError where an entry's one bound contradicts the other of the space.
    """
    rules = {name: rule_of(spec, name) for name in deltas}
    groups: dict[str, list[str]] = {}
    for name, rule in rules.items():
        if rule.group is not None:
            groups.setdefault(rule.group, []).append(name)
    bounds = {name: bounds_of(spec, name, rule) for name, rule in rules.items()}
    widened = {name: (Decimal(low) - _ROUNDING, Decimal(high) + _ROUNDING) for name, (low, high) in bounds.items()}
    return Limits(widened, tuple(map(tuple, groups.values())))


def matches(pattern: str, name: str) -> bool:
    """Say whether a delta selector, in which `*` and `?` stand for any text and any character, means this delta."""
    return _expression(pattern).fullmatch(name) is not None


@lru_cache(maxsize=1024)  # as many as there are entries, each of which is asked about every delta in every pass
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern))


def rule_of(spec: documents.Space, name: str) -> documents.DeltaSpace:
    """Return the entry that counts for a delta, or one that says nothing."""
    entries = [entry for entry in spec.deltas or [] if matches(entry.match, name)]
    return entries[-1] if entries else documents.DeltaSpace(match="*")


def bounds_of(spec: documents.Space, name: str, rule: documents.DeltaSpace) -> tuple[float, float]:
    """Return the least and the greatest weight of a delta. Raises InputError where there is none between them."""
    if rule.fixed is not None:
        return float(rule.fixed), float(rule.fixed)
    low, high = float(spec.min if rule.min is None else rule.min), float(spec.max if rule.max is None else rule.max)
    if low > high:
        raise InputError(
            f"search.space.deltas: the entry {rule.match} bounds the weight of {name} to min {low:g} and max {high:g}, "
            "the other bound being that of search.space; give both min and max in the entry, min below max",
            reason="EmptySpace",
        )
    return low, high
