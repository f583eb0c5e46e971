"""Workers that train no model but leave in the artifacts what real ones do: records, manifests, item results, a revision."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal

import numpy as np

from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.contract.manifests import (
    CurvePoint,
    DataManifest,
    DeltaManifest,
    ItemResult,
    Message,
    Pointer,
    Record,
    RevisionManifest,
    SourceCounts,
    StoredFile,
)
from autollm.contract.tasks import PinTask, PrepareTask, PublishTask
from autollm.resources.delta_training import DeltaTrainingSpec
from autollm.resources.facts import (
    ChunkFact,
    Difference,
    ItemsFact,
    MetricScore,
    ModelFact,
    Prepared,
    PublishedRevision,
    Seconds,
    TrainedDelta,
    TrialResult,
)
from autollm.resources.merge_trial import MergeTrial
from autollm.statistics import Estimate, estimate, paired_difference, strata_of
from autollm.store import Store
from autollm.store.revisions import move_pointer, read_pointer

SOURCES = ("math", "code", "following")
ITEMS_A_SOURCE = 40
_BASE_SKILL = {"math": -1.4, "code": -0.9, "following": -0.4}
_SKILL = {
    "math/sft": {"math": 3.4, "code": -0.2, "following": -0.4},
    "code/sft": {"math": -0.1, "code": 3.0, "following": -0.2},
    "following/sft": {"math": -0.3, "code": -0.1, "following": 2.1},
    "following/dpo": {"math": -0.2, "code": 0.2, "following": 1.2},
}
"""What each delta at weight 1 adds to the log-odds of a right answer of each source, before too much of everything does harm."""


class SampleWorkers:
    """What tasks and trials come to, with artifacts in a store."""

    def __init__(self, store: Store, rewrite: Callable[[str], str]) -> None:
        self._store = store
        self._rewrite = rewrite
        self._search = self._items("search")
        self._test = self._items("test")

    def prepared(self, task: PrepareTask, existing: Collection[str] = (), published: PublishedRevision | None = None) -> Prepared:
        """Write the items of both splits and the data manifest."""
        uri = task.spec.model.uri
        model = ModelFact(uri=uri, digest=digest_bytes(uri.encode()), dtype="BFloat16", parameters=134_515_008)
        chunks = [
            ChunkFact(
                name=source,
                source=source,
                digest=digest_bytes(source.encode()),
                records=160,
                shapes={"preference" if source == "following" else "messages": 160},
            )
            for source in SOURCES
        ]
        dropped = {"ExactDuplicate": 7, "TooLong": 2}
        manifest = DataManifest(
            run=task.run,
            key=task.key,
            sources=[
                SourceCounts(
                    name=source,
                    read=240 + (9 if source == "math" else 0),
                    kept={"Train": 160, "Search": ITEMS_A_SOURCE, "Test": ITEMS_A_SOURCE},
                    dropped=dropped if source == "math" else {},
                    waiting=3 if source == "code" else 0,
                )
                for source in SOURCES
            ],
            chunks=chunks,
            search=self._write_items(self._search),
            test=self._write_items(self._test),
        )
        data = manifest.model_dump_json(by_alias=True, exclude_none=True).encode()
        digest = digest_bytes(data)
        self._store.write(layout.data_manifest(digest), data)
        return Prepared(
            key=task.key,
            model=model,
            manifest=digest,
            records=sum(source.read for source in manifest.sources) - sum(dropped.values()),
            dropped=dropped,
            waiting=3,
            chunks=chunks,
            search=manifest.search,
            test=manifest.test,
            imported=[],
            published=published,
            task=task.id,
        )

    def trained(self, spec: DeltaTrainingSpec) -> TrainedDelta:
        """Write the manifest of a delta with a curve that falls."""
        rng = random.Random(spec.delta)
        curve = [CurvePoint(step=step, loss=round(1.1 + 1.9 * math.exp(-step / 30) + rng.gauss(0, 0.08), 4)) for step in range(1, 101)]
        manifest = DeltaManifest(
            key=spec.key,
            form="Lora",
            base=spec.model.digest,
            dtype=spec.model.dtype,
            prefix=layout.delta_attempt(spec.key, "first"),
            files=[],
            chunks=spec.chunk.digests,
            method=spec.method,
            adapter=spec.adapter,
            curve=curve,
            steps=100,
            tokens=51_234,
            seconds=63.2,
        )
        data = manifest.model_dump_json(by_alias=True, exclude_none=True).encode()
        self._store.write(layout.delta_manifest(spec.key), data)
        uri = f"{self._store.uri}/{manifest.prefix.removesuffix('/')}"
        return TrainedDelta(
            key=spec.key, digest=digest_bytes(data), uri=uri, loss=_number(curve[-1].loss), seconds=_number(63.2), tokens=51_234
        )

    def result(self, trial: MergeTrial, others: Mapping[str, MergeTrial]) -> TrialResult:
        """Score a candidate item by item, write what each item came to, and compare it as it is asked to."""
        records = self._test if trial.spec.split == "Test" else self._search
        weights = {name: float(weight) for name, weight in trial.spec.weights.items()}
        results = [self._answered(record, weights) for record in records]
        lines = b"".join(json.dumps(result.document(), ensure_ascii=False).encode() + b"\n" for result in results)
        key = layout.trial_results(trial.spec.run, trial.metadata.name)
        self._store.write(key, lines)
        whole = _estimate(results, [result.score or 0.0 for result in results])
        return TrialResult(
            score=_number(whole.score),
            standard_error=_number(whole.standard_error),
            items=len(results),
            metrics=[
                _named(name, _estimate(results, [result.values[name] for result in results]), stops=name == "exact")
                for name in ("exact", "likelihood")
            ],
            sources=[
                _named(source, _estimate(own, [result.score or 0.0 for result in own]))
                for source in sorted(SOURCES)
                if (own := [result for result in results if result.source == source])
            ],
            seconds=Seconds(merge=Decimal("0.08"), evaluate=Decimal("6.2")),
            results=f"{self._store.uri}/{key}",
            differences=[self._difference(trial, results, comparison.trial) for comparison in trial.spec.against or []] or None,
        )

    def published(self, task: PublishTask, before: int) -> PublishedRevision:
        """Write a revision of one file, and point `latest` to it."""
        revision = f"r{before + 1}"
        content = b'{"model_type": "llama"}\n'
        self._store.write(layout.revision_prefix(revision) + "config.json", content)
        manifest = RevisionManifest(
            revision=revision,
            run=task.run,
            trial=task.trial,
            model={},
            weights=task.weights,
            deltas={delta.name: delta.key for delta in task.deltas},
            lineage=[],
            data=task.data,
            results=task.results,
            files=[StoredFile(name="config.json", digest=digest_bytes(content), size=len(content))],
            dtype=task.model.dtype,
            versions={},
            created="2026-01-01T00:00:00Z",
            spec={},
        )
        data = manifest.model_dump_json(by_alias=True, exclude_none=True).encode()
        digest = digest_bytes(data)
        self._store.write(layout.revision_manifest(revision), data)
        found = read_pointer(self._store)
        previous = found[0].revision if found else None
        move_pointer(self._store, Pointer(revision=revision, digest=digest, previous=previous), found[1] if found else None)
        return PublishedRevision(
            revision=revision,
            uri=f"{self._store.uri}/{layout.revision_prefix(revision).removesuffix('/')}",
            digest=digest,
            base=task.model.digest,
            weights=task.weights,
            deltas=manifest.deltas,
            trial=manifest.trial,
            as_of=task.as_of,
            task=task.id,
        )

    def pinned(self, task: PinTask, revisions: Mapping[str, PublishedRevision]) -> PublishedRevision:
        """A revision that was published before."""
        return revisions[task.revision].model_copy(update={"as_of": task.as_of, "task": task.id})

    def _items(self, split: str) -> list[Record]:
        return [self._item(split, source, number) for source in SOURCES for number in range(ITEMS_A_SOURCE)]

    def _item(self, split: str, source: str, number: int) -> Record:
        rng = random.Random(f"{split} {source} {number}")
        a, b = rng.randint(10, 99), rng.randint(10, 99)
        asked, right = {
            "math": (f"A train has {a} seats and another one has {b}. How many seats do they have together?", f"{a + b}"),
            "code": (f"Write a Python function that adds {a} to its argument.", f"def add(x):\n    return x + {a}"),
            "following": (f"Answer with the numbers {a} and {b} in ascending order and nothing else.", f"{min(a, b)} {max(a, b)}"),
        }[source]
        asked, right = self._rewrite(asked), self._rewrite(right)
        identity = digest_bytes(f"{split} {source} {number} {asked}".encode())
        if source == "following":
            wrong = self._rewrite("Sure! Here are the numbers.")
            return Record(
                id=identity, source=source, origin=asked, prompt=[Message(role="user", content=asked)], chosen=right, rejected=wrong
            )
        turns = [Message(role="user", content=asked), Message(role="assistant", content=right)]
        return Record(id=identity, source=source, origin=asked, messages=turns)

    def _write_items(self, records: list[Record]) -> ItemsFact:
        data = b"".join(json.dumps(record.document(), ensure_ascii=False).encode() + b"\n" for record in records)
        digest = digest_bytes(data)
        self._store.write(layout.records(digest), data)
        return ItemsFact(digest=digest, count=len(records))

    def _answered(self, record: Record, weights: Mapping[str, float]) -> ItemResult:
        ease = random.Random(record.id).gauss(0, 1.2)
        skill = _BASE_SKILL[record.source] + sum(weight * _SKILL[name][record.source] for name, weight in weights.items())
        likelihood = 1 / (1 + math.exp(-(skill + ease - 0.35 * sum(weight**2 for weight in weights.values()))))
        right = likelihood > 0.5
        reference = record.messages[-1].content if record.messages else record.chosen or ""
        answer = reference if right else self._rewrite("Sure! I would be happy to help you with that. First of all, let us look at it.")
        return ItemResult(
            id=record.id,
            source=record.source,
            score=round((float(right) + 0.5 * likelihood) / 1.5, 6),
            values={"exact": float(right), "likelihood": round(likelihood, 6)},
            answer=answer,
            stopped=likelihood > 0.2,
        )

    def _difference(self, trial: MergeTrial, ours: list[ItemResult], other: str) -> Difference:
        lines = self._store.read(layout.trial_results(trial.spec.run, other)).splitlines()
        theirs = {result.id: result.score or 0.0 for result in (ItemResult.parse(json.loads(line)) for line in lines)}
        found = paired_difference(
            np.array([result.score for result in ours]),
            np.array([theirs[result.id] for result in ours]),
            strata_of([result.source for result in ours]),
            confidence=float(trial.spec.confidence or 0.95),
        )
        return Difference(
            trial=other,
            difference=_number(found.difference),
            low=_number(found.low),
            high=_number(found.high),
            gate_low=_number(found.lower_bound),
        )


def _estimate(results: list[ItemResult], values: list[float]) -> Estimate:
    return estimate(np.array(values), strata_of([result.source for result in results]))


def _named(name: str, score: Estimate, *, stops: bool = False) -> MetricScore:
    return MetricScore(
        name=name,
        score=_number(score.score),
        standard_error=_number(score.standard_error),
        items=score.items,
        stop_rate=Decimal("0.93") if stops else None,
    )


def _number(value: float) -> Decimal:
    return Decimal(f"{value:.6f}").normalize()
