"""Writing the report: results.json for programs, report.html for people."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from autollm.contract.folder import write_atomically
from autollm.report.gather import gather
from autollm.report.page import render_page
from autollm.report.results import results_document

RESULTS, PAGE = "results.json", "report.html"
_log = logging.getLogger(__name__)


def write_report(folder: Path) -> tuple[Path, Path]:
    """Write both files into a run's folder, each whole or not at all, and return where the page and the results are."""
    gathered = gather(folder)
    document = results_document(gathered.state)
    write_atomically(folder / RESULTS, (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    write_atomically(folder / PAGE, render_page(gathered).encode())
    return folder / PAGE, folder / RESULTS


def keep_report(folder: Path) -> None:
    """Write the report beside a run that goes on, which must not fail for want of it."""
    try:
        write_report(folder)
    except Exception as error:  # whatever it is, the run is worth more; `autollm report` shows it again
        _log.warning("the report could not be written now, `autollm report %s` tries again: %s", folder, error)
