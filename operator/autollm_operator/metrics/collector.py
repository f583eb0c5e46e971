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
from autollm_operator.cache.views import JobView, PodView
from autollm_operator.metrics import series as s
from autollm_operator.metrics.standing import standing_samples
from autollm_operator.metrics.trials import TrialSums
from autollm_operator.metrics.work import ObservedJob, job_samples, reused

OWN_LABELS = ("namespace", "run")


class Runs(Protocol):
    """What is read of the cache."""

    def runs(self) -> Sequence[AutoLLMRun]:
        """Return all runs."""
        ...

    def children(self, run_uid: str) -> tuple[Sequence[DeltaTraining], Sequence[MergeTrial]]:
        """Return the trainings and the trials of a run."""
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
            runs = self._runs.runs()
            for run in runs:
                self._add(run, families, durations, found)
            alive = {run.metadata.uid for run in runs}
            self._sums = {uid: sums for uid, sums in self._sums.items() if uid in alive}
        yield from families.values()
        yield durations
        yield found

    def _add(
        self, run: AutoLLMRun, families: dict[str, GaugeMetricFamily], durations: HistogramMetricFamily, found: CounterMetricFamily
    ) -> None:
        own = (run.metadata.namespace or "", run.metadata.name)
        uid = run.metadata.uid or ""
        trainings, trials = self._runs.children(uid)
        sums = self._trial_sums(run, trials)
        jobs = self._observed(uid, trainings)
        for sample in (*standing_samples(run), *sums.samples(), *job_samples(jobs)):
            families[sample.series.name].add_metric([*own, *sample.labels], sample.value)
        for split, histogram in sums.durations.items():
            durations.add_metric([*own, split], buckets=histogram.buckets(), sum_value=histogram.total)
        found.add_metric(own, reused(trainings))

    def _trial_sums(self, run: AutoLLMRun, trials: Sequence[MergeTrial]) -> TrialSums:
        uid, sample = run.metadata.uid or "", _sample(run)
        sums = self._sums.get(uid)
        if sums is None or sums.sample != sample or not sums.absorb(trials):
            sums = TrialSums(sample)
            sums.absorb(trials)
        self._sums[uid] = sums
        return sums

    def _observed(self, uid: str, trainings: Sequence[DeltaTraining]) -> list[ObservedJob]:
        jobs = [ObservedJob(job, self._runs.pods(job.uid)) for job in self._runs.jobs(uid)]
        for training in trainings:
            jobs += [ObservedJob(job, self._runs.pods(job.uid), training) for job in self._runs.jobs(training.metadata.uid or "")]
        return jobs


def _sample(run: AutoLLMRun) -> int | None:
    """Return on how many items the search scores, None for all of the split."""
    asked, prepared = run.spec.search.items, run.status.prepared if run.status else None
    return asked if asked is not None and prepared is not None and asked < prepared.search.count else None
