from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from autollm.contract.manifests import ItemResult
from autollm.errors import InputError
from autollm.resources.evaluation import Metric
from autollm.resources.facts import Seconds, TrialResult
from autollm_runtime.evaluate.computed import Answer, Computed, SequenceScore, value_of, weighted_mean
from autollm_runtime.evaluate.metrics.likelihood import likelihood
from autollm_runtime.evaluate.metrics.preference import preference
from autollm_runtime.evaluate.results import compare, decode_results, encode_results, summarise, to_decimal

LIKELIHOOD = Metric.parse({"name": "likelihood", "likelihood": {}})
NUMBER = Metric.parse({"name": "number", "match": {"kind": "Number", "maxTokens": 4}, "weight": 3})
GUARD = Metric.parse({"name": "guard", "match": {}, "weight": 0})
SECONDS = Seconds(merge=Decimal(0), evaluate=Decimal(1))


def item(number: int, source: str, score: float | None, **fields: Any) -> ItemResult:
    return ItemResult.parse({"id": f"{source}{number}", "source": source, "score": score, "values": {}} | fields)


def summary(results: list[ItemResult], *metrics: Metric) -> TrialResult:
    return summarise(results, metrics, seconds=SECONDS, uri="file:///r.jsonl")


def test_likelihood_is_the_geometric_mean_of_the_tokens() -> None:
    assert likelihood(-2.0, 4) == pytest.approx(0.6065306597)
    assert likelihood(1e-9, 4) == 1.0


def test_preference_halves_a_tie() -> None:
    assert (preference(-1, -2), preference(-2, -1), preference(-1, -1)) == (1.0, 0.0, 0.5)


def test_items_weigh_their_metrics() -> None:
    assert weighted_mean([LIKELIHOOD, NUMBER], {"likelihood": 0.2, "number": 1.0}) == pytest.approx(0.8)
    assert weighted_mean([GUARD], {"guard": 1.0}) is None


def test_a_metric_sees_the_answer_up_to_its_own_cap() -> None:
    def text(answer: Answer) -> str:
        return " ".join(map(str, answer.ids))

    long = Computed(None, None, Answer([1, 2, 3, 4, 5], stopped=True))
    assert value_of(NUMBER, "4", long, text) == 1.0
    assert value_of(NUMBER, "5", long, text) == 0.0


def test_exact_match_is_read_from_the_forward_pass() -> None:
    assert value_of(GUARD, "x", Computed(SequenceScore(-1, 2, True), None, None), str) == 1.0


def test_an_exact_match_that_generation_would_have_cut_is_none() -> None:
    capped = Metric.parse({"name": "exact", "match": {"maxTokens": 4}})
    assert [value_of(capped, "x", Computed(SequenceScore(-1, tokens, True), None, None), str) for tokens in (4, 5)] == [1.0, 0.0]


def test_sources_count_equally() -> None:
    result = summary([item(n, "big", 1.0) for n in range(8)] + [item(n, "small", 0.0) for n in range(2)])
    assert result.score == Decimal("0.5")
    assert [(source.name, float(source.score), source.items) for source in result.sources] == [("big", 1, 8), ("small", 0, 2)]


def test_metrics_have_their_own_items_and_their_stop_rate() -> None:
    results = [item(n, "a", 0.5, values={"number": float(n > 0)}, answer="7", stopped=n > 1) for n in range(4)]
    results.append(item(9, "b", 0.5, values={"likelihood": 0.5}))
    number, likely = summary(results, NUMBER, LIKELIHOOD).metrics
    assert (number.score, number.items) == (Decimal("0.75"), 4)
    assert number.stop_rate == Decimal("0.5")
    assert (likely.score, likely.items) == (Decimal("0.5"), 1)
    assert likely.stop_rate is None


def test_items_that_only_constrain_are_no_part_of_the_objective() -> None:
    results = [item(n, "a", 1.0, values={"likelihood": 1.0}) for n in range(3)]
    results += [item(n, "b", None, values={"guard": 0.0}) for n in range(3)]
    result = summary(results, LIKELIHOOD, GUARD)
    assert result.score == 1
    assert result.metrics[1].score == 0
    assert [source.name for source in result.sources] == ["a"]


def test_differences_are_paired_by_item_whatever_the_order() -> None:
    ours = [item(n, "a", n / 10 + 0.05, values={"guard": 1.0}) for n in range(10)]
    theirs = [item(n, "a", n / 10, values={"guard": 0.5}) for n in reversed(range(10))]
    objective, guard = compare(ours, {"t1": theirs}, ["guard"], 0.9)
    assert (objective.trial, objective.metric, guard.metric) == ("t1", None, "guard")
    assert float(objective.difference) == pytest.approx(0.05)
    assert float(objective.gate_low) == pytest.approx(0.05)
    assert float(guard.low) == float(guard.high) == 0.5


def test_other_items_do_not_compare() -> None:
    with pytest.raises(InputError, match="trial t1 has the objective for 4 items, of which 3 are among our 3"):
        compare([item(n, "a", 1.0) for n in range(3)], {"t1": [item(n, "a", 1.0) for n in range(4)]}, [], 0.95)


def test_per_item_results_are_read_as_they_were_written() -> None:
    results = [item(1, "a", 0.1234567890123, answer="ü\u2028\n", stopped=True), item(2, "a", None)]
    assert decode_results(encode_results(results)) == results


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (1 / 3, "0.333333333"), (1e-9, "1E-9"), (-0.0, "-0"), (100.0, "1E+2")])
def test_decimals_are_what_documents_take(value: float, text: str) -> None:
    assert str(to_decimal(value)) == text
    assert Seconds.parse(Seconds(merge=to_decimal(value), evaluate=Decimal(0)).document()).merge == to_decimal(value)
