from __future__ import annotations

import numpy as np
import pytest

from autollm.statistics import Floats, estimate, paired_difference, strata_of

STRATA = strata_of(["a"] * 40 + ["b"] * 20)


def pair(rng: np.random.Generator, gain: float) -> tuple[Floats, Floats]:
    """Right or wrong on items of very different difficulty, which both candidates share."""
    difficulty = rng.uniform(0.1, 0.9, len(STRATA))
    theirs = (rng.uniform(size=len(STRATA)) < difficulty - gain / 2).astype(float)
    ours = (rng.uniform(size=len(STRATA)) < difficulty + gain / 2).astype(float)
    return ours, theirs


def test_the_difference_is_that_of_the_scores() -> None:
    ours, theirs = pair(np.random.default_rng(1), 0.1)
    result = paired_difference(ours, theirs, STRATA)
    assert result.difference == pytest.approx(estimate(ours, STRATA).score - estimate(theirs, STRATA).score)
    assert result.low < result.difference < result.high


def test_the_width_agrees_with_the_stratified_standard_error_even_for_few_items() -> None:
    rng = np.random.default_rng(2)
    strata = strata_of(["a"] * 5 + ["b"] * 4)
    ours, theirs = rng.uniform(size=9), rng.uniform(size=9)
    error = estimate(ours - theirs, strata).standard_error
    result = paired_difference(ours, theirs, strata, resamples=40_000)
    assert 2 * 1.96 * error < result.high - result.low < 2 * 2.5 * error


@pytest.mark.parametrize("sources", [["a"] * 2, ["a"] * 3, ["a"] * 5, ["a"] * 8, ["a"] * 2 + ["b"] * 2 + ["c"] * 2 + ["d"] * 2])
def test_chance_is_rarely_called_a_proof_however_few_items_there_are(sources: list[str]) -> None:
    rng = np.random.default_rng(100 + len(sources))
    strata, rounds = strata_of(sources), 600
    proven = 0
    for _ in range(rounds):
        ours, theirs = rng.normal(size=(2, len(sources)))
        proven += paired_difference(ours, theirs, strata, resamples=500).lower_bound > 0
    # 5 % are right at a confidence of 95 %; three binomial standard errors above it are 7.7 %.
    assert proven / rounds < 0.077


def test_pairs_are_tighter_than_their_parts() -> None:
    rng = np.random.default_rng(3)
    theirs = rng.uniform(size=60)
    ours = theirs + 0.01
    result = paired_difference(ours, theirs, STRATA)
    assert result.low == pytest.approx(0.01)
    assert result.high == pytest.approx(0.01)
    assert estimate(ours, STRATA).standard_error > 0.02


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    covered = above = 0
    rounds = 400
    for _ in range(rounds):
        ours, theirs = pair(rng, 0.1)
        result = paired_difference(ours, theirs, STRATA, confidence=0.9, resamples=1000)
        covered += result.low <= 0.1 <= result.high
        above += result.lower_bound <= 0.1
    # Two binomial standard errors around 0.95 and 0.90 are 0.022 and 0.03.
    assert 0.92 <= covered / rounds <= 0.98
    assert 0.865 <= above / rounds <= 0.94


def test_the_lower_bound_falls_as_the_confidence_rises() -> None:
    ours, theirs = pair(np.random.default_rng(5), 0.1)
    bounds = [paired_difference(ours, theirs, STRATA, confidence).lower_bound for confidence in (0.5, 0.8, 0.95, 0.99)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] == pytest.approx(estimate(ours - theirs, STRATA).score, abs=0.03)


def test_a_source_with_one_item_is_not_taken_for_certain() -> None:
    strata = strata_of(["a"] * 10 + ["lone"])
    rng = np.random.default_rng(6)
    ours, theirs = rng.uniform(size=11), rng.uniform(size=11)
    alone = paired_difference(ours, theirs, strata)
    without = paired_difference(ours[:10], theirs[:10], strata[:10])
    assert alone.high - alone.low > without.high - without.low


def test_the_same_items_give_the_same_interval() -> None:
    ours, theirs = pair(np.random.default_rng(7), 0.1)
    assert paired_difference(ours, theirs, STRATA) == paired_difference(ours.copy(), theirs.copy(), STRATA)


def test_large_samples_are_drawn_in_blocks() -> None:
    rng = np.random.default_rng(8)
    ours, theirs = rng.uniform(size=6000), rng.uniform(size=6000)
    strata = strata_of(["a"] * 6000)
    result = paired_difference(ours, theirs, strata, resamples=1000)
    assert result.high - result.low == pytest.approx(2 * 1.96 * estimate(ours - theirs, strata).standard_error, rel=0.12)


@pytest.mark.parametrize("confidence", [0.4, 1.0])
def test_refuses_a_confidence_that_is_none(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        paired_difference(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([0, 0]), confidence)
