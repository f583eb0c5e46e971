"""Point `latest` to a revision that was published before."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="rollback")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER")
@click.option("--to", "revision", metavar="REVISION", help="Such as r3.  [default: the one before]")
def command(folder: Path, revision: str | None) -> None:
    """Point `latest` of the run in FOLDER to an earlier revision, after every file of that one was checked.

    The run publishes over it only when something changed and is better; `publish.pin` in the document holds a revision for good. The
    report is written again.
    """
    from autollm.report.state import read_state
    from autollm.report.write import write_report
    from autollm.store import open_store
    from autollm.store.revisions import rollback

    artifacts = read_state(folder).run.spec.artifacts
    pointer = rollback(open_store(artifacts.uri, endpoint=artifacts.endpoint, region=artifacts.region), revision)
    click.echo(f"latest points to {pointer.revision} in {artifacts.uri}")
    write_report(read_state(folder), folder)
