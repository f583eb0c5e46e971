"""How likely a model finds the reference."""

from __future__ import annotations

import math


def likelihood(log_probability: float, tokens: int) -> float:
    """Return exp of the mean token log-probability: the geometric mean of the tokens' probabilities, in 0…1."""
    return min(1.0, math.exp(log_probability / tokens))
