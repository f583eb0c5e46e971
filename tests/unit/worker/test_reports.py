from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from autollm.contract.folder import ObjectFolder
from autollm.resources.facts import Progress, Seconds, TrialResult
from autollm.resources.metadata import Failure
from autollm_runtime.worker.reports import FolderReports

RESULT = TrialResult(
    score=Decimal("0.5"),
    standard_error=Decimal("0.1"),
    items=4,
    metrics=[],
    sources=[],
    seconds=Seconds(merge=Decimal(0), evaluate=Decimal(1)),
    results="file:///r.jsonl",
)


def test_the_first_outcome_of_a_trial_is_final(tmp_path: Path) -> None:
    objects = ObjectFolder(tmp_path)
    objects.create("MergeTrial", "t", {"kind": "MergeTrial"})
    reports = FolderReports(objects)
    reports.scored("t", RESULT)
    reports.failed_trial("t", Failure(reason="Late", message="too late"))
    reports.scored("t", RESULT.model_copy(update={"score": Decimal("0.9")}))
    assert objects.read("MergeTrial", "t") == {"kind": "MergeTrial", "status": RESULT.document()}


def test_progress_is_replaced(tmp_path: Path) -> None:
    objects = ObjectFolder(tmp_path)
    objects.create("DeltaTraining", "d", {"kind": "DeltaTraining"})
    reports = FolderReports(objects)
    reports.progress("d", Progress(step=1, steps=5))
    reports.progress("d", Progress(step=2, steps=5, loss=Decimal("1.5")))
    assert objects.read("DeltaTraining", "d") == {
        "kind": "DeltaTraining",
        "status": {"progress": {"step": 2, "steps": 5, "loss": "1.5"}},
    }
