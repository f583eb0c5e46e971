"""Where commands print for people: a terminal as it is, and wide lines where there is none."""

from __future__ import annotations

import os
import sys

from rich.console import Console

WIDTH_OF_A_FILE = 160


def screen() -> Console:
    """Return the console on stdout; into a file or a pipe it writes plain text that is not folded at 80 columns."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH_OF_A_FILE
    return Console(width=width, highlight=False)
