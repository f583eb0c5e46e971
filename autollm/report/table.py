"""The results table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autollm.report.state import WINNER
from autollm.resources.run_status import Interval, ResultRow, ScoredOn


def results_table(rows: Sequence[ResultRow]) -> RenderableType:
    """Return the rows, the best on the test split last, with the paired interval of what `auto` is ahead by, and its weights below.

    It fits 80 columns where the names are short; the weights of every row are in results.json and in the report.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column("model", overflow="fold")
    table.add_column("search", justify="right", no_wrap=True)
    table.add_column("test", justify="right", no_wrap=True)
    table.add_column("auto ahead by (95 %)", justify="right", no_wrap=True)
    for row in by_test(rows):
        table.add_row(Text(row.name), scored(row.search), scored(row.test), interval(row.versus), style=style_of(row.name))
    winner = next((row for row in rows if row.name == WINNER), None)
    return table if winner is None else Group(table, Text(f"{WINNER} = {formula(winner.weights)}", style="bold"))


def by_test(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Return the rows by their test score, the best last, and of equal ones the winner; rows without a score come first."""
    return sorted(rows, key=lambda row: (float(row.test.score) if row.test else -1.0, row.name == WINNER))


def style_of(name: str) -> str:
    """Return how a row stands out."""
    return "bold green" if name == WINNER else ""


def scored(score: ScoredOn | None) -> str:
    """Return a score with its standard error, such as `0.5421 ±0.0110`."""
    return "" if score is None else f"{score.score:.4f} ±{score.standard_error:.4f}"


def interval(versus: Interval | None) -> str:
    """Return a difference with its interval, such as `+0.0789 [+0.0355, +0.1222]`."""
    return "" if versus is None else f"{versus.difference:+.4f} [{versus.low:+.4f}, {versus.high:+.4f}]"


def formula(weights: Mapping[str, Decimal]) -> str:
    """Return weights as a sum, such as `base + 0.71 code/sft - 0.2 math/sft`."""
    parts = [f"{'-' if value < 0 else '+'} {_plain(abs(value))} {name}" for name, value in weights.items() if value]
    return " ".join(["base", *parts])


def _plain(value: Decimal) -> str:
    return f"{float(value):.3g}"
