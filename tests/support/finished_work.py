"""What a run has finished so far, by what would tell that any of it was done again."""

from __future__ import annotations

import json
from pathlib import Path

from autollm.contract.layout import delta_manifest, trial_results
from support.cluster_run import ClusterRun


def finished_work(run: ClusterRun, artifacts: Path) -> dict[str, tuple[object, ...]]:
    """Return, by the object's name, its uid and outcome and the file in the artifacts that was written last, as it lies there.

    What is done again is another object, has another outcome, or has replaced that file.
    """
    found: dict[str, tuple[object, ...]] = {}
    for training in run.children("deltatrainings"):
        mine = training["metadata"]["ownerReferences"][0]["name"] == run.name
        if mine and (delta := training.get("status", {}).get("delta")):
            written = _written(artifacts / delta_manifest(training["spec"]["key"]))
            found[training["metadata"]["name"]] = training["metadata"]["uid"], json.dumps(delta, sort_keys=True), written
    for trial in run.children("mergetrials"):
        name, status = trial["metadata"]["name"], trial.get("status", {})
        if trial["spec"]["run"] == run.name and "score" in status:
            written = _written(artifacts / trial_results(run.name, name))
            found[name] = trial["metadata"]["uid"], json.dumps(status, sort_keys=True), written
    return found


def _written(path: Path) -> tuple[int, int]:
    seen = path.stat()
    return seen.st_ino, seen.st_mtime_ns
