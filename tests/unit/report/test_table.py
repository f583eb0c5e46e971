"""The results table in a terminal."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from autollm.report.state import read_state
from autollm.report.table import by_test, formula, interval, results_table, scored
from autollm.report.whisker import whiskers
from autollm.resources.run_status import Interval, ResultRow, ScoredOn


def row(name: str, test: float | None = None, **weights: str) -> ResultRow:
    score = ScoredOn(score=Decimal(str(test)), standard_error=Decimal("0.01"), items=9) if test is not None else None
    return ResultRow(name=name, weights={key: Decimal(value) for key, value in weights.items()}, test=score)


def with_interval(name: str, low: float, difference: float, high: float) -> ResultRow:
    versus = Interval(difference=Decimal(str(difference)), low=Decimal(str(low)), high=Decimal(str(high)))
    return row(name).model_copy(update={"versus": versus})


def printed(rows: list[ResultRow], width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(results_table(rows))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_the_whole_table_fits_80_columns(finished: Path) -> None:
    rows = list(read_state(finished).rows)
    lines = printed(rows, 80)
    assert lines[0].split() == ["model", "search", "test", "auto", "ahead", "by", "(95", "%)"]
    assert [line.split()[0] for line in lines[1 : len(rows) + 1]] == [one.name for one in by_test(rows)]
    base = next(line for line in lines if line.startswith("base "))
    assert len(base) <= 80
    assert base.endswith(interval(rows[0].versus))
    assert lines[len(rows)].startswith("auto ")
    assert lines[len(rows) + 1].startswith("auto = base + ")


def test_rows_without_a_score_come_first_and_the_winner_after_its_equals() -> None:
    rows = [row("auto", 0.5), row("b", 0.5), row("c"), row("a", 0.4)]
    assert [one.name for one in by_test(rows)] == ["c", "a", "b", "auto"]


def test_a_table_without_a_winner_has_no_formula() -> None:
    assert not any("=" in line for line in printed([row("base", 0.5)], 80))


def test_markup_in_a_name_is_text() -> None:
    assert any("[red]x[/red]" in line for line in printed([row("[red]x[/red]", 0.5)], 80))


@pytest.mark.parametrize(
    ("weights", "text"),
    [({}, "base"), ({"a/sft": "0.7125", "b": "-0.2", "c": "0"}, "base + 0.713 a/sft - 0.2 b"), ({"a": "1.00"}, "base + 1 a")],
)
def test_weights_read_as_a_sum(weights: dict[str, str], text: str) -> None:
    assert formula({name: Decimal(value) for name, value in weights.items()}) == text


def test_scores_and_intervals_as_text() -> None:
    assert scored(None) == ""
    assert interval(None) == ""
    assert scored(row("x", 0.54213).test) == "0.5421 ±0.0100"
    assert interval(with_interval("x", -0.1, 0.2, 0.3).versus) == "+0.2000 [-0.1000, +0.3000]"


def test_no_intervals_no_whiskers() -> None:
    assert whiskers([row("auto", 0.5)]) == {}


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0, 0.5)), min_size=1, max_size=9))
def test_whiskers_keep_order_and_stay_on_the_scale(found: list[tuple[float, float, float]]) -> None:
    rows = [
        with_interval(str(index), round(mid - down, 6), round(mid, 6), round(mid + up, 6)) for index, (mid, down, up) in enumerate(found)
    ]
    drawn = whiskers(rows)
    assert len({one.zero for one in drawn.values()}) == 1
    for one, source in zip(drawn.values(), rows, strict=True):
        assert source.versus is not None
        assert 0 <= one.low <= one.middle <= one.high <= 100
        assert one.clear == (source.versus.low > 0 or source.versus.high < 0)
        assert (one.middle >= one.zero) == (source.versus.difference >= 0) or one.middle == one.zero
