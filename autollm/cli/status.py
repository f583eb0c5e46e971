"""Tell how a run stands: its stages, its trainings, its results."""

from __future__ import annotations

from pathlib import Path

import click

from autollm.cli.folder import FOLDER
from autollm.errors import AutoLLMError
from autollm.report.gather import RunState, read_state


@click.command(name="status")
@FOLDER
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="json: the run's own status."
)
def command(folder: Path, form: str) -> None:
    """Tell how the run in FOLDER stands."""
    state = read_state(folder)
    if form == "json":
        click.echo(state.status.model_dump_json(by_alias=True, exclude_none=True, indent=1))
        return
    from rich.console import Console

    from autollm.report.overview import overview

    console = Console()
    console.print(overview(state))
    if state.status.published is not None:
        console.print(f"\nlatest: {_latest(state)}", highlight=False, soft_wrap=True)


def _latest(state: RunState) -> str:
    """Return what `latest` points to: a rollback moves it without the run."""
    from autollm.store import open_store
    from autollm.store.revisions import read_pointer

    artifacts = state.run.spec.artifacts
    try:
        found = read_pointer(open_store(artifacts.uri, endpoint=artifacts.endpoint, region=artifacts.region))
    except AutoLLMError as error:
        return f"unknown: {error}"
    return "none" if found is None else f"{found[0].revision} in {artifacts.uri}"
