"""Compare the results of several runs, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from autollm.cli.place import in_a_cluster, place_of

if TYPE_CHECKING:
    from autollm.report.state import RunState


@click.command(name="compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@in_a_cluster
def command(runs: tuple[str, ...], namespace: str | None, context: str | None) -> None:
    """Compare the test scores of the runs RUN..., folders or alr/NAME.

    Scores of different test items are not comparable; a note says so where the runs were scored on different ones.
    """
    from rich.table import Table
    from rich.text import Text

    from autollm.cli.screen import screen
    from autollm.report.table import scored, style_of

    states = [place_of(run, namespace, context).look()[0] for run in runs]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    for heading in _headings(states, runs):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for name in dict.fromkeys(row.name for state in states for row in state.rows):
        rows = [state.row(name) for state in states]
        table.add_row(Text(name), *(scored(row.test) if row else "" for row in rows), style=style_of(name))
    console = screen()
    console.print(table)
    for state, run in zip(states, runs, strict=True):
        if not any(row.test for row in state.rows):
            console.print(f"{run} has no results yet.", soft_wrap=True, markup=False)
    if len({_items(state) for state in states}) > 1:
        console.print(
            "These runs were scored on different test items or by different metrics: only compare rows of one column.", soft_wrap=True
        )


def _headings(states: list[RunState], runs: tuple[str, ...]) -> list[str]:
    """Return the names of the runs, or where two are the same, what the user wrote."""
    names = [state.run.metadata.name for state in states]
    return names if len(set(names)) == len(names) else list(runs)


def _items(state: RunState) -> tuple[str, ...]:
    prepared = state.status.prepared
    metrics = (metric.model_dump_json() for metric in state.run.spec.evaluation.effective_metrics)
    return (prepared.test.digest if prepared else "", *metrics)
