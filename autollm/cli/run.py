"""Bring a run to its end on this machine; again after a crash, Ctrl-C or a changed file: goes on, repeats nothing that is finished.

Exit code 0 where the run succeeded, 1 where it failed, 2 where the document is wrong, 130 or 143 where it was stopped.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autollm.errors import AutoLLMError, DocumentError
from autollm.resources.load import load_run

if TYPE_CHECKING:
    from rich.console import Console

    from autollm.local.progress import Progress
    from autollm.plan.plan import Plan


class RunFailedError(AutoLLMError):
    """The run came to its end without success."""

    reason = "RunFailed"


@click.command(name="run")
@click.argument("document", type=click.Path(path_type=Path))
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="The run's folder.  [default: runs/NAME]")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Trainings at a time; they share the cores.")
def command(document: Path, folder: Path | None, jobs: int) -> None:
    """Run DOCUMENT on this machine: prepare, train, search, test, publish.

    Run it again after a crash, after Ctrl-C, or with a changed document or changed data: it goes on and repeats nothing that is finished.
    """
    run = load_run(document)
    from rich.console import Console

    from autollm.cli.screen import screen
    from autollm.local.server import worker_program
    from autollm.local.start import run_here

    place = folder or Path("runs") / run.metadata.name
    progress = _progress(Console(stderr=True))
    made = run_here(run, place.absolute(), program=worker_program(), jobs=jobs, progress=progress, report=_write_report)
    _show_results(place, screen())
    _raise_failure(f"{run.metadata.name}", document, made)


def _progress(console: Console) -> Progress:
    chatty = logging.getLogger().isEnabledFor(logging.INFO)  # -v: lines of the log would tear what is drawn in place
    if console.is_terminal and not console.is_dumb_terminal and not chatty:
        from autollm.local.live import LiveProgress

        return LiveProgress(console)
    from autollm.local.progress import PlainProgress

    return PlainProgress(console.file)


def _write_report(folder: Path) -> None:
    # Imported when it is needed: plotting takes longer to load than everything else together.
    from autollm.report.state import read_state
    from autollm.report.write import write_report

    write_report(read_state(folder), folder)


def _show_results(folder: Path, console: Console) -> None:
    from autollm.report.state import read_state
    from autollm.report.table import results_table
    from autollm.report.write import PAGE, RESULTS

    state = read_state(folder)
    if any(row.test for row in state.rows):
        console.print(results_table(state.rows))
    if (published := state.published) is not None:
        console.print(f"\n{published.revision}: {published.uri}", highlight=False, soft_wrap=True)
    console.print(f"report: {folder / PAGE}, {folder / RESULTS}", highlight=False, soft_wrap=True)


def _raise_failure(name: str, document: Path, made: Plan) -> None:
    """Turn a run that failed into the exit code of the command line: 2 where the document has to change, else 1."""
    from autollm.plan.step import Ended

    state = made.state
    if not isinstance(state, Ended) or state.succeeded:
        return
    validated = next((one for one in made.status.conditions or [] if one.type == "Validated"), None)
    if validated is not None and validated.status == "False":
        raise DocumentError(f"{document}: {state.message}")
    raise RunFailedError(f"{name}: {state.reason}: {state.message}")
