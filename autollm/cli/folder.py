"""The argument that most commands share, the folder of a run, and what is read from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from autollm.report.state import RunState

FOLDER = click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER")
"""`runs/NAME`, as `autollm run` made it."""


def look(folder: Path) -> tuple[RunState, bool]:
    """Return how the run stands, and whether an engine is at work on it; raises InputError where there is no run."""
    from autollm.local.lock import is_worked_on
    from autollm.local.paths import RunFolder
    from autollm.report.state import read_state

    at_work = is_worked_on(RunFolder(folder).lock)  # before the state, which is then no older
    return read_state(folder), at_work
