"""Point `latest` to a revision that was published before."""

from __future__ import annotations

import click

from autollm.cli.place import ClusterPlace, FolderPlace, with_place


@click.command(name="rollback")
@with_place
@click.option("--to", "revision", metavar="REVISION", help="Such as r3.  [default: the one before]")
def command(place: FolderPlace | ClusterPlace, revision: str | None) -> None:
    """Point `latest` of RUN, a folder, to an earlier revision, after every file of that one was checked.

    The run publishes over it only when something changed and is better; `publish.pin` in the document holds a revision for good, and is
    the way to roll back in a cluster. The report is written again.
    """
    if isinstance(place, ClusterPlace):
        pin = f"publish: {{pin: {revision or 'REVISION'}}}"
        raise click.UsageError(f"{place.name} is in a cluster: write {pin} into its document and apply it; the operator rolls back")
    folder = place.folder
    from autollm.report.state import read_state
    from autollm.report.write import write_report
    from autollm.store import open_store
    from autollm.store.revisions import rollback

    artifacts = read_state(folder).run.spec.artifacts
    pointer = rollback(open_store(artifacts.uri, endpoint=artifacts.endpoint, region=artifacts.region), revision)
    click.echo(f"latest points to {pointer.revision} in {artifacts.uri}")
    write_report(read_state(folder), folder)
