"""Weights as documents hold them (decimals) and as the search holds them (floats)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from autollm.resources.facts import MOST_NAMED
from autollm.search.space import WEIGHT_DECIMALS

LARGEST = 16
"""Weights that are shown of a candidate that has too many to show all."""


def exact_weights(weights: Mapping[str, float]) -> dict[str, Decimal]:
    """Return weights as decimals of at most eight places, written without an exponent."""
    return {name: _decimal(value) for name, value in weights.items()}


def plain_weights(weights: Mapping[str, Decimal]) -> dict[str, float]:
    """Return weights as floats."""
    return {name: float(value) for name, value in weights.items()}


def normal(weights: Mapping[str, Decimal]) -> dict[str, str]:
    """Return weights as text by which equal candidates are known: sorted, deltas of weight 0 left out."""
    return {name: f"{value:.{WEIGHT_DECIMALS}f}" for name, value in sorted(weights.items()) if round(value, WEIGHT_DECIMALS) != 0}


def shown(weights: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return the weights that a status has room for: all of them, or all that are not 0, or the largest few."""
    if len(weights) <= MOST_NAMED:
        return dict(weights)
    ranked = sorted((name for name, weight in weights.items() if weight != 0), key=lambda name: (-abs(weights[name]), name))
    kept = set(ranked if len(ranked) <= MOST_NAMED else ranked[:LARGEST])
    return {name: weight for name, weight in weights.items() if name in kept}


def _decimal(value: float) -> Decimal:
    text = f"{value:.{WEIGHT_DECIMALS}f}".rstrip("0").rstrip(".")
    return Decimal("0" if text == "-0" else text)
