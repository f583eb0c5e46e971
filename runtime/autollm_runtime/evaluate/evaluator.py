"""One warm evaluator: base, deltas and encoded items in memory, and a trial costs the forward pass over its items."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from autollm.contract import layout
from autollm.contract.keys import landscape_digest
from autollm.contract.manifests import ItemResult, Record
from autollm.contract.tasks import EvaluateTask
from autollm.errors import InputError
from autollm.resources.facts import Difference, ItemsFact, Seconds, TrialResult
from autollm.resources.merge_trial import MergeTrial, MergeTrialSpec, SplitName
from autollm.store import Store
from autollm.store.objects import read_verified
from autollm_runtime.evaluate.items import Items, build_items, draw
from autollm_runtime.evaluate.loading import load_merge, load_whole
from autollm_runtime.evaluate.results import compare, decode_results, encode_results, summarise, to_decimal
from autollm_runtime.evaluate.subject import Subject

SAMPLE_ANSWERS = 4
"""Answers that are generated in every trial of the test split for people to read."""

_DEFAULT_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Scored:
    """What a trial came to, and its per-item results as they are to be kept below `key`."""

    key: str
    items: bytes
    result: TrialResult


class Evaluator:
    """Scores the trials of one task, one after the other."""

    def __init__(self, task: EvaluateTask, store: Store, scratch: Path) -> None:
        """Load base and deltas; raises InputError where one of them is damaged or does not fit."""
        self._task = task
        self._store = store
        self._scratch = scratch
        self._subject, self._merge = load_merge(task, store, scratch)
        self._records: dict[SplitName, list[Record]] = {}
        self._items: dict[tuple[SplitName, int | None], Items] = {}

    def prepare(self, spec: MergeTrialSpec) -> None:
        """Read and encode the items of a trial, once for all trials of its split and sample.

        Raises InputError where they are damaged or no metric fits them: then no trial of the run can be scored.
        """
        if (spec.split, spec.items) not in self._items:
            self._items[spec.split, spec.items] = self._encode(spec, self._subject)

    def score(self, trial: MergeTrial, between: Callable[[], None]) -> Scored:
        """Score a trial; it is worth nothing before it is kept.

        `between` is called before each batch and may raise. Raises InputError where the candidate cannot be scored: it is of
        another landscape (LandscapeMismatch), its weights or logits are not finite (NonFinite), or it is compared with a
        trial of other items (ItemsDiffer).
        """
        spec = trial.spec
        self._check_landscape(spec)
        begun = time.perf_counter()
        if spec.model is None:
            self._merge.apply({name: float(weight) for name, weight in spec.weights.items()})
            subject, items = self._subject, self._items[spec.split, spec.items]
        else:
            subject = load_whole(spec.model, self._task, self._store, self._scratch)
            items = self._encode(spec, subject)
        merged = time.perf_counter()
        results = subject.score(items, between)
        seconds = Seconds(merge=to_decimal(merged - begun), evaluate=to_decimal(time.perf_counter() - merged))
        if spec.model is not None:
            del subject
            _release()
        key = layout.trial_results(spec.run, trial.metadata.name)
        differences = self._compare(spec, results)
        uri = f"{self._store.uri}/{key}"
        return Scored(
            key, encode_results(results), summarise(results, self._task.metrics, seconds=seconds, uri=uri, differences=differences)
        )

    def keep(self, scored: Scored) -> TrialResult:
        """Return the result of a trial, once its per-item results are in the store.

        Raises the store's errors: a store that refuses one trial's results refuses those of every trial.
        """
        self._store.write(scored.key, scored.items)
        return scored.result

    def _check_landscape(self, spec: MergeTrialSpec) -> None:
        task = self._task
        ours = landscape_digest(
            base=task.model.digest,
            dtype=task.model.dtype,
            deltas={delta.name: delta.key for delta in task.deltas},
            items=self._fact(spec.split).digest,
            sample=spec.items,
            metrics=task.metrics,
            max_tokens=task.max_tokens,
        )
        if spec.landscape is not None and ours != spec.landscape:
            raise InputError(
                f"the trial belongs to the landscape {spec.landscape}, this evaluator to {ours}: "
                "base, deltas, items, metrics or number format differ, so their scores do not compare",
                reason="LandscapeMismatch",
            )

    def _fact(self, split: SplitName) -> ItemsFact:
        return self._task.search if split == "Search" else self._task.test

    def _encode(self, spec: MergeTrialSpec, subject: Subject) -> Items:
        if spec.split not in self._records:
            digest = self._fact(spec.split).digest
            lines = read_verified(self._store, layout.records(digest), digest).splitlines()
            self._records[spec.split] = [Record.parse(json.loads(line)) for line in lines]
        records = draw(self._records[spec.split], spec.items)
        if not records:
            raise InputError(f"the {spec.split.lower()} split has no items: give more data, or hold out a larger share", reason="NoItems")
        return build_items(records, self._task.metrics, subject.encoder, answers=SAMPLE_ANSWERS if spec.split == "Test" else 0)

    def _compare(self, spec: MergeTrialSpec, results: list[ItemResult]) -> list[Difference] | None:
        if spec.against is None:
            return None
        others = {other.trial: self._read_results(other.results) for other in spec.against}
        confidence = _DEFAULT_CONFIDENCE if spec.confidence is None else float(spec.confidence)
        return compare(results, others, spec.compared_by or [], confidence)

    def _read_results(self, uri: str) -> list[ItemResult]:
        prefix = f"{self._store.uri}/"
        if not uri.startswith(prefix):
            raise InputError(f"the results at {uri} are not in the artifacts of this run, {self._store.uri}", reason="OtherArtifacts")
        return decode_results(self._store.read(uri.removeprefix(prefix)))


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
