"""Whether a model prefers what people preferred."""

from __future__ import annotations


def preference(chosen: float, rejected: float) -> float:
    """Return 1 where the log-probability of the whole chosen answer is above that of the rejected one, ½ where equal, else 0."""
    return 0.5 if chosen == rejected else float(chosen > rejected)
