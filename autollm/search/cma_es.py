"""CMA-ES, played again from the trials for every candidate, so that nothing but the trials has to be kept."""

from __future__ import annotations

import numpy as np
from cmaes import CMA

from autollm.search.evidence import Evidence

SIGMA = 0.25
"""The first generation's standard deviation, in units of the bounds' width."""


def propose(evidence: Evidence, seed: int) -> np.ndarray:
    """Return the next point of the unit cube, shape (d,).

    The distribution starts at the best start point and moves by every full generation of later trials, in the order of their
    numbers. Parallel workers never wait for a generation: what is asked meanwhile comes from the one before it.
    """
    inside = np.all((evidence.points >= 0.0) & (evidence.points <= 1.0), axis=1)
    points, scores, started = evidence.points[inside], evidence.scores[inside], evidence.started[inside]
    anchors = np.flatnonzero(started)
    mean = points[anchors[np.argmax(scores[anchors])]] if anchors.size else np.full(evidence.dimensions, 0.5)
    # The algorithm wants two dimensions at least: a second that means nothing takes no part in the scores.
    size = max(evidence.dimensions, 2)
    optimizer = CMA(mean=_padded(mean, size), sigma=SIGMA, bounds=np.tile([0.0, 1.0], (size, 1)), seed=seed)
    later = np.flatnonzero(~started)
    generation = optimizer.population_size
    for first in range(0, len(later) - generation + 1, generation):
        batch = later[first : first + generation]
        optimizer.tell([(_padded(points[index], size), -float(scores[index])) for index in batch])
    return np.asarray(optimizer.ask())[: evidence.dimensions]


def _padded(point: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([point, np.full(size - len(point), 0.5)])
