"""A worker program that keeps the worker contract and does no work: what it reports follows from its task alone.

Every piece of work that it really does is a line of `log.txt` in the artifacts, once, however often it is killed before it has reported
it; work that was reported before is a line `repeated`.
`faults.json` there lets tasks fail: a list of {"match", "exit", "times", "reason", "message"}, `match` being part of a task's id or delta.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from autollm.contract import layout
from autollm.contract.exit_codes import ExitCode
from autollm.contract.folder import ObjectFolder, write_atomically
from autollm.contract.tasks import TASK, AnyTask, EvaluateTask, PinTask, PrepareTask, PublishTask, TrainTask
from autollm.errors import Interrupted
from autollm.resources.facts import Progress, PublishedRevision
from autollm.resources.merge_trial import MergeTrial
from autollm_runtime.worker.feed import FolderFeed
from autollm_runtime.worker.in_hand import InHand
from autollm_runtime.worker.reports import FolderReports
from autollm_runtime.worker.serve import Server
from autollm_runtime.worker.stopping import stop_on_signals
from support import synthetic


class Artifacts:
    """A folder in place of a store."""

    def __init__(self, uri: str) -> None:
        self.root = Path(urlsplit(uri).path)

    def log(self, line: str) -> None:
        """Append a line that is not there yet; whole lines of several processes do not mix."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "log.txt").open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            if f"{line}\n".encode() not in file.readlines():
                file.write(f"{line}\n".encode())

    def has(self, name: str) -> bool:
        """Say whether an object is there."""
        return (self.root / name).exists()

    def make(self, name: str) -> bool:
        """Create an object; False where it is there."""
        return write_atomically(self.root / name, b"", exclusive=True)

    def keys(self) -> set[str]:
        """The deltas."""
        return {f"sha256:{path.parent.name}" for path in (self.root / "deltas").glob("*/manifest.json")}

    def revisions(self) -> dict[str, PublishedRevision]:
        """The published models."""
        files = sorted((self.root / "revisions").glob("r*"))
        return {path.name: PublishedRevision.parse(json.loads(path.read_bytes())) for path in files}

    def latest(self) -> PublishedRevision | None:
        """The one in use."""
        pointer = self.root / "latest"
        return self.revisions()[pointer.read_text()] if pointer.exists() else None

    def fault(self, name: str) -> dict[str, str] | None:
        """Return how this attempt at a piece of work fails, if it does; each is counted by a file."""
        path = self.root / "faults.json"
        for index, fault in enumerate(json.loads(path.read_bytes()) if path.exists() else []):
            if fault["match"] in name and any(self.make(f"faults/{index}-{time}") for time in range(fault.get("times", 1))):
                return dict(fault)
        return None


def main(argv: Sequence[str]) -> int:
    """Run one task."""
    _, *pairs = argv
    options = dict(zip(pairs[::2], pairs[1::2], strict=True))
    task = TASK.validate_json(Path(options["--task"]).read_bytes())
    objects = ObjectFolder(Path(options["--objects"]))
    artifacts = Artifacts((task.spec if isinstance(task, PrepareTask | TrainTask) else task).artifacts.uri)
    fault = artifacts.fault(f"{task.id} {task.spec.delta if isinstance(task, TrainTask) else ''}")
    if fault is not None:
        if fault["exit"] == "hang":
            time.sleep(3600)
        termination = {"reason": fault.get("reason", "Made"), "message": fault.get("message", "made to fail")}
        Path(options["--termination"]).write_text(json.dumps(termination))
        return int(fault["exit"])
    try:
        _work(task, objects, artifacts, InHand(Path(options["--termination"])))
    except Interrupted:
        return ExitCode.STOPPED
    return ExitCode.DONE


def _work(task: AnyTask, objects: ObjectFolder, artifacts: Artifacts, in_hand: InHand) -> None:
    stop = stop_on_signals()
    reports = FolderReports(objects)

    def work() -> None:
        if stop.wait(float(os.environ.get("FAKE_SECONDS", "0.01"))):
            raise Interrupted("asked to stop")

    match task:
        case PrepareTask():
            if _shown(objects, task.run, "prepared").get("key") == task.key:
                artifacts.log(f"repeated {task.id}")
                return
            work()
            made = synthetic.prepared(task, artifacts.keys(), artifacts.latest())
            for digest in [*(chunk.digest for chunk in made.chunks), made.search.digest, made.test.digest]:
                artifacts.make(layout.records(digest))
            # Here as below, the line comes first: a kill right after what it tells of would keep it from being written at all.
            artifacts.log(f"prepare {task.id}")
            reports.prepared(task.run, made)
        case TrainTask():
            status = (objects.read("DeltaTraining", task.training) or {}).get("status", {})
            if "delta" in status:
                artifacts.log(f"repeated {task.spec.key}")
            for step in range(3):
                reports.progress(task.training, Progress(step=step, steps=3))
                work()
            if not artifacts.has(layout.delta_manifest(task.spec.key)):
                artifacts.log(f"train {task.spec.key}")
                artifacts.make(layout.delta_manifest(task.spec.key))
            reports.trained(task.training, synthetic.trained(task.spec))
        case EvaluateTask():
            _evaluate(task, objects, artifacts, in_hand, work)
        case PublishTask():
            published = _shown(objects, task.run, "published")
            if (published.get("asOf"), published.get("trial")) == (task.as_of, task.trial):
                artifacts.log(f"repeated {task.id}")
            work()
            latest, revisions = artifacts.latest(), artifacts.revisions()
            # What a killed attempt has written is no other revision.
            begun = (one for one in revisions.values() if (one.as_of, one.trial) == (task.as_of, task.trial))
            merged = next(begun, None) or synthetic.published(task, len(revisions))
            if latest is None or latest.weights != merged.weights or latest.deltas != merged.deltas:
                artifacts.log(f"publish {merged.revision}")
                write_atomically(artifacts.root / "revisions" / merged.revision, json.dumps(merged.document()).encode())
                write_atomically(artifacts.root / "latest", merged.revision.encode())
                latest = merged
            reports.published(task.run, latest.model_copy(update={"as_of": task.as_of, "task": task.id}))
        case PinTask():
            write_atomically(artifacts.root / "latest", task.revision.encode())
            reports.published(task.run, synthetic.pinned(task, artifacts.revisions()))


def _shown(objects: ObjectFolder, run: str, fact: str) -> dict[str, Any]:
    status = (objects.read("AutoLLMRun", run) or {}).get("status", {})
    return dict(status.get(fact) or {})


def _evaluate(task: EvaluateTask, objects: ObjectFolder, artifacts: Artifacts, in_hand: InHand, work: Callable[[], None]) -> None:
    feed, reports = FolderFeed(objects), FolderReports(objects)
    while True:
        trial = feed.next(task.slot, task.run)
        if trial is None:
            work()
            continue
        with in_hand.scoring(trial.metadata.name):
            work()
            fault = artifacts.fault(f"trial {trial.spec.split} {trial.spec.number} {trial.spec.name or ''}")
            if fault is not None and fault["exit"] == "hang":
                time.sleep(3600)
            if fault is not None:
                os._exit(int(fault["exit"]))
            others = {document["metadata"]["name"]: MergeTrial.parse(document) for document in objects.all("MergeTrial")}
            if (others[trial.metadata.name].status or trial.status) is not None:
                artifacts.log(f"repeated {trial.metadata.name}")
            artifacts.log(f"trial {trial.metadata.name}")
            reports.scored(trial.metadata.name, synthetic.result(trial, others))


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        Server(os.dup(0), os.dup(1), main).run()
    else:
        sys.exit(main(sys.argv[1:]))
