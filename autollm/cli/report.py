"""Write a run's report.html and results.json, also while it goes on."""

from __future__ import annotations

from pathlib import Path

import click

from autollm.cli.place import ClusterPlace, FolderPlace, with_place


@click.command(name="report")
@with_place
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where they are written.  [default: the run's folder; of alr/NAME, ./NAME]",
)
def command(place: FolderPlace | ClusterPlace, out: Path | None) -> None:
    """Write report.html and results.json of RUN, a folder or alr/NAME, as it stands, and tell where they are.

    Lineage, data and sample answers are read from the artifacts with this machine's credentials; without them the report goes without.
    """
    from autollm.report.write import write_report

    own = place.folder if isinstance(place, FolderPlace) else Path(place.run)
    for path in write_report(place.state(), out or own):
        click.echo(path)
