"""How good the optimisers are, on landscapes of which the best point is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor

from autollm.resources.search import Optimizer
from autollm.resources.search import Space as SpaceSpec
from autollm.search import Finished, Request, build_space, cma_es, start_points, suggest
from autollm.search.bayesian import FITTED, PosteriorImprovement
from autollm.search.evidence import Evidence

Landscape = Callable[[np.ndarray], float]
DELTAS = ["a/sft", "b/sft", "c/sft", "d/sft"]
SPACE = build_space(SpaceSpec(), DELTAS)
TRIALS = 25

OPTIMIZERS = {
    "Bayesian": Optimizer.parse({"bayesian": {}}),
    "TPE": Optimizer.parse({"optuna": {}}),
    "CMAES": Optimizer.parse({"optuna": {"sampler": "CMAES"}}),
    "Random": Optimizer.parse({"random": {}}),
}


def hill(seed: int, size: int = 4) -> tuple[Landscape, float]:
    """A score between 0.3 and 0.7 with its top at a random point and weights that depend on each other."""
    random = np.random.default_rng(seed)
    top = random.uniform(0.1, 1.2, size)
    shape = random.normal(size=(size, size)) * 0.24 / np.sqrt(size) + np.eye(size) * 0.6
    return lambda weights: 0.3 + 0.4 * float(np.exp(-1.5 * np.sum((shape @ (weights - top)) ** 2))), 0.7


def recovered(optimizer: str, seed: int, parallel: int, size: int) -> float:
    """Return the share of the gain over the best start point that a search with noisy scores finds."""
    landscape, best = hill(seed, size)
    names = [f"s{index}/sft" for index in range(size)]
    space = build_space(SpaceSpec(), names)
    random = np.random.default_rng(seed + 100)
    starts = start_points(space, trials=TRIALS)
    finished: list[Finished] = []
    pending: list[Finished] = []
    for number in range(TRIALS):
        waiting = tuple(trial.weights for trial in pending)
        weights = suggest(Request(space, tuple(finished), waiting, starts, OPTIMIZERS[optimizer], seed, number)).weights
        score = landscape(np.array([weights[name] for name in names])) + 0.004 * random.normal()
        pending.append(Finished(number, weights, score, 0.02))
        if len(pending) == parallel:
            finished.append(pending.pop(0))
    chosen = max([*finished, *pending], key=lambda trial: trial.score or 0.0)
    start = max(landscape(np.array([one.weights[name] for name in names])) for one in starts)
    return (landscape(np.array([chosen.weights[name] for name in names])) - start) / (best - start)


def median_recovered(optimizer: str, seeds: int, parallel: int = 1, size: int = 4) -> float:
    return float(np.median([recovered(optimizer, seed, parallel, size) for seed in range(seeds)]))


@pytest.mark.parametrize(("size", "parallel", "least"), [(4, 1, 0.9), (4, 4, 0.8), (8, 1, 0.7)])
def test_bayesian_finds_most_of_the_gain_and_far_more_than_random(size: int, parallel: int, least: float) -> None:
    found = median_recovered("Bayesian", 3, parallel, size)
    assert found > max(least, median_recovered("Random", 3, size=size) + 0.2)


@pytest.mark.parametrize("optimizer", ["TPE", "CMAES"])
def test_optunas_samplers_learn(optimizer: str) -> None:
    assert median_recovered(optimizer, 10) > median_recovered("Random", 10) + 0.1


def test_generations_of_trials_move_cma_es_to_the_top() -> None:
    points, nothing, top = np.empty((0, 2)), np.empty((0, 2)), np.array([0.8, 0.3])
    for number in range(90):
        scores = -np.sum((points - top) ** 2, axis=1)
        evidence = Evidence(points, scores, np.zeros(number), np.zeros(number, dtype=bool), nothing, nothing)
        points = np.vstack([points, cma_es.propose(evidence, number + 1)])
    assert np.all(np.abs(np.median(points[-18:], axis=0) - top) < 0.05)


def test_the_logarithm_of_the_improvement_is_right_and_falls_without_a_step() -> None:
    acquisition = PosteriorImprovement(np.empty((0, 1)), np.empty((0, 1)))
    draws = np.random.default_rng(0).normal(size=400_000)
    for mean in (-1.0, 0.0, 2.0):
        sampled = np.log(np.mean(np.maximum(mean + 0.5 * draws, 0.0)))
        assert acquisition.base_acq(np.array([mean]), np.array([0.5]))[0] == pytest.approx(sampled, abs=0.1)
    means = np.linspace(-40, 3, 2000)
    values = acquisition.base_acq(means, np.ones_like(means))
    assert np.all(np.isfinite(values))
    assert np.all(np.diff(values) > 0)
    assert np.max(np.abs(np.diff(values, 2))) < 0.05


def test_many_trials_stay_fast_enough_to_ask_at_every_free_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is fitted on a bounded number of trials however many there are: that is what the time depends on."""
    sizes: list[int] = []
    fit = GaussianProcessRegressor.fit

    def counted(self: object, points: np.ndarray, targets: np.ndarray) -> object:
        if getattr(self, "optimizer", None) is not None:
            sizes.append(len(points))
        return fit(self, points, targets)

    monkeypatch.setattr(GaussianProcessRegressor, "fit", counted)
    landscape, _ = hill(0)
    points = np.random.default_rng(0).uniform(0, 1.5, (400, 4))
    trials = [SPACE.expand(point) for point in points.tolist()]
    finished = tuple(Finished(n, w, landscape(np.array([w[name] for name in DELTAS]))) for n, w in enumerate(trials))
    suggest(Request(SPACE, finished, number=400))
    assert sizes == [FITTED]
