"""A run of the prepare task over files of a test, and its outcome read back from the artifacts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.contract.folder import ObjectFolder
from autollm.contract.manifests import DataManifest, Record
from autollm.contract.tasks import PrepareTask
from autollm.resources.facts import Prepared
from autollm_runtime.prepare import run_prepare
from autollm_runtime.worker.context import Context
from autollm_runtime.worker.feed import FolderFeed
from autollm_runtime.worker.reports import FolderReports

Rows = Iterable[Mapping[str, Any]]


def write_rows(path: Path, rows: Rows) -> Path:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@dataclass(frozen=True)
class Outcome:
    """What a prepare task reported, with the artifacts it made."""

    prepared: Prepared
    artifacts: Path

    @property
    def manifest(self) -> DataManifest:
        """The data manifest, its digest checked."""
        data = (self.artifacts / layout.data_manifest(self.prepared.manifest)).read_bytes()
        assert digest_bytes(data) == self.prepared.manifest
        return DataManifest.parse(json.loads(data))

    def records(self, digest: str) -> list[Record]:
        """The records of a chunk or a split, the digest of their file checked."""
        data = (self.artifacts / layout.records(digest)).read_bytes()
        assert digest_bytes(data) == digest
        return [Record.parse(json.loads(line)) for line in data.splitlines()]

    @property
    def chunks(self) -> dict[str, str]:
        """The digest of every chunk by name."""
        return {chunk.name: chunk.digest for chunk in self.prepared.chunks}


@dataclass(frozen=True)
class Preparer:
    """Prepares runs below a folder from a base model."""

    folder: Path
    model: Path

    def spec(self, sources: list[dict[str, Any]], *, methods: Iterable[str] = ("sft",), **data: Any) -> dict[str, Any]:
        """A run document's spec; each source is given as a whole or as name and uri."""
        return {
            "model": {"uri": str(self.model), "dtype": "Float32"},
            "artifacts": {"uri": str(self.folder / "artifacts")},
            "sources": [source if "file" in source else {"name": source["name"], "file": {"uri": source["uri"]}} for source in sources],
            "data": data,
            "training": {"methods": [{"name": method, method: {}} for method in methods]},
        }

    def task(self, spec: Mapping[str, Any], run: str = "run") -> PrepareTask:
        """The task document of a spec."""
        return PrepareTask.parse({"id": "prepare", "run": run, "key": "sha256:" + "0" * 64, "spec": dict(spec)})

    def context(self, *, in_pod: bool = False) -> Context:
        """Surroundings that report into a folder of objects."""
        objects = ObjectFolder(self.folder / "objects")
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        return Context(FolderReports(objects), FolderFeed(objects), scratch, threading.Event(), 1, in_pod=in_pod)

    def run(self, spec: Mapping[str, Any], run: str = "run", *, in_pod: bool = False) -> Outcome:
        """Run the task and read its report."""
        run_prepare(self.task(spec, run), self.context(in_pod=in_pod))
        return Outcome(self.reported(run), Path(str(spec["artifacts"]["uri"])))

    def reported(self, run: str = "run") -> Prepared:
        """What a run's task has reported last."""
        report = self.folder / "objects" / "autollmruns" / run / "prepared.json"
        return Prepared.parse(json.loads(report.read_bytes())["prepared"])
