"""What a run's Jobs and trainings are doing, and the GPU time that went into what they made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from autollm.contract.exit_codes import ExitCode
from autollm.resources.delta_training import DeltaTraining
from autollm.resources.run import AutoLLMRun
from autollm_operator.cache.views import JobView, PodView
from autollm_operator.metrics import series as s
from autollm_operator.metrics.series import Sample

JobState = Literal["suspended", "waiting", "running", "complete", "failed"]
FailureCause = Literal["unavailable", "disrupted", "memory", "other"]


@dataclass(frozen=True)
class ObservedJob:
    """A Job with its pods; `training` is the delta that it trains, None in Jobs of other kinds."""

    job: JobView
    pods: Sequence[PodView]
    training: DeltaTraining | None = None

    @property
    def at_work(self) -> int:
        """How many of its pods run."""
        return sum(pod.started is not None and pod.finished is None for pod in self.pods)

    @property
    def state(self) -> JobState:
        """How far it is; it waits where it has no pod, or one is still to run: those that ended all count as running."""
        if self.job.outcome is not None:
            return "complete" if self.job.outcome == "Complete" else "failed"
        if self.job.suspended:
            return "suspended"
        return "running" if self.pods and not any(pod.phase == "Pending" for pod in self.pods) else "waiting"


def job_samples(jobs: Sequence[ObservedJob]) -> Iterator[Sample]:
    """Yield how many Jobs are in which state, the GPUs they hold, the pods they have lost, and how far the running trainings are."""
    states = Counter((one.job.task, one.state) for one in jobs)
    yield from (Sample(s.JOBS, where, count) for where, count in sorted(states.items()))
    held: Counter[str] = Counter()
    for one in jobs:
        if one.at_work:
            held[one.job.task] += one.job.gpus * one.at_work
    yield from (Sample(s.GPUS, (task,), count) for task, count in sorted(held.items()))
    failed = Counter((one.job.task, cause_of(pod)) for one in jobs if one.job.outcome is None for pod in one.pods if pod.phase == "Failed")
    yield from (Sample(s.FAILED_PODS, where, count) for where, count in sorted(failed.items()))
    training = [one.training for one in jobs if one.training is not None and one.state == "running"]
    for found in sorted(training, key=lambda one: one.spec.delta)[: s.MOST_DELTAS]:
        yield from _progress(found)


def cause_of(pod: PodView) -> FailureCause:
    """Return what ended a failed pod, as far as it asks for different help."""
    if pod.disrupted:
        return "disrupted"
    if pod.exit_code == ExitCode.UNAVAILABLE:
        return "unavailable"
    return "memory" if pod.ended_because == "OOMKilled" or pod.exit_code == ExitCode.OUT_OF_GPU_MEMORY else "other"


def _progress(training: DeltaTraining) -> Iterator[Sample]:
    progress = training.status.progress if training.status else None
    if progress is None:
        return
    delta = (training.spec.delta,)
    yield Sample(s.STEP, delta, progress.step)
    yield Sample(s.STEPS, delta, progress.steps)
    if progress.loss is not None:
        yield Sample(s.LOSS, delta, float(progress.loss))
    if progress.tokens_per_second is not None:
        yield Sample(s.TOKENS, delta, progress.tokens_per_second)


def gpu_samples(run: AutoLLMRun, trainings: Sequence[DeltaTraining], trial_seconds: float) -> Iterator[Sample]:
    """Yield the GPU hours of what was made; the GPUs are those that each training asks for, and of trials, the run does."""
    trained = sum(_gpu_seconds(training) for training in trainings)
    yield Sample(s.GPU_HOURS, ("train",), trained / 3600)
    yield Sample(s.GPU_HOURS, ("evaluate",), trial_seconds * run.spec.workers.evaluate.resources.gpus / 3600)


def _gpu_seconds(training: DeltaTraining) -> float:
    status, workers = training.status, training.spec.workers.train
    if status is None or status.delta is None or status.delta.seconds is None or status.reused:
        return 0.0
    return float(status.delta.seconds) * workers.resources.gpus * workers.nodes


def reused(trainings: Sequence[DeltaTraining]) -> int:
    """Return how many deltas were found in the artifacts rather than trained."""
    return sum(bool(training.status and training.status.reused) for training in trainings)
