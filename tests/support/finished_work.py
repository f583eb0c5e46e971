"""What a run has finished so far, by what would tell that any of it was done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from autollm.contract.layout import delta_manifest, trial_results
from support.cluster_run import ClusterRun


class Finished(NamedTuple):
    """One training or trial that is finished; what is done again is another object, has another outcome, or has replaced its file.

    Attributes:
        inode: Of the file in the artifacts that is written last.
        written_at: When that was, in nanoseconds since 1970.
    """

    uid: str
    outcome: str
    inode: int
    written_at: int


def finished_work(run: ClusterRun, artifacts: Path) -> dict[str, Finished]:
    """Return what is finished by the object's name."""
    found: dict[str, Finished] = {}
    for training in run.children("deltatrainings"):
        mine = training["metadata"]["ownerReferences"][0]["name"] == run.name
        if mine and (delta := training.get("status", {}).get("delta")):
            found[training["metadata"]["name"]] = _finished(training, delta, artifacts / delta_manifest(training["spec"]["key"]))
    for trial in run.children("mergetrials"):
        name, status = trial["metadata"]["name"], trial.get("status", {})
        if trial["spec"]["run"] == run.name and "score" in status:
            found[name] = _finished(trial, status, artifacts / trial_results(run.name, name))
    return found


def _finished(child: dict[str, Any], outcome: dict[str, Any], path: Path) -> Finished:
    written = path.stat()
    return Finished(child["metadata"]["uid"], json.dumps(outcome, sort_keys=True), written.st_ino, written.st_mtime_ns)
