"""Write a run's report.html and results.json, also while it goes on."""

from __future__ import annotations

from pathlib import Path

import click

from autollm.cli.folder import FOLDER


@click.command(name="report")
@FOLDER
def command(folder: Path) -> None:
    """Write report.html and results.json of the run in FOLDER as it stands, and tell where they are."""
    from autollm.report.write import write_report

    for path in write_report(folder):
        click.echo(path)
