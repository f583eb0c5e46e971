"""Writing the report: results.json for programs, report.html for people."""

from __future__ import annotations

import json
from pathlib import Path

from autollm.contract.folder import write_atomically
from autollm.report.gather import gather
from autollm.report.page import render_page
from autollm.report.results import results_document
from autollm.report.state import RunState

RESULTS, PAGE = "results.json", "report.html"


def write_report(state: RunState, folder: Path) -> tuple[Path, Path]:
    """Write both files of a run into a folder, each whole or not at all, and return where the page and the results are."""
    gathered = gather(state)
    document = results_document(gathered.state)
    write_atomically(folder / RESULTS, (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    write_atomically(folder / PAGE, render_page(gathered).encode())
    return folder / PAGE, folder / RESULTS
