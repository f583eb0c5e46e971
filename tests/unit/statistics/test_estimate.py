from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autollm.statistics import estimate, strata_of

unit = st.floats(0, 1)


def brute(scores: list[float], sources: list[str]) -> tuple[float, float]:
    groups = [[score for score, source in zip(scores, sources, strict=True) if source == name] for name in sorted(set(sources))]
    everything = sum((s - sum(scores) / len(scores)) ** 2 for s in scores) / (len(scores) - 1)
    means, variance = [], 0.0
    for group in groups:
        mean = sum(group) / len(group)
        means.append(mean)
        spread = sum((s - mean) ** 2 for s in group) / (len(group) - 1) if len(group) > 1 else everything
        variance += spread / len(group)
    return sum(means) / len(groups), variance**0.5 / len(groups)


@given(st.lists(st.tuples(unit, st.sampled_from("abc")), min_size=2, max_size=40))
def test_agrees_with_the_formula_written_out(items: list[tuple[float, str]]) -> None:
    scores, sources = [score for score, _ in items], [source for _, source in items]
    result = estimate(np.array(scores), strata_of(sources))
    score, error = brute(scores, sources)
    assert result.score == pytest.approx(score, abs=1e-12)
    assert result.standard_error == pytest.approx(error, abs=1e-9)
    assert result.items == len(items)


def test_sources_count_equally_however_many_items_they_have() -> None:
    scores = np.array([1.0] * 9 + [0.0])
    assert estimate(scores, strata_of(["big"] * 9 + ["small"])).score == 0.5


def test_one_item_has_the_widest_error() -> None:
    result = estimate(np.array([0.7]), strata_of(["a"]))
    assert (result.score, result.standard_error, result.items) == (0.7, 0.5, 1)


def test_the_error_is_the_spread_over_samples() -> None:
    rng = np.random.default_rng(0)
    strata = strata_of(["a"] * 30 + ["b"] * 10)
    samples = [np.concatenate([rng.beta(2, 5, 30), rng.binomial(1, 0.6, 10).astype(float)]) for _ in range(2000)]
    results = [estimate(sample, strata) for sample in samples]
    spread = float(np.std([result.score for result in results], ddof=1))
    assert float(np.mean([result.standard_error for result in results])) == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("scores", [[], [float("nan"), 0.0], [float("inf"), 0.0], [1.0, 0.0, 0.0]])
def test_refuses_what_is_no_sample(scores: list[float]) -> None:
    with pytest.raises(ValueError, match=r"scores for|finite"):
        estimate(np.array(scores), strata_of(["a", "b"]))
