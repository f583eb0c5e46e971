"""Writing the report: results.json for programs, report.html for people."""

from __future__ import annotations

import json
from pathlib import Path

from autollm.contract.folder import write_atomically
from autollm.report.gather import gather
from autollm.report.page import write_page
from autollm.report.results import results_document

RESULTS, PAGE = "results.json", "report.html"


def write_report(folder: Path) -> Path:
    """Write both files into a run's folder and return where the page is."""
    gathered = gather(folder)
    document = results_document(gathered.state)
    write_atomically(folder / RESULTS, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    write_page(gathered, folder / PAGE)
    return folder / PAGE
