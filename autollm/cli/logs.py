"""Print what the workers of a run logged, and follow it."""

from __future__ import annotations

import click

from autollm.cli.place import FolderPlace, in_a_cluster, place_of


@click.command(name="logs")
@click.argument("what", metavar="RUN")
@click.option("--task", metavar="ID", help="One task alone: the name of its Job, or of its folder in RUN/tasks.")
@click.option("-f", "--follow", is_flag=True, help="Wait for more until the work ends.")
@in_a_cluster
def command(what: str, task: str | None, follow: bool, namespace: str | None, context: str | None) -> None:
    """Print the logs of the workers of RUN: a folder, alr/NAME, dt/NAME or mt/NAME.

    Every line begins with the name of its worker.
    """
    place = place_of(what, namespace, context, kinds=("AutoLLMRun", "DeltaTraining", "MergeTrial"))
    if isinstance(place, FolderPlace):
        from autollm.local.logs import task_logs

        place.state()  # an error where there is no run
        lines = task_logs(place.folder, task, follow=follow)
    else:
        lines = place.cluster.logs(place.kind, place.run, task, follow=follow)
    silent = True
    for worker, line in lines:
        silent = False
        click.echo(f"{worker}  {line}")
    if silent:
        click.echo(f"{place.name} has no logs: no worker has written any yet, or what it ran in is gone", err=True)
