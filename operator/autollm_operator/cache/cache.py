"""What the operator knows of the cluster: small projections of all it watches, and who has to be looked at when one changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from autollm.plan.landscape import is_pending
from autollm.resources.delta_training import DeltaTraining
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.run import AutoLLMRun
from autollm_operator.api.resources import JOBS, PODS, RUNS, TRAININGS, TRIALS, Resource
from autollm_operator.cache.jobs import job_view
from autollm_operator.cache.keys import Key
from autollm_operator.cache.parsed import Parsed, is_of_a_run, parse_run, parse_training, parse_trial, without_progress
from autollm_operator.cache.pods import pod_view
from autollm_operator.cache.table import Table
from autollm_operator.cache.views import JobView, PodView

NOBODY: frozenset[Key] = frozenset()


@dataclass(frozen=True)
class Children:
    """What a run controls."""

    trainings: tuple[Parsed[DeltaTraining], ...]
    trials: tuple[Parsed[MergeTrial], ...]


@dataclass(frozen=True)
class _Kind:
    """How objects of one resource become rows, and whom a row wakes where what is `acted_on` of it has changed."""

    table: Table[Any]
    row: Callable[[Mapping[str, Any]], Any]
    wakes: Callable[[Any], frozenset[Key]]
    acted_on: Callable[[Any], Any] = lambda row: row


class Cache:
    """Objects by name, uid and owner; safe in any thread. Only newer versions of an object are taken, and none after its deletion.

    `put`, `drop` and `replace` return who has to be looked at because of it: nobody, where nothing changed that is read here.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._runs: Table[Parsed[AutoLLMRun]] = Table()
        self._trainings: Table[Parsed[DeltaTraining]] = Table()
        self._trials: Table[Parsed[MergeTrial]] = Table()
        self._jobs: Table[JobView] = Table()
        self._pods: Table[PodView] = Table()
        # Names of the trials that somebody made by hand, by the run that they name.
        self._by_hand: dict[tuple[str, str], dict[str, None]] = {}
        self._kinds = {
            RUNS: _Kind(self._runs, parse_run, self._wakes_of_run),
            TRAININGS: _Kind(self._trainings, parse_training, self._wakes_of_training, without_progress),
            TRIALS: _Kind(self._trials, parse_trial, self._wakes_of_trial),
            JOBS: _Kind(self._jobs, job_view, self._wakes_of_job),
            PODS: _Kind(self._pods, pod_view, self._wakes_of_pod),
        }

    def put(self, resource: Resource, document: Mapping[str, Any]) -> frozenset[Key]:
        """Take an object as the API server told it."""
        return self._take(self._kinds[resource], self._kinds[resource].row(document))

    def drop(self, resource: Resource, document: Mapping[str, Any]) -> frozenset[Key]:
        """Forget an object that the API server says is gone."""
        metadata = document["metadata"]
        return self._forget(
            self._kinds[resource], metadata["namespace"], metadata["name"], metadata["uid"], int(metadata["resourceVersion"])
        )

    def replace(self, resource: Resource, namespace: str | None, documents: Iterable[Mapping[str, Any]]) -> frozenset[Key]:
        """Take all objects of a kind in a namespace, or in all of them; what is missing among them is gone.

        Give it the API's own iterator: what is put while that is being read is not taken for gone. Where reading fails, nothing
        is forgotten.
        """
        kind = self._kinds[resource]
        with self._lock:
            before = {row.uid: row for row in kind.table if namespace in (None, row.namespace)}
        woken = NOBODY
        for document in documents:
            row = kind.row(document)
            before.pop(row.uid, None)
            woken |= self._take(kind, row)
        for row in before.values():
            woken |= self._forget(kind, row.namespace, row.name, row.uid, row.version)
        return woken

    def forget(self, namespace: str) -> None:
        """Know nothing of a namespace that nobody tells of any more; what is told of it again is taken, whether it has changed or not."""
        with self._lock:
            for kind in self._kinds.values():
                kind.table.forget(namespace)
            for run in [run for run in self._by_hand if run[0] == namespace]:
                del self._by_hand[run]

    def run(self, key: Key) -> Parsed[AutoLLMRun] | None:
        """Return a run."""
        with self._lock:
            return self._runs.get(key.namespace, key.name)

    def training(self, key: Key) -> Parsed[DeltaTraining] | None:
        """Return a training."""
        with self._lock:
            return self._trainings.get(key.namespace, key.name)

    def trial(self, key: Key) -> Parsed[MergeTrial] | None:
        """Return a trial."""
        with self._lock:
            return self._trials.get(key.namespace, key.name)

    def job(self, namespace: str, name: str) -> JobView | None:
        """Return a Job of ours."""
        with self._lock:
            return self._jobs.get(namespace, name)

    def runs(self) -> tuple[Parsed[AutoLLMRun], ...]:
        """Return all runs."""
        with self._lock:
            return tuple(self._runs)

    def children(self, run_uid: str) -> Children:
        """Return the trainings and trials that a run controls."""
        with self._lock:
            return Children(self._trainings.of(run_uid), self._trials.of(run_uid))

    def trials_by_hand(self, namespace: str, run: str) -> tuple[Parsed[MergeTrial], ...]:
        """Return the trials that name a run and that it did not make."""
        with self._lock:
            found = (self._trials.get(namespace, name) for name in self._by_hand.get((namespace, run), ()))
            return tuple(trial for trial in found if trial is not None)

    def jobs(self, owner_uid: str) -> tuple[JobView, ...]:
        """Return the Jobs that a run, a training or a trial controls."""
        with self._lock:
            return self._jobs.of(owner_uid)

    def pods(self, job_uid: str) -> tuple[PodView, ...]:
        """Return the pods of a Job."""
        with self._lock:
            return self._pods.of(job_uid)

    def keys(self) -> frozenset[Key]:
        """Return everything that is reconciled: the runs, and the trainings and trials that belong to none."""
        with self._lock:
            runs = {_key(RUNS, row) for row in self._runs}
            trainings = {_key(TRAININGS, row) for row in self._trainings if not is_of_a_run(row.owner)}
            return frozenset(runs | trainings | {_key(TRIALS, row) for row in self._trials if not is_of_a_run(row.owner)})

    def _take(self, kind: _Kind, row: Any) -> frozenset[Key]:
        with self._lock:
            old = kind.table.get(row.namespace, row.name)
            if not kind.table.put(row):
                return NOBODY
            if kind.table is self._trials:
                if old is not None:
                    self._unfile_by_hand(old)
                self._file_by_hand(row)
            if old is None:
                return kind.wakes(row)
            if kind.acted_on(replace(old, version=row.version)) == kind.acted_on(row):
                return NOBODY
            return kind.wakes(old) | kind.wakes(row)

    def _forget(self, kind: _Kind, namespace: str, name: str, uid: str, version: int) -> frozenset[Key]:
        with self._lock:
            gone = kind.table.drop(namespace, name, uid, version)
            if gone is None:
                return NOBODY
            if kind.table is self._trials:
                self._unfile_by_hand(gone)
            return kind.wakes(gone)

    def _file_by_hand(self, row: Parsed[MergeTrial]) -> None:
        if row.value is None or is_of_a_run(row.owner):
            return
        self._by_hand.setdefault((row.namespace, row.value.spec.run), {})[row.name] = None

    def _unfile_by_hand(self, row: Parsed[MergeTrial]) -> None:
        run = (row.namespace, row.value.spec.run if row.value is not None else "")
        if (names := self._by_hand.get(run)) is not None:
            names.pop(row.name, None)
            if not names:
                del self._by_hand[run]

    def _wakes_of_run(self, row: Parsed[AutoLLMRun]) -> frozenset[Key]:
        # Those without an outcome wait for its deltas.
        waiting = (trial for trial in self.trials_by_hand(row.namespace, row.name) if trial.value is not None and is_pending(trial.value))
        return frozenset({_key(RUNS, row), *(_key(TRIALS, trial) for trial in waiting)})

    def _wakes_of_training(self, row: Parsed[DeltaTraining]) -> frozenset[Key]:
        return self._wakes_of_child(TRAININGS, row)

    def _wakes_of_trial(self, row: Parsed[MergeTrial]) -> frozenset[Key]:
        return self._wakes_of_child(TRIALS, row)

    def _wakes_of_child(self, resource: Resource, row: Parsed[Any]) -> frozenset[Key]:
        if row.owner is None or not is_of_a_run(row.owner):
            return frozenset({_key(resource, row)})
        run = self._runs.find(row.owner.uid)
        # One that is not known yet, or no more, sees its children when it comes.
        return NOBODY if run is None else frozenset({_key(RUNS, run)})

    def _wakes_of_job(self, row: JobView) -> frozenset[Key]:
        if row.owner is None:
            return NOBODY
        if (run := self._runs.find(row.owner.uid)) is not None:
            return frozenset({_key(RUNS, run)})
        if (training := self._trainings.find(row.owner.uid)) is not None:
            return self._wakes_of_training(training)
        trial = self._trials.find(row.owner.uid)
        return NOBODY if trial is None else self._wakes_of_trial(trial)

    def _wakes_of_pod(self, row: PodView) -> frozenset[Key]:
        job = self._jobs.find(row.owner.uid) if row.owner is not None else None
        return NOBODY if job is None else self._wakes_of_job(job)


def _key(resource: Resource, row: Parsed[Any]) -> Key:
    return Key(resource.kind, row.namespace, row.name)
