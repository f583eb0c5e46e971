"""Tree-structured Parzen estimator: Optuna's sampler, given all trials anew for every candidate."""

from __future__ import annotations

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from autollm.search.evidence import Evidence

STARTUP = 10
"""Trials before which the sampler's candidates are uniform."""


def propose(evidence: Evidence, seed: int) -> np.ndarray:
    """Return the next point of the unit cube, shape (d,); pending trials count as bad ones (constant liar)."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, n_startup_trials=STARTUP, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    names = [f"x{index}" for index in range(evidence.dimensions)]
    distributions: dict[str, BaseDistribution] = {name: FloatDistribution(0.0, 1.0) for name in names}

    def add(point: np.ndarray, state: TrialState, score: float | None = None) -> None:
        if np.all((point >= 0.0) & (point <= 1.0)):
            params = dict(zip(names, point.tolist(), strict=True))
            study.add_trial(create_trial(params=params, distributions=distributions, state=state, value=score))

    for point, score in zip(evidence.points, evidence.scores, strict=True):
        add(point, TrialState.COMPLETE, float(score))
    for point in evidence.failed:
        add(point, TrialState.COMPLETE, float(np.min(evidence.scores, initial=0.0)))
    for point in evidence.pending:
        add(point, TrialState.RUNNING)
    params = study.ask(distributions).params
    return np.array([params[name] for name in names])
