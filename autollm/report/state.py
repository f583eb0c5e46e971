"""The state of a run as people look at it: its objects, and what is found among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autollm.contract.folder import ObjectFolder
from autollm.errors import InputError
from autollm.plan.landscape import is_superseded
from autollm.plan.names import with_present_names
from autollm.plan.revisions import latest_revision
from autollm.plan.trainings import planned_trainings
from autollm.plan.weights import normal
from autollm.resources import AutoLLMRun, DeltaTraining, MergeTrial
from autollm.resources.facts import PublishedRevision
from autollm.resources.metadata import Condition
from autollm.resources.run_status import ResultRow, RunStatus
from autollm.search import limits_of

BASE, WINNER, PUBLISHED = "base", "auto", "published"


@dataclass(frozen=True)
class RunState:
    """A run and its children, as they stand; those of rounds and documents long past are gone.

    Attributes:
        latest: What `latest` points to, where it was looked up in the artifacts: a rollback moves it without the run.
    """

    run: AutoLLMRun
    trainings: tuple[DeltaTraining, ...]
    trials: tuple[MergeTrial, ...]
    latest: PublishedRevision | None = None

    @property
    def status(self) -> RunStatus:
        """The run's status, empty where nothing was written yet."""
        return self.run.status or RunStatus()

    @property
    def rows(self) -> Sequence[ResultRow]:
        """The results table, empty while the search goes on."""
        return self.status.results or []

    @property
    def published(self) -> PublishedRevision | None:
        """What `latest` points to as far as is known: as it was looked up, else as the run last saw it."""
        return self.latest or latest_revision(self.run.status)

    @property
    def moved_to(self) -> str | None:
        """The revision that `latest` points to now, where that is another one than the run last saw."""
        seen = latest_revision(self.run.status)
        return self.latest.revision if self.latest and (seen is None or seen.revision != self.latest.revision) else None

    def condition(self, name: str) -> Condition | None:
        """Return one of the run's conditions, None where it was not written yet."""
        return next((one for one in self.status.conditions or [] if one.type == name), None)

    def row(self, name: str) -> ResultRow | None:
        """Return one row of the results table."""
        return next((row for row in self.rows if row.name == name), None)

    @cached_property
    def current_trainings(self) -> tuple[DeltaTraining, ...]:
        """The trainings that the document and the prepared data ask for; those of an earlier document or of earlier data are not."""
        prepared = self.status.prepared
        if prepared is None:
            return ()
        planned = {training.name(self.run.metadata.name) for training in planned_trainings(self.run.spec, prepared)}
        return tuple(training for training in self.trainings if training.metadata.name in planned)

    @property
    def search_trials(self) -> list[MergeTrial]:
        """The trials of the newest search by number, as its counts have them.

        Finalists that were scored again on all items are not among them, nor are candidates that the document's space no longer allows.
        """
        found = [trial for trial in self.trials if trial.spec.split == "Search" and not trial.spec.by_hand and not is_superseded(trial)]
        prepared, sample = self.status.prepared, self.run.spec.search.items
        items = sample if prepared is not None and sample is not None and sample < prepared.search.count else None
        searched = [trial for trial in found if trial.spec.items == items] or found
        newest = max(searched, key=lambda trial: (trial.metadata.creation_timestamp or "", trial.spec.place), default=None)
        if newest is None:
            return []
        spec = with_present_names(self.run.spec, prepared) if prepared is not None else self.run.spec
        limits = limits_of(spec.search.space, list(newest.spec.weights))
        counted = (trial for trial in searched if trial.spec.landscape == newest.spec.landscape and limits.allow(trial.spec.weights))
        return sorted(counted, key=lambda trial: trial.spec.place)

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


def read_state(folder: Path) -> RunState:
    """Read the objects of a run's folder; raises InputError where there is no run in it, or none that can be read."""
    objects = ObjectFolder(folder / "objects")
    try:
        run = next((AutoLLMRun.parse(document) for document in objects.all("AutoLLMRun")), None)
        trainings = tuple(DeltaTraining.parse(document) for document in objects.all("DeltaTraining"))
        trials = tuple(MergeTrial.parse(document) for document in objects.all("MergeTrial"))
    except ValueError as error:  # of JSON, and of pydantic
        raise InputError(f"{objects.root} holds an object that cannot be read; was it written by another version? {error}") from error
    if run is None:
        raise InputError(
            f"{folder} is not the folder of a run: {objects.root} holds none. `autollm run` makes runs/NAME, or what --folder says"
        )
    return RunState(run, trainings, trials)


def compared_rows(state: RunState) -> list[ResultRow]:
    """Return the rows whose answers stand side by side: the base, the best single delta, and the winner."""
    return [row for row in (state.row(BASE), best_single(state), state.row(WINNER)) if row is not None and row.test is not None]


def best_single(state: RunState) -> ResultRow | None:
    """Return the row of the delta that is the best one alone, None before it is scored."""
    singles = [(row.test.score, row) for row in state.rows if row.test is not None and list(row.weights) == [row.name]]
    return max(singles, key=lambda pair: pair[0])[1] if singles else None
