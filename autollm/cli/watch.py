"""Watch a run until it ends, from any terminal."""

from __future__ import annotations

import time
from pathlib import Path

import click

from autollm.cli.folder import FOLDER
from autollm.report.gather import RunState, read_state

LOOK_SECONDS = 0.5


@click.command(name="watch")
@FOLDER
def command(folder: Path) -> None:
    """Watch the run in FOLDER until it ends; Ctrl-C stops the watching, not the run.

    Exit code 0 where the run succeeded, 1 where it failed.
    """
    from rich.console import Console
    from rich.live import Live

    from autollm.report.overview import overview

    state = read_state(folder)
    with Live(overview(state), console=Console(), refresh_per_second=4, transient=False) as live:
        while not _ended(state):
            time.sleep(LOOK_SECONDS)
            state = read_state(folder)
            live.update(overview(state))
    if _outcome(state) == "False":
        raise click.exceptions.Exit(1)


def _outcome(state: RunState) -> str:
    found = next((one for one in state.status.conditions or [] if one.type == "Succeeded"), None)
    return found.status if found is not None else "Unknown"


def _ended(state: RunState) -> bool:
    return _outcome(state) != "Unknown"
