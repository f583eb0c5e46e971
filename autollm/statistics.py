"""Scores with their uncertainty: the objective over sources, its standard error, and paired differences between candidates.

Items are a stratified sample, one stratum a source, and sources count equally: with K sources and x̄ₛ the mean of the nₛ item
scores of source s, the score is (1/K) Σₛ x̄ₛ. What it would be with other items of the same sources varies with

    Var = (1/K²) Σₛ σ̂ₛ² / nₛ,    σ̂ₛ² = Σᵢ (xₛᵢ − x̄ₛ)² / (nₛ − 1)

(Cochran, Sampling Techniques, 3rd ed. 1977, §5.4, with equal stratum weights and without the correction for finite populations). A
source with a single item shows no variance of its own and is given that of all items together, which is no smaller on the
whole: conservative, like Cochran's collapsed strata (§5A.12).

Two candidates are scored on the same items, so their difference is taken item by item: what makes an item easy or hard for both
cancels out. Its interval is a bootstrap in each stratum, rescaled as Rao and Wu (JASA 83, 1988) do so that its variance
is the unbiased one above even for few items: d̄ₛ* = d̄ₛ + √(nₛ/(nₛ − 1)) · (mean of nₛ differences drawn again − d̄ₛ).

A bootstrap cannot draw what a handful of items did not show, and would then call chance a proof. So every bound is the more
cautious of the bootstrap's and Student's, d̄ ∓ t · √Var, with the degrees of freedom of Satterthwaite (Biometrics Bulletin 2, 1946):
(Σₛ vₛ)² / Σₛ vₛ²/(nₛ − 1), vₛ = σ̂ₛ²/nₛ. From some twenty items on, the two agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RESAMPLES = 4000
COVERAGE = 0.95
_CELLS = 1 << 22
_SEED = 20_240_229
_UNKNOWN_DEVIATION = 0.5


@dataclass(frozen=True)
class Estimate:
    """A mean over sources, its standard error, and how many items it rests on."""

    score: float
    standard_error: float
    items: int


@dataclass(frozen=True)
class PairedDifference:
    """The score of one candidate minus that of another: two-sided 95 % interval, one-sided lower bound at the asked confidence."""

    difference: float
    low: float
    high: float
    lower_bound: float


def strata_of(sources: Sequence[str]) -> Integers:
    """Number the sources of some items from 0, in the order of their names."""
    return np.unique(np.asarray(sources, dtype=np.str_), return_inverse=True)[1].astype(np.int64)


def estimate(scores: Floats, strata: Integers) -> Estimate:
    """Return the mean over strata of mean item scores (n,), with the stratified standard error.

    With a single item there is nothing to tell the spread from: ½, the widest that scores in 0…1 can have.
    """
    _check(scores, strata)
    if len(scores) == 1:
        return Estimate(float(scores[0]), _UNKNOWN_DEVIATION, 1)
    _, means = _means(scores, strata)
    return Estimate(float(means.mean()), float(np.sqrt(_variances(scores, strata).sum()) / len(means)), len(scores))


def paired_difference(
    ours: Floats, theirs: Floats, strata: Integers, confidence: float = COVERAGE, resamples: int = RESAMPLES
) -> PairedDifference:
    """Return the score of `ours` minus that of `theirs`, both (n,) over the same items, with bootstrap intervals.

    The interval lies between the 2.5 % and 97.5 % quantiles of the resampled differences, the lower bound at the quantile
    1 − confidence. The same input gives the same output, bit by bit.

    Raises:
        ValueError: The lengths differ, a score is not finite, or the confidence is not in [½, 1).
    """
    _check(ours, strata)
    _check(theirs, strata)
    if not 0.5 <= confidence < 1:
        raise ValueError(f"a confidence of {confidence} is not in [0.5, 1)")
    differences = ours - theirs
    _, means = _means(differences, strata)
    drawn = _bootstrap(differences, strata, resamples)
    shares = [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2, 1 - confidence]
    low, high, bound = np.quantile(drawn, shares)
    student_low, student_high, student_bound = _student(differences, strata, shares)
    cautious = (min(low, student_low), max(high, student_high), min(bound, student_bound))
    return PairedDifference(float(means.mean()), *map(float, cautious))


def _student(differences: Floats, strata: Integers, shares: Sequence[float]) -> Floats:
    """Return the quantiles of Student's distribution around the mean difference."""
    mean = estimate(differences, strata)
    counts, _ = _means(differences, strata)
    variances = _variances(differences, strata) if len(differences) > 1 else np.ones(1)
    # A lone item's variance is that of all items, and so are its degrees of freedom.
    freedoms = np.where(counts > 1, counts - 1, max(len(differences) - 1, 1))
    total = variances.sum()
    freedom = total**2 / (variances**2 / freedoms).sum() if total > 0 else freedoms.sum()
    quantiles: Floats = mean.score + mean.standard_error * stdtrit(freedom, np.asarray(shares))
    return quantiles


def _bootstrap(differences: Floats, strata: Integers, resamples: int) -> Floats:
    """Return the mean over strata of resampled differences, one for each of the resamples (r,)."""
    rng = np.random.default_rng(_SEED)
    groups = [differences[strata == stratum] for stratum in range(int(strata.max()) + 1)]
    total = np.zeros(resamples)
    for group in groups:
        # A lone item borrows the deviations of all items; one item in all has none to lend.
        pool = group if len(group) > 1 else differences
        scale = np.sqrt(len(pool) / (len(pool) - 1)) if len(pool) > 1 else 0.0
        drawn = _resampled_means(pool - pool.mean(), len(group), resamples, rng)
        total += group.mean() + scale * drawn
    return total / len(groups)


def _resampled_means(values: Floats, size: int, resamples: int, rng: np.random.Generator) -> Floats:
    """Return means of `size` values drawn with replacement, in blocks of bounded memory."""
    rows = max(1, _CELLS // size)
    blocks = [
        values[rng.integers(0, len(values), (min(rows, resamples - start), size), dtype=np.int32)].mean(axis=1)
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(blocks)


def _variances(scores: Floats, strata: Integers) -> Floats:
    """Return the variance of each stratum's mean; a lone item has that of all items."""
    counts, means = _means(scores, strata)
    squares = np.bincount(strata, weights=(scores - means[strata]) ** 2)
    variances: Floats = np.where(counts > 1, squares / np.maximum(counts - 1, 1), float(np.var(scores, ddof=1))) / counts
    return variances


def _means(scores: Floats, strata: Integers) -> tuple[Floats, Floats]:
    counts = np.bincount(strata).astype(np.float64)
    return counts, np.bincount(strata, weights=scores) / counts


def _check(scores: Floats, strata: Integers) -> None:
    if not 0 < len(scores) == len(strata):
        raise ValueError(f"{len(scores)} scores for {len(strata)} items")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not a finite number")
    if (np.bincount(strata) == 0).any():
        raise ValueError("strata are not numbered from 0 without a gap")
