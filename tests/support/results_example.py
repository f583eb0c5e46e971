"""The example of docs/results-json.md, made from the sample run: `python tests/support/results_example.py` writes it anew."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from autollm.report.results import results_document
from autollm.report.state import read_state
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from support.sample_run import sample_run, scored_trials, write_sample_run
from support.world import AnyErrand

PAGE = Path(__file__).parents[2] / "docs" / "results-json.md"
BEGIN, END = "```json\n", "\n```"
SPEC: dict[str, Any] = {
    "training": {"methods": [{"name": "sft", "sft": {}}]},
    "search": {"trials": 6, "optimizer": {"random": {}}, "finalists": 1},
}


def failing(work: AnyErrand | MergeTrial) -> Failure | None:
    """Let the fourth trial of the search fail."""
    fails = isinstance(work, MergeTrial) and work.spec.split == "Search" and work.spec.number == 3
    return Failure(reason="NonFinite", message="the merged model's logits hold NaN") if fails else None


def full_document() -> dict[str, Any]:
    """Return the whole document of a small run, one trial of which failed."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        document = results_document(read_state(write_sample_run(root, run=sample_run(root / "artifacts", **SPEC), fails=failing)))
        text = json.dumps(document).replace(f"file://{root}/artifacts", "s3://models/quickstart")
    found: dict[str, Any] = json.loads(text)
    found["published"]["digest"] = "sha256:" + "5" * 64  # it holds the path of the temporary folder
    return found


def pending_trial() -> dict[str, Any]:
    """Return a trial that has no outcome yet, as it stands in the document of a search under way."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        run = sample_run(root / "artifacts", **SPEC)
        found: dict[str, Any] = results_document(read_state(write_sample_run(root, run=run, until=scored_trials(4))))["trials"][-1]
        return found


def example() -> str:
    """Return the example as it stands in the page: two rows of the table and two trials."""
    document = full_document()
    rows = [row for row in document["results"] if row["name"] in ("base", "auto")]
    trials = [trial for trial in document["trials"] if trial["number"] in (2, 3)]
    return json.dumps(document | {"results": rows, "trials": trials}, indent=1, ensure_ascii=False)


def main() -> None:
    """Put the example into the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + example() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
