"""Suggesting: start points first, then the optimiser; pure, within bounds, never the same candidate twice."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from autollm.resources.search import Optimizer
from autollm.resources.search import Space as SpaceSpec
from autollm.search import Finished, Request, SpaceExhausted, Start, build_space, choose_optimizer, suggest, suggest_fallback

SPACE = build_space(SpaceSpec.model_validate({"deltas": [{"match": "d/sft", "fixed": 1}]}), ["a/sft", "b/sft", "c/sft", "d/sft"])
OPTIMIZERS = {
    "Bayesian": Optimizer.parse({"bayesian": {}}),
    "TPE": Optimizer.parse({"optuna": {}}),
    "CMAES": Optimizer.parse({"optuna": {"sampler": "CMAES"}}),
    "Random": Optimizer.parse({"random": {}}),
}
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)


def score(weights: dict[str, float]) -> float:
    return -sum((weights[name] - best) ** 2 for name, best in (("a/sft", 0.4), ("b/sft", 0.9), ("c/sft", 0.1)))


def request(optimizer: str, finished: int = 20, seed: int = 5) -> Request:
    points = np.random.default_rng(0).uniform(0, 1.5, (finished, 3))
    candidates = [SPACE.expand(point) for point in points.tolist()]
    trials = tuple(Finished(number, weights, score(weights), 0.01) for number, weights in enumerate(candidates))
    return Request(SPACE, trials, optimizer=OPTIMIZERS[optimizer], seed=seed, number=finished)


@pytest.mark.parametrize(("parameters", "expected"), [(12, "Bayesian"), (13, "TPE")])
def test_the_size_of_the_space_chooses_the_optimiser(parameters: int, expected: str) -> None:
    assert choose_optimizer(None, parameters) == expected
    assert choose_optimizer(Optimizer(), parameters) == expected


def test_start_points_come_first_and_only_once() -> None:
    starts = (Start(SPACE.expand((0, 0, 0))), Start(SPACE.expand((1, 0, 0)), "a/sft"), Start(SPACE.expand((0, 1, 0)), "b/sft"))
    asked = Request(SPACE, starts=starts, optimizer=OPTIMIZERS["Random"])
    told = []
    for number in range(4):
        answer = suggest(replace(asked, number=number))
        told.append((answer.origin.optimizer, answer.name))
        asked = replace(asked, pending=(*asked.pending, answer.weights))
    assert told == [("Start", None), ("Start", "a/sft"), ("Start", "b/sft"), ("Random", None)]


@every_optimizer
def test_the_origin_says_what_the_candidate_was_made_from(optimizer: str) -> None:
    origin = suggest(replace(request(optimizer), pending=(SPACE.expand((1, 1, 1)),))).origin
    assert (origin.optimizer, origin.finished, origin.pending) == (optimizer, 20, 1)


@every_optimizer
def test_the_same_request_gives_the_same_candidate_in_whatever_order_trials_come(optimizer: str) -> None:
    asked = replace(request(optimizer), pending=(SPACE.expand((1, 1, 1)), SPACE.expand((1, 0.5, 1))))
    shuffled = list(asked.finished)
    random.Random(1).shuffle(shuffled)
    other = replace(asked, finished=tuple(shuffled), pending=asked.pending[::-1])
    travelled = Request.parse(json.loads(json.dumps(other.document())))
    assert suggest(asked) == suggest(other) == suggest(travelled)


@pytest.mark.parametrize("optimizer", ["TPE", "CMAES", "Random"])  # a sure Gaussian process climbs the same hill whatever the seed
def test_seed_and_number_make_another_candidate(optimizer: str) -> None:
    asked = request(optimizer)
    candidates = [asked, replace(asked, seed=6), replace(asked, number=99)]
    assert len({tuple(suggest(one).weights.values()) for one in candidates}) == 3


@every_optimizer
def test_candidates_are_storable_points_of_the_space(optimizer: str) -> None:
    for finished in (0, 1, 2, 15):
        weights = suggest(request(optimizer, finished)).weights
        assert SPACE.contains(weights)
        assert weights["d/sft"] == 1.0
        assert all(round(weight, 4) == weight for weight in weights.values())


@every_optimizer
def test_a_space_of_one_weight_works(optimizer: str) -> None:
    space = build_space(SpaceSpec(), ["a"])
    trials = tuple(Finished(number, {"a": number / 8}, -((number / 8 - 0.4) ** 2)) for number in range(12))
    answer = suggest(Request(space, trials, optimizer=OPTIMIZERS[optimizer], number=12))
    assert answer.origin.optimizer == optimizer
    assert space.contains(answer.weights)


@every_optimizer
def test_equal_scores_failed_trials_and_points_beyond_the_bounds_do_no_harm(optimizer: str) -> None:
    asked = request(optimizer)
    equal = tuple(replace(trial, score=0.5) for trial in asked.finished)
    failed = tuple(replace(trial, score=None) for trial in asked.finished)
    beyond = Finished(20, {"a/sft": 3.0, "b/sft": -1.0, "c/sft": 0.0, "d/sft": 1.0}, 0.1)
    for finished in (equal, failed, (*asked.finished[:10], *failed[10:], beyond)):
        assert SPACE.contains(suggest(replace(asked, finished=finished)).weights)


@pytest.mark.parametrize("optimizer", ["Bayesian", "TPE"])
def test_pending_trials_spread_the_candidates(optimizer: str) -> None:
    asked = request(optimizer)
    alone = suggest(asked).weights
    beside = suggest(replace(asked, pending=(alone,))).weights
    assert max(abs(alone[name] - beside[name]) for name in alone) > 0.02


def test_trials_of_another_fixed_weight_teach_nothing() -> None:
    asked = request("Bayesian")
    foreign = Finished(50, {"a/sft": 1.5, "b/sft": 1.5, "c/sft": 1.5, "d/sft": 0.0}, 100.0)
    assert suggest(asked).weights == suggest(replace(asked, finished=(*asked.finished, foreign))).weights


def test_no_candidate_comes_twice_until_the_space_is_exhausted() -> None:
    # Stored with 8 decimals, this weight can only be one of three.
    space = build_space(SpaceSpec.model_validate({"min": "0", "max": "0.00000002"}), ["a"])
    seen: tuple[Finished, ...] = ()
    for number in range(3):
        weights = suggest(Request(space, seen, optimizer=OPTIMIZERS["Random"], number=number)).weights
        seen = (*seen, Finished(number, weights, 0.0))
    assert sorted(trial.weights["a"] for trial in seen) == [0.0, 1e-8, 2e-8]
    with pytest.raises(SpaceExhausted, match="wider bounds or fewer trials"):
        suggest(Request(space, seen, optimizer=OPTIMIZERS["Random"], number=3))


def test_with_everything_fixed_there_is_one_candidate() -> None:
    space = build_space(SpaceSpec.model_validate({"deltas": [{"match": "*", "fixed": "0.5"}]}), ["a", "b"])
    answer = suggest(Request(space))
    assert answer.weights == {"a": 0.5, "b": 0.5}
    with pytest.raises(SpaceExhausted):
        suggest(Request(space, pending=(answer.weights,)))


def test_the_fallback_is_a_start_point_or_uniform_and_says_why() -> None:
    asked = request("Bayesian")
    answer = suggest_fallback(asked, "it was late")
    assert (answer.origin.optimizer, answer.origin.reason) == ("Fallback", "it was late")
    assert answer == suggest_fallback(asked, "it was late")
    assert suggest_fallback(replace(asked, starts=(Start(SPACE.expand((1, 0, 0)), "a/sft"),)), "late").origin.optimizer == "Start"
