"""`python -m support.local_run RUN.json FOLDER`: the local engine with workers that do no work; exits as `autollm run` does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TextIO

from autollm.errors import AutoLLMError, Interrupted
from autollm.local.progress import PlainProgress
from autollm.local.start import run_here
from autollm.plan.step import Ended
from autollm.resources.run import AutoLLMRun

FAKE_WORKER = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]


def write_run(folder: Path, run: AutoLLMRun) -> Path:
    """Write a run, its sources and its artifacts below a folder; returns the document."""
    document = run.document()
    spec: dict[str, Any] = document["spec"]
    spec["artifacts"]["uri"] = f"file://{folder}/artifacts"
    for source in spec["sources"]:
        path = folder / source["file"]["uri"].rpartition("/")[2]
        path.write_text("{}\n")
        source["file"]["uri"] = f"file://{path}"
    file = folder / "run.json"
    file.write_text(json.dumps(document))
    return file


def run_document(document: Path, folder: Path, progress: TextIO) -> int:
    """Run a document and return the exit code of the command line."""
    run = AutoLLMRun.parse(json.loads(document.read_bytes()))
    try:
        shown = PlainProgress(progress)
        state = run_here(run, folder, program=FAKE_WORKER, jobs=1, progress=shown, report=_no_report).state
    except KeyboardInterrupt:
        return 130
    except Interrupted:
        return 143
    except AutoLLMError as error:
        print(error, file=progress)
        return 1
    return 1 if isinstance(state, Ended) and not state.succeeded else 0


def _no_report(folder: Path) -> None:
    (folder / "report.html").touch()


if __name__ == "__main__":
    sys.exit(run_document(Path(sys.argv[1]), Path(sys.argv[2]), sys.stderr))
