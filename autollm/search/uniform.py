"""Uniform candidates, which depend on the seed and the number of the trial alone."""

from __future__ import annotations

import numpy as np


def propose(dimensions: int, seed: int, number: int) -> np.ndarray:
    """Return one point of the unit cube, shape (dimensions,)."""
    return np.random.default_rng([seed, number]).random(dimensions)
