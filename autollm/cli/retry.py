"""Try again what failed in a cluster.

What is finished is not repeated.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from autollm.cli.place import ClusterPlace, FolderPlace, with_place


@click.command(name="retry")
@with_place
@click.option(
    "--look-again", is_flag=True, help="Look for everything in sources and artifacts again, too; what is there is not made again."
)
def command(place: FolderPlace | ClusterPlace, look_again: bool) -> None:
    """Have tried again what failed in the run alr/NAME; of a run in a folder, `autollm run` does so by itself.

    The failed Jobs and trials are deleted, whose place the operator then fills.
    """
    if isinstance(place, FolderPlace):
        raise click.UsageError(f"{place.name} is a folder: run `autollm run` with its document again, and what failed is tried again")
    if look_again:
        _tell(place.cluster.look_again(place.run))
        click.echo("The operator looks at sources and artifacts again.")
    if _tell(place.cluster.forget_failures(place.run)):
        click.echo("The operator tries again.")
    elif not look_again:
        click.echo(f"{place.name} has nothing that failed: there is nothing to try again.")


def _tell(removed: Iterator[str]) -> bool:
    """Say of each thing, as it is removed, that it is; return whether there was any."""
    some = False
    for name in removed:
        click.echo(f"removed {name}")
        some = True
    return some
