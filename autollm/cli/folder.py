"""The argument that most commands share: the folder of a run."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER")
"""`runs/NAME`, as `autollm run` made it."""
