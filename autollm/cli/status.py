"""Tell how a run stands: its stages, its trainings, its results."""

from __future__ import annotations

import click

from autollm.cli.place import ClusterPlace, FolderPlace, with_place


@click.command(name="status")
@with_place
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="json: the run's own status."
)
def command(place: FolderPlace | ClusterPlace, form: str) -> None:
    """Tell how RUN, a folder or alr/NAME, stands, also while it goes on."""
    state, at_work = place.look()
    if form == "json":
        click.echo(state.status.model_dump_json(by_alias=True, exclude_none=True, indent=1))
        return
    from autollm.cli.screen import screen
    from autollm.report.overview import overview

    console = screen()
    console.print(overview(state, at_work=at_work))
    if state.published is not None:
        artifacts = state.run.spec.artifacts
        if isinstance(place, FolderPlace):
            latest = _latest(artifacts.uri, artifacts.endpoint, artifacts.region)
        else:  # the artifacts of a cluster may be out of reach from here
            latest = f"{state.published.revision} in {artifacts.uri}"
        console.print(f"\nlatest: {latest}", soft_wrap=True)


def _latest(uri: str, endpoint: str | None, region: str | None) -> str:
    """Return what `latest` points to: a rollback moves it without the run."""
    from autollm.errors import AutoLLMError
    from autollm.store import open_store
    from autollm.store.revisions import read_pointer

    try:
        found = read_pointer(open_store(uri, endpoint=endpoint, region=region))
    except AutoLLMError as error:
        return f"unknown: {error}"
    return f"none in {uri}" if found is None else f"{found[0].revision} in {uri}"
