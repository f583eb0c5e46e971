"""How much of the possible gain each optimiser recovers within 25 trials, and what a suggestion costs with 500 trials of 12 weights.

The landscapes are synthetic: the score of each of d domains rises and falls with the weight of its own delta, and the other deltas and
the total size of the change add to its loss. Scores carry noise. The gain is that over the zero point; random candidates are the peer.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from autollm.resources.search import Optimizer
from autollm.resources.search import Space as SpaceSpec
from autollm.search import Finished, Request, Space, build_space, start_points, suggest

OPTIMIZERS = {
    "random": Optimizer.parse({"random": {}}),
    "tpe": Optimizer.parse({"optuna": {}}),
    "cmaes": Optimizer.parse({"optuna": {"sampler": "CMAES"}}),
    "bayesian": Optimizer.parse({"bayesian": {}}),
}
TRIALS, NOISE, STANDARD_ERROR = 25, 0.004, 0.02
Landscape = Callable[[np.ndarray], float]


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8, help="landscapes per size of space")
    options = parser.parse_args()
    shares = {f"{size} weights": {name: share(name, size, options.seeds) for name in OPTIMIZERS} for size in (4, 8)}
    figures = {"recovered": shares, "cpuSecondsWith500Trials": round(seconds_with_500_trials(), 2)}
    print(json.dumps({"benchmark": "search", "trials": TRIALS} | figures))


def share(optimizer: str, size: int, seeds: int) -> float:
    """Return the mean over landscapes of what is recovered."""
    return round(float(np.mean([recovered(optimizer, size, seed) for seed in range(seeds)])), 2)


def domains(size: int, seed: int) -> Landscape:
    """Return a landscape over weights from 0 to 1.5."""
    random = np.random.default_rng(seed)
    gains, tops = random.uniform(0.3, 1.0, size), random.uniform(0.4, 1.2, size)
    cross, base = random.uniform(-0.25, 0.5, (size, size)), random.uniform(0.8, 2.0, size)
    np.fill_diagonal(cross, 0.0)

    def score(weights: np.ndarray) -> float:
        gain = gains * (1 - (1 - weights / tops) ** 2)
        interference = cross @ weights / max(1.0, size / 4)
        growth = 0.12 * np.sum(weights**2) + 0.05 * np.sum(weights) ** 2 / np.sqrt(size)
        return float(np.mean(np.exp(-np.clip(base - gain + interference + growth, 0.02, 20.0))))

    return score


def recovered(optimizer: str, size: int, seed: int) -> float:
    """Return the share of the gain over the zero point that the best-looking of the trials has."""
    score, space, random = domains(size, seed), space_of(size), np.random.default_rng(seed + 99)
    starts, finished = start_points(space, trials=TRIALS), list[Finished]()
    for number in range(TRIALS):
        weights = suggest(Request(space, tuple(finished), (), starts, OPTIMIZERS[optimizer], seed, number)).weights
        finished.append(Finished(number, weights, score(np.array(list(weights.values()))) + NOISE * random.normal(), STANDARD_ERROR))
    chosen = max(finished, key=lambda trial: trial.score or 0.0)
    zero, best = score(np.zeros(size)), highest(score, size)
    return (score(np.array(list(chosen.weights.values()))) - zero) / (best - zero)


def highest(score: Landscape, size: int) -> float:
    """Return the best score there is, climbing the landscape itself from twelve points."""

    def loss(weights: np.ndarray) -> float:
        return -score(weights)

    random = np.random.default_rng(0)
    return -min(float(minimize(loss, random.uniform(0, 1.5, size), bounds=[(0.0, 1.5)] * size).fun) for _ in range(12))


def seconds_with_500_trials() -> float:
    """Return the processor seconds of one Bayesian suggestion after 500 trials of 12 weights, the optimiser being loaded."""
    space, score = space_of(12), domains(12, 0)
    points = np.random.default_rng(0).uniform(0, 1.5, (500, 12))
    trials = [Finished(number, space.expand(point), score(point), STANDARD_ERROR) for number, point in enumerate(points)]
    suggest(Request(space, tuple(trials[:20]), number=20))
    begun = time.process_time()
    suggest(Request(space, tuple(trials), optimizer=OPTIMIZERS["bayesian"], number=500))
    return time.process_time() - begun


def space_of(size: int) -> Space:
    """Return a space of that many deltas, whose names sort as they are numbered."""
    return build_space(SpaceSpec(), [f"s{index:02d}/sft" for index in range(size)])


if __name__ == "__main__":
    main()
