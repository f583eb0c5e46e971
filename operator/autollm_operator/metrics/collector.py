"""The collector of runs: at every scrape from the cache alone, so that a deleted run's series go with it and a restart loses none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from autollm.resources.delta_training import DeltaTraining
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.run import AutoLLMRun
from autollm_operator.cache.parsed import Parsed
from autollm_operator.cache.views import JobView, PodView
from autollm_operator.metrics import series as s
from autollm_operator.metrics.by_hand import by_hand_samples
from autollm_operator.metrics.standing import standing_samples
from autollm_operator.metrics.trials import TrialSums
from autollm_operator.metrics.work import ObservedJob, gpu_samples, job_samples, reused

OWN_LABELS = ("namespace", "run")


class Children(Protocol):
    """What a run controls."""

    @property
    def trainings(self) -> Sequence[Parsed[DeltaTraining]]:
        """Its trainings."""
        ...

    @property
    def trials(self) -> Sequence[Parsed[MergeTrial]]:
        """Its trials."""
        ...


class Runs(Protocol):
    """What is read of the cache."""

    def runs(self) -> Sequence[Parsed[AutoLLMRun]]:
        """Return all runs."""
        ...

    def children(self, run_uid: str) -> Children:
        """Return the trainings and the trials of a run."""
        ...

    def trials_by_hand(self, namespace: str, run: str) -> Sequence[Parsed[MergeTrial]]:
        """Return the trials that name a run and that somebody made by hand."""
        ...

    def jobs(self, owner_uid: str) -> Sequence[JobView]:
        """Return the Jobs that an object controls."""
        ...

    def pods(self, job_uid: str) -> Sequence[PodView]:
        """Return the pods of a Job."""
        ...


class RunCollector(Collector):
    """All series of all runs. Scrapes may come from several threads; one is answered at a time."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._sums: dict[str, TrialSums] = {}
        self._lock = Lock()

    def collect(self) -> Iterator[Metric]:
        """Yield every family of series, those without a sample too, so that what may come can be seen."""
        with self._lock:
            families = {one.name: GaugeMetricFamily(one.name, one.help, labels=[*OWN_LABELS, *one.labels]) for one in s.RUN_SERIES}
            durations = HistogramMetricFamily(
                s.TRIAL_SECONDS, "How long a trial took: writing the merged weights and scoring the items.", labels=[*OWN_LABELS, "split"]
            )
            found = CounterMetricFamily(s.REUSED_DELTAS, "Deltas that were found in the artifacts rather than trained.", labels=OWN_LABELS)
            runs = [(row.uid, row.value) for row in self._runs.runs() if row.value is not None]
            for uid, run in runs:
                self._add(uid, run, families, durations, found)
            self._sums = {uid: self._sums[uid] for uid, _ in runs}
        yield from families.values()
        yield durations
        yield found

    def _add(
        self,
        uid: str,
        run: AutoLLMRun,
        families: dict[str, GaugeMetricFamily],
        durations: HistogramMetricFamily,
        found: CounterMetricFamily,
    ) -> None:
        own = (run.metadata.namespace or "", run.metadata.name)
        children = self._runs.children(uid)
        sums = self._trial_sums(uid, run, children.trials)
        trainings = [row.value for row in children.trainings if row.value is not None]
        jobs = self._observed(uid, children.trainings)
        by_hand = by_hand_samples(self._runs.trials_by_hand(*own))
        for sample in (*standing_samples(run), *sums.samples(), *by_hand, *job_samples(jobs), *gpu_samples(run, trainings, sums.seconds())):
            families[sample.series.name].add_metric([*own, *sample.labels], sample.value)
        for split, histogram in sums.durations.items():
            durations.add_metric([*own, split], buckets=histogram.buckets(), sum_value=histogram.total)
        found.add_metric(own, reused(trainings))

    def _trial_sums(self, uid: str, run: AutoLLMRun, trials: Sequence[Parsed[MergeTrial]]) -> TrialSums:
        sample = _sample(run)
        sums = self._sums.get(uid)
        if sums is None or sums.sample != sample or not sums.absorb(trials):
            sums = TrialSums(sample)
            sums.absorb(trials)
        self._sums[uid] = sums
        return sums

    def _observed(self, uid: str, trainings: Sequence[Parsed[DeltaTraining]]) -> list[ObservedJob]:
        jobs = [ObservedJob(job, self._runs.pods(job.uid)) for job in self._runs.jobs(uid)]
        for row in trainings:
            jobs += [ObservedJob(job, self._runs.pods(job.uid), row.value) for job in self._runs.jobs(row.uid)]
        return jobs


def _sample(run: AutoLLMRun) -> int | None:
    """Return on how many items the search scores, None for all of the split."""
    asked, prepared = run.spec.search.items, run.status.prepared if run.status else None
    return asked if asked is not None and prepared is not None and asked < prepared.search.count else None
