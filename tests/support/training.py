"""A training on a tiny model: its task, its chunk and a context that remembers what was reported."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.contract.keys import delta_key, key_parts
from autollm.contract.manifests import Record
from autollm.contract.tasks import TrainTask
from autollm.resources.delta_training import DeltaTrainingSpec
from autollm.resources.facts import Prepared, Progress, PublishedRevision, TrainedDelta, TrialResult
from autollm.resources.metadata import Failure
from autollm.resources.run import BaseModelSpec
from autollm.resources.training import Adapter, Method
from autollm.store import Store, open_store

if TYPE_CHECKING:
    from autollm.contract.tasks import EvaluateTask  # noqa: F401  # the documents of all tasks are one union
    from autollm_runtime.worker.context import Context


@dataclass
class HeardReports:
    """Reports that are kept."""

    heard: list[Progress] = field(default_factory=list)
    delta: TrainedDelta | None = None

    def prepared(self, run: str, fact: Prepared) -> None:
        raise AssertionError("not a preparation")

    def published(self, run: str, fact: PublishedRevision) -> None:
        raise AssertionError("not a publication")

    def progress(self, training: str, fact: Progress) -> None:
        self.heard.append(fact)

    def trained(self, training: str, fact: TrainedDelta) -> None:
        self.delta = fact

    def scored(self, trial: str, result: TrialResult) -> None:
        raise AssertionError("not an evaluation")

    def failed_trial(self, trial: str, failure: Failure) -> None:
        raise AssertionError("not an evaluation")


class NoTrials:
    """A feed that a training never asks."""

    def next(self, slot: int, run: str) -> Any:
        raise AssertionError("not an evaluation")

    def named(self, name: str) -> Any:
        raise AssertionError("not an evaluation")

    def wait(self, stop: threading.Event) -> None:
        raise AssertionError("not an evaluation")


def sums(count: int = 12) -> list[Record]:
    """Short chats of additions."""
    return [
        _record(
            index, messages=[{"role": "user", "content": f"{index}+{index % 5}?"}, {"role": "assistant", "content": str(index + index % 5)}]
        )
        for index in range(count)
    ]


def preferences(count: int = 8) -> list[Record]:
    """Pairs of a right and a wrong sum."""
    return [
        _record(
            index, prompt=[{"role": "user", "content": f"{index}+1?"}], chosen=str(index + 1), rejected=str(index + 2) + "!" * (index % 3)
        )
        for index in range(count)
    ]


def documents(count: int = 10) -> list[Record]:
    """Texts of unequal length."""
    return [_record(index, text=f"The number {index} " + "and so on " * (index % 4)) for index in range(count)]


def _record(index: int, **content: Any) -> Record:
    return Record.model_validate({"id": str(index), "source": "s", "origin": str(index), **content})


@dataclass(frozen=True)
class Bench:
    """A folder with artifacts and a base model, in which trainings run."""

    folder: Path
    base: Path

    @property
    def store(self) -> Store:
        return open_store(str(self.folder / "artifacts"))

    def task(
        self,
        records: list[Record],
        method: dict[str, Any],
        *,
        adapter: dict[str, Any] | None = None,
        start: str | None = None,
        dtype: str = "Float32",
        max_tokens: int = 128,
    ) -> TrainTask:
        """Write the chunk and return a task that trains on it; equal arguments give an equal key."""
        from autollm_runtime.model.base import resolve_base

        fact = resolve_base(BaseModelSpec.model_validate({"uri": str(self.base), "dtype": dtype}), self.store, self.folder)
        data = "".join(json.dumps(record.document()) + "\n" for record in records).encode()
        chunk = digest_bytes(data)
        self.store.write(layout.records(chunk), data)
        parsed = Method.model_validate({"name": "m", **method})
        changed = Adapter.model_validate(adapter or {"lora": {"rank": 4, "alpha": 8}})
        key = delta_key(key_parts(parsed, changed), base=fact.digest, dtype=dtype, chunks=[chunk], start=start, max_tokens=max_tokens)
        spec = {
            "delta": "s/m",
            "key": key,
            "model": {"uri": fact.uri, "digest": fact.digest, "dtype": dtype},
            "chunk": {"name": "s", "digests": [chunk]},
            "method": parsed.document(),
            "adapter": changed.document(),
            "start": start,
            "maxTokens": max_tokens,
            "artifacts": {"uri": str(self.folder / "artifacts")},
        }
        return TrainTask(id="t", run="r", training="s-m", spec=DeltaTrainingSpec.model_validate(spec))

    def context(self, scratch: str = "scratch", stop: threading.Event | None = None) -> tuple[Context, HeardReports]:
        from autollm_runtime.worker.context import Context

        reports = HeardReports()
        place = self.folder / scratch
        place.mkdir(exist_ok=True)
        return Context(reports=reports, trials=NoTrials(), scratch=place, stop=stop or threading.Event(), threads=1), reports
