"""The results table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from autollm.resources.run_status import Interval, ResultRow, ScoredOn

WINNER = "auto"


def results_table(rows: Sequence[ResultRow]) -> Table:
    """Return the rows, the best on the test split last, with the paired interval of what `auto` is ahead by."""
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column("model")
    table.add_column("search", justify="right")
    table.add_column("test", justify="right")
    table.add_column("auto ahead by (95 %)", justify="right")
    table.add_column("weights", overflow="fold")
    for row in sorted(rows, key=_by_test):
        style = "bold green" if row.name == WINNER else ""
        table.add_row(Text(row.name), scored(row.search), scored(row.test), interval(row.versus), Text(weights(row)), style=style)
    return table


def _by_test(row: ResultRow) -> tuple[float, bool]:
    return (float(row.test.score) if row.test else -1.0, row.name == WINNER)


def scored(score: ScoredOn | None) -> str:
    """Return a score with its standard error, such as `0.5421 ±0.0110`."""
    return "" if score is None else f"{score.score:.4f} ±{score.standard_error:.4f}"


def interval(versus: Interval | None) -> str:
    """Return a difference with its interval."""
    return "" if versus is None else f"{versus.difference:+.4f} [{versus.low:+.4f}, {versus.high:+.4f}]"


def weights(row: ResultRow) -> str:
    """Return the weights that are not 0."""
    return ", ".join(f"{name} {value:.3g}" for name, value in row.weights.items() if value)
