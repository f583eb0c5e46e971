"""Gathering: what a report shows, read from a run's objects and its artifacts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autollm.contract import layout
from autollm.contract.folder import ObjectFolder
from autollm.contract.manifests import DataManifest, DeltaManifest, ItemResult, Record
from autollm.errors import InputError
from autollm.plan.weights import normal
from autollm.resources import AutoLLMRun, DeltaTraining, MergeTrial
from autollm.resources.run_status import ResultRow, RunStatus
from autollm.store import NotFoundError, Store, open_store
from autollm.store.objects import read_verified

SAMPLES_A_SOURCE = 2
PUBLISHED = "published"


@dataclass(frozen=True)
class RunState:
    """A run and its children as they stand."""

    run: AutoLLMRun
    trainings: tuple[DeltaTraining, ...]
    trials: tuple[MergeTrial, ...]

    @property
    def status(self) -> RunStatus:
        """The run's status, empty where nothing was written yet."""
        return self.run.status or RunStatus()

    @property
    def rows(self) -> Sequence[ResultRow]:
        """The results table, empty while the search goes on."""
        return self.status.results or []

    @property
    def search_trials(self) -> list[MergeTrial]:
        """The trials of the present search by number: those of the landscape that the newest one belongs to."""
        searched = [trial for trial in self.trials if trial.spec.split == "Search" and trial.spec.origin.optimizer != "Baseline"]
        if not searched:
            return []
        newest = max(searched, key=lambda trial: (trial.metadata.creation_timestamp or "", trial.spec.number))
        return sorted((trial for trial in searched if trial.spec.landscape == newest.spec.landscape), key=lambda trial: trial.spec.number)

    def test_trial(self, row: ResultRow) -> MergeTrial | None:
        """Return the trial that gave a row its test score."""
        if row.test is None:
            return None
        found = [
            trial
            for trial in self.trials
            if trial.spec.split == "Test"
            and trial.status is not None
            and trial.status.score == row.test.score
            and (trial.spec.name == row.name == PUBLISHED if trial.spec.model else normal(trial.spec.weights) == normal(row.weights))
        ]
        return max(found, key=lambda trial: trial.metadata.creation_timestamp or "", default=None)


@dataclass(frozen=True)
class Sample:
    """One test item with its reference and what several models answered, by the name of their row."""

    source: str
    prompt: str
    reference: str
    answers: Mapping[str, str]


@dataclass(frozen=True)
class Gathered:
    """All that a report shows."""

    state: RunState
    deltas: Mapping[str, DeltaManifest]
    data: DataManifest | None
    samples: tuple[Sample, ...]


def read_state(folder: Path) -> RunState:
    """Read the objects of a run's folder; raises InputError where there is no run in it."""
    objects = ObjectFolder(folder / "objects")
    documents = list(objects.all("AutoLLMRun"))
    if not documents:
        raise InputError(f"{folder} is not the folder of a run: there is no objects/autollmruns in it; `autollm run` makes one below runs/")
    trainings = tuple(DeltaTraining.parse(document) for document in objects.all("DeltaTraining"))
    trials = tuple(MergeTrial.parse(document) for document in objects.all("MergeTrial"))
    return RunState(AutoLLMRun.parse(documents[0]), trainings, trials)


def gather(folder: Path) -> Gathered:
    """Read a run's objects, and from its artifacts the lineage, the data's counts and sample answers."""
    state = read_state(folder)
    artifacts = state.run.spec.artifacts
    store = open_store(artifacts.uri, endpoint=artifacts.endpoint, region=artifacts.region)
    prepared = state.status.prepared
    if prepared is None:
        return Gathered(state, {}, None, ())
    data = DataManifest.parse(json.loads(read_verified(store, layout.data_manifest(prepared.manifest), prepared.manifest)))
    return Gathered(state, dict(_deltas(state, store)), data, tuple(_samples(state, store)))


def _deltas(state: RunState, store: Store) -> Iterator[tuple[str, DeltaManifest]]:
    prepared = state.status.prepared
    imported = {one.name: one.key for one in prepared.imported} if prepared else {}
    trained = {training.spec.delta: training.spec.key for training in state.trainings if training.status and training.status.delta}
    for name, key in (imported | trained).items():
        try:
            yield name, DeltaManifest.parse(json.loads(store.read(layout.delta_manifest(key))))
        except NotFoundError:
            # A delta of an earlier document may have been cleared away; the report goes without it.
            continue


def compared_rows(state: RunState) -> list[ResultRow]:
    """Return the rows whose answers stand side by side: the base, the best single delta, and the winner."""
    rows = {row.name: row for row in state.rows if row.test is not None}
    singles = [row for name, row in rows.items() if len(row.weights) == 1 and name in row.weights and row.test is not None]
    best = max(singles, key=lambda row: row.test.score if row.test else 0, default=None)
    return [row for row in (rows.get("base"), best, rows.get("auto")) if row is not None]


def _samples(state: RunState, store: Store) -> Iterator[Sample]:
    prepared = state.status.prepared
    answers: dict[str, dict[str, str]] = {}
    for row in compared_rows(state):
        trial = state.test_trial(row)
        if trial is None:
            continue
        lines = store.read(layout.trial_results(state.run.metadata.name, trial.metadata.name)).splitlines()
        results = (ItemResult.parse(json.loads(line)) for line in lines)
        answers[row.name] = {result.id: result.answer for result in results if result.answer is not None}
    if prepared is None or not answers or not all(answers.values()):
        return
    shown: dict[str, int] = {}
    for line in read_verified(store, layout.records(prepared.test.digest), prepared.test.digest).splitlines():
        record = Record.parse(json.loads(line))
        if shown.get(record.source, 0) < SAMPLES_A_SOURCE and all(record.id in known for known in answers.values()):
            shown[record.source] = shown.get(record.source, 0) + 1
            prompt, reference = _asked(record)
            yield Sample(record.source, prompt, reference, {name: known[record.id] for name, known in answers.items()})


def _asked(record: Record) -> tuple[str, str]:
    """Return the last question of a record and its reference answer."""
    if record.messages is not None:
        return next((turn.content for turn in reversed(record.messages[:-1]) if turn.role == "user"), ""), record.messages[-1].content
    if record.prompt is not None:
        return record.prompt[-1].content if record.prompt else "", record.chosen or ""
    return "", record.text or ""
