"""Bring a run to its end on this machine; again after a crash, Ctrl-C or a changed file: goes on, repeats nothing that is finished.

Exit code 0 where the run succeeded, 1 where it failed, 2 where the document is wrong, 130 or 143 where it was stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from autollm.errors import AutoLLMError, DocumentError
from autollm.resources.load import load_run


class RunFailedError(AutoLLMError):
    """The run came to its end without success."""

    reason = "RunFailed"


@click.command(name="run")
@click.argument("document", type=click.Path(path_type=Path))
@click.option("--folder", type=click.Path(path_type=Path), help="The run's folder.  [default: runs/NAME]")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Trainings at a time; they share the cores.")
def command(document: Path, folder: Path | None, jobs: int) -> None:
    """Run DOCUMENT on this machine: prepare, train, search, test, publish.

    Run it again after a crash, after Ctrl-C, or with a changed document or changed data: it goes on and repeats nothing that is finished.
    """
    run = load_run(document)
    from autollm.local.server import worker_program
    from autollm.local.start import run_here
    from autollm.plan.step import Ended

    place = (folder or Path("runs") / run.metadata.name).absolute()
    made = run_here(run, place, program=worker_program(), jobs=jobs, stream=sys.stderr)
    state = made.state
    _show_results(place)
    if isinstance(state, Ended) and not state.succeeded:
        validated = next((one for one in made.status.conditions or [] if one.type == "Validated"), None)
        if validated is not None and validated.status == "False":
            raise DocumentError(f"{document}: {state.message}")
        raise RunFailedError(f"{run.metadata.name}: {state.reason}: {state.message}")


def _show_results(folder: Path) -> None:
    click.echo(f"{folder}")
