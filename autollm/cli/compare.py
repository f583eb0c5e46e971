"""Compare the results of several runs, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from autollm.report.state import RunState


@click.command(name="compare")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER...")
def command(folders: tuple[Path, ...]) -> None:
    """Compare the test scores of the runs in FOLDER...

    Scores of different test items are not comparable; a note says so where the runs were scored on different ones.
    """
    from rich.table import Table
    from rich.text import Text

    from autollm.cli.screen import screen
    from autollm.report.state import read_state
    from autollm.report.table import scored, style_of

    states = [read_state(folder) for folder in folders]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    for heading in _headings(states, folders):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for name in dict.fromkeys(row.name for state in states for row in state.rows):
        rows = [state.row(name) for state in states]
        table.add_row(Text(name), *(scored(row.test) if row else "" for row in rows), style=style_of(name))
    console = screen()
    console.print(table)
    for state, folder in zip(states, folders, strict=True):
        if not any(row.test for row in state.rows):
            console.print(f"{folder} has no results yet.", soft_wrap=True, markup=False)
    if len({_items(state) for state in states}) > 1:
        console.print(
            "These runs were scored on different test items or by different metrics: only compare rows of one column.", soft_wrap=True
        )


def _headings(states: list[RunState], folders: tuple[Path, ...]) -> list[str]:
    """Return the names of the runs, or where two are the same, of their folders."""
    names = [state.run.metadata.name for state in states]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _items(state: RunState) -> tuple[str, ...]:
    prepared = state.status.prepared
    metrics = (metric.model_dump_json() for metric in state.run.spec.evaluation.effective_metrics)
    return (prepared.test.digest if prepared else "", *metrics)
