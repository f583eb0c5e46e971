"""Compare the results of several runs, row by row."""

from __future__ import annotations

from pathlib import Path

import click

from autollm.report.gather import RunState, read_state


@click.command(name="compare")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER...")
def command(folders: tuple[Path, ...]) -> None:
    """Compare the test scores of the runs in FOLDER...

    Scores of different test items are not comparable; a note says so where the runs were scored on different ones.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from autollm.report.table import scored

    states = [read_state(folder) for folder in folders]
    names = list(dict.fromkeys(row.name for state in states for row in state.rows))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model")
    for state, folder in zip(states, folders, strict=True):
        table.add_column(Text(f"{state.run.metadata.name} ({folder})"), justify="right")
    for name in names:
        table.add_row(Text(name), *(scored(next((row.test for row in state.rows if row.name == name), None)) for state in states))
    console = Console()
    console.print(table)
    if len({_items(state) for state in states}) > 1:
        console.print(
            "These runs were scored on different test items or by different metrics: only compare rows of one column.", soft_wrap=True
        )


def _items(state: RunState) -> tuple[str, str]:
    prepared = state.status.prepared
    metrics = [metric.model_dump_json() for metric in state.run.spec.evaluation.effective_metrics]
    return (prepared.test.digest if prepared else "", " ".join(metrics))
