"""What an optimiser learns from: the trials as rows of unit coordinates, in an order that does not depend on who finished first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autollm.search.space import Space
from autollm.search.trials import Finished, Request


@dataclass(frozen=True)
class Evidence:
    """The trials of one space with d parameters.

    Attributes:
        points: Unit coordinates of the scored trials, shape (n, d); beyond 0…1 where a trial lies outside the present bounds.
        scores: Shape (n,), higher is better.
        standard_errors: Shape (n,), in the unit of the scores.
        started: Which of the scored trials were start points, shape (n,).
        pending: Unit coordinates of the trials under way, shape (m, d).
        failed: Unit coordinates of the trials that ended without a score, shape (f, d).
    """

    points: np.ndarray
    scores: np.ndarray
    standard_errors: np.ndarray
    started: np.ndarray
    pending: np.ndarray
    failed: np.ndarray

    @property
    def dimensions(self) -> int:
        """The number of parameters."""
        return int(self.points.shape[1])


def gather(request: Request) -> Evidence:
    """Collect what the request's trials say about its space; trials that are no points of it (another fixed weight, say) are left out."""
    space = request.space
    starts = {space.project(start.weights) for start in request.starts}
    finished = sorted((trial for trial in request.finished if space.spans(trial.weights)), key=lambda trial: _order(space, trial))
    scored = [trial for trial in finished if trial.score is not None]
    failed = [trial for trial in finished if trial.score is None]
    return Evidence(
        points=space.to_unit([space.locate(trial.weights) for trial in scored]),
        scores=np.array([trial.score for trial in scored], dtype=np.float64),
        standard_errors=np.array([trial.standard_error for trial in scored], dtype=np.float64),
        started=np.array([space.project(trial.weights) in starts for trial in scored], dtype=bool),
        pending=space.to_unit(sorted(space.locate(weights) for weights in request.pending if space.spans(weights))),
        failed=space.to_unit([space.locate(trial.weights) for trial in failed]),
    )


def _order(space: Space, trial: Finished) -> tuple[int, tuple[float, ...], float]:
    return trial.number, space.locate(trial.weights), -np.inf if trial.score is None else trial.score
